"""`make bench-quick`: start, stop, CPU, memory, and video against audio, each over several runs.

Records a still call, a shared screen and the test pattern in turn, so that a busy moment of the machine does not fall
on one of them alone. Prints a table of medians and ranges, writes all numbers to build/bench/quick.json. `bench.all`
measures more, and beside the reference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import attrs
from loguru import logger

from bench.jobs import PATTERN, SHARED, STILL, Measured, Scene, measure_job
from bench.parts import PART_NAMES
from bench.scenes import DEFAULT, Point
from recorder_fsm.terminal.progress import bar_below_output
from recorder_fsm.terminal.screen import Screen

OUT = Path("build/bench")
SCENES = (STILL, SHARED, PATTERN)
RUNS = 2


@attrs.frozen
class Line:
    """One line of the table: what, its unit, the value of each run."""

    what: str
    unit: str
    values: tuple[float, ...]
    digits: int = 2

    def shown(self) -> tuple[str, str, str]:
        median, low, high = statistics.median(self.values), min(self.values), max(self.values)
        return self.what, f"{median:.{self.digits}f} {self.unit}", f"{low:.{self.digits}f} to {high:.{self.digits}f}"


def lines(runs: Sequence[Measured]) -> list[Line]:
    """Return the table: medians and ranges over `runs`."""

    def of(scene: Scene, value: Callable[[Measured], float]) -> tuple[float, ...]:
        return tuple(value(run) for run in runs if run.scene == scene.name)

    def both(used: dict[str, float]) -> float:
        return used["Python"] + used["driver"]

    table = [
        Line("start of the process to `started`", "s", tuple(run.started_s for run in runs)),
        Line("stop request to finished file", "s", tuple(run.file_ready_s for run in runs)),
        Line("Python and driver, still call", "% of a core", of(STILL, lambda run: both(run.shares))),
        Line("Python and driver, memory", "MB", of(STILL, lambda run: both(run.memory)), 0),
        Line("  of that Python", "MB", of(STILL, lambda run: run.memory["Python"]), 0),
    ]
    for scene in (STILL, SHARED):
        share, mb, name = "% of a core", "MB", scene.name
        table += [
            *(Line(f"{part}, {name}", share, of(scene, _share_of(part)), 1) for part in PART_NAMES),
            Line(f"whole job, {name}", share, of(scene, lambda run: sum(run.shares.values())), 0),
            Line(f"whole job, {name}", mb, of(scene, lambda run: sum(run.memory.values())), 0),
            Line(f"frames in the file, {name}", "per s", of(scene, lambda run: run.frames_per_s), 1),
            Line(f"bit rate of the file, {name}", "kbit/s", of(scene, lambda run: run.kilobit_per_s), 0),
        ]
    medians = of(PATTERN, lambda run: run.offset_ms or 0.0)
    spreads = of(PATTERN, lambda run: run.spread_ms)
    table.append(Line("video after audio, median of a run", "ms", medians, 0))
    table.append(Line("video after audio, range within a run", "ms", spreads, 0))
    return table


def _share_of(part: str) -> Callable[[Measured], float]:
    return lambda run: run.shares[part]


async def measure(runs: int, point: Point, window_s: float) -> list[Measured]:
    """Record each scene `runs` times."""
    logger.remove()
    measured: list[Measured] = []
    with bar_below_output(Screen(os.environ)) as show:
        for number, scene in product(range(1, runs + 1), SCENES):
            show("bench", len(measured), runs * len(SCENES), "recordings")
            with tempfile.TemporaryDirectory(prefix="bench-", dir=OUT) as folder:
                run = await measure_job(scene, Path(folder).resolve(), point, window_s)
            measured.append(run)
            print(
                f"run {number} of {runs}, {scene.name}: started after {run.started_s:.2f} s, file ready after "
                f"{run.file_ready_s:.2f} s, {sum(run.shares.values()):.0f} % of a core (load {run.load:.1f})",
                flush=True,
            )
    return measured


def main() -> int:
    """Measure, print, write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="bench.quick", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--window", type=float, default=8.0, help="seconds over which the CPU is measured")
    parser.add_argument("--size", default="1920x1080")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    point = attrs.evolve(DEFAULT, width=width, height=height)
    OUT.mkdir(parents=True, exist_ok=True)
    runs = asyncio.run(measure(options.runs, point, options.window))
    loads = [run.load for run in runs]
    header = (
        f"{options.runs} runs of each scene at {options.size}, {options.window:g} s each, on {os.cpu_count()} cores, "
        f"Linux {platform.release().partition('-')[0]}, load average {min(loads):.1f} to {max(loads):.1f}"
    )
    table = lines(runs)
    print(f"\n{header}\n")
    for what, median, spread in (line.shown() for line in table):
        print(f"{what:<45} {median:>22}   {spread}")
    document = {"machine": header, "runs": [attrs.asdict(run) for run in runs]}
    (OUT / "quick.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"\nall numbers: {OUT / 'quick.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
