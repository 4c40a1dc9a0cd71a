"""How many jobs run side by side with less than 1 % of the frames lost, and how many with every beep on its second.

The second is the stricter one on a machine without a core to spare: a page that plays too late leaves holes, whoever
records it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.av import record
from bench.others import Others
from bench.programs import BenchError
from bench.reading import Reading, read_all
from bench.results import Row
from bench.running import PATIENT, Who
from bench.scenes import LIT_CALL, PATTERN, Point
from recorder_fsm.analysis.pattern import Kind
from recorder_fsm.errors import RecorderError
from recorder_fsm.standin.server import StandIn

SECONDS = 12.0
LOST = 0.01
TRIES = 3
BUSY_OTHERS = 0.05
MOST = 12
SCENES: dict[str, tuple[dict[str, Any], Kind]] = {"moving": (PATTERN, "pattern"), "static": (LIT_CALL, "sync")}
KEYS = ("scene", "who", "point")


def keeps_frames(readings: Sequence[Reading], jobs: int) -> bool:
    """Tell whether all of so many jobs made a file that lacks no more frames than it may."""
    return len(readings) == jobs and all(one.lost < LOST for one in readings)


def is_whole(readings: Sequence[Reading], jobs: int) -> bool:
    """Tell whether the audio of all of them is whole, too."""
    return keeps_frames(readings, jobs) and not any(one.beeps_moved for one in readings)


async def highest(tries: Callable[[int], Awaitable[bool]], first: int, most: int = MOST) -> int:
    """Return the highest number that passes, where each number below one that passes does, too: from `first` on."""
    low, high = 0, most + 1
    number = min(max(1, first), most)
    while low + 1 < high:
        if await tries(number):
            low = number
        else:
            high = number
        upwards = low + 1
        number = upwards if high == most + 1 else (low + high) // 2
    return low


@attrs.define
class Trial:
    """Tries numbers of jobs of one profile, scene and recorder; `tried` has what each of them showed."""

    point: Point
    scene: str
    who: Who
    seconds: float
    tried: list[Row] = attrs.Factory(list)

    async def passes(self, jobs: int) -> bool:
        """Record with so many at once, and tell whether all kept their frames.

        What fails while others use the machine is tried again; the last try counts.
        """
        for _ in range(TRIES):
            async with Others() as others:
                found = await self._try(jobs)
                found["others"] = others.share()
            self.tried = [*(one for one in self.tried if one["jobs"] != jobs), found]
            verdict = "whole" if found["whole"] else "frames kept" if found["passed"] else "too many"
            print(
                f"density: {self.point.words}, {self.scene}, {self.who}, {jobs} at once: {_loss(found)}: {verdict} "
                f"(others used {found['others']:.0%} of the machine)",
                flush=True,
            )
            if found["whole"] or found["others"] < BUSY_OTHERS:
                break
        return bool(found["passed"])

    async def _try(self, jobs: int) -> Row:
        drawn, kind = SCENES[self.scene]
        readings: list[Reading] = []
        trouble = ""
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name).resolve()
            async with StandIn(data_dir=folder, knobs=PATIENT) as standin:
                try:
                    files = await record(
                        standin, folder, self.who, self.point, jobs=jobs, seconds=self.seconds, scene=drawn
                    )
                    readings = await read_all(files, self.point.frame_rate, kind, last_s=self.seconds)
                except (BenchError, RecorderError, TimeoutError) as error:
                    trouble = str(error) or type(error).__name__
        return {
            "jobs": jobs,
            "passed": keeps_frames(readings, jobs),
            "whole": is_whole(readings, jobs),
            "lost": max((one.lost for one in readings), default=1.0),
            "beeps_moved": sum(one.beeps_moved for one in readings),
            "trouble": trouble,
        }

    async def highest_whole(self) -> int:
        """Return the highest number tried whose audio is whole, too; where none is, fewer are tried."""
        fewer = min((int(one["jobs"]) for one in self.tried), default=1) - 1
        while fewer and not any(one["whole"] for one in self.tried):
            await self.passes(fewer)
            fewer -= 1
        return max((int(one["jobs"]) for one in self.tried if one["whole"]), default=0)


async def measure(
    points: Sequence[Point], scenes: Sequence[str], encoders: Sequence[Who], *, first: int, seconds: float = SECONDS
) -> list[Row]:
    """Find the number for each profile and scene, for both."""
    rows: list[Row] = []
    for point in points:
        for scene in scenes:
            for who in encoders:
                trial = Trial(point, scene, who, seconds)
                best = await highest(trial.passes, first)
                whole = await trial.highest_whole()
                rows.append(
                    {"point": point.name, "scene": scene, "who": who, "jobs": best, "whole": whole}
                    | {"tried": trial.tried}
                )
    return rows


def _loss(found: Row) -> str:
    return str(found["trouble"] or f"{found['lost']:.1%} of the frames lost, {found['beeps_moved']} beeps moved")
