"""`make bench`: all measurements, or some parts, beside the reference; then docs/performance.md.

python -m bench.all --parts cpu av --runs 3      some parts; what was measured of others before stays on the page
python -m bench.all --parts memory --minutes 60  a long one
python -m bench.all --page                       only write the page again
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from loguru import logger

from bench import av, cpu, density, finish, memory, page, quality, starting
from bench.others import Others
from bench.results import OUT, Row, machine, save
from bench.running import BOTH
from bench.scenes import DEFAULT, POINTS, PROFILES, QUALITY_SCENES

CAPTURES = OUT / "captures"
Measure = Callable[[argparse.Namespace], Awaitable[list[Row]]]


async def _cpu(options: argparse.Namespace) -> list[Row]:
    return await cpu.measure(DEFAULT, options.scenes or list(cpu.SCENES), options.encoders, options.runs)


async def _av(options: argparse.Namespace) -> list[Row]:
    seconds = options.seconds or av.SECONDS
    rows = []
    if "together" in options.kinds:
        rows += await av.together(2 * options.runs, seconds)
    if "three" in options.kinds:
        rows += await av.alone("three", options.runs, options.encoders, seconds, jobs=av.AT_ONCE)
    if "long" in options.kinds:
        rows += await av.alone("long", 1, ["ours"], options.seconds or av.LONG_S, jobs=1)
    return rows


async def _quality(options: argparse.Namespace) -> list[Row]:
    points = [POINTS[name] for name in options.points or POINTS]
    scenes = options.scenes or list(QUALITY_SCENES)
    await quality.capture_all(CAPTURES, scenes, points, options.seconds or quality.SECONDS)
    presets = quality.with_presets([point for point in points if point is DEFAULT], options.presets)
    wanted = [*(point for point in points if point is not DEFAULT), *presets]
    return await quality.compare_all(CAPTURES, wanted, scenes)


async def _start(options: argparse.Namespace) -> list[Row]:
    rows = await starting.measure(options.runs, 1, earlier=options.earlier) if "one" in options.kinds else []
    if "five" in options.kinds:
        rows += await starting.measure(max(1, options.runs // 2), starting.AT_ONCE, earlier=options.earlier)
    return rows


async def _memory(options: argparse.Namespace) -> list[Row]:
    return await memory.measure(DEFAULT, options.encoders, options.minutes)


async def _density(options: argparse.Namespace) -> list[Row]:
    points = [POINTS[name] for name in options.points] if options.points else PROFILES
    scenes = options.scenes or list(density.SCENES)
    seconds = options.seconds or density.SECONDS
    return await density.measure(points, scenes, options.encoders, first=options.first, seconds=seconds)


async def _finish(options: argparse.Namespace) -> list[Row]:
    return [await finish.measure(options.hours)]


MEASURES: dict[str, tuple[Measure, Sequence[str]]] = {
    "cpu": (_cpu, cpu.KEYS),
    "av": (_av, av.KEYS),
    "quality": (_quality, quality.KEYS),
    "start": (_start, starting.KEYS),
    "memory": (_memory, memory.KEYS),
    "density": (_density, density.KEYS),
    "finish": (_finish, ()),
}
"""How each part is measured, and by which keys its rows replace those of an earlier run."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--runs", type=int, default=5, help="how often each is measured (av together: twice as often)")
    parser.add_argument("--encoders", nargs="+", choices=BOTH, default=list(BOTH), help="which of the two")
    parser.add_argument("--scenes", nargs="+", help="cpu, quality, density: only these")
    parser.add_argument("--points", nargs="+", choices=list(POINTS), help="quality, density: only these")
    parser.add_argument("--presets", nargs="+", default=["ultrafast", "veryfast", "fast"], help="quality: of `default`")
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=["together", "three", "one", "five"],
        help="av, start: only these (av: long, half an hour, only where it is named)",
    )
    parser.add_argument("--seconds", type=float, help="av, quality, density: the length of a recording")
    parser.add_argument("--minutes", type=float, default=3.0, help="memory")
    parser.add_argument("--hours", type=float, default=3.0, help="finish")
    parser.add_argument("--first", type=int, default=3, help="density: the number of jobs to begin with")
    parser.add_argument("--earlier", type=Path, help="start: another checkout, to measure its recorder too")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--no-page", action="store_true", help="measure, and leave the page alone")
    return parser.parse_args(words)


async def measure(options: argparse.Namespace, command: str) -> None:
    """Measure the parts, and keep each when it is done."""
    described = await machine()
    for number, part in enumerate(options.parts, 1):
        print(f"part {number} of {len(options.parts)}: {part}", flush=True)
        measures, keys = MEASURES[part]
        began = time.monotonic()
        async with Others() as others:
            rows = await measures(options)
            used = others.share()
        save(part, rows, keys, command, {**described, "others": f"{used:.0%}"})
        print(f"{part}: {time.monotonic() - began:.0f} s, others used {used:.0%} of the machine", flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    options = parse(words)
    logger.remove()
    if not options.page:
        given = sys.argv[1:] if words is None else words
        asyncio.run(measure(options, shlex.join(["python", "-m", "bench.all", *given])))
    if not options.no_page:
        page.write()
        print(f"written: {page.PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
