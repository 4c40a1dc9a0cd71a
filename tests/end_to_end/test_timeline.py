"""Who spoke when, for real: what the plugin tells the page becomes chapters and files, each in its place."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.harness.recorder_process import assert_nothing_left, recorder
from recorder_fsm.standin.scene import PEOPLE
from recorder_fsm.standin.server import StandIn
from tests.standin_page import job_of
from tests.test_call_timeline import cues
from tests.test_join import chapters_of

pytestmark = pytest.mark.e2e

NEAR_S = 0.5
COPIES = """
import json, shutil, sys
timeline = json.load(sys.stdin)["data"]["timeline"]
for path in timeline.values():
    shutil.copy(path, sys.argv[1])
"""


async def test_recording_knows_who_spoke_when(standin: StandIn, data: Path, tmp_path: Path) -> None:
    """Two people speak one after the other, one shares a screen, a third leaves: each is where it happened."""
    first, second, third = (str(one["id"]) for one in PEOPLE[:3])
    names = {str(one["id"]): one["name"] for one in PEOPLE}
    out = tmp_path / "out"
    out.mkdir()
    script = [
        (1.0, "user_voice_on", first),
        (3.0, "user_left", third),
        (13.0, "user_voice_off", first),
        (13.0, "user_voice_on", second),
        (15.0, "user_screen_on", second),
        (26.0, "user_screen_off", second),
        (26.5, "user_voice_off", second),
    ]
    ids = standin.create_call(scene={"mode": "pattern"})
    on_end = shlex.join([sys.executable, "-c", COPIES, str(out)])
    done: dict[tuple[str, str], float] = {}
    async with recorder(standin, ids, data, TIMELINE="files", ON_END=on_end) as run:
        await run.reached("recording")
        for at_s, event, person in script:
            await run.recorded(at_s)
            assert standin.person_does(ids.call_id, event, person) == 1
            done[event, person] = time.time()
        await run.recorded(28)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    begin = job_of(standin, ids).start_at / 1000
    at = {what: when - begin for what, when in done.items()}
    (post,) = standin.state.posts
    found: dict[str, Any] = json.loads((out / "timeline.json").read_text())
    assert {one["user_id"]: one["name"] for one in found["people"]} == names, "the bot is none of them"

    def span(what: str, user: str) -> tuple[float, float]:
        (one,) = [one for one in found["spans"] if (one["what"], one["user_id"]) == (what, user)]
        return one["begin_s"], one["end_s"]

    length_s = found["duration_s"]
    assert span("voice", first) == pytest.approx((at["user_voice_on", first], at["user_voice_off", first]), abs=NEAR_S)
    assert span("voice", second) == pytest.approx(
        (at["user_voice_on", second], at["user_voice_off", second]), abs=NEAR_S
    )
    assert span("screen", second) == pytest.approx(
        (at["user_screen_on", second], at["user_screen_off", second]), abs=NEAR_S
    )
    assert span("present", first) == (0.0, length_s)
    assert span("present", third) == pytest.approx((0.0, at["user_left", third]), abs=NEAR_S)
    chapters = chapters_of(standin.uploaded(post.file_id))
    assert chapters == [(one["at_s"], one["title"]) for one in found["chapters"]]
    assert [title for _, title in chapters] == [names[first], f"{names[second]} shares a screen"]
    assert chapters[1][0] == pytest.approx(at["user_screen_on", second], abs=1 + NEAR_S)
    assert len(cues((out / "timeline.vtt").read_text())) == 3
    left = {path.name for path in run.job_dir.iterdir()}
    assert left == {"recorder.log", "report.json", "timeline.json", "timeline.vtt"}
    assert (run.job_dir / "timeline.vtt").stat().st_mode & 0o077 == 0
    for name in names.values():
        assert name not in run.text, "the log outlives the recording"
    assert_nothing_left(run)
