"""A machine that is too slow, for real: another encoder takes over in a call, and what is published has both."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from bench.harness.recorder_process import RecorderProcess, orphans, recorder
from recorder_fsm.analysis import pattern, tones
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from tests.faults.pending import nothing_runs, recovering
from tests.faults.scene import capture_begin, published
from tests.programs import slow_encoder, until

pytestmark = pytest.mark.e2e

SIZE = (1280, 720)
WITHIN_S = 60.0
STAMP_COUNTS = 20
"""A third of a second of the pattern's counter: a display server that is stopped between a look at its clock and a
drawing says of that one that it is older than it is, and at the seam another grabber's picture follows."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH whose ffmpeg is too slow for the preset that is asked for."""
    (tmp_path / "ffmpeg").write_text(slow_encoder(*SIZE))
    (tmp_path / "ffmpeg").chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


async def another_encoder_writes(run: RecorderProcess) -> None:
    """Wait until there is a second segment on the volume, with something in it."""
    second = run.job_dir / "live-2.mp4"
    await until(lambda: second.exists() and second.stat().st_size > 0, WITHIN_S)


async def test_call_on_a_machine_that_is_too_slow_gets_a_quicker_preset(
    standin: StandIn, data: Path, path: str
) -> None:
    """One file, one post; the report says which preset held when; no beep is missing, and each has its flash."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, PATH=path) as run:
        await another_encoder_writes(run)
        await run.seen(lambda line: line["message"].startswith("the preset is superfast"), WITHIN_S)
        await run.recorded(20)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
        report, log = run.report, run.text
    file = published(standin, ids)
    measures = report["measures"]
    assert [one["preset"] for one in measures["presets"]] == ["veryfast", "superfast"], log
    assert (measures["lowest_preset"], measures["preset_changes"]) == ("superfast", 1)
    assert any("the preset is superfast" in note for note in report["notes"])
    assert report["gaps"] == []
    said = file.read_bytes()
    assert (said.count(b" subme=2 "), said.count(b" subme=1 ")) == (1, 1)
    facts = await probe(file)
    assert facts.duration_s == pytest.approx(report["capture"]["clock_s"], abs=0.6)
    readings = [one for one in (await pattern.counters(file)).readings if one.value is not None]
    back = [step for one, other in pairwise(readings) if (step := one.value - other.value) > 0]  # type: ignore[operator]
    assert len(back) <= 1
    assert max(back, default=0) <= STAMP_COUNTS
    assert len(await tones.beeps(file, 1000)) >= facts.duration_s - 2
    assert abs((await pattern.av_offsets(file)).median_ms) < 150


async def test_kill_in_a_take_over_loses_no_more_than_any_other(standin: StandIn, data: Path, path: str) -> None:
    """`recover` makes one file of both segments, and publishes it."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, PATH=path) as run:
        await another_encoder_writes(run)
        killed_at = time.time()
        run.process.kill()
        await run.exit_code()
        length_s = killed_at - capture_begin(run)
        await until(lambda: nothing_runs(data))
    async with recovering(standin, ids, data) as run:
        assert await run.exit_code() == 0, run.text
        assert orphans(run.runtime) == []
    facts = await probe(published(standin, ids))
    assert facts.duration_s >= length_s - 2.0
    assert facts.faststart
