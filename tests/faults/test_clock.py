"""The system clock is set while a capture runs: by libfaketime for ffmpeg, by a patch for the recorder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from recorder_fsm.media.ffmpeg import CaptureSettings

from recorder_fsm.resources import capture as capture_module
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.capture import Capture
from recorder_fsm.resources.display import Display
from recorder_fsm.standin import measure
from tests.faults.scene import Row

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.parametrize("step_s", [3600, -3600])
async def test_set_clock_keeps_stamps_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Callable[[str, str], Row], step_s: int
) -> None:
    """A clock that is set by an hour, either way, leaves a file as long as the monotonic clock says."""
    assert LIBRARY is not None, "libfaketime is missing: apt-get install faketime"
    made = row("R15", f"clock set by {step_s // 3600:+d} h")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    faked = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    set_at: list[float] = []
    true_lead = capture_module.clock_lead_s

    def lead() -> float:
        return true_lead() + (step_s if set_at else 0)

    monkeypatch.setattr(capture_module, "clock_lead_s", lead)
    display = Display(width=640, height=360, runtime=tmp_path, env=env)
    sound = AudioServer(runtime=tmp_path, env=env)
    live = tmp_path / "live.mp4"
    async with display, sound:
        settings = CaptureSettings(
            width=640,
            height=360,
            frame_rate=20,
            video_rate_kbps=500,
            audio_rate_kbps=64,
            preset="ultrafast",
            display=display.env["DISPLAY"],
            sound_server=sound.address,
            sound_source=sound.monitor,
        )
        capture = Capture(settings, live, {**env, **display.env, **sound.env, **faked})
        async with capture:
            watch = asyncio.create_task(capture.lost())
            await _recorded(capture, 3, watch)
            offset.write_text(f"{step_s:+d}")
            set_at.append(time.monotonic())
            await _recorded(capture, 9, watch)
            watch.cancel()
        expected_s = capture.duration_s
    facts = await measure.probe(live)
    assert facts.video is not None
    assert facts.audio is not None
    assert abs(facts.duration_s - expected_s) < 1.5
    assert abs(facts.video.duration_s - facts.audio.duration_s) < 1.5
    made.noticed, made.published = "grabber started anew", f"{facts.duration_s:.1f} of {expected_s:.1f} s"


async def _recorded(capture: Capture, seconds: float, watch: asyncio.Task[object]) -> None:
    """Wait until so many seconds are in the file; the watch must not end meanwhile."""
    async with asyncio.timeout(30):
        while capture.progress.position_s < seconds:
            done, _ = await asyncio.wait({watch}, timeout=0.1)
            assert not done, watch.result()
