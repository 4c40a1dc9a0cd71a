"""The timeline of a recording: its begin, its clock, and the segments on it.

A recording has one clock from its first frame to its last, however often its encoder is restarted. Every encoder writes
a segment of its own, whose time stamps count from one origin. The file begins at the moment at which `started` leaves,
since everybody's clock of the recording does (contract 4.3); an encoder that was started at that moment would be late.
"""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import attrs

from recorder_fsm.media.progress import Progress
from recorder_fsm.system.clock import now_s

SAMPLES_IN_A_SECOND, SAMPLES_IN_A_FRAME = 48_000, 1024
"""Of the audio, and of one frame of AAC."""


@attrs.define(eq=False)
class Segment:
    """What one encoder writes. `from_s`: where it begins; `ended` is set when nothing is added to it.

    `stopped_at_s`: where the capture was told to stop, None until then. Both count from the origin. Segments begin at
    the end of a frame of audio: those of two encoders that hear the same can follow each other.
    """

    path: Path
    from_s: float
    preset: str = ""
    progress: Progress = attrs.Factory(Progress)
    ended: asyncio.Event = attrs.Factory(asyncio.Event)
    stopped_at_s: float | None = None


class Timeline:
    """The clock and the segments of one recording.

    Encoders count from the origin, which is set with the first segment. The recording begins there, or at the later
    moment that `begin` is given: what was captured in between is the head, and does not get into the file.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.head_s = 0.0
        """From the origin to the begin of the recording, in seconds."""
        self.audio_from_s: float | None = None
        """When the first sample came from the sound server, in seconds since the origin; None before that."""
        self._origin_s = 0.0
        self._lead_s = 0.0

    @property
    def origin_s(self) -> float:
        """The origin by the wall clock of that moment, in seconds since 1970."""
        return self._origin_s + self._lead_s

    @property
    def begin_s(self) -> float:
        """The begin of the recording by the same clock."""
        return self.origin_s + self.head_s

    @property
    def captured_s(self) -> float:
        """Seconds since the origin: until now, or until the last capture was stopped. 0 before there is one."""
        if not self.segments:
            return 0.0
        stopped_at_s = self.segments[-1].stopped_at_s
        return self._now_s() if stopped_at_s is None else stopped_at_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the begin of the recording, likewise."""
        return max(0.0, self.captured_s - self.head_s)

    @property
    def captures(self) -> bool:
        """Whether a capture is told to write."""
        return bool(self.segments) and self.segments[-1].stopped_at_s is None

    @property
    def behind_s(self) -> float:
        """How far the encoder that writes now is behind the clock, in seconds; 0 where none writes.

        ffmpeg tells its position from the begin of its own segment: `-output_ts_offset` is added after that.
        """
        if not self.captures:
            return 0.0
        last = self.segments[-1]
        return max(0.0, self.captured_s - last.from_s - last.progress.position_s)

    @property
    def progress(self) -> Progress:
        """What all encoders together have written."""
        return Progress.total(segment.progress for segment in self.segments)

    def at_s(self, from_s: float) -> float:
        """Return when `from_s` seconds since the origin are or were, by `system.clock.now_s`."""
        return self._origin_s + from_s

    def begin(self) -> None:
        """Have the recording begin now."""
        self.head_s = self.captured_s

    def open(self, path: Path, settle_s: float, preset: str = "") -> Segment:
        """Add the segment that is written to `path`, and begins in `settle_s` seconds; the first one is the origin."""
        if not self.segments:
            self._origin_s = now_s() + settle_s
            self._lead_s = _clock_lead_s()
        segment = self.planned(path, settle_s, preset) if self.segments else Segment(path, 0.0, preset)
        self.segments.append(segment)
        return segment

    def planned(self, path: Path, settle_s: float, preset: str) -> Segment:
        """Return a segment that begins in `settle_s` seconds, and is not on the timeline yet."""
        grain_s = SAMPLES_IN_A_FRAME / SAMPLES_IN_A_SECOND
        grains = math.ceil(max(0.0, now_s() + settle_s - self._origin_s) / grain_s)
        return Segment(path, grains * SAMPLES_IN_A_FRAME / SAMPLES_IN_A_SECOND, preset)

    def take_over(self, segment: Segment) -> None:
        """Have a planned segment follow the last one, which is told to stop now."""
        self.stopped(self.segments[-1])
        self.segments.append(segment)

    def stopped(self, segment: Segment) -> None:
        """Note that the capture of `segment` was told to stop now."""
        if segment.stopped_at_s is None:
            segment.stopped_at_s = self._now_s()

    def _now_s(self) -> float:
        return max(0.0, now_s() - self._origin_s)


def _clock_lead_s() -> float:
    """Return by how much the wall clock is ahead of the one that nobody can set."""
    return time.time() - now_s()
