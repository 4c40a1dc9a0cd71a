"""The audio relay: where arriving samples land, the level of each second, and the program itself on two pipes."""

from __future__ import annotations

import ast
import math
import os
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from recorder_fsm.media.audio_relay import (
    BURST_S,
    DRY_S,
    FRAME_BYTES,
    LEAD_S,
    RATE_HZ,
    SETTLE_S,
    SLIP_S,
    TICK_S,
    WINDOW_S,
    Meter,
    Relay,
)
from recorder_fsm.media.grab import RELAY
from recorder_fsm.system.clock import now_s

pytestmark = pytest.mark.timeout(30)

CHUNK = round(TICK_S * RATE_HZ)
DRY = round(DRY_S * RATE_HZ)
SETTLE_CHUNKS = round(SETTLE_S / TICK_S)
WINDOW_CHUNKS = round(WINDOW_S / TICK_S)


def frames(count: int, first: int = 1) -> bytes:
    """Return frames of which none is like another, and none is silent."""
    numbers = range(first, first + count)
    return array("h", [value for n in numbers for value in (n % 30_000 + 1, -(n // 30_000) - 1)]).tobytes()


def silence(count: int) -> bytes:
    return bytes(count * FRAME_BYTES)


class Stream:
    """A sound server that gives a chunk each tick. `clock` is where its last sample belongs."""

    def __init__(self) -> None:
        self.relay = Relay()
        self.clock = 0

    def chunks(self, count: int, late: int = 0) -> list[bytes]:
        """Feed `count` chunks, each of which arrives `late` frames late; returns what was written for each."""
        return [self.chunk(late)[1] for _ in range(count)]

    def chunk(self, late: int = 0) -> tuple[bytes, bytes]:
        """Feed one chunk; returns it, and what was written for it."""
        self.clock += CHUNK
        data = frames(CHUNK, self.clock)
        return data, self.relay.feed(data, self.clock + late)


@pytest.fixture
def settled() -> Stream:
    """A stream that has come in time for so long that its place is fixed, with a window that has just begun."""
    stream = Stream()
    stream.chunks(1 + SETTLE_CHUNKS)
    assert stream.relay.written == stream.clock
    return stream


# --- where samples land -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0, CHUNK, DRY - CHUNK], ids=["in time", "20 ms late", "180 ms late"])
def test_continuous_flow_passes_through_unchanged(settled: Stream, late: int) -> None:
    """Not a frame is added or lost, also where each chunk is late by another while, as on a busy machine."""
    for number in range(3 * WINDOW_CHUNKS):
        data, written = settled.chunk(late if number % 7 else 0)
        assert written == data
    assert settled.relay.written == settled.clock


def test_short_pause_adds_nothing(settled: Stream) -> None:
    """Up to `DRY_S` the samples may still be on their way: there is no silence, and they follow without a gap."""
    now = settled.clock
    for ago in range(0, DRY + 1, CHUNK):
        assert settled.relay.feed(b"", now + ago) == b""
    assert settled.relay.flowing
    data = frames(DRY, now)
    assert settled.relay.feed(data, now + DRY) == data
    assert settled.relay.written == now + DRY


def test_stream_that_stops_becomes_silence_up_to_the_position(settled: Stream) -> None:
    """Exactly as many frames as are missing, also after minutes, and nothing twice."""
    now = settled.clock + DRY + 1
    assert settled.relay.feed(b"", now) == silence(DRY + 1)
    assert not settled.relay.flowing
    assert settled.relay.feed(b"", now) == b""
    assert settled.relay.feed(b"", now + 60 * RATE_HZ) == silence(60 * RATE_HZ)
    assert settled.relay.written == now + 60 * RATE_HZ


def test_relay_without_any_input_is_silent() -> None:
    """A server that was never there: the sum of what is written follows the clock."""
    relay = Relay()
    written = b"".join(relay.feed(b"", now) for now in range(0, 10 * RATE_HZ + 1, CHUNK))
    assert written == silence(relay.written)
    assert 0 <= 10 * RATE_HZ - relay.written <= DRY


def test_first_samples_land_where_they_belong() -> None:
    """What is heard first two seconds after the start has two seconds of silence before it."""
    data = frames(CHUNK)
    assert Relay().feed(data, 2 * RATE_HZ) == silence(2 * RATE_HZ - CHUNK) + data


def test_samples_from_before_the_start_are_left_out() -> None:
    """The first chunk may be older than the start: the recording begins with what belongs to it."""
    data = frames(CHUNK)
    assert Relay().feed(data, 100) == data[-100 * FRAME_BYTES :]


@pytest.mark.parametrize("asked", [True, False], ids=["silence written meanwhile", "relay itself stood still"])
def test_stream_that_comes_back_lands_at_its_true_place(settled: Stream, asked: bool) -> None:
    """Not behind the gap, which would make everything from then on late."""
    lost_at, now = settled.clock, settled.clock + 3 * RATE_HZ
    out = settled.relay.feed(b"", now - CHUNK) if asked else b""
    data = frames(CHUNK, now)
    out += settled.relay.feed(data, now)
    assert out == silence(now - lost_at - CHUNK) + data
    assert settled.relay.written == now
    settled.clock = now
    data, written = settled.chunk()
    assert written == data


def test_burst_after_a_pause_is_cut(settled: Stream) -> None:
    """A server that hung gives all of it at once: what is silent already is left out, and the clock stays."""
    now = settled.clock + 2 * RATE_HZ
    assert settled.relay.feed(b"", now - 100) == silence(2 * RATE_HZ - 100)
    data = frames(RATE_HZ, now)
    assert settled.relay.feed(data, now) == data[-100 * FRAME_BYTES :]
    assert settled.relay.written == now


@pytest.mark.parametrize("over", [0, 1], ids=["allowed", "cut"])
def test_flow_may_be_ahead_by_the_length_of_a_burst_only(settled: Stream, over: int) -> None:
    """A little that comes early is passed on; what would move all that follows is not."""
    data = frames(round(BURST_S * RATE_HZ) + over, settled.clock)
    assert settled.relay.feed(data, settled.clock) == (data if not over else b"")


def test_silence_after_a_burst_is_not_counted_twice(settled: Stream) -> None:
    """A second burst at the same moment has no place left: nothing of it is written."""
    now = settled.clock + RATE_HZ
    settled.relay.feed(frames(RATE_HZ, 1), now)
    assert settled.relay.written == now
    assert settled.relay.feed(frames(RATE_HZ, 1), now) == b""


# --- corrections --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [-300, 480], ids=["too early", "too late"])
def test_first_samples_that_lay_wrong_by_chance_are_moved_when_it_has_settled(late: int) -> None:
    """The smallest lag of `SETTLE_S` is the true one: from then on each sample is in its exact place."""
    stream = Stream()
    stream.clock = RATE_HZ
    stream.chunk(late)
    assert stream.relay.written == stream.clock + late
    for _ in range(SETTLE_CHUNKS - 1):
        data, written = stream.chunk()
        assert written == data
    data, written = stream.chunk()
    assert written == (data[late * FRAME_BYTES :] if late > 0 else silence(-late) + data)
    assert stream.relay.written == stream.clock


def test_stream_that_came_back_settles_anew(settled: Stream) -> None:
    """What was late by chance after a gap is moved as at the start, and not only where it is a whole slip."""
    settled.clock += RATE_HZ
    settled.chunk(480)
    settled.chunks(SETTLE_CHUNKS)
    assert settled.relay.written == settled.clock


def test_chance_of_single_chunks_moves_nothing_when_it_settles() -> None:
    """All chunks but one were late by chance: the one that was not says where the stream lies."""
    stream = Stream()
    for number in range(1 + SETTLE_CHUNKS):
        data, written = stream.chunk(0 if number in (0, 9) else 700)
        assert written == data


def test_stream_that_slipped_is_moved_after_a_window(settled: Stream) -> None:
    """Its server lost samples: it is moved not at once, and then to its exact place."""
    slip = 1200
    for _ in range(WINDOW_CHUNKS - 1):
        data, written = settled.chunk(slip)
        assert written == data
    data, written = settled.chunk(slip)
    assert written == silence(slip) + data
    assert settled.relay.written == settled.clock + slip


def test_stream_that_runs_ahead_is_moved_back_after_a_window(settled: Stream) -> None:
    """Its clock is fast: as many frames as it is ahead are left out, also where that is more than one chunk."""
    ahead = 5000
    settled.chunks(WINDOW_CHUNKS + 6, -ahead)
    assert settled.relay.written == settled.clock - ahead


def test_first_samples_that_were_late_by_more_than_a_chunk_are_moved_when_it_has_settled() -> None:
    """A machine that is busy at the start must not leave the audio late for the rest of the recording."""
    stream = Stream()
    stream.clock = RATE_HZ
    stream.chunk(3 * CHUNK)
    stream.chunks(SETTLE_CHUNKS + 6)
    assert stream.relay.written == stream.clock


@pytest.mark.parametrize("slip", [round(SLIP_S * RATE_HZ), -round(SLIP_S * RATE_HZ)])
def test_small_slip_is_left_alone(settled: Stream, slip: int) -> None:
    """Nobody hears 20 ms, but everybody a sample that is missing."""
    for _ in range(2 * WINDOW_CHUNKS):
        data, written = settled.chunk(slip)
        assert written == data


def test_one_chunk_in_time_shows_that_nothing_slipped(settled: Stream) -> None:
    """A busy machine delivers late for long: the smallest lag of the window counts."""
    for number in range(2 * WINDOW_CHUNKS):
        data, written = settled.chunk(0 if number % WINDOW_CHUNKS == 17 else 5000)
        assert written == data


# --- levels -------------------------------------------------------------------------------------------------------


def sine(amplitude: int, seconds: float) -> bytes:
    values = (round(amplitude * math.sin(2 * math.pi * 1000 * n / RATE_HZ)) for n in range(round(seconds * RATE_HZ)))
    return array("h", [value for one in values for value in (one, one)]).tobytes()


@pytest.mark.parametrize(
    ("amplitude", "line"),
    [(0, "level=-inf peak=-inf"), (32767, "level=-3.0 peak=-0.0"), (3277, "level=-23.0 peak=-20.0")],
)
def test_level_of_a_second_is_that_of_its_samples(amplitude: int, line: str) -> None:
    """A sine's power lies 3 dB below its peak; silence has no level at all."""
    assert Meter().add(sine(amplitude, 1)) == [line]


def test_level_is_told_when_a_second_is_complete() -> None:
    """However the samples are cut: once a second, of that second alone."""
    meter, quiet, loud = Meter(), silence(RATE_HZ), sine(32767, 1)
    assert meter.add(quiet[:-2]) == []
    assert meter.add(quiet[-2:] + loud[:-4]) == ["level=-inf peak=-inf"]
    assert meter.add(loud[-4:] + quiet + quiet) == ["level=-3.0 peak=-0.0"] + 2 * ["level=-inf peak=-inf"]


def test_level_hears_each_of_the_two_channels() -> None:
    """A voice in one ear only counts half."""
    one_ear = array("h", [8192, 0] * RATE_HZ).tobytes()
    other_ear = array("h", [0, 8192] * RATE_HZ).tobytes()
    assert Meter().add(one_ear + other_ear) == 2 * ["level=-15.1 peak=-12.0"]


# --- the program --------------------------------------------------------------------------------------------------


class Running:
    """The relay as a process of its own, as the capture starts it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.input, self.output, self.errors = process.stdin, process.stdout, process.stderr

    def read(self, count: int) -> bytes:
        """Read exactly so many frames."""
        data = b""
        while len(data) < count * FRAME_BYTES:
            data += (more := self.output.read(count * FRAME_BYTES - len(data)))
            assert more, self.errors.read().decode()
        return data

    def end(self) -> tuple[int, str]:
        """Close its input; returns its exit code and what it said on standard error."""
        self.input.close()
        said = self.errors.read().decode()
        return self.process.wait(10), said


STOPPED_CLOCK = """
import sys, time
time.clock_gettime = lambda _: 100.0
from recorder_fsm.media.audio_relay import main
main(float(sys.argv[1]))
"""


@contextmanager
def relay(start_s: float, *program: str) -> Iterator[Running]:
    pipe = subprocess.PIPE
    command = [sys.executable, *(program or ("-I", "-S", str(RELAY))), f"{start_s:.6f}"]
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_silence_comes_in_real_time_where_there_is_no_input() -> None:
    """48 000 frames for each second since the start, never more: the encoder neither waits nor runs ahead."""
    start_s = now_s()
    with relay(start_s) as it:
        for seconds in (0.5, 1.0, 1.5):
            assert it.read(RATE_HZ // 2) == silence(RATE_HZ // 2)
            assert now_s() - start_s >= seconds - LEAD_S
        assert now_s() - start_s < 1.5 + 3  # with room for a busy machine
        assert it.end() == (0, "level=-inf peak=-inf\n")


def test_time_from_before_the_relay_started_is_silence() -> None:
    """A relay that is started again fills what passed meanwhile, at once."""
    with relay(now_s() - 20) as it:
        before = time.monotonic()
        assert it.read(20 * RATE_HZ) == silence(20 * RATE_HZ)
        assert time.monotonic() - before < 10


def test_samples_pass_through_unchanged_behind_silence() -> None:
    """Bytes come out as they went in; it is told that audio comes, and that it has stopped."""
    pattern = frames(3 * CHUNK)
    with relay(now_s() - 1) as it:
        it.input.write(pattern)
        seen = it.read(RATE_HZ + len(pattern) // FRAME_BYTES)
        begin = seen.index(pattern[:400])
        assert seen[:begin] == bytes(begin)
        seen += it.read(RATE_HZ)
        assert seen[begin : begin + len(pattern)] == pattern
        behind = seen[begin + len(pattern) :]
        assert behind == bytes(len(behind))
        code, said = it.end()
    assert code == 0
    words = [line for line in said.splitlines() if not line.startswith("level=")]
    assert words == ["audio comes", "audio has stopped"]


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 3841])
def test_frame_that_comes_in_two_pieces_is_put_together(cut: int) -> None:
    """A read may end in the middle of a sample: no byte is lost, and left stays left."""
    pattern = frames(2 * CHUNK)
    first, second = pattern[: 2000 + cut], pattern[2000 + cut :]
    with relay(99.0, "-c", STOPPED_CLOCK) as it:
        it.input.write(first)
        whole = len(first) // FRAME_BYTES
        seen = it.read(round((1 + LEAD_S) * RATE_HZ))  # up to the last frame that is whole
        assert seen == silence(len(seen) // FRAME_BYTES - whole) + first[: whole * FRAME_BYTES]
        it.input.write(second)
        rest = it.read(2 * CHUNK - whole)
        assert first[: whole * FRAME_BYTES] + rest == pattern


def test_relay_ends_at_the_end_of_its_input() -> None:
    """At once and with code 0, after it has passed on all that it read."""
    pattern = frames(CHUNK)
    with relay(now_s()) as it:
        it.input.write(pattern)
        code, said = it.end()
        assert it.output.read().endswith(pattern)
    assert (code, said.splitlines()[0]) == (0, "audio comes")


def test_relay_whose_reader_has_gone_ends_without_a_traceback() -> None:
    """The encoder died: that is told by the encoder, and not by twenty lines of Python."""
    with relay(now_s() - 1) as it:
        it.output.close()
        assert it.process.wait(10) == 0
        assert it.errors.read() == b""


def test_relay_needs_the_standard_library_only() -> None:
    """It starts with `-I -S`: neither our packages nor those of others are found."""
    imported = set()
    for node in ast.walk(ast.parse(RELAY.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module))
    assert "select" in imported
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


# --- two outputs --------------------------------------------------------------------------------------------------


class Told(Running):
    """A relay that is told of a second output; `second` is what is read of that."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        super().__init__(process)
        self._control = control
        read_end, self._write_end = os.pipe()
        self.second = os.fdopen(read_end, "rb", buffering=0)

    def tell(self, words: str) -> str:
        """Send a message; returns the answer. `also` goes with the second output."""
        also = words.startswith("also")
        socket.send_fds(self._control, [words.encode()], [self._write_end] if also else [])
        if also:
            os.close(self._write_end)
        return self.said()

    def said(self) -> str:
        """Return the next line that is about the second output."""
        while True:
            line = self.errors.readline().decode()
            assert line, "it has ended"
            if line.startswith("second="):
                return line.strip()


@contextmanager
def told_relay(start_s: float) -> Iterator[Told]:
    pipe, (ours, theirs) = subprocess.PIPE, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-I", "-S", str(RELAY), f"{start_s:.6f}", str(theirs.fileno())]
    with (
        ours,
        subprocess.Popen(
            command, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, pass_fds=(theirs.fileno(),)
        ) as process,
    ):
        theirs.close()
        try:
            it = Told(process, ours)
            with it.second:
                yield it
        finally:
            process.kill()


def all_of(stream: IO[bytes]) -> bytes:
    """Return everything up to the end of a stream."""
    data = b""
    while more := stream.read(1 << 16):
        data += more
    return data


def test_second_output_begins_at_its_frame_and_goes_on_alone_with_the_same_samples() -> None:
    """Two encoders hear the same, to the sample; the first one's input ends, and no sample is lost between them."""
    with told_relay(now_s()) as it:
        it.input.write(frames(RATE_HZ))
        begin = RATE_HZ // 2
        assert it.tell(f"also {begin}") == "second=open"
        first = it.read(begin + 5000)
        assert it.tell("only") == "second=closed"
        first += all_of(it.output)
        it.input.write(frames(RATE_HZ, 9))
        second = b""
        while len(second) <= len(first):
            second += it.second.read(1 << 16)
        code, said = it.end()
        second += all_of(it.second)
    assert second[: len(first) - begin * FRAME_BYTES] == first[begin * FRAME_BYTES :]
    assert (code, said.count("Error")) == (0, 0)


def test_second_output_that_nobody_reads_is_given_up_and_the_first_one_goes_on() -> None:
    """An encoder that is tried and hangs must not hold up the one that records."""
    with told_relay(now_s()) as it:
        assert it.tell("also 100") == "second=open"
        kept = it.read(2 * RATE_HZ)
        assert it.said() == "second=lost"
        assert it.tell("not") == "second=closed"
        assert kept + it.read(RATE_HZ) == silence(3 * RATE_HZ)


def test_second_output_whose_frame_has_passed_is_refused() -> None:
    """Its encoder would hear everything too early."""
    with told_relay(now_s()) as it:
        it.read(RATE_HZ)
        assert it.tell("also 48") == "second=late"
        assert all_of(it.second) == b""
        assert it.read(100) == silence(100)


def test_relay_without_a_second_output_does_not_take_one_for_the_first() -> None:
    """It was lost while the encoder took over: the capture begins anew, and is not silent for ever."""
    with told_relay(now_s()) as it:
        with pytest.raises(AssertionError, match="it has ended"):
            it.tell("only")
        assert it.process.wait(10) == 0
