"""The video grabber, on a real display: what it writes is what the screen showed, when it showed it, and no more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, pairwise
from pathlib import Path

import attrs
import pytest

from recorder_fsm.media.governor import WINDOW_S
from recorder_fsm.media.progress import Progress
from recorder_fsm.media.raw_stream import frame_head, stream_head
from recorder_fsm.resources.display import Display
from recorder_fsm.system.clock import now_s
from recorder_fsm.system.process import ChildProcess, LineListener, run
from tests import refusing
from tests.painter import Painter
from tests.programs import ENV, HEIGHT, WIDTH, soon, until

FRAME_BYTES = WIDTH * HEIGHT * 3 // 2
RATE, STILL_S = 20, 0.5
NUMBERS = (WIDTH, HEIGHT, RATE, STILL_S)
BLACK, WHITE, GREY = 0x000000, 0xFFFFFF, 0x808080
LUMA = {BLACK: 16, WHITE: 235, GREY: 126}
PAUSE_S = 2.0
CLOCK_S = 0.002
"""Two clocks that count milliseconds."""
LEAD_S = 0.3
"""From the start of a grabber's connection to its first frame."""


@attrs.frozen
class Frame:
    """A frame of the stream; `at_s` since the begin."""

    at_s: float
    data: bytes

    def luma(self, x: int, y: int) -> int:
        return self.data[y * WIDTH + x]


@attrs.define
class Grabbing:
    """A grabber that runs, and the file that it writes into."""

    program: ChildProcess
    output: Path
    start_s: float

    async def has(self, frames: int) -> None:
        """Wait until there are so many frames."""
        await until(lambda: self.output.stat().st_size >= frames * FRAME_BYTES)

    async def has_more(self) -> None:
        """Wait until what is on the screen now is among the frames."""
        await self.has(self.output.stat().st_size // FRAME_BYTES + 2)

    async def stop(self) -> list[Frame]:
        """Stop it as a capture does; returns all that it wrote, read by ffmpeg."""
        self.program.ask(signal.SIGINT)
        assert await soon(self.program.wait()) == 0, self.program.last_words()
        return await read(self.output)


async def read(stream: Path) -> list[Frame]:
    """Return the frames of a stream, as ffmpeg sees them."""
    probe = ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time:stream=pix_fmt", "-of", "json", str(stream)]
    told = json.loads((await run("ffprobe", probe, env=ENV, limit_s=20)).stdout)
    assert [entry["pix_fmt"] for entry in told["streams"]] == ["yuv420p"]
    decode = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(stream), "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    data = (await run("ffmpeg", decode, env=ENV, limit_s=20)).stdout
    stamps = [float(packet["pts_time"]) for packet in told["packets"]]
    assert len(data) == len(stamps) * FRAME_BYTES
    return [Frame(at_s, data[n * FRAME_BYTES :][:FRAME_BYTES]) for n, at_s in enumerate(stamps)]


@pytest.fixture
async def display(tmp_path: Path) -> AsyncIterator[Display]:
    async with Display(width=WIDTH, height=HEIGHT, runtime=tmp_path, env=ENV) as held:
        yield held


@pytest.fixture
def painter(display: Display, monkeypatch: pytest.MonkeyPatch) -> Painter:
    """Somebody who paints on that display, which is black at first."""
    monkeypatch.setenv("XAUTHORITY", display.env["XAUTHORITY"])
    made = Painter(display.env["DISPLAY"])
    made.fill(BLACK)
    return made


@asynccontextmanager
async def grabbing(
    display: Display,
    folder: Path,
    *,
    under: tuple[str, ...] = (),
    lead_s: float = LEAD_S,
    numbers: tuple[float, ...] = NUMBERS,
    on_line: LineListener | None = None,
) -> AsyncIterator[Grabbing]:
    """Run a grabber that writes into a file; `under`: words before its command."""
    command = [sys.executable, "-m", "recorder_fsm.media.video_grabber", display.env["DISPLAY"], *map(str, numbers)]
    output = folder / "frames.mkv"
    reader, writer = os.pipe()
    with output.open("wb") as file:
        env = {**ENV, **display.env}
        program = await ChildProcess.spawn(
            "grabber", [*under, *command], env=env, stdin=reader, stdout=file.fileno(), on_line=on_line
        )
    try:
        await until(lambda: output.stat().st_size)
        start_s = now_s() + lead_s
        os.write(writer, f"{start_s:.6f}\n".encode())
        yield Grabbing(program, output, start_s)
    finally:
        await program.stop()
        os.close(reader)
        os.close(writer)


async def test_first_frame_is_what_the_screen_shows_at_the_start(
    display: Display, painter: Painter, tmp_path: Path
) -> None:
    """At zero, with all that was painted before it."""
    painter.fill(GREY)
    async with grabbing(display, tmp_path) as it:
        painter.fill(WHITE, (0, 0, WIDTH, HEIGHT // 2))
        await it.has(1)
        frames = await it.stop()
    assert frames[0].at_s == 0
    assert frames[0].luma(WIDTH // 2, 10) == LUMA[WHITE]
    assert frames[0].luma(WIDTH // 2, HEIGHT - 10) == LUMA[GREY]


async def test_grabber_that_is_late_does_not_say_otherwise(display: Display, painter: Painter, tmp_path: Path) -> None:
    """After a restart on a busy machine: what the screen shows now was not there at the begin."""
    async with grabbing(display, tmp_path, lead_s=-1.0) as it:
        await it.has(1)
        frames = await it.stop()
    assert frames[0].at_s >= 1.0


async def test_change_is_shown_from_when_it_was_painted(display: Display, painter: Painter, tmp_path: Path) -> None:
    """However late it is grabbed, to the millisecond of the server's clock; all of it, and nothing else."""
    async with grabbing(display, tmp_path) as it:
        await it.has(2)
        before_s = now_s()
        after_s = painter.fill(WHITE, (100, 101, 50, 33))
        await it.has_more()
        frames = await it.stop()
    shown = [frame.luma(120, 120) for frame in frames]
    first = shown.index(LUMA[WHITE])
    assert shown == [LUMA[BLACK]] * first + [LUMA[WHITE]] * (len(shown) - first)
    assert before_s - CLOCK_S <= frames[first].at_s + it.start_s <= after_s + CLOCK_S
    inside = {(x, y) for x in (100, 149) for y in (101, 133)}
    outside = {(x, y) for x in (99, 150) for y in (101, 133)} | {(x, y) for x in (100, 149) for y in (100, 134)}
    assert {frames[-1].luma(*place) for place in inside} == {LUMA[WHITE]}
    assert {frames[-1].luma(*place) for place in outside} == {LUMA[BLACK]}


async def test_still_screen_is_repeated_and_no_more(display: Display, painter: Painter, tmp_path: Path) -> None:
    """Every half second at the earliest, and each time the same."""
    painter.fill(GREY)
    async with grabbing(display, tmp_path) as it:
        await it.has(6)
        frames = await it.stop()
    stamps = [frame.at_s for frame in frames[:-1]]  # the last one is that of the stop
    assert all(later - earlier >= STILL_S - 0.01 for earlier, later in pairwise(stamps))
    assert len({frame.data for frame in frames}) == 1


async def test_black_picture_is_told(display: Display, painter: Painter, tmp_path: Path) -> None:
    """At once, and for how long it was; a page that is nearly all black is not."""
    progress, white, dark = Progress(), (0, 0, WIDTH, HEIGHT // 50), 0x080808
    async with grabbing(display, tmp_path, on_line=progress.take_grabbed) as it:
        await until(lambda: progress.black)
        seen_s = now_s()
        await it.has(4)
        passed_s = now_s() - seen_s
        painter.fill(WHITE, white)
        await until(lambda: not progress.black)
        assert passed_s - STILL_S <= progress.black_s <= now_s() - it.start_s
        painter.fill(dark)
        await until(lambda: progress.black)
        await it.stop()


async def test_changes_are_counted_and_repeats_are_not(display: Display, painter: Painter, tmp_path: Path) -> None:
    """By that a video is told from a picture that stands."""
    progress = Progress()
    async with grabbing(display, tmp_path, on_line=progress.take_grabbed) as it:
        await it.has(4)
        for colour in (WHITE, GREY):
            painter.fill(colour)
            await it.has_more()
        frames = await it.stop()
    assert progress.changes == 3, "the picture of the begin, and both of these"
    assert len(frames) > 6


async def test_screen_that_changes_faster_gives_its_rate(display: Display, painter: Painter, tmp_path: Path) -> None:
    """As many frames as were asked for at the most, each with a time of its own."""
    async with grabbing(display, tmp_path) as it:
        await it.has(1)
        while it.output.stat().st_size < 40 * FRAME_BYTES:
            for colour in (WHITE, BLACK, GREY):
                painter.fill(colour)
                await asyncio.sleep(0)
        frames = await it.stop()
    assert len(frames) <= (frames[-1].at_s - frames[0].at_s) * RATE + 3
    assert [frame.at_s for frame in frames] == sorted({frame.at_s for frame in frames})


async def test_frame_that_waits_for_its_turn_keeps_its_time(display: Display, painter: Painter, tmp_path: Path) -> None:
    """Two changes within one frame's time: the second one is grabbed later, and is shown from when it was painted."""
    async with grabbing(display, tmp_path) as it:
        await it.has(2)
        painter.fill(GREY)
        await it.has_more()
        painter.fill(WHITE, (0, 0, WIDTH, 10))
        before_s = now_s()
        after_s = painter.fill(WHITE, (0, 10, WIDTH, 10))
        await it.has_more()
        frames = await it.stop()
    shown = next(frame for frame in frames if frame.luma(5, 15) == LUMA[WHITE])
    assert before_s - CLOCK_S <= shown.at_s + it.start_s <= after_s + CLOCK_S


async def test_end_is_where_the_stop_came(display: Display, painter: Painter, tmp_path: Path) -> None:
    """The last frame goes on until then; what is painted afterwards is not in it."""
    async with grabbing(display, tmp_path) as it:
        await it.has(2)
        painter.fill(WHITE)
        await it.has_more()
        stopped_s = now_s() - it.start_s
        frames = await it.stop()
    assert frames[-1].at_s >= stopped_s
    assert frames[-1].luma(0, 0) == frames[-1].luma(WIDTH - 1, HEIGHT - 1) == LUMA[WHITE]


async def test_frame_of_many_small_changes_is_that_of_the_whole_screen(
    display: Display, painter: Painter, tmp_path: Path
) -> None:
    """What was put together piece by piece is what another grabber sees at once."""
    (tmp_path / "whole").mkdir()
    async with grabbing(display, tmp_path) as it:
        for step in range(30):
            painter.fill(0x10309F * (step + 1) & WHITE, (7 * step, 11 * step, 60 + step, 41))
            await it.has(step // 3)
        await it.has_more()
        pieces = await it.stop()
    async with grabbing(display, tmp_path / "whole") as it:
        await it.has(1)
        whole = await it.stop()
    assert pieces[-1].data == whole[0].data


@pytest.mark.skipif(not refusing.SUPPORTED, reason="no numbers of system calls for this processor")
@pytest.mark.parametrize("call", ["shmget", "shmat"])
async def test_screen_is_read_without_shared_memory(
    display: Display, painter: Painter, tmp_path: Path, call: str
) -> None:
    """Where a filter refuses it, the server sends the pixels."""
    under = (sys.executable, "-m", "tests.refusing", "EPERM", call, "--")
    async with grabbing(display, tmp_path, under=under) as it:
        await it.has(1)
        painter.fill(WHITE, (0, 100, WIDTH, 50))
        await it.has_more()
        frames = await it.stop()
    assert [frames[-1].luma(WIDTH - 1, y) for y in (99, 100, 149, 150)] == [16, 235, 235, 16]


async def test_display_that_goes_ends_the_grabber_in_plain_words(
    display: Display, painter: Painter, tmp_path: Path
) -> None:
    """It is a child that ends; the capture tells why."""
    painter.fill(GREY)  # it says nothing of that
    async with grabbing(display, tmp_path) as it:
        await it.has(1)
        await display.__aexit__(None, None, None)
        assert await soon(it.program.wait()) == 1
        assert it.program.last_words().startswith("the display")


async def test_reader_that_pauses_costs_frames_and_no_memory(
    display: Display, painter: Painter, tmp_path: Path
) -> None:
    """While nobody reads, nothing is grabbed: what comes afterwards is new, and at its own time."""
    output, written = os.pipe()
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "recorder_fsm.media.video_grabber", display.env["DISPLAY"], *map(str, NUMBERS)]
    program = await ChildProcess.spawn("grabber", command, env={**ENV, **display.env}, stdin=reader, stdout=written)
    try:
        os.close(written)
        start_s = now_s() + LEAD_S
        os.write(writer, f"{start_s:.6f}\n".encode())
        await asyncio.to_thread(os.read, output, 1)
        colours = cycle((GREY, WHITE))
        await until(lambda: painter.fill(next(colours)) > start_s + PAUSE_S)
        paused_s = now_s() - start_s
        program.ask(signal.SIGINT)
        rest = await asyncio.to_thread(_drain, output)
        assert await soon(program.wait()) == 0
    finally:
        await program.stop()
        for descriptor in (output, reader, writer):
            os.close(descriptor)
    stream = tmp_path / "frames.mkv"
    stream.write_bytes(stream_head(WIDTH, HEIGHT, RATE)[:1] + rest)
    frames = await read(stream)
    assert len(frames) <= 5
    assert frames[-1].at_s >= paused_s
    assert frames[-1].luma(0, 0) in (LUMA[WHITE], LUMA[GREY])


async def test_encoder_that_is_too_slow_gets_fewer_frames(display: Display, painter: Painter, tmp_path: Path) -> None:
    """After five seconds of frames that it took late; and they stay fewer at first when it takes them at once again."""
    output, written = os.pipe()
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "recorder_fsm.media.video_grabber", display.env["DISPLAY"], *map(str, NUMBERS)]
    program = await ChildProcess.spawn("grabber", command, env={**ENV, **display.env}, stdin=reader, stdout=written)
    colours, stream = cycle((GREY, WHITE)), bytearray()
    try:
        os.close(written)
        start_s = now_s() + LEAD_S
        os.write(writer, f"{start_s:.6f}\n".encode())
        reading = asyncio.create_task(asyncio.to_thread(_read_slowly, output, stream, start_s + WINDOW_S + 2))
        await until(lambda: painter.fill(next(colours)) > start_s + WINDOW_S + 4)
        program.ask(signal.SIGINT)
        await soon(reading)
        assert await soon(program.wait()) == 0
    finally:
        await program.stop()
        for descriptor in (output, reader, writer):
            os.close(descriptor)
    (tmp_path / "frames.mkv").write_bytes(stream)
    quick = [frame.at_s for frame in await read(tmp_path / "frames.mkv") if frame.at_s > WINDOW_S + 2.5][:-1]
    assert len(quick) > 2
    assert (quick[-1] - quick[0]) / (len(quick) - 1) > 1.25 / RATE


def _read_slowly(descriptor: int, stream: bytearray, until_s: float) -> None:
    """Read as an encoder that manages seven frames in a second, until then; from then on as fast as can be."""
    while piece := os.read(descriptor, FRAME_BYTES if now_s() < until_s else 1 << 20):
        stream += piece
        if now_s() < until_s:
            time.sleep(0.15 * len(piece) / FRAME_BYTES)


def _drain(descriptor: int) -> bytes:
    data = bytearray()
    while piece := os.read(descriptor, 1 << 20):
        data += piece
    return bytes(data)


async def test_times_of_a_long_recording_are_kept(tmp_path: Path) -> None:
    """To the microsecond, after hours."""
    stream = tmp_path / "frames.mkv"
    stamps = [0, 1, 33_333, 3_600_000_001, 6 * 3_600_000_000 + 7]
    data = b"".join(frame_head(stamp, FRAME_BYTES) + bytes(FRAME_BYTES) for stamp in stamps)
    stream.write_bytes(stream_head(WIDTH, HEIGHT, RATE) + data)
    assert [round(frame.at_s * 1e6) for frame in await read(stream)] == stamps
