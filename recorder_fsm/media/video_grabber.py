"""The video grabber: a small program that writes the screen whenever it has changed.

    python -m recorder_fsm.media.video_grabber DISPLAY WIDTH HEIGHT FRAME_RATE STILL [WISH...] < START

Writes frames with their times to standard output (`raw_stream`): one at START, or as soon as it can, then one for
each change, at most FRAME_RATE in a second, and one every STILL seconds where nothing changes. For what stays the same
nothing is grabbed or converted. The time of a frame is when the last of it was drawn, since START, by the clock
that nobody can set (CLOCK_BOOTTIME); grabs follow the beat of what is drawn, so that a page at 60 Hz gives every second
frame.

It connects, writes the head of its stream, and waits for START, a line with seconds of that clock, on standard input.
It ends at SIGINT, with the frame that it has. While the encoder does not read, no frame is made: time stays right,
and memory flat; where that lasts, another preset is wished for, of those WISHes that may be followed, or fewer are made
(`governor`). On standard error it prints what it has measured (`Tally`). XAUTHORITY names the file with the display's
cookie.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

from recorder_fsm.media.governor import QUICKER, SLOWER, Governor
from recorder_fsm.media.pixels import Converter, PixelError, Planes
from recorder_fsm.media.raw_stream import frame_head, stream_head
from recorder_fsm.media.x11_screen import Screen, ScreenError

GATHER_S = 0.002
"""A change is drawn in several pieces; they come within this time. So much before the next one a frame is due."""
AWAIT_S = 0.008
"""How long a frame that is due waits for a drawing that may be about to come: half a beat of a page at 60 Hz."""
STANDS_S = 0.5
"""What stays the same for so long counts as still."""
TELL_EVERY_S = 5.0
PIPE_BYTES = 1024 * 1024
"""Fewer changes between writer and reader for each frame; a limit of the system may forbid it."""


class Tally:
    """Counts, and prints what it has counted: `dropped=2 late_ms=70 still_ms=0 changes=9 rate=30 black=0 black_ms=0`,
    and `wish=quicker` for one.

    `dropped`: frames that would have shown a change, and for which there was no time; `late_ms`: how long a change
    waited to be seen at most, beyond its turn; `still_ms`: how long nothing changed; `changes`: frames in which
    something had; `rate`: frames per second now; `black`: whether the picture is black now; `black_ms`: for how long it
    was; `wish`: the governor's for another preset.
    """

    def __init__(self, rate: int) -> None:
        self.dropped = self.late_s = self.still_s = self.black_s = 0.0
        self.changes = 0
        self.rate = rate
        self.wish = ""
        self.black = False
        self._told_s = self._looked_s = _now_s()

    def see(self, black: bool, now_s: float) -> None:
        """Note whether the picture is black from now on."""
        if self.black:
            self.black_s += now_s - self._looked_s
        self._looked_s = now_s
        if black is not self.black:
            self.black = black
            self.tell(now_s, at_once=True)

    def tell(self, now_s: float, *, at_once: bool = False) -> None:
        """Print the line, every few seconds at most."""
        if at_once or now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self.see(self.black, now_s)
            line = f"dropped={self.dropped:.0f} late_ms={self.late_s * 1000:.0f} still_ms={self.still_s * 1000:.0f}"
            seen = f"changes={self.changes} rate={self.rate}"
            black = f"black={self.black:d} black_ms={self.black_s * 1000:.0f}"
            wish = f" wish={self.wish}" if self.wish else ""
            os.write(2, f"{line} {seen} {black}{wish}\n".encode())


class Grabber:
    """Writes the frames of a screen to the descriptor `target`, one every `still_s` where it does not change."""

    def __init__(self, screen: Screen, frame: Planes, target: int, governor: Governor, still_s: float) -> None:
        self._screen = screen
        self._frame = frame
        self._converter = Converter(frame.width, frame.height)
        self._still_s = still_s
        self._governor = governor
        self._tally = Tally(governor.rate)
        self._target = target
        self._start_s = self._due_s = self._taken_s = self._written_s = self._free_s = 0.0
        self._stamp_us = -1
        self._changes = select.poll()
        self._changes.register(screen.fileno(), select.POLLIN)
        self._stopping = False
        self._woken, self._wakes = os.pipe()
        self._changes.register(self._woken, select.POLLIN)

    def stop_at(self, number: signal.Signals) -> None:
        """End with the next frame when that signal comes."""

        def stop(*_: object) -> None:
            self._stopping = True

        os.set_blocking(self._wakes, False)
        signal.set_wakeup_fd(self._wakes)  # else a wait would go on after the handler
        signal.signal(number, stop)

    def run(self, start_s: float) -> None:
        """Write frames from `start_s` on until stopped. The clock is CLOCK_BOOTTIME, in seconds."""
        self._start_s = self._due_s = start_s
        self._wait_until(start_s)
        late = _now_s() > start_s + 1 / self._governor.rate
        self._take(_now_s() if late else start_s)
        while not self._stopping:
            if self._screen.changed():
                self._wait_until(self._due_s)
                self._take(self._follow_the_beat())
            elif (left_s := self._written_s + self._pause_s() - _now_s()) > 0:
                self._changes.poll(left_s * 1000 + 1)
            else:
                self._repeat(_now_s())
        self._write(_now_s())  # the end; what the page shows from here on is not the call
        self._tally.tell(_now_s(), at_once=True)

    def _follow_the_beat(self) -> float:
        """Wait for the end of a drawing that is under way, or about to come; returns when the last one was made."""
        self._screen.changed()
        if self._screen.drawn_s < _now_s() - GATHER_S:
            self._changes.poll(AWAIT_S * 1000)
            self._screen.changed()
        self._wait_until(self._screen.drawn_s + GATHER_S)
        self._screen.changed()
        return min(self._screen.drawn_s, _now_s())

    def _pause_s(self) -> float:
        """Return how long after the last frame it is repeated."""
        return max(self._still_s, 1 / self._governor.rate)

    def _repeat(self, at_s: float) -> None:
        """Write the same frame again, at `at_s`."""
        if at_s - self._taken_s >= STANDS_S:
            stood = self._written_s - self._taken_s >= STANDS_S
            self._tally.still_s += at_s - (self._written_s if stood else self._taken_s)
        self._write(at_s)

    def _take(self, drawn_s: float) -> None:
        """Write the screen, last drawn then or since. The first frame is that of the begin, unless it is late."""
        period_s = 1 / self._governor.rate
        late_s = self._free_s - max(self._due_s, self._screen.changed_s)
        if self._screen.changed():
            got = self._screen.fetch()
            if self._stamp_us >= 0:
                drawn_s = max(drawn_s, got.drawn_s)
            self._converter.convert(self._screen.address, got.top, got.bottom, self._frame)
            self._tally.changes += 1
            self._tally.see(self._frame.is_black(), _now_s())
        self._taken_s = drawn_s
        # A frame that is late does not make the next one late, but nothing is made up for.
        due_s = max(self._due_s, drawn_s - period_s) + period_s
        self._due_s = max(due_s, drawn_s + period_s - GATHER_S)
        began_s = _now_s()
        self._write(drawn_s)
        self._account(max(0.0, late_s), lost=max(0.0, late_s) / period_s, waited_s=self._free_s - began_s)

    def _account(self, late_s: float, *, lost: float, waited_s: float) -> None:
        """Note that the frame just written was so late because the one before it took so long to be accepted."""
        tally = self._tally
        tally.dropped += lost
        tally.late_s = max(tally.late_s, late_s)
        changed = self._governor.take(self._free_s, lost=lost, waited_s=waited_s)
        tally.rate, tally.wish = self._governor.rate, self._governor.wish
        tally.tell(self._free_s, at_once=changed)

    def _write(self, at_s: float) -> None:
        self._written_s = max(at_s, self._written_s)
        self._stamp_us = max(self._stamp_us + 1, round((at_s - self._start_s) * 1e6))
        _write_all(self._target, frame_head(self._stamp_us, len(self._frame.data)))
        _write_all(self._target, self._frame.data)
        self._free_s = _now_s()

    def _wait_until(self, at_s: float) -> None:
        while not self._stopping and (left_s := at_s - _now_s()) > 0:
            select.select([self._woken], [], [], left_s)


def main() -> int:
    """Run the program; returns its exit code."""
    display, width, height, frame_rate, still_s, *wishes = sys.argv[1:]
    size = (int(width), int(height))
    target = sys.stdout.fileno()
    with contextlib.suppress(OSError):
        fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        screen = Screen(display, *size)
        governor = Governor(int(frame_rate), quicker=QUICKER in wishes, slower=SLOWER in wishes)
        grabber = Grabber(screen, Planes(*size), target, governor, float(still_s))
        grabber.stop_at(signal.SIGINT)
        _write_all(target, stream_head(*size, int(frame_rate)))
        if start := sys.stdin.readline():
            grabber.run(float(start))
    except (ScreenError, PixelError, BrokenPipeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _write_all(target: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(target, left) :]


if __name__ == "__main__":
    sys.exit(main())
