"""Faults of the call page that cost the meeting something though the recording goes on."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.process import run
from tests.faults.scene import Row, recording

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]

PAPER = 200
"""Grey level of what the stand-in shares: most of it is nearly white; the page around it is nearly black."""


async def test_screen_whose_map_comes_late_is_in_the_recording(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The page gets the track of a shared screen before it knows what it is for, and never shows it: we do."""
    made = row("P1", "the shared screen's map comes 3 s after its track")
    scene = {"mode": "call", "share": True, "rtc": True, "page_faults": {"late_map_s": 3}}
    async with recording(made, standin, data, seconds=6, scene=scene) as fault:
        made.noticed = "the recorder shows it, and notes that"
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        path = await fault.published()
        assert await grey(path, 4.0) > PAPER
        assert [note for note in fault.run.report["notes"] if "shared screen" in note]
        log = (fault.run.job_dir / "recorder.log").read_text()
        assert "unexpected video track type" in log
        assert log.count("ice candidate:") == 52  # all that the page writes while it joins


async def test_flood_of_the_console_hides_no_error(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A page that writes far more than is logged, and then the line that explains it all: that one is in the log."""
    made = row("P2", "page writes 5 000 lines and an error")
    async with recording(made, standin, data) as fault:
        words = "the line that explains it all"
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "flood_console", lines=5_000, error=words))
        await fault.run.seen(lambda line: f"console error: {words}" in line["message"])
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        await fault.published()
        log = (fault.run.job_dir / "recorder.log").read_text()
        assert words in log
        assert "console: lines left out because there were too many: " in log
        made.noticed = "lines counted, the error logged"


async def grey(path: Path, at_s: float) -> float:
    """Return the mean grey level (0 to 255) of the middle of the picture at a moment."""
    video = (await probe(path)).video
    assert video is not None
    middle = "crop=iw/2:ih/2,format=gray,scale=8:8:flags=area"
    command = ["ffmpeg", "-v", "error", "-ss", str(at_s), "-i", str(path), "-frames:v", "1", "-vf", middle]
    done = await run("ffmpeg", [*command, "-f", "rawvideo", "-"], env=PROGRAM_ENV, limit_s=60)
    assert len(done.stdout) == 64, done.stderr
    return statistics.fmean(done.stdout)
