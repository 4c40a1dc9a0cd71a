"""What encoder, grabber and relay say of a recording while it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import attrs

GRABBED = re.compile(
    r"dropped=(\d+) late_ms=(\d+) still_ms=(\d+) changes=(\d+) rate=(\d+) black=([01]) black_ms=(\d+)(?: wish=(\w+))?"
)
DRIFT = re.compile(r"drift_ms=(-?[0-9.]+)")
LEVEL = re.compile(r"level=(-?inf|-?[0-9.]+) peak=(-?inf|-?[0-9.]+)")
SILENCE_DBFS = -80.0
"""A second below this level holds nothing that can be heard."""


@attrs.define
class Progress:
    """What the encoder reported so far: frames written, position, bytes written, speed against real time.

    `position_s` counts from the begin of its own segment. `level_dbfs` is the audio of the last second (root mean
    square), `loudest_dbfs` its highest peak so far, `heard_s` the number of seconds that were not silent, of
    `measured_s`, `heard_until_s` the end of the last of them; `power` the sum of their mean squares.

    Of the grabber: `dropped` frames that it had no time to make, `late_s` that a change waited at most, `still_s` in
    which nothing changed, `changes`: frames in which something had, `rate` of frames per second now, `lowest_rate` so
    far (0: it has said nothing), `wish` of the governor now; whether the picture is `black` now, and `black_s`, for how
    long it was. Of the relay: `drift_s` by which the sound's clock ran behind ours.
    """

    frames: int = 0
    position_s: float = 0.0
    size_bytes: int = 0
    dropped: int = 0
    speed: float = 0.0
    level_dbfs: float = -math.inf
    loudest_dbfs: float = -math.inf
    power: float = 0.0
    heard_s: int = 0
    heard_until_s: int = 0
    measured_s: int = 0
    black: bool = False
    black_s: float = 0.0
    late_s: float = 0.0
    still_s: float = 0.0
    changes: int = 0
    rate: int = 0
    lowest_rate: int = 0
    wish: str = ""
    drift_s: float = 0.0

    def take(self, line: str) -> bool:
        """Take one line of the encoder's standard output: `key=value`; returns False for any other line."""
        key, separator, value = line.partition("=")
        if not separator or " " in key or " " in value.strip():  # its own last line: `frame=   99 fps= 20 q=...`
            return False
        self._take_position(key, value.strip())
        return True

    def take_grabbed(self, line: str) -> bool:
        """Take a line of the grabber (`video_grabber.Tally`); returns False for any other line."""
        match = GRABBED.fullmatch(line)
        if match is None:
            return False
        self.dropped, late_ms, still_ms, self.changes, self.rate, black, black_ms = map(int, match.groups()[:7])
        self.late_s, self.still_s, self.black_s = late_ms / 1000, still_ms / 1000, black_ms / 1000
        self.black = bool(black)
        self.wish = match[8] or ""
        self.lowest_rate = min(self.lowest_rate or self.rate, self.rate)
        return True

    def take_relayed(self, line: str) -> bool:
        """Take a line of the relay; returns False for one that is for people.

        `level=-20.1 peak=-3.2`, in dB of full scale, and `drift_ms=12.5`.
        """
        if match := DRIFT.fullmatch(line):
            self.drift_s = float(match[1]) / 1000
            return True
        match = LEVEL.fullmatch(line)
        if match is None:
            return False
        self.level_dbfs, peak_dbfs = float(match[1]), float(match[2])
        self.power += 10 ** (self.level_dbfs / 10)
        self.measured_s += 1
        if self.level_dbfs > SILENCE_DBFS:
            self.heard_s += 1
            self.heard_until_s = self.measured_s
        self.loudest_dbfs = max(self.loudest_dbfs, peak_dbfs)
        return True

    def facts(self) -> dict[str, float | int | None]:
        """Return what is worth keeping, fit for JSON; levels in dBFS, None for digital silence."""

        def level(value: float) -> float | None:
            return round(value, 1) if math.isfinite(value) else None

        mean = self.power / self.measured_s if self.measured_s else 0.0
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "size_bytes": self.size_bytes,
            "speed": self.speed,
            "mean_dbfs": level(10 * math.log10(mean)) if mean > 0 else None,
            "loudest_dbfs": level(self.loudest_dbfs),
            "heard_s": self.heard_s,
        }

    @classmethod
    def total(cls, parts: Iterable[Progress]) -> Progress:
        """Return what several encoders, one after another, add up to."""
        whole = cls()
        for part in parts:
            whole.frames += part.frames
            whole.size_bytes += part.size_bytes
            whole.dropped += part.dropped
            whole.still_s += part.still_s
            whole.changes += part.changes
            whole.black_s += part.black_s
            whole.drift_s += part.drift_s
            whole.late_s = max(whole.late_s, part.late_s)
            whole.lowest_rate = min(filter(None, (whole.lowest_rate, part.lowest_rate)), default=0)
            whole.power += part.power
            whole.heard_s += part.heard_s
            whole.measured_s += part.measured_s
            whole.loudest_dbfs = max(whole.loudest_dbfs, part.loudest_dbfs)
            whole.position_s, whole.speed, whole.rate = part.position_s, part.speed, part.rate
            if part.measured_s:  # the relay goes on where another encoder takes over
                whole.level_dbfs = part.level_dbfs
        return whole

    def _take_position(self, key: str, value: str) -> None:
        match key:
            case "frame":
                self.frames = max(self.frames, int(_number(value)))
            case "out_time_us":
                self.position_s = max(self.position_s, _number(value) / 1e6)
            case "total_size":
                self.size_bytes = max(self.size_bytes, int(_number(value)))
            case "speed":
                self.speed = _number(value.rstrip("x"))


def _number(text: str) -> float:
    """Return a number of ffmpeg's; what it does not know (`N/A`) is 0, silence is minus infinity."""
    try:
        return float(text)
    except ValueError:
        return 0.0
