"""The capture, with real ffmpeg, Xvfb and PulseAudio: a few seconds each, and every way in which it can end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

from recorder_fsm.errors import CaptureError
from recorder_fsm.media import audio_feed, segment_writer
from recorder_fsm.media import timeline as timeline_module
from recorder_fsm.media.fragments import inspect
from recorder_fsm.media.grab import LONGEST_STILL_S
from recorder_fsm.media.output_file import CLOCK_DIFFERS_S
from recorder_fsm.media.probe import probe_command
from recorder_fsm.media.progress import SILENCE_DBFS
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.resources import capture as capture_module
from recorder_fsm.resources.capture import Capture
from recorder_fsm.system.clock import now_s
from recorder_fsm.system.process import run
from tests.painter import Painter
from tests.programs import ENV, HEIGHT, RATE, WIDTH, Stage, ask, child, children, moving_screen, soon, stage, until

VIDEO_GRABBER, AUDIO_GRABBER = ("video_grabber",), ("parec",)
ENCODER, RELAY = ("ffmpeg", "libx264"), ("audio_relay",)
BUSY_S = 1.0
"""What a busy machine may take of the time of any program."""
WATCHED = pytest.mark.parametrize("words", [VIDEO_GRABBER, ENCODER, RELAY], ids=["video grabber", "encoder", "relay"])


@pytest.fixture
async def up() -> AsyncIterator[Stage]:
    """A display and a sound server."""
    async with stage() as held:
        yield held


@pytest.fixture
async def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
async def capture(up: Stage, tmp_path: Path, timeline: Timeline) -> Capture:
    """A capture that has not been started; its segment is `live.mp4`."""
    return up.capture(tmp_path, timeline)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """The first segment."""
    return tmp_path / "live.mp4"


async def streams(path: Path) -> dict[str, dict[str, Any]]:
    """Return what ffprobe says of video and audio."""
    seen = await ask(*probe_command(path), env={})
    assert seen.returncode == 0, seen.stderr
    return {stream["codec_type"]: stream for stream in json.loads(seen.stdout)["streams"]}


async def stamps(path: Path, stream: str) -> list[float]:
    """Return the time of each packet of a stream (`v`, `a`), in seconds."""
    command = ("ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time", "-of", "json")
    seen = await ask(*command, str(path), env={})
    return sorted(float(packet["pts_time"]) for packet in json.loads(seen.stdout)["packets"])


async def longest_gap_s(path: Path, stream: str) -> float:
    """Return the longest time between two packets of a stream."""
    return max(later - earlier for earlier, later in pairwise(await stamps(path, stream)))


async def reached(timeline: Timeline, seconds: float) -> None:
    """Wait until the newest segment goes so far."""
    await until(lambda: timeline.segments[-1].progress.position_s >= seconds)


def pids(words: tuple[str, ...]) -> set[int]:
    return {process.pid for process in children(*words)}


def programs() -> set[int]:
    """Return all that a capture starts."""
    return set().union(*(pids(words) for words in (VIDEO_GRABBER, AUDIO_GRABBER, ENCODER, RELAY)))


# --- a healthy capture --------------------------------------------------------------------------------------------


async def test_capture_writes_video_and_audio_of_one_length(capture: Capture, timeline: Timeline, live: Path) -> None:
    """About two seconds: H.264 and AAC, beginning together, as long as the clock says."""
    async with capture:
        (segment,) = timeline.segments
        assert segment.path == live
        assert segment.progress.frames > 0
        await reached(timeline, 2.0)
        assert not segment.ended.is_set()
    assert segment.ended.is_set()
    found = await streams(live)
    video, audio = found["video"], found["audio"]
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", WIDTH, HEIGHT)
    assert audio["codec_name"] == "aac"
    for stream in (video, audio):
        end = float(stream["start_time"]) + float(stream["duration"])
        assert float(stream["start_time"]) < 1.0
        assert end == pytest.approx(timeline.elapsed_s, abs=CLOCK_DIFFERS_S)


async def test_clock_of_the_recording_stands_still_after_the_stop(
    capture: Capture, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the file is compared with."""
    async with capture:
        assert timeline.segments[0].stopped_at_s is None
    first = timeline.elapsed_s
    now = now_s()
    monkeypatch.setattr(timeline_module, "now_s", lambda: now + 3600)
    assert timeline.elapsed_s == first


async def test_silence_is_measured_as_silence(capture: Capture, timeline: Timeline) -> None:
    """Nobody plays: the level is minus infinity, or nearly."""
    async with capture:
        await until(lambda: timeline.progress.measured_s)
    assert timeline.progress.level_dbfs < SILENCE_DBFS
    assert timeline.progress.heard_s == 0


async def test_healthy_capture_of_a_still_screen_is_not_lost(
    capture: Capture, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing changes and nobody speaks for longer than the limit: that is a meeting too."""
    monkeypatch.setattr(capture_module, "STALL_LIMIT_S", 3.0)
    monkeypatch.setattr(capture_module, "CHECK_EVERY_S", 0.1)
    async with capture:
        lost = asyncio.create_task(capture.lost())
        await reached(timeline, 5.0)
        assert not lost.done()
        lost.cancel()


async def test_moving_screen_is_captured_at_its_rate(
    up: Stage, capture: Capture, timeline: Timeline, live: Path
) -> None:
    """No frame waits for the audio or for what is measured of it; a busy machine may cost some."""
    async with moving_screen(up), capture:
        await reached(timeline, 5.0)
    found = await stamps(live, "v")
    assert len(found) / (found[-1] - found[0]) >= 2 / LONGEST_STILL_S
    assert await longest_gap_s(live, "v") <= LONGEST_STILL_S + 0.3


async def test_still_screen_is_repeated_every_half_second(capture: Capture, timeline: Timeline, live: Path) -> None:
    """A player shows it."""
    async with capture:
        await reached(timeline, 8.0)
    shown = await stamps(live, "v")
    assert median(later - earlier for earlier, later in pairwise(shown)) <= LONGEST_STILL_S + 0.1
    assert await longest_gap_s(live, "v") <= 2 * LONGEST_STILL_S + 0.3


@pytest.mark.parametrize("preset", ["ultrafast", "fast"])
async def test_kill_of_a_still_call_loses_two_seconds_at_most(
    up: Stage, tmp_path: Path, timeline: Timeline, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    """Of the picture and of the sound. Nothing pushes them out of the encoder but the same picture, again and again."""
    monkeypatch.setenv("XAUTHORITY", up.display.env["XAUTHORITY"])
    painter = Painter(up.display.env["DISPLAY"])
    async with up.capture(tmp_path, timeline, preset=preset):
        await reached(timeline, 4.0)
        painter.fill(0xFFFFFF)
        until_s = timeline.elapsed_s + 2.0 + BUSY_S
        await until(lambda: timeline.elapsed_s >= until_s)
        for pid in programs():
            os.kill(pid, signal.SIGKILL)
        killed_s = timeline.elapsed_s
    ((segment,),) = (timeline.segments,)
    left = inspect(segment.path)
    assert min((left.span_s(is_video=video) or (0.0, 0.0))[1] for video in (True, False)) >= killed_s - 2.0 - BUSY_S
    call = ["ffmpeg", "-v", "error", "-i", str(segment.path), "-vf", "scale=1:1,format=gray", "-f", "rawvideo", "-"]
    assert max((await run("ffmpeg", call, env=ENV, limit_s=20)).stdout) > 200


async def test_second_capture_counts_from_the_same_begin(up: Stage, tmp_path: Path, timeline: Timeline) -> None:
    """After a restart: a segment of its own, whose time stamps say where in the recording it belongs."""
    async with up.capture(tmp_path, timeline):
        await reached(timeline, 1.0)
    timeline._origin_s -= 20  # as if it had recorded for longer
    begin_s = timeline.begin_s
    async with up.capture(tmp_path, timeline):
        first, second = timeline.segments
        assert timeline.begin_s == begin_s
        await reached(timeline, 1.0)
        assert timeline.behind_s < 10, "the position counts from the begin of its own segment"
    assert second.path == tmp_path / "live-2.mp4"
    assert second.from_s >= (first.stopped_at_s or 0.0) >= 1.0
    assert timeline.progress.frames == first.progress.frames + second.progress.frames
    for stream in (await streams(second.path)).values():
        assert float(stream["start_time"]) == pytest.approx(second.from_s, abs=1.0), "it counts from the first begin"
        end = float(stream["start_time"]) + float(stream["duration"])
        assert end == pytest.approx(timeline.elapsed_s, abs=1.0)


# --- losses -------------------------------------------------------------------------------------------------------


@WATCHED
async def test_killed_program_is_noticed_and_what_was_written_plays(
    capture: Capture, timeline: Timeline, live: Path, words: tuple[str, ...]
) -> None:
    """Each program is watched; after the kill of one, the segment has both streams."""
    async with capture:
        await reached(timeline, 1.2)
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


@WATCHED
async def test_frozen_program_is_noticed_and_can_be_ended(
    capture: Capture, timeline: Timeline, live: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A process that is stopped neither ends nor writes: that no frame comes is the sign."""
    for name, seconds in [("STALL_LIMIT_S", 1.2), ("CHECK_EVERY_S", 0.1), ("ENCODER_DRAIN_S", 0.5)]:
        monkeypatch.setattr(capture_module, name, seconds)
    monkeypatch.setattr(segment_writer, "GRABBER_STOP_S", 0.2)
    async with capture:
        await reached(timeline, 1.2)
        child(*words).send_signal(signal.SIGSTOP)
        cause = await soon(capture.lost())
        assert isinstance(cause, CaptureError)
        assert cause.code == "video_stalled"
    assert timeline.segments[0].ended.is_set()
    assert (await streams(live)).keys() == {"video", "audio"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
async def test_audio_that_stops_costs_no_frame(
    up: Stage,
    capture: Capture,
    timeline: Timeline,
    live: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """Silence is recorded instead, for as long as it takes; neither stream has a gap."""
    monkeypatch.setattr(audio_feed, "RETRY_S", 60.0)
    async with moving_screen(up), capture:
        lost = asyncio.create_task(capture.lost())
        await reached(timeline, 1.0)
        child(*AUDIO_GRABBER).send_signal(number)
        await reached(timeline, timeline.elapsed_s + 2.5)
        assert not lost.done()
        lost.cancel()
    assert len(timeline.segments) == 1
    for stream in (await streams(live)).values():
        end = float(stream["start_time"]) + float(stream["duration"])
        assert end == pytest.approx(timeline.elapsed_s, abs=1.0)
    assert await longest_gap_s(live, "v") <= 1.0  # much less than the audio was away
    assert await longest_gap_s(live, "a") <= 0.1


async def test_audio_grabber_comes_back_when_the_sound_server_does(
    capture: Capture, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and with all else as it was."""
    monkeypatch.setattr(audio_feed, "RETRY_S", 60.0)
    async with capture:
        encoder = pids(ENCODER)
        await until(lambda: pids(AUDIO_GRABBER))
        child(*AUDIO_GRABBER).kill()
        await until(lambda: not pids(AUDIO_GRABBER))
        await reached(timeline, timeline.elapsed_s + 0.5)
        assert not pids(AUDIO_GRABBER)
        await capture.audio_restarted()
        await until(lambda: pids(AUDIO_GRABBER))
        assert pids(ENCODER) == encoder


async def test_killed_audio_grabber_is_tried_again_by_itself(
    capture: Capture, timeline: Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody tells of a restart: the server never died."""
    monkeypatch.setattr(audio_feed, "RETRY_S", 0.1)
    async with capture:
        await until(lambda: pids(AUDIO_GRABBER))
        before = pids(AUDIO_GRABBER)
        child(*AUDIO_GRABBER).kill()
        await until(lambda: pids(AUDIO_GRABBER) - before)


# --- starts that fail, and ends -----------------------------------------------------------------------------------


async def test_missing_display_fails_the_start_in_the_grabbers_words(
    up: Stage, capture: Capture, timeline: Timeline
) -> None:
    """At once, not after the limit for starting."""
    child("Xvfb", str(up.runtime)).kill()
    await soon(up.display.lost())
    async with asyncio.timeout(capture_module.START_LIMIT_S - 1):
        with pytest.raises(CaptureError, match=r"video grabber: the display :\d+ cannot be read"):
            await capture.__aenter__()
    assert all(segment.ended.is_set() for segment in timeline.segments)
    assert not programs()


async def test_unwritable_segment_fails_the_start_in_the_encoders_words(
    up: Stage, tmp_path: Path, timeline: Timeline
) -> None:
    """The path is in the cause."""
    with pytest.raises(CaptureError, match="nowhere"):
        await up.capture(tmp_path / "nowhere", timeline).__aenter__()
    assert not programs()


async def test_cancelled_start_leaves_no_program(capture: Capture, timeline: Timeline) -> None:
    """A stop while ffmpeg starts."""
    starting = asyncio.create_task(capture.__aenter__())
    await until(lambda: pids(VIDEO_GRABBER))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not programs()
    assert all(segment.ended.is_set() for segment in timeline.segments)


async def test_capture_that_ended_leaves_no_program_and_no_descriptor(capture: Capture) -> None:
    """A process that captures ten times, after restarts, must not run out of them."""
    before = psutil.Process().num_fds()
    async with capture:
        assert psutil.Process().num_fds() > before
    assert not programs()
    await until(lambda: psutil.Process().num_fds() <= before)


async def test_start_that_failed_leaves_no_descriptor(up: Stage, tmp_path: Path, timeline: Timeline) -> None:
    """As little as one that ended well."""
    before = psutil.Process().num_fds()
    with pytest.raises(CaptureError):
        await up.capture(tmp_path / "nowhere", timeline).__aenter__()
    await until(lambda: psutil.Process().num_fds() <= before)


async def test_machine_at_its_limit_is_noted_once_for_each_step(up: Stage, tmp_path: Path, timeline: Timeline) -> None:
    """However often the frame rate goes down and up again in a meeting of hours."""
    capture = up.capture(tmp_path, timeline)
    writer = capture._writer_of(timeline.open(tmp_path / "live.mp4", 0.0))
    before = len(up.notes)
    low, lower = RATE * 2 // 3, RATE // 2
    for rate in (low, RATE, low, RATE, low, lower, low, RATE, lower):
        assert capture._hear_grabber(
            writer, f"dropped=9 late_ms=40 still_ms=0 changes=0 rate={rate} black=0 black_ms=0"
        )
    noted = up.notes[before:]
    assert [str(low) in noted[0], str(lower) in noted[1], len(noted)] == [True, True, 2]


async def test_encoder_without_a_frame_is_not_ready(up: Stage, tmp_path: Path, timeline: Timeline) -> None:
    """It reports every half second from its start on, also while it still waits for its input."""
    writer = up.capture(tmp_path, timeline)._writer_of(timeline.open(tmp_path / "live.mp4", 0.0))
    for line in ("frame=0", "total_size=0", "progress=continue"):
        assert writer._hear_encoder(line)
    assert not writer.running.is_set()
    for line in ("frame=1", "progress=continue"):
        assert writer._hear_encoder(line)
    assert (writer.running.is_set(), writer.written.is_set()) == (True, False)
    for line in ("total_size=5000", "progress=continue"):
        assert writer._hear_encoder(line)
    assert writer.written.is_set()
