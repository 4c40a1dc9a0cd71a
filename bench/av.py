"""Audio against video: the flash and the beep of the pattern, in recordings of both on the same display and sound.

`together`: the reference runs beside the recorder, in the same run. `three`: three jobs at once, of one of the two.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from bench.reading import Reading, read_all
from bench.results import Row
from bench.running import PATIENT, Who, beside, job_of, our_job
from bench.scenes import PATTERN, Point
from recorder_fsm.standin.server import StandIn

SECONDS = 12.0
SETTLE_S = 3.0
"""After several starts at once."""
AT_ONCE = 3
LONG_S = 1800.0
"""How long it takes for two clocks to drift apart by what is seen."""
POINT = Point("av", 1280, 720, 30, 1500, "veryfast")
"""Small enough for both, and the page that they record, on two cores."""
KEYS = ("kind", "who")


async def together(runs: int, seconds: float = SECONDS, point: Point = POINT) -> list[Row]:
    """Record the pattern with both at once, `runs` times."""
    rows: list[Row] = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name).resolve()
            async with StandIn(data_dir=folder, knobs=PATIENT) as standin:
                async with our_job(standin, folder, PATTERN, point) as ours, beside(ours, folder, point) as reference:
                    await asyncio.sleep(seconds)
                    files = {"reference": await reference.finish(), "ours": await ours.finish()}
                readings = await read_all(list(files.values()), point.frame_rate, last_s=seconds)
                rows += [_row("together", who, number, point, one) for who, one in zip(files, readings, strict=True)]
                _tell(rows[-2:], runs)
    return rows


async def alone(
    kind: str, runs: int, encoders: Sequence[Who], seconds: float, *, jobs: int, point: Point = POINT
) -> list[Row]:
    """Record the pattern with so many jobs at once, of either in turn, `runs` times."""
    rows: list[Row] = []
    for number in range(1, runs + 1):
        for who in encoders:
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                folder = Path(name).resolve()
                async with StandIn(data_dir=folder, knobs=PATIENT) as standin:
                    files = await record(standin, folder, who, point, jobs=jobs, seconds=seconds)
                    readings = await read_all(files, point.frame_rate, last_s=seconds)
                    rows += [_row(kind, who, number, point, one) for one in readings]
                    _tell(rows[-len(files) :], runs)
    return rows


async def record(
    standin: StandIn, folder: Path, who: Who, point: Point, *, jobs: int, seconds: float, scene: Row = PATTERN
) -> list[Path]:
    """Record so many calls at once, `seconds` seconds of them all at rest, and return the files."""
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(job_of(who, standin, folder, scene, point)) for _ in range(jobs)]
        started = await asyncio.gather(*starting)
        await asyncio.sleep(SETTLE_S + seconds)
        return list(await asyncio.gather(*(job.finish() for job in started)))


def _row(kind: str, who: str, number: int, point: Point, found: Reading) -> Row:
    return {"kind": kind, "who": who, "run": number, "point": point.words, **attrs.asdict(found)}


def _tell(rows: Sequence[Row], runs: int) -> None:
    for row in rows:
        offset = "nothing to compare" if row["offset_ms"] is None else f"video after audio {row['offset_ms']:.0f} ms"
        print(
            f"av: run {row['run']} of {runs}, {row['kind']}, {row['who']}: {offset}, first frame at "
            f"{row['first_frame_s']:.2f} s, {row['lost']:.1%} of the frames lost, {row['beeps_moved']} beeps moved",
            flush=True,
        )
