"""Where a recording lies in time: everybody's clock of it starts when the server hears `started`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bench.harness.recorder_process import recorder
from recorder_fsm.analysis import video
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.knobs import Fault
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.process import run as run_program
from tests.end_to_end.test_recording import published
from tests.programs import ENV

pytestmark = pytest.mark.e2e

NEAR_S = 0.2
"""A busy machine shows the page's change a little later."""


async def first_stamps_s(path: Path) -> dict[str, float]:
    """Return the stamp of the first frame that is shown or heard of each track."""
    command = ["ffprobe", "-v", "error", "-show_entries", "frame=media_type,pts_time", "-of", "json", str(path)]
    frames = json.loads((await run_program("ffprobe", command, env=ENV, limit_s=60)).stdout)["frames"]
    return {
        kind: min(float(one["pts_time"]) for one in frames if one["media_type"] == kind) for kind in ("video", "audio")
    }


@pytest.mark.parametrize("turned_away", [0, 2])
async def test_file_begins_when_started_is_heard(standin: StandIn, data: Path, turned_away: int) -> None:
    """Captions and the web's clock count from there: what the page shows at a known time is in its place.

    Tries that were turned away at the door were no tries: nobody knew of a recording yet.
    """
    if turned_away:
        standin.state.knobs.faults.append(Fault("status", "status", times=turned_away, status=429))
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(3)
        shown_at = time.time()
        standin.page_command(ids.call_id, "blank")
        await run.recorded(6)
        stopped_at = time.time()
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    path = published(standin, run)
    heard_at = [entry.time for entry in standin.state.log if entry.route == "status"][-1]
    (blank, *_) = await video.black_spans(path)
    assert blank[0] == pytest.approx(shown_at - heard_at, abs=NEAR_S)
    assert await first_stamps_s(path) == {"video": 0, "audio": 0}
    length_s = (await probe(path)).duration_s
    assert length_s == pytest.approx(stopped_at - heard_at, abs=NEAR_S)
    assert run.report["capture"]["clock_s"] == pytest.approx(length_s, abs=0.2)
    assert run.report["gaps"] == []
    assert run.report["notes"] == []
