"""The system clock is set while a capture runs: by libfaketime for its programs, by a patch for the recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.analysis.probe import probe
from recorder_fsm.media import timeline as timeline_module
from recorder_fsm.media.timeline import Timeline
from tests.faults.scene import Row
from tests.programs import stage

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.parametrize("step_s", [3600, -3600])
async def test_set_clock_keeps_stamps_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Callable[[str, str], Row], step_s: int
) -> None:
    """A clock that is set by an hour, either way, leaves a file as long as the clock that nobody can set says."""
    assert LIBRARY is not None, "libfaketime is missing: apt-get install faketime"
    made = row("R15", f"clock set by {step_s // 3600:+d} h")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faked = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    lead = timeline_module._clock_lead_s
    timeline = Timeline()
    async with stage() as up:
        capture = up.capture(tmp_path, timeline, **faked)
        async with capture:
            watch = asyncio.create_task(capture.lost())
            await _recorded(timeline, 3, watch)
            offset.write_text(f"{step_s:+d}")
            monkeypatch.setattr(timeline_module, "_clock_lead_s", lambda: lead() + step_s)
            await _recorded(timeline, 9, watch)
            watch.cancel()
    (segment,) = timeline.segments
    facts = await probe(segment.path)
    assert facts.video is not None
    assert facts.audio is not None
    assert abs(facts.duration_s - timeline.elapsed_s) < 1.5
    assert abs(facts.video.duration_s - facts.audio.duration_s) < 1.5
    made.noticed = "nobody needs that clock"
    made.published = f"{facts.duration_s:.1f} of {timeline.elapsed_s:.1f} s"


async def _recorded(timeline: Timeline, seconds: float, watch: asyncio.Task[object]) -> None:
    """Wait until so many seconds are in the file; the watch must not end meanwhile."""
    async with asyncio.timeout(30):
        while timeline.progress.position_s < seconds:
            done, _ = await asyncio.wait({watch}, timeout=0.1)
            assert not done, watch.result()
