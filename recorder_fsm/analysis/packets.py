"""When each frame is shown and each piece of audio heard: from the file's index, without decoding."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV, limit_s, opened, require_file
from recorder_fsm.system.process import run

MOST_PACKETS = 4_000_000
"""Ten hours of 60 frames a second, with their audio; what comes behind is not looked at."""


@attrs.frozen
class Hole:
    """A stretch in which nothing new comes: from `at_s` on, for `duration_s` seconds."""

    at_s: float
    duration_s: float


@attrs.frozen
class Track:
    """Times in seconds, ascending: of each frame (or piece of audio) that a player shows, and of the key frames."""

    times_s: Sequence[float] = ()
    keys_s: Sequence[float] = ()
    end_s: float = 0.0

    def holes(self, over_s: float) -> list[Hole]:
        """Return the stretches longer than `over_s` between one frame and the next, and behind the last."""
        ends = [*self.times_s[1:], self.end_s]
        return [Hole(at, end - at) for at, end in zip(self.times_s, ends, strict=False) if end - at > over_s]

    @property
    def longest_hole_s(self) -> float:
        """The longest time in which nothing new comes."""
        return max((hole.duration_s for hole in self.holes(0.0)), default=0.0)

    @property
    def usual_s(self) -> float:
        """The most usual time between two frames."""
        steps = sorted(later - at for at, later in pairwise(self.times_s))
        return steps[len(steps) // 2] if steps else 0.0

    @property
    def key_interval_s(self) -> float:
        """The longest time between two key frames."""
        return max((later - at for at, later in pairwise([*self.keys_s, self.end_s])), default=0.0)

    def shown_at(self, at_s: float) -> float | None:
        """Return the time of the frame that is shown at a moment; None before the first."""
        place = bisect_right(self.times_s, at_s)
        return self.times_s[place - 1] if place else None


async def tracks(path: Path, *indexes: int) -> tuple[Track, ...]:
    """Return the track of each stream with one of `indexes`, edit lists applied; an empty one where there is none.

    The packets that a decoder needs and a player does not show are left out. Raises `ProgramError` where it takes too
    long.
    """
    size_bytes = require_file(path)
    argv = [
        *("ffprobe", "-v", "quiet", "-read_intervals", f"%+#{MOST_PACKETS}"),
        *("-show_entries", "packet=stream_index,pts_time,duration_time,flags", "-of", "csv=p=0", *opened(path)),
    ]
    listed = (await run("ffprobe", argv, env=PROGRAM_ENV, limit_s=limit_s(size_bytes))).stdout.decode(errors="replace")
    found: dict[str, list[tuple[float, float, bool]]] = {str(index): [] for index in indexes}
    for line in listed.splitlines():
        index, _, rest = line.partition(",")
        if index in found:
            at, _, rest = rest.partition(",")
            length, _, flags = rest.partition(",")
            if "D" not in flags and at != "N/A":
                found[index].append((float(at), 0.0 if length == "N/A" else float(length), "K" in flags))
    return tuple(_track(found[str(index)]) for index in indexes)


def _track(packets: list[tuple[float, float, bool]]) -> Track:
    packets.sort()
    return Track(
        times_s=[at for at, _, _ in packets],
        keys_s=[at for at, _, is_key in packets if is_key],
        end_s=max((at + length for at, length, _ in packets[-16:]), default=0.0),
    )
