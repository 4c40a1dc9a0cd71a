"""A call that is not published by the plugin: joined as ever, and posted by the Calls bot itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness.recorder_process import assert_nothing_left, recorder
from recorder_fsm.standin.server import StandIn
from tests.post_job import posts_with_files

pytestmark = pytest.mark.e2e


async def test_call_is_posted_without_the_plugins_upload_routes(standin: StandIn, data: Path) -> None:
    """One post in the call's thread with the whole file; the plugin knows of the start, and is sent nothing else."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, PUBLISH="post") as run:
        await run.recorded(4)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    ((post, stored),) = posts_with_files(standin)
    assert (post.channel_id, post.root_id, post.user_id) == (ids.call_id, ids.post_id, standin.state.bot_id)
    assert stored.size == stored.path.stat().st_size == run.report["published"]["size_bytes"]
    assert run.report["file"]["duration_s"] >= 3.5
    assert [report.status for report in standin.state.statuses] == ["started"]
    sent = [entry.path for entry in standin.requests() if "/plugins/" in entry.path and entry.method != "GET"]
    assert len(sent) == 1, sent
    assert standin.state.posts == []
    assert_nothing_left(run)
