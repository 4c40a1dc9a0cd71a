"""What a recording of the stand-in's pattern shows: offsets, frames that are lost, holes in the audio."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from bench.programs import BenchError
from recorder_fsm.analysis.pattern import COUNTER_BITS, TONES_HZ, Kind, counters, flashes
from recorder_fsm.analysis.probe import probe
from recorder_fsm.analysis.tones import beeps

HEAD_S = 1.0
TAIL_S = 1.0
"""The ends of a file are the begin and the stop, which are measured apart."""
PAIR_S = 0.5
BEEP_EVERY_S = 1.0
BEEP_SLIP_S = 0.02
"""A beep that is so far from its second was moved: samples were lost or made up."""


@attrs.frozen
class Reading:
    """Of one file: median and range of video after audio in ms, shares, seconds; None where nothing could be read.

    Half a frame is taken off the offsets: a flash is seen in the first frame that shows it. `beeps_moved` counts those
    that are missing or not on their second.
    """

    offset_ms: float | None
    spread_ms: float
    drift_ms_per_30_min: float
    first_frame_s: float
    lost: float
    beeps: int
    beeps_moved: int
    seconds: float


def offsets_ms(lit: Sequence[float], heard: Sequence[float], half_frame_ms: float) -> list[tuple[float, float]]:
    """Return for each beep its time in seconds and by how much the nearest flash is later, in milliseconds."""
    found = []
    for beep_s in heard:
        nearest = min((flash_s - beep_s for flash_s in lit), key=abs, default=PAIR_S)
        if abs(nearest) < PAIR_S:
            found.append((beep_s, 1000 * nearest - half_frame_ms))
    return found


def lost_share(readings: Sequence[tuple[float, int | None]], frame_rate: int, from_s: float, until_s: float) -> float:
    """Return the share of frames that the file lacks, though the page drew them and the rate had room for them.

    `readings`: the time in seconds of each frame, and the page's own counter of what it drew. What a page that has too
    little CPU never draws is not lost by who records it.
    """
    read = [(at_s, value) for at_s, value in readings if value is not None and from_s <= at_s < until_s]
    if len(read) < 2:
        return 1.0
    changes = [read[0], *(after for before, after in pairwise(read) if after[1] != before[1])]
    lost = 0
    for (at_s, value), (next_s, following) in pairwise([*changes, (until_s, read[-1][1] + 1)]):
        drawn = (following - value) % 2**COUNTER_BITS
        lost += max(0, min(drawn, round((next_s - at_s) * frame_rate)) - 1)
    return lost / (lost + len(changes))


def moved_beeps(heard: Sequence[float], from_s: float, until_s: float) -> int:
    """Return how many beeps between the two times are missing or are not a second after the one before."""
    inside = [beep_s for beep_s in heard if from_s <= beep_s < until_s]
    if not inside:
        return max(1, int(until_s - from_s))
    moved = sum(abs(after - before - BEEP_EVERY_S) > BEEP_SLIP_S for before, after in pairwise(inside))
    missing_ends = int(inside[0] - from_s > BEEP_EVERY_S + BEEP_SLIP_S)
    return moved + missing_ends + int(until_s - inside[-1] > BEEP_EVERY_S + BEEP_SLIP_S)


async def read(path: Path, frame_rate: int, kind: Kind = "pattern", *, last_s: float = math.inf) -> Reading:
    """Read a file, lost frames and beeps in its last `last_s` seconds; raises `BenchError` if it holds no video."""
    container = await probe(path)
    if container.video is None:
        raise BenchError(f"{path.name} holds no video")
    until_s = container.duration_s - TAIL_S
    from_s = max(HEAD_S, until_s - last_s)
    lit, heard = await flashes(path, kind), await beeps(path, TONES_HZ[kind])
    pairs = offsets_ms(lit, heard, 500 / frame_rate)
    values = [value for _, value in pairs]
    if kind == "pattern":
        found = [(one.pts_s, one.value) for one in (await counters(path)).readings]
        lost = lost_share(found, frame_rate, from_s, until_s)
    else:  # a light for each second of the call
        wanted = until_s - from_s - 1
        lost = max(0.0, 1 - len([at_s for at_s in lit if from_s <= at_s < until_s]) / int(max(1, wanted)))
    return Reading(
        offset_ms=statistics.median(values) if values else None,
        spread_ms=max(values) - min(values) if values else 0.0,
        drift_ms_per_30_min=_drift(pairs),
        first_frame_s=container.video.start_s,
        lost=lost,
        beeps=len(heard),
        beeps_moved=moved_beeps(heard, from_s, until_s),
        seconds=container.duration_s,
    )


async def read_all(
    paths: Sequence[Path], frame_rate: int, kind: Kind = "pattern", *, last_s: float = math.inf
) -> list[Reading]:
    """Read several files, as many at once as there are cores."""
    cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(path: Path) -> Reading:
        async with cores:
            return await read(path, frame_rate, kind, last_s=last_s)

    return list(await asyncio.gather(*(one(path) for path in paths)))


def _drift(pairs: Sequence[tuple[float, float]]) -> float:
    if len(pairs) < 2:
        return 0.0
    return statistics.linear_regression([at_s for at_s, _ in pairs], [value for _, value in pairs]).slope * 1800
