"""Another preset on the way: a second encoder takes over from the first one, with real programs, and nothing is lost.

The screen shows a number in Gray code, so that each step changes one bar, and no frame shows half of it; the audio is a
steady tone. The governor's wish is said in the grabber's words: nobody has to make the machine slow.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import subprocess
import threading
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import attrs
import psutil
import pytest
import xcffib
import xcffib.xproto

from recorder_fsm.media.fragments import inspect
from recorder_fsm.media.join import JoinReport, join
from recorder_fsm.media.measures import measures
from recorder_fsm.media.timeline import Segment, Timeline
from recorder_fsm.resources import capture as capture_module
from recorder_fsm.resources.capture import Capture
from recorder_fsm.system.process import ChildProcess
from tests.programs import ENV, HEIGHT, WIDTH, Stage, child, children, slow_encoder, soon, stage, until

BITS = 16
STEP_S = 0.1
"""Two frames: each number has room."""
KILL_COSTS_S = 2.0
TONE_HZ, RATE_HZ, LOUD = 500, 48_000, 8000
QUICKER = "dropped=9 late_ms=40 still_ms=0 changes=0 rate=20 black=0 black_ms=0 wish=quicker"
SLOWER = "dropped=9 late_ms=40 still_ms=0 changes=0 rate=20 black=0 black_ms=0 wish=slower"
UNSEEN_S = 0.001
"""Frames are shown for so short a time where others need them that come before the seam (`media.seams`)."""
ASKED, QUICK = b" subme=2 ", b" subme=1 "
"""What x264 writes into a segment of `veryfast`, and of `superfast`."""
ENCODER, GRABBER = ("ffmpeg", "libx264"), ("video_grabber",)


class Counter(threading.Thread):
    """Shows the numbers from 1 on, each for `STEP_S`, until it is stopped."""

    def __init__(self, display: str) -> None:
        super().__init__(daemon=True)
        self._connection = xcffib.connect(display)  # type: ignore[no-untyped-call]
        self._root = self._connection.get_setup().roots[0].root
        self._pen = self._connection.generate_id()
        self._core = self._connection.core  # type: ignore[has-type]
        self._core.CreateGCChecked(self._pen, self._root, 0, []).check()
        self._fill(0, WIDTH, 0)
        self._stopped = threading.Event()

    def run(self) -> None:
        width, number = WIDTH // BITS, 0
        while not self._stopped.wait(STEP_S):
            number += 1
            bars = number ^ number >> 1
            bit = (bars ^ (number - 1) ^ (number - 1) >> 1).bit_length() - 1
            self._fill(bit * width, width, 0xFFFFFF if bars >> bit & 1 else 0)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _fill(self, left: int, width: int, colour: int) -> None:
        self._core.ChangeGC(self._pen, xcffib.xproto.GC.Foreground, [colour])
        area = xcffib.xproto.RECTANGLE.synthetic(left, 0, width, HEIGHT)  # type: ignore[no-untyped-call]
        self._core.PolyFillRectangle(self._root, self._pen, 1, [area])
        self._core.GetInputFocus().reply()


@attrs.define
class Scene:
    """A stage with the counter and the tone, and a capture of it that can be told to change its preset."""

    up: Stage
    folder: Path
    timeline: Timeline = attrs.Factory(Timeline)

    def capture(self) -> Capture:
        return self.up.capture(self.folder, self.timeline, preset="veryfast")

    async def goes_on(self, seconds: float = 1.5) -> None:
        """Wait until the segment that is written now has become so much longer."""
        progress = self.timeline.segments[-1].progress
        until_s = progress.position_s + seconds
        await until(lambda: progress.position_s >= until_s)

    def joined(self, *names: str) -> tuple[JoinReport, Path]:
        paths = [self.folder / name for name in names] or [one.path for one in self.timeline.segments]
        target = self.folder / "joined.mp4"
        return join(paths, target), target


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    async with showing(monkeypatch) as up:
        yield Scene(up, tmp_path)


@asynccontextmanager
async def showing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A stage with the counter and the tone."""
    async with stage() as up:
        monkeypatch.setenv("XAUTHORITY", up.display.env["XAUTHORITY"])
        counter = Counter(up.display.env["DISPLAY"])
        tone = up.runtime / "tone.raw"
        wave = [round(LOUD * math.sin(2 * math.pi * TONE_HZ * n / RATE_HZ)) for n in range(RATE_HZ)]
        tone.write_bytes(array("h", [value for one in wave for value in (one, one)]).tobytes() * 60)
        command = ["pacat", "--raw", "--rate=48000", "--channels=2", "--format=s16le", "--latency-msec=100", str(tone)]
        player = await ChildProcess.spawn("tone", command, env={**ENV, **up.audio.env})
        counter.start()
        try:
            yield up
        finally:
            counter.stop()
            await player.stop()


def wish(capture: Capture, line: str = QUICKER) -> asyncio.Task[None]:
    """Have the governor wish for another preset; returns what follows from that."""
    assert capture._writer is not None
    assert capture._hear_grabber(capture._writer, line)
    assert capture._changing is not None, "nothing follows"
    return capture._changing


async def change(capture: Capture, line: str = QUICKER) -> None:
    """Have the governor wish, and wait until another encoder has taken over, or has been given up."""
    await soon(asyncio.wait({wish(capture, line)}))


# --- what a player gets -------------------------------------------------------------------------------------------


def numbers(path: Path) -> list[tuple[float, int]]:
    """Return when each frame is shown, and its number; without those that nobody sees, as they are gone at once."""
    call = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"]
    times = sorted(float(line.strip(",")) for line in subprocess.check_output([*call, path], text=True).split())
    scaled = f"scale={BITS}:1:flags=area,format=gray"
    call = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", scaled, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    bars = subprocess.check_output(call)
    assert len(bars) == BITS * len(times)
    shown = [(at_s, _number(bars[BITS * n : BITS * (n + 1)])) for n, at_s in enumerate(times)]
    return [frame for frame, (next_s, _) in pairwise([*shown, (math.inf, 0)]) if next_s - frame[0] > UNSEEN_S]


def _number(bars: bytes) -> int:
    number = sum(1 << bit for bit, luma in enumerate(bars) if luma > 126)
    shift = 1
    while shift < BITS:
        number ^= number >> shift
        shift *= 2
    return number


def check_frames(path: Path, dropped: int) -> list[tuple[float, int]]:
    """Assert that each number is there, in order, but for those that a busy machine had no time for."""
    shown = numbers(path)
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(shown)), "times rise"
    seen = [number for _, number in shown]
    assert seen == sorted(seen)
    assert len(set(range(seen[0], seen[-1] + 1)) - set(seen)) <= dropped
    return shown


def check_tone(path: Path, begin_s: float, end_s: float) -> None:
    """Assert that the tone goes on from one sample to the next: x[n+1] + x[n-1] = 2 cos(w) x[n] for a sine."""
    call = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-ac", "1", "-f", "s16le", "-"]
    samples = array("h", subprocess.check_output(call))[round(begin_s * RATE_HZ) : round(end_s * RATE_HZ)]
    assert len(samples) > RATE_HZ // 4
    both = 2 * math.cos(2 * math.pi * TONE_HZ / RATE_HZ)
    steps = [abs(a + c - both * b) for a, b, c in zip(samples, samples[1:], samples[2:], strict=False)]
    assert max(steps) < LOUD / 20
    period = RATE_HZ // TONE_HZ
    peaks = [max(samples[n : n + period]) for n in range(0, len(samples) - period, period)]
    assert min(peaks) > 0.8 * max(peaks)


def seam_s(earlier: Segment, later: Segment) -> tuple[float, float]:
    """Return from when to when both have audio."""
    _, end_s = inspect(earlier.path).span_s(is_video=False) or (0.0, 0.0)
    return later.from_s, end_s


# --- a take-over --------------------------------------------------------------------------------------------------


async def test_no_second_encoder_is_started_without_memory_for_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near the limit of the control group it would have the kernel kill the recording; the rate may fall instead."""
    monkeypatch.setattr(capture_module, "memory_room_bytes", lambda: capture_module.TAKE_OVER_BYTES - 1)
    async with scene.capture() as capture:
        await scene.goes_on()
        await change(capture)
        assert len(children(*ENCODER)) == 1
        await scene.goes_on()
    assert len(scene.timeline.segments) == 1
    assert len([note for note in scene.up.notes if "memory" in note]) == 1


async def test_nothing_is_lost_where_another_encoder_takes_over(scene: Scene) -> None:
    """Down and up again: each number is in the file once, the tone has no step, and x264 says both presets in it."""
    async with scene.capture() as capture:
        capture._ladder._rest_s = 0.0
        await scene.goes_on()
        await change(capture)
        await scene.goes_on()
        await change(capture, SLOWER)
        await scene.goes_on()
        lost = asyncio.create_task(capture.lost())
        await scene.goes_on(0.6)
        assert not lost.done()
        lost.cancel()
    first, second, third = scene.timeline.segments
    assert [one.preset for one in (first, second, third)] == ["veryfast", "superfast", "veryfast"]
    assert all(one.ended.is_set() for one in (first, second, third))
    report, file = scene.joined()
    assert [gap for gap in report.gaps if 0 < gap.at_s < report.length_s - 0.5] == []
    shown = check_frames(file, scene.timeline.progress.dropped)
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(shown)) < 0.7
    assert report.length_s == pytest.approx(scene.timeline.captured_s, abs=0.5)
    for earlier, later in pairwise((first, second, third)):
        begin_s, end_s = seam_s(earlier, later)
        assert end_s - begin_s > 0.2
        check_tone(file, begin_s - 0.1, end_s + 0.1)
    data = file.read_bytes()
    assert (data.count(ASKED), data.count(QUICK)) == (2, 1)
    assert len(scene.up.notes) == 1, "the preset that was asked for needs no note"
    assert "superfast" in scene.up.notes[0]
    found = measures(scene.timeline)
    assert (found["lowest_preset"], found["preset_changes"]) == ("superfast", 2)
    assert [one["preset"] for one in found["presets"]] == ["veryfast", "superfast", "veryfast"]


async def test_encoder_that_is_too_slow_is_followed_by_a_quicker_one(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the frames that are lost to the other encoder, without anybody's word."""
    encoder(tmp_path / "bin", slow_encoder(WIDTH, HEIGHT), monkeypatch)
    async with scene.capture():
        await until(lambda: len(scene.timeline.segments) == 2, limit_s=60)
        await scene.goes_on(0.6)
    _, file = scene.joined()
    assert scene.timeline.segments[-1].preset == "superfast"
    data = file.read_bytes()
    assert ASKED in data
    assert QUICK in data


def failing_encoder(what: str) -> str:
    """Return an ffmpeg that fails with the preset that a second encoder has, and else does what it should."""
    return f'#!/bin/sh\ncase " $* " in *" superfast "*) {what} ;; esac\nexec {shutil.which("ffmpeg")} "$@"\n'


def encoder(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have that program found as ffmpeg."""
    folder.mkdir()
    (folder / "ffmpeg").write_text(program)
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


# --- a second encoder that fails ----------------------------------------------------------------------------------

FAILING = {
    "dies": "exit 1",
    "hangs": "exec sleep 60",
    "writes nothing": "exec cat",
    "ends without a word": "exit 0",
}


@pytest.mark.parametrize("what", FAILING.values(), ids=FAILING.keys())
async def test_second_encoder_that_fails_costs_nothing(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The first one goes on, nothing of the second one is left, it is said once, and not tried again."""
    monkeypatch.setattr(capture_module, "TAKE_OVER_LIMIT_S", 2.0)
    encoder(tmp_path / "bin", failing_encoder(what), monkeypatch)
    async with scene.capture() as capture:
        await scene.goes_on()
        await change(capture)
        await until(lambda: len(children(*GRABBER)) == 1)
        assert capture._writer is not None
        assert capture._hear_grabber(capture._writer, QUICKER)
        assert capture._changing is None
        await scene.goes_on()
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["live.mp4"]
    (note,) = scene.up.notes
    assert "superfast" in note
    _, file = scene.joined()
    check_frames(file, scene.timeline.progress.dropped)
    check_tone(file, 1.0, scene.timeline.captured_s - 0.5)
    assert measures(scene.timeline)["preset_changes"] == 0


@pytest.mark.parametrize("words", [ENCODER, GRABBER], ids=["encoder", "grabber"])
async def test_first_programs_that_end_while_a_second_one_starts_are_noticed(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """It is a fault like any other: the capture is lost, and leaves no program."""
    encoder(tmp_path / "bin", failing_encoder(FAILING["hangs"]), monkeypatch)
    async with scene.capture() as capture:
        await scene.goes_on()
        lost = asyncio.create_task(capture.lost())
        before = child(*words)
        wish(capture)
        await until(lambda: len(children(*GRABBER)) == 2)
        before.send_signal(signal.SIGKILL)
        assert "killed by SIGKILL" in str((await soon(lost)).detail)  # type: ignore[attr-defined]
    assert children(*GRABBER) == children(*ENCODER) == []
    assert len(scene.timeline.segments) == 1


async def test_encoder_that_took_over_is_watched(scene: Scene) -> None:
    """From the moment on at which it is the one that records."""
    async with scene.capture() as capture:
        await scene.goes_on(0.5)
        lost = asyncio.create_task(capture.lost())
        await change(capture)
        await until(lambda: len(children(*ENCODER)) == 1)
        child(*ENCODER).send_signal(signal.SIGKILL)
        assert "killed by SIGKILL" in str((await soon(lost)).detail)  # type: ignore[attr-defined]


# --- an end in the middle -----------------------------------------------------------------------------------------


async def test_stop_while_a_second_encoder_starts_leaves_the_recording_whole(scene: Scene, tmp_path: Path) -> None:
    """It is ended, what it wrote is removed, and the first one ends as ever."""
    descriptors = psutil.Process().num_fds()
    async with scene.capture() as capture:
        await scene.goes_on()
        wish(capture)
        await until((tmp_path / "live-2.mp4").exists)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["live.mp4"]
    assert children(*GRABBER) == children(*ENCODER) == []
    _, file = scene.joined()
    shown = check_frames(file, scene.timeline.progress.dropped)
    assert shown[-1][0] == pytest.approx(scene.timeline.captured_s, abs=0.5)
    await until(lambda: psutil.Process().num_fds() <= descriptors)


async def test_stop_does_not_wait_for_a_second_encoder_that_hangs(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People wait for the file."""
    monkeypatch.setattr(capture_module, "TAKE_OVER_LIMIT_S", math.inf)
    encoder(tmp_path / "bin", failing_encoder(FAILING["hangs"]), monkeypatch)
    capture = await scene.capture().__aenter__()
    await scene.goes_on(0.5)
    wish(capture)
    await until(lambda: len(children(*GRABBER)) == 2)
    await soon(capture.__aexit__(None, None, None))
    assert children(*GRABBER) == []
    check_frames(scene.joined()[1], scene.timeline.progress.dropped)


async def test_first_encoder_that_hangs_behind_a_take_over_ends_with_the_capture(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has an owner, and a limit."""
    monkeypatch.setattr(capture_module, "ENCODER_DRAIN_S", 0.5)
    monkeypatch.setattr(capture_module, "STALL_LIMIT_S", math.inf)
    async with scene.capture() as capture:
        await scene.goes_on()
        child(*ENCODER).send_signal(signal.SIGSTOP)
        await change(capture)
    assert children(*GRABBER) == children(*ENCODER) == []
    assert [one.ended.is_set() for one in scene.timeline.segments] == [True, True]


async def test_stop_right_after_a_take_over_waits_for_both(scene: Scene) -> None:
    """What the first one has not written yet gets into its segment."""
    async with scene.capture() as capture:
        await scene.goes_on()
        await change(capture)
    assert len(scene.timeline.segments) == 2
    assert all(one.ended.is_set() for one in scene.timeline.segments)
    _, file = scene.joined()
    shown = check_frames(file, scene.timeline.progress.dropped)
    assert shown[-1][0] == pytest.approx(scene.timeline.captured_s, abs=0.5)


@pytest.mark.parametrize("taken", [False, True], ids=["before it took over", "after it"])
async def test_kill_of_everything_in_a_take_over_leaves_what_the_longer_one_has(
    scene: Scene, tmp_path: Path, taken: bool
) -> None:
    """The recorder dies with all its programs: whichever segment goes further, the join takes it, and nothing twice.

    What the first one had not written yet may be missing between them: a kill takes that of anybody.
    """
    async with scene.capture() as capture:
        await scene.goes_on()
        doing = wish(capture)
        second = tmp_path / "live-2.mp4"
        if taken:
            await soon(asyncio.wait({doing}))
        await until(lambda: second.exists() and second.stat().st_size > 0)
        for process in (*children(*ENCODER), *children(*GRABBER)):
            process.kill()
        kept = {name: (tmp_path / name).read_bytes() for name in ("live.mp4", "live-2.mp4")}
    for name, data in kept.items():
        (tmp_path / name).write_bytes(data)
    ends_s = [(inspect(tmp_path / name).span_s(is_video=True) or (0.0, 0.0))[1] for name in kept]
    report, file = scene.joined(*kept)
    between = [gap for gap in report.gaps if 0 < gap.at_s < report.length_s - 0.7]
    assert len(between) <= 2
    assert sum(gap.length_s for gap in between if gap.what == "audio") <= KILL_COSTS_S
    missing_s = sum(gap.length_s for gap in between if gap.what == "video")
    assert missing_s <= KILL_COSTS_S
    shown = check_frames(file, scene.timeline.progress.dropped + 1 + math.ceil(missing_s / STEP_S))
    assert shown[-1][0] == pytest.approx(max(ends_s), abs=0.6)
