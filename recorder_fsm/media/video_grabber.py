"""The video grabber: a small program that writes the screen whenever it has changed.

    python -m recorder_fsm.media.video_grabber DISPLAY WIDTH HEIGHT FRAME_RATE STILL < START

Writes frames with their times to standard output (`raw_stream`): one at START, then one for each change, at most
FRAME_RATE in a second, and one every STILL seconds where nothing changes. For what stays the same nothing is grabbed,
converted, or sent. Times are when a frame was grabbed, since START, by the clock that nobody can set (CLOCK_BOOTTIME).

It connects, writes the head of its stream, and waits for START, a line with seconds of that clock, on standard input.
It ends at SIGINT, with the frame that it has. While the encoder does not read, no frame is made: time stays right,
and memory flat. XAUTHORITY names the file with the display's cookie.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

from recorder_fsm.media.pixels import Converter, PixelError, Planes
from recorder_fsm.media.raw_stream import frame_head, stream_head
from recorder_fsm.media.x11_screen import Screen, ScreenError

GATHER_S = 0.002
"""A change is drawn in several pieces; they come within this time."""
PIPE_BYTES = 1024 * 1024
"""Fewer changes between writer and reader for each frame; a limit of the system may forbid it."""


class Grabber:
    """Writes the frames of a screen to the descriptor `target`."""

    def __init__(self, screen: Screen, frame: Planes, target: int, *, frame_rate: int, still_s: float) -> None:
        self._screen = screen
        self._frame = frame
        self._converter = Converter(frame.width, frame.height)
        self._still_s = still_s
        self._period_s = 1 / frame_rate
        self._target = target
        self._start_s = self._due_s = self._written_s = 0.0
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
        self._take(start_s)
        while not self._stopping:
            if self._screen.changed():
                self._wait_until(max(self._due_s, _now_s() + GATHER_S))
                self._take(_now_s())
            elif (left_s := self._written_s + self._still_s - _now_s()) > 0:
                self._changes.poll(left_s * 1000 + 1)
            else:
                self._write(_now_s())
        self._write(_now_s())  # the end; what the page shows from here on is not the call

    def _take(self, now_s: float) -> None:
        """Write the screen as it is now. The first frame may be late, and is all that is known of the begin."""
        if self._screen.changed():
            top, bottom = self._screen.fetch()
            self._converter.convert(self._screen.address, top, bottom, self._frame)
        # A frame that is late does not make the next one late, but nothing is made up for.
        self._due_s = max(self._due_s, now_s - self._period_s) + self._period_s
        self._write(now_s)

    def _write(self, at_s: float) -> None:
        self._written_s = at_s
        self._stamp_us = max(self._stamp_us + 1, round((at_s - self._start_s) * 1e6))
        _write_all(self._target, frame_head(self._stamp_us, len(self._frame.data)))
        _write_all(self._target, self._frame.data)

    def _wait_until(self, at_s: float) -> None:
        while not self._stopping and (left_s := at_s - _now_s()) > 0:
            select.select([self._woken], [], [], left_s)


def main() -> int:
    """Run the program; returns its exit code."""
    display, *numbers, still_s = sys.argv[1:]
    width, height, frame_rate = map(int, numbers)
    target = sys.stdout.fileno()
    with contextlib.suppress(OSError):
        fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        screen = Screen(display, width, height)
        grabber = Grabber(screen, Planes(width, height), target, frame_rate=frame_rate, still_s=float(still_s))
        grabber.stop_at(signal.SIGINT)
        _write_all(target, stream_head(width, height, frame_rate))
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
