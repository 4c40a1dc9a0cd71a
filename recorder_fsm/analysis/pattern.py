"""The test pattern of the stand-in's call page in a recording: frame counter, flash and beep.

Reads the pattern that `pages/pattern_view.js` draws and the tones of `pages/sound.js`. The recording has to show the
page pixel for pixel; places are in pixels from the top left corner:

    corners        16x16   at the four corners: red, green / blue, yellow
    frame counter  20 blocks of 32x32 from (64, 64): white, black, 16 bits of Gray code (highest first), even parity,
                   its inverse; one more on every frame that the page prepares
    flash          128x128 at (64, 128), white for 100 ms from every whole second, with a beep of 1 kHz (100 ms)
    sync           32x32   at (24, 24) in a call with `sync`, white for 100 ms, with a tick of 3 kHz (60 ms)

With `rtc` the sound passes a peer connection and is late by its jitter buffer, 60 to 150 ms; the lights are not.
Measure offsets without it.

All times are seconds on the file's own clock, the same for picture and sound, edit lists applied. ffmpeg decodes and
shrinks; the rest is arithmetic in Python.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal

import attrs

from recorder_fsm.analysis.arithmetic import percentile, share
from recorder_fsm.analysis.tones import beeps
from recorder_fsm.analysis.video import Region, shrunk
from recorder_fsm.errors import RecordingError

Kind = Literal["pattern", "sync"]

BLOCKS = 20
COUNTER_BITS = 16
COUNTER = Region(64, 64, BLOCKS * 32, 32)
LIGHTS: dict[Kind, Region] = {"pattern": Region(64, 128, 128, 128), "sync": Region(24, 24, 32, 32)}
TONES_HZ: dict[Kind, int] = {"pattern": 1000, "sync": 3000}

LIT_CONTRAST = 96  # grey levels between a light that is on and one that is off
PAIR_WITHIN_S = 0.5
MOST_POINTS = 300
MAD_TO_DEVIATION = 1.4826
"""The standard deviation of normal values, by the median of their distances from their median."""


@attrs.frozen
class Reading:
    """Hold the counter (0 to 65535) of the frame shown from `pts_s` on, None where it cannot be read."""

    pts_s: float
    value: int | None


@attrs.frozen
class Gap:
    """Hold a jump: the counter went on by `counts` between the frame at `at_s` and the next, `duration_s` later."""

    at_s: float
    duration_s: float
    counts: int


@attrs.frozen
class Counters:
    """Hold all readings; shares are 0 to 1 of all frames.

    A frame repeats if its counter is that of the frame before. `gaps` are steps of more than three usual ones.
    `longest_standstill_s` is the longest time with one and the same counter.
    """

    readings: tuple[Reading, ...]
    repeat_share: float
    unreadable_share: float
    gaps: tuple[Gap, ...]
    longest_standstill_s: float


@attrs.frozen
class AvOffsets:
    """Hold flash minus beep for every pair, in milliseconds: positive means that the picture is late.

    A flash is seen in the first frame that shows it, so a perfect recording of `frame_ms` per frame measures 0 to
    `frame_ms`, half a frame on average. That half is not subtracted. `pairs`: when each beep began, in seconds, and its
    offset.
    """

    offsets_ms: tuple[float, ...]
    median_ms: float
    p5_ms: float
    p95_ms: float
    frame_ms: float
    pairs: tuple[tuple[float, float], ...] = ()

    @property
    def spread_ms(self) -> float:
        return self.p95_ms - self.p5_ms

    @property
    def drift_ms(self) -> float:
        """How much later than the audio the video is at the last beep than at the first: a robust line through all."""
        return drift_slope(self.pairs) * (self.pairs[-1][0] - self.pairs[0][0]) if self.pairs else 0.0

    @property
    def drift_error_ms(self) -> float:
        """How much of the drift may be chance: the standard error of a line through values that scatter like these."""
        if len(self.pairs) < 3:
            return math.inf
        slope = drift_slope(self.pairs)
        rests = [offset - slope * at_s for at_s, offset in self.pairs]
        middle = statistics.median(rests)
        scatter = MAD_TO_DEVIATION * statistics.median(abs(rest - middle) for rest in rests)
        return scatter * math.sqrt(12 / len(rests))  # of evenly spread values


@attrs.frozen
class Lost:
    """How many of the frames that the page drew are in the file, between the first that can be read and the last.

    A page draws more frames than a file of a lower rate can have: `usual_step` of them for each of the file. `missed`
    are the frames that the file would have at that step, and has not; `longest_standstill_s` is the longest time with
    one counter.
    """

    drawn: int
    in_file: int
    usual_step: float
    missed: int
    longest_standstill_s: float
    unreadable_share: float

    @property
    def lost_share(self) -> float:
        return share(self.drawn - self.in_file, self.drawn)

    @property
    def missed_share(self) -> float:
        return share(self.missed, self.in_file + self.missed)


async def counters(path: Path) -> Counters:
    """Read the frame counter of every frame, whatever the frame rate does."""
    frames = await shrunk(path, COUNTER, BLOCKS)
    readings = tuple(Reading(pts_s, decode(blocks)) for pts_s, blocks in frames)
    read = [(one.pts_s, one.value) for one in readings if one.value is not None]
    steps = [
        (at_s, next_s - at_s, (after - before) % 2**COUNTER_BITS) for (at_s, before), (next_s, after) in pairwise(read)
    ]
    moves = [counts for _, _, counts in steps if counts]
    usual = statistics.median(moves) if moves else 0
    return Counters(
        readings=readings,
        repeat_share=share(sum(not counts for _, _, counts in steps), len(readings)),
        unreadable_share=share(len(readings) - len(read), len(readings)),
        gaps=tuple(Gap(*step) for step in steps if step[2] > 3 * usual),
        longest_standstill_s=_longest_standstill(read),
    )


async def flashes(path: Path, kind: Kind = "pattern") -> list[float]:
    """Return the time of the first lit frame of each flash; a flash that the file begins with has none."""
    frames = await shrunk(path, LIGHTS[kind], 1)
    levels = [blocks[0] for _, blocks in frames]
    if not levels or max(levels) - min(levels) < LIT_CONTRAST:
        return []
    middle = (max(levels) + min(levels)) / 2
    return [frames[i][0] for i in range(1, len(frames)) if levels[i] > middle >= levels[i - 1]]


async def av_offsets(path: Path, kind: Kind = "pattern") -> AvOffsets:
    """Pair each beep with the nearest flash within half a second; raises `RecordingError` if nothing pairs."""
    lit = await flashes(path, kind)
    heard = await beeps(path, TONES_HZ[kind])
    nearest = [_nearest(lit, beep) for beep in heard]
    pairs = [(at_s, 1000 * offset) for at_s, offset in zip(heard, nearest, strict=True) if abs(offset) < PAIR_WITHIN_S]
    offsets = sorted(offset for _, offset in pairs)
    if not offsets:
        raise RecordingError("Picture and sound cannot be compared.", detail=f"{len(lit)} flashes, {len(heard)} beeps")
    frames = await shrunk(path, LIGHTS[kind], 1)
    intervals = [after - before for (before, _), (after, _) in pairwise(frames)]
    return AvOffsets(
        offsets_ms=tuple(offsets),
        median_ms=statistics.median(offsets),
        p5_ms=percentile(offsets, 5),
        p95_ms=percentile(offsets, 95),
        frame_ms=1000 * statistics.median(intervals) if intervals else 0.0,
        pairs=tuple(pairs),
    )


def _nearest(lit: Sequence[float], beep: float) -> float:
    """Return how much later than a beep the nearest flash is; infinite without any."""
    place = bisect_left(lit, beep)
    return min((flash - beep for flash in lit[max(0, place - 1) : place + 1]), key=abs, default=math.inf)


def lost(found: Counters) -> Lost:
    """Return what is missing of the frames that the page drew."""
    read = [one.value for one in found.readings if one.value is not None]
    moves = [step for before, after in pairwise(read) if (step := (after - before) % 2**COUNTER_BITS)]
    usual = statistics.median(moves) if moves else 0.0
    missed = sum(max(0, round(step / usual) - 1) for step in moves)
    return Lost(
        drawn=sum(moves) + 1 if read else 0,
        in_file=len(moves) + 1 if read else 0,
        usual_step=usual,
        missed=missed,
        longest_standstill_s=found.longest_standstill_s,
        unreadable_share=found.unreadable_share,
    )


def drift_slope(pairs: Sequence[tuple[float, float]]) -> float:
    """Return by how much a value changes in a second: the median of the slopes between all pairs (Theil and Sen).

    Nearly a third of the values may be anything. Of many, the medians of equal groups are taken.
    """
    if len(pairs) > MOST_POINTS:
        cuts = [len(pairs) * number // MOST_POINTS for number in range(MOST_POINTS + 1)]
        groups = [pairs[begin:end] for begin, end in pairwise(cuts)]
        pairs = [(statistics.median(x for x, _ in group), statistics.median(y for _, y in group)) for group in groups]
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(pairs, 2) if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0


def decode(blocks: bytes) -> int | None:
    """Return the counter that 20 grey levels show, None if references or parity do not fit."""
    white, black = blocks[0], blocks[1]
    if white - black < LIT_CONTRAST:
        return None
    bits = [level > (white + black) / 2 for level in blocks[2:]]
    code, parity, inverse = bits[:COUNTER_BITS], bits[COUNTER_BITS], bits[COUNTER_BITS + 1]
    if parity == inverse or sum(code) % 2 != parity:
        return None
    value = bit = 0
    for gray in code:
        bit ^= gray
        value = value * 2 + bit
    return value


def _longest_standstill(read: Sequence[tuple[float, int]]) -> float:
    longest, since_s, held = 0.0, 0.0, -1
    for pts_s, value in read:
        if value != held:
            since_s, held = pts_s, value
        longest = max(longest, pts_s - since_s)
    return longest
