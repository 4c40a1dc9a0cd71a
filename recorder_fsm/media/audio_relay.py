"""The audio relay: a small program between what reads the sound server and the encoder.

    python -m recorder_fsm.media.audio_relay START [CONTROL]

Reads raw samples (16 bit, 48 kHz, stereo) from standard input whenever there are some, and writes exactly 48 000 frames
for each second since START to standard output. What does not come is silence: the sound server died, hangs, or is being
restarted. So the encoder, which waits for whichever of its inputs is behind, never waits for audio, and the video never
stops for it. On standard error it prints the level of each second, when audio stops and comes back, and how far the
sound's clock has drifted where it had to be moved.

A process of its own: it goes on while the recorder stands still. Only the standard library: it is small, and starts at
once. START is in seconds of the clock that nobody can set (CLOCK_BOOTTIME). It ends at the end of its input.

Another encoder can take over: by the socket CONTROL the relay is told to write to a second output as well, and then to
that one alone, or not to it any more (`Outputs`). Both get the same samples.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import time
from array import array
from operator import mul

RATE_HZ = 48_000
FRAME_BYTES = 4
READ_BYTES = 64 * 1024
TICK_S = 0.02
LEAD_S = 0.012
"""How much later a drawing is on the display than the sound of the same moment is here: what the page's compositor
takes, less what the sink renders ahead. The same for each recording, and chosen so that the stand-in's flash and beep
meet on average (docs/performance.md). Each recording is off by up to a beat of the page, by chance."""
DRY_S = 0.2
"""After so long without a sample there is silence."""
SLIP_S = 0.02
"""A stream that lies so far from its place for `WINDOW_S` is moved: its clock drifts, or its server lost samples."""
WINDOW_S = 5.0
SETTLE_S = 0.4
"""The first samples after a pause may be late by chance: after so long the stream is moved to its exact place."""
BURST_S = 0.25
"""What arrives all at once after a pause and belongs to a time that is silent already is left out."""
LEVEL_STRIDE = 3
"""Every third sample is enough for a level, and alternates between left and right."""


class Relay:
    """Turns arriving samples into a stream without a gap. Positions are frames since the start.

    `feed` takes what arrived and returns what to write; both may be empty.
    """

    def __init__(self) -> None:
        self.written = 0
        self.flowing = False
        self._lags: list[int] = []
        self._settled = False
        self.drift = 0
        """By how many frames the stream was moved, late is positive: its clock runs at another speed than ours."""
        self._to_drop = 0
        """Frames that are ahead of their place, and are left out of what comes next."""

    def feed(self, data: bytes, now: int) -> bytes:
        """Return what is to be written now; `now` is the position of a sample that arrives now."""
        count = len(data) // FRAME_BYTES
        if not count:
            if now - self.written > _frames(DRY_S):
                self.flowing = False
                return self._silence(now)
            return b""
        end = self.written + count
        lead = b""
        if not self.flowing or end - now > _frames(BURST_S) or now - end > _frames(DRY_S):
            place = now - count
            lead = self._silence(place)
            self._lags.clear()
            self._settled = False
            self._to_drop = self.written - place
        elif not self._to_drop and (slip := self._slip(now - end)) is not None:
            lead = self._silence(self.written + slip)
            self._to_drop = max(0, -slip)
        dropped = min(count, self._to_drop)
        self._to_drop -= dropped
        data = data[dropped * FRAME_BYTES :]
        if data:
            self.flowing = True
            self.written += len(data) // FRAME_BYTES
        return lead + data

    def _silence(self, until: int) -> bytes:
        missing = max(0, until - self.written)
        self.written += missing
        return bytes(missing * FRAME_BYTES)

    def _slip(self, lag: int) -> int | None:
        """Note how far behind its place the stream ends; return by how much it has slipped, None where it has not.

        Samples arrive late by chance, but never early: over a while the smallest lag is the true one.
        """
        self._lags.append(lag)
        if len(self._lags) < (WINDOW_S if self._settled else SETTLE_S) / TICK_S:
            return None
        smallest = min(self._lags)
        settled, self._settled = self._settled, True
        self._lags.clear()
        if abs(smallest) <= (_frames(SLIP_S) if settled else 0):
            return None
        if settled:
            self.drift += smallest
        return smallest


class Outputs:
    """Where the stream goes: standard output, and for a while a second pipe beside it, for an encoder that is tried.

    That one must never hold up the other: what it does not take at once is the end of it.
    """

    def __init__(self) -> None:
        self._second: int | None = None
        self._begin = 0

    def told(self, message: bytes, descriptors: list[int], written: int) -> str:
        """Do what a message says: `also FRAME` (with a pipe), `only` or `not`; returns a line on what came of it.

        `also`: the second output begins with that frame, which must not be `written` yet.
        """
        word, _, frame = message.decode().partition(" ")
        if word == "also":
            self._close()
            (self._second,) = descriptors
            self._begin = int(frame)
            os.set_blocking(self._second, False)
            if written > self._begin:
                self._close()
                return "second=late"
            return "second=open"
        if word == "only":
            if self._second is None:
                raise BrokenPipeError
            os.set_blocking(self._second, True)
            os.dup2(self._second, 1, inheritable=False)
        self._close()
        return "second=closed"

    def write(self, data: bytes, written: int) -> str | None:
        """Write samples, `written` frames with these; returns a line where the second output was lost."""
        line = None
        if self._second is not None:
            first = written - len(data) // FRAME_BYTES
            part = data[max(0, self._begin - first) * FRAME_BYTES :]
            try:
                whole = not part or os.write(self._second, part) == len(part)
            except OSError:  # nobody reads it, or not quickly enough
                whole = False
            if not whole:
                self._close()
                line = "second=lost"
        _write(data)
        return line

    def _close(self) -> None:
        if self._second is not None:
            os.close(self._second)
            self._second = None


class Meter:
    """Measures the level of each second that is written."""

    def __init__(self) -> None:
        self._samples = array("h")

    def add(self, data: bytes) -> list[str]:
        """Take samples; returns a line for each second that is complete: levels in dB of full scale, or `-inf`."""
        self._samples.frombytes(data)
        lines = []
        while len(self._samples) >= 2 * RATE_HZ:
            second, self._samples = self._samples[: 2 * RATE_HZ], self._samples[2 * RATE_HZ :]
            some = second[::LEVEL_STRIDE]
            power = sum(map(mul, some, some)) / len(some)
            peak = max(map(abs, some))
            lines.append(f"level={10 * _log(power / 2**30):.1f} peak={20 * _log(peak / 2**15):.1f}")
        return lines


def _frames(seconds: float) -> int:
    return round(seconds * RATE_HZ)


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _read() -> bytes | None:
    """Return what has arrived within a tick; None at the end of the input."""
    ready, _, _ = select.select([0], [], [], TICK_S)
    return (os.read(0, READ_BYTES) or None) if ready else b""


def _heard(control: int) -> tuple[bytes, list[int]]:
    """Return a message and its descriptors, where one is there; an empty one for none."""
    if not select.select([control], [], [], 0)[0]:
        return b"", []
    import socket  # noqa: PLC0415 - most recordings need none, and this program starts at once

    with socket.socket(fileno=os.dup(control)) as told:
        message, descriptors, _, _ = socket.recv_fds(told, 64, 1)
    return message, descriptors


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _say(*lines: str) -> None:
    for line in lines:
        os.write(2, f"{line}\n".encode())


def main(start_s: float, control: int | None = None) -> None:
    """Relay until the end of the input, or until nobody reads the output."""
    relay, meter, outputs, rest = Relay(), Meter(), Outputs(), b""
    looked_s = _now_s()
    while True:
        if control is not None and (told := _heard(control))[0]:
            _say(outputs.told(*told, relay.written))
        data = _read()
        if data is None:
            return
        # After a pause of this process the oldest samples come first, and only the newest have a known place.
        while _now_s() - looked_s > DRY_S and data and (more := _read()):
            data += more
        now_s = looked_s = _now_s()
        data = rest + data
        whole = len(data) // FRAME_BYTES * FRAME_BYTES
        data, rest = data[:whole], data[whole:]
        flowed, drift = relay.flowing, relay.drift
        out = relay.feed(data, round((now_s - start_s + LEAD_S) * RATE_HZ))
        if relay.flowing is not flowed:
            _say("audio comes" if relay.flowing else "audio has stopped")
        if relay.drift != drift:
            _say(f"drift_ms={relay.drift * 1000 / RATE_HZ:.1f}")
        if out:
            if line := outputs.write(out, relay.written):
                _say(line)
            _say(*meter.add(out))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(float(sys.argv[1]), *map(int, sys.argv[2:]))
