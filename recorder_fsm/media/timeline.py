"""The timeline of a recording: its begin, its clock, and the segments on it.

A recording has one clock from its first frame to its last, however often its encoder is restarted. Every encoder writes
a segment of its own, whose time stamps count from the begin of the recording.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import attrs

from recorder_fsm.media.encode import Progress
from recorder_fsm.system.clock import now_s


@attrs.define(eq=False)
class Segment:
    """What one encoder writes. `from_s`: where it begins in the recording; `ended` is set when nothing is added to it.

    `stopped_at_s`: where in the recording the capture was told to stop, None until then.
    """

    path: Path
    from_s: float
    progress: Progress = attrs.Factory(Progress)
    ended: asyncio.Event = attrs.Factory(asyncio.Event)
    stopped_at_s: float | None = None


class Timeline:
    """The clock and the segments of one recording. It begins with the first segment."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._begin_s = 0.0
        self._lead_s = 0.0

    @property
    def begin_s(self) -> float:
        """The begin of the recording by the wall clock of that moment, in seconds since 1970."""
        return self._begin_s + self._lead_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the begin: until now, or until the last capture was stopped. 0 before there is one."""
        if not self.segments:
            return 0.0
        stopped_at_s = self.segments[-1].stopped_at_s
        return max(0.0, now_s() - self._begin_s) if stopped_at_s is None else stopped_at_s

    @property
    def clock_shift_s(self) -> float:
        """By how many seconds somebody has set the wall clock since the begin. 0 before there is one."""
        return _clock_lead_s() - self._lead_s if self.segments else 0.0

    @property
    def progress(self) -> Progress:
        """What all encoders together have written."""
        return Progress.total(segment.progress for segment in self.segments)

    def at_s(self, from_s: float) -> float:
        """Return when in the recording `from_s` is or was, by `system.clock.now_s`."""
        return self._begin_s + from_s

    def open(self, path: Path, settle_s: float) -> Segment:
        """Add the segment that is written to `path`. The first one begins in `settle_s` seconds, any other one now."""
        if not self.segments:
            self._begin_s = now_s() + settle_s
            self._lead_s = _clock_lead_s()
        segment = Segment(path, from_s=max(0.0, now_s() - self._begin_s))
        self.segments.append(segment)
        return segment

    def stopped(self, segment: Segment) -> None:
        """Note that the capture of `segment` was told to stop now."""
        if segment.stopped_at_s is None:
            segment.stopped_at_s = max(0.0, now_s() - self._begin_s)


def _clock_lead_s() -> float:
    """Return by how much the wall clock is ahead of the one that nobody can set."""
    return time.time() - now_s()
