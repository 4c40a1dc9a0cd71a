"""The capture, with real ffmpeg, Xvfb and PulseAudio: a few seconds each, and every way in which it can end."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from recorder_fsm.errors import CaptureError
from recorder_fsm.media.ffmpeg import probe_command
from recorder_fsm.media.output_file import CLOCK_DIFFERS_S
from recorder_fsm.resources import capture as capture_module
from recorder_fsm.resources.capture import Capture
from tests.programs import HEIGHT, WIDTH, Stage, ask, child, soon, stage


@pytest.fixture
async def up() -> AsyncIterator[Stage]:
    """A display and a sound server."""
    async with stage() as held:
        yield held


@pytest.fixture
def live(tmp_path: Path) -> Path:
    return tmp_path / "live.mp4"


async def streams(path: Path) -> dict[str, dict[str, Any]]:
    """Return what ffprobe says of picture and sound."""
    seen = await ask(*probe_command(path), env={})
    assert seen.returncode == 0, seen.stderr
    return {stream["codec_type"]: stream for stream in json.loads(seen.stdout)["streams"]}


async def moment() -> None:
    """Let programs go on: they tell us nothing by themselves of what is waited for."""
    await asyncio.sleep(0.01)


async def reached(capture: Capture, seconds: float) -> None:
    """Wait until the file is that long."""
    async with asyncio.timeout(20):
        while capture.progress.position_s < seconds:
            await moment()


async def test_capture_writes_picture_and_sound_of_one_length(up: Stage, live: Path) -> None:
    """About two seconds: H.264 and AAC, beginning together, as long as the clock says."""
    async with up.capture(live) as capture:
        assert live.exists()
        assert capture.progress.frames > 0
        await reached(capture, 2.0)
        assert not capture.ended.is_set()
    assert capture.ended.is_set()
    found = await streams(live)
    video, audio = found["video"], found["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", WIDTH, HEIGHT)
    assert audio["codec_name"] == "aac"
    for stream in (video, audio):
        end = float(stream["start_time"]) + float(stream["duration"])
        assert float(stream["start_time"]) < 1.0
        assert end == pytest.approx(capture.duration_s, abs=CLOCK_DIFFERS_S)


async def test_duration_stands_still_after_the_stop(up: Stage, live: Path) -> None:
    """It is what the file is compared with."""
    async with up.capture(live) as capture:
        pass
    first = capture.duration_s
    await asyncio.sleep(0.02)
    assert capture.duration_s == first
    assert capture.stopped_at > capture.started_at


async def test_silence_is_measured_as_silence(up: Stage, live: Path) -> None:
    """Nobody plays: the level is minus infinity, or nearly."""
    async with up.capture(live) as capture, asyncio.timeout(20):
        while not capture.progress.measured_s:
            await moment()
    assert capture.progress.level_dbfs < capture_module.SILENCE_DBFS
    assert capture.progress.heard_s == 0


@pytest.mark.parametrize("words", [("ffmpeg", "x11grab"), ("ffmpeg", "libx264")], ids=["grabber", "encoder"])
async def test_killed_program_is_noticed_and_what_was_written_plays(
    up: Stage, live: Path, words: tuple[str, ...]
) -> None:
    """Both programs are watched; after the kill of either, the live file has both streams."""
    async with up.capture(live) as capture:
        await reached(capture, 1.2)
        lost = asyncio.create_task(capture.lost())
        await asyncio.sleep(0)
        child(*words).send_signal(signal.SIGKILL)
        cause = await soon(lost)
        assert isinstance(cause, CaptureError)
        assert cause.code == "capture_ended"
        assert "killed by SIGKILL" in cause.detail
    found = await streams(live)
    assert float(found["video"]["duration"]) > 0.5
    assert float(found["audio"]["duration"]) > 0.5


@pytest.mark.parametrize("words", [("ffmpeg", "x11grab"), ("ffmpeg", "libx264")], ids=["grabber", "encoder"])
async def test_frozen_program_is_noticed_and_can_be_ended(
    up: Stage, live: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A process that is stopped neither ends nor writes: that nothing moves on is the sign."""
    for name, seconds in [
        ("STALL_LIMIT_S", 1.2),
        ("CHECK_EVERY_S", 0.1),
        ("GRABBER_STOP_S", 0.2),
        ("ENCODER_DRAIN_S", 0.5),
    ]:
        monkeypatch.setattr(capture_module, name, seconds)
    async with up.capture(live) as capture:
        await reached(capture, 1.2)
        child(*words).send_signal(signal.SIGSTOP)
        cause = await soon(capture.lost())
        assert isinstance(cause, CaptureError)
        assert cause.code in ("picture_stalled", "sound_stalled")
    assert capture.ended.is_set()
    assert (await streams(live)).keys() == {"video", "audio"}


async def test_healthy_capture_of_a_still_screen_is_not_lost(
    up: Stage, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves and nobody speaks for longer than the limit: that is a meeting too."""
    # The sound is measured once a second, and on an idle sink its first second comes up to a second late.
    monkeypatch.setattr(capture_module, "STALL_LIMIT_S", 4.0)
    monkeypatch.setattr(capture_module, "CHECK_EVERY_S", 0.1)
    async with up.capture(live) as capture:
        lost = asyncio.create_task(capture.lost())
        await reached(capture, 6.0)
        assert not lost.done()
        lost.cancel()


async def test_missing_display_fails_the_start_in_the_grabbers_words(up: Stage, live: Path) -> None:
    """At once, not after the limit for starting."""
    child("Xvfb", str(up.runtime)).kill()
    await soon(up.display.lost())
    capture = up.capture(live)
    async with asyncio.timeout(capture_module.START_LIMIT_S - 1):
        with pytest.raises(CaptureError, match="grabber"):
            await capture.__aenter__()
    assert capture.ended.is_set()


async def test_unwritable_file_fails_the_start_in_the_encoders_words(up: Stage, tmp_path: Path) -> None:
    """The path is in the cause."""
    capture = up.capture(tmp_path / "nowhere" / "live.mp4")
    with pytest.raises(CaptureError, match="nowhere"):
        await capture.__aenter__()


async def test_cancelled_start_leaves_no_program(up: Stage, live: Path) -> None:
    """A stop while ffmpeg starts."""
    starting = asyncio.create_task(up.capture(live).__aenter__())
    async with asyncio.timeout(10):
        while not _running("x11grab"):
            await moment()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not _running("x11grab")
    assert not _running("libx264")


async def test_capture_that_ended_leaves_no_program_and_no_descriptor(up: Stage, live: Path) -> None:
    """A process that records twice (a clock that was set) must not run out of them."""
    before = set(Path("/proc/self/fd").iterdir())
    async with up.capture(live):
        pass
    await asyncio.sleep(0)
    assert not _running("ffmpeg")
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1


async def test_clock_that_is_set_restarts_the_grabber_only(
    up: Stage, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The capture goes on with a new grabber; the encoder and the file are the same."""
    monkeypatch.setattr(capture_module, "CHECK_EVERY_S", 0.05)
    lead = capture_module.clock_lead_s
    async with up.capture(live) as capture:
        await reached(capture, 1.0)
        encoder, grabber = child("ffmpeg", "libx264").pid, child("ffmpeg", "x11grab").pid
        monkeypatch.setattr(capture_module, "clock_lead_s", lambda: lead() + 3600)
        lost = asyncio.create_task(capture.lost())
        async with asyncio.timeout(10):
            while grabber in _running("x11grab") or not _running("x11grab"):
                await moment()
        assert _running("libx264") == {encoder}
        assert not lost.done()
        lost.cancel()


def _running(word: str) -> set[int]:
    """Return the children of ours that have `word` in their command line."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and word in " ".join(process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


# --- what the encoder prints, without a program -------------------------------------------------------------------


@pytest.fixture
async def reader(tmp_path: Path) -> Capture:
    """A capture that has not been started."""
    return Capture(settings=None, live=tmp_path / "live.mp4", env={})  # type: ignore[arg-type]


def say(capture: Capture, *lines: str) -> list[bool]:
    return [capture._read_line(line) for line in lines]


async def test_progress_is_read(reader: Capture) -> None:
    """One block, as ffmpeg prints it; what it does not know is 0."""
    assert all(
        say(
            reader, "frame=10", "fps=9.8", "bitrate= 400.1kbits/s", "total_size=123456", "out_time_us=1500000",
            "out_time=00:00:01.500000", "dup_frames=0", "drop_frames=2", "speed=1.01x", "progress=continue",
        )
    )  # fmt: skip
    progress = reader.progress
    assert (progress.frames, progress.size_bytes, progress.position_s, progress.dropped) == (10, 123456, 1.5, 2)
    assert progress.speed == 1.01
    assert progress.advanced_at > 0
    assert all(say(reader, "total_size=N/A", "out_time_us=N/A", "speed=N/A"))
    assert (progress.size_bytes, progress.position_s, progress.speed) == (0, 0, 0)


async def test_encoder_without_a_picture_is_not_ready(reader: Capture) -> None:
    """It reports every half second from its start on, also while it still waits for its input."""
    say(reader, "frame=0", "progress=continue")
    assert not reader._running.is_set()
    say(reader, "frame=1", "progress=continue")
    assert reader._running.is_set()


async def test_encoder_that_repeats_a_number_has_not_advanced(reader: Capture) -> None:
    """Only a new picture counts as one."""
    say(reader, "frame=5")
    advanced = reader.progress.advanced_at
    say(reader, "frame=5", "frame=4")
    assert reader.progress.advanced_at == advanced


async def test_levels_are_read(reader: Capture) -> None:
    """Of the last second, the loudest so far, and how much was heard; silence is minus infinity."""
    rms, peak = "lavfi.astats.Overall.RMS_level", "lavfi.astats.Overall.Peak_level"
    assert all(say(reader, "frame:1    pts:48000   pts_time:1", f"{rms}=-inf", f"{peak}=-inf"))
    assert reader.progress.level_dbfs == -math.inf
    assert all(say(reader, f"{rms}=-20.5", f"{peak}=-3.0", f"{rms}=-95.0", f"{peak}=-90.0"))
    progress = reader.progress
    assert (progress.level_dbfs, progress.loudest_dbfs) == (-95.0, -3.0)
    assert (progress.heard_s, progress.measured_s) == (1, 3)


async def test_black_is_read(reader: Capture) -> None:
    """From the start of a black stretch to its end."""
    say(reader, "lavfi.black_start=1.0")
    assert reader.progress.black
    say(reader, "lavfi.black_end=5.0")
    assert not reader.progress.black


@pytest.mark.parametrize(
    "line",
    [
        "Input #0, nut, from 'pipe:0':",
        "[libx264 @ 0x1] profile = High",
        "  Duration: N/A, start: 1.0",
        "words of trouble",
    ],
)
async def test_words_are_left_to_the_log(reader: Capture, line: str) -> None:
    """What is no measurement may explain a failure."""
    assert say(reader, line) == [False]
