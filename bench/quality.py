"""Rate against quality: both encoders on the same lossless captures of three scenes.

    python -m bench.quality --capture DIR            capture the scenes, 20 s each (needs a display for itself)
    python -m bench.quality --from DIR               encode and compare: the recorder's own arguments, the reference's
    python -m bench.quality --from DIR --extra="-crf 20 -maxrate 1500k" --drop="-b:v"

`--extra` goes behind the recorder's own arguments of ffmpeg (the last of an option counts), `--drop` takes options
away, each with its value: so a change can be judged before it is made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from loguru import logger

from bench.comparing import Quality, compare
from bench.encoding import encode_ours, encode_reference
from bench.lossless import Lossless, capture, load, path_of
from bench.results import Row
from bench.scenes import DEFAULT, POINTS, QUALITY_SCENES, Point
from recorder_fsm.config.settings import PRESETS

SECONDS = 20.0
ENCODERS = ("reference", "ours")
KEYS = ("scene", "name", "preset", "encoder")
HEAD = (
    f"{'scene':<10}{'point':<26}{'encoder':<11}{'kbit/s':>8}{'10 s':>8}{'SSIM':>7}{'PSNR':>7}{'CPU s':>7}{'frames':>8}"
)


async def capture_all(folder: Path, scenes: Sequence[str], points: Sequence[Point], seconds: float) -> None:
    """Capture each scene for each size and rate; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for point in points:
        for scene in scenes:
            path = path_of(folder, scene, point)
            if path.with_suffix(".json").exists():
                print(f"{path.name}: there already")
                continue
            made = await capture(scene, QUALITY_SCENES[scene], point, path, seconds)
            size_mb = path.stat().st_size / 1e6
            print(f"{path.name}: {len(made.stamps_us)} frames in {seconds:g} s, {size_mb:.0f} MB", flush=True)


def with_presets(points: Sequence[Point], presets: Sequence[str]) -> list[Point]:
    """Return the points, each with its own preset or, where any are named, with each of these."""
    if not presets:
        return list(points)
    return [attrs.evolve(point, preset=preset) for point in points for preset in presets]


async def measure(
    source: Lossless, point: Point, *, reference: bool, extra: Sequence[str] = (), drop: Sequence[str] = ()
) -> Quality:
    """Encode a capture by one of the two, and compare."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = Path(folder) / "encoded.mp4"
        if reference:
            encoded = await encode_reference(source, point, target)
        else:
            encoded = await encode_ours(source, point, target, extra=extra, drop=drop)
        return await compare(source, encoded, point, constant_rate=reference)


def row_of(scene: str, point: Point, encoder: str, found: Quality) -> Row:
    """Return one line of the results, fit for JSON."""
    return {"scene": scene, **attrs.asdict(point), "encoder": encoder, **attrs.asdict(found)}


def shown(row: Row) -> str:
    """Return one line of the results as text; a rate above the one asked for is marked."""
    point = f"{row['height']}p{row['frame_rate']} {row['video_rate_kbps']}k {row['preset']}"
    mark = "!" if row["highest_kbps"] > row["video_rate_kbps"] else " "
    return (
        f"{row['scene']:<10}{point:<26}{row['encoder']:<11}{row['kbps']:>8.0f}{row['highest_kbps']:>7.0f}{mark}"
        f"{row['ssim_db']:>7.1f}{row['psnr_db']:>7.1f}{row['cpu_s']:>7.1f}{row['frames']:>8}"
    )


async def compare_all(
    folder: Path,
    points: Sequence[Point],
    scenes: Sequence[str],
    *,
    encoders: Sequence[str] = ENCODERS,
    extra: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> list[Row]:
    """Encode and compare everything that was asked for; prints each line as it comes."""
    rows: list[Row] = []
    print(HEAD)
    for point in points:
        for scene in scenes:
            path = path_of(folder, scene, point)
            if not path.exists():
                print(f"{path.name} is missing: python -m bench.quality --capture {folder} --points {point.name}")
                continue
            for encoder in encoders:
                found = await measure(load(path), point, reference=encoder == "reference", extra=extra, drop=drop)
                rows.append(row_of(scene, point, encoder, found))
                print(shown(rows[-1]), flush=True)
    return rows


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--capture", type=Path, metavar="DIR", help="capture the scenes into this folder")
    what.add_argument("--from", type=Path, metavar="DIR", dest="source", help="encode what was captured there")
    parser.add_argument("--points", nargs="+", choices=[*POINTS, "all"], default=[DEFAULT.name])
    parser.add_argument("--scenes", nargs="+", choices=list(QUALITY_SCENES), default=list(QUALITY_SCENES))
    parser.add_argument(
        "--presets", nargs="+", choices=[*PRESETS, "all"], default=[], help="instead of the points' own"
    )
    parser.add_argument("--encoder", choices=["ours", "reference", "both"], default="both")
    parser.add_argument("--extra", type=shlex.split, default=[], help="arguments of ffmpeg behind the recorder's own")
    parser.add_argument("--drop", type=shlex.split, default=[], help="options of the recorder's own to leave out")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", type=Path, help="write the results there as well")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Capture, or encode and compare; returns the exit code."""
    options = parse(words)
    logger.remove()
    names = list(POINTS) if "all" in options.points else options.points
    presets = list(PRESETS) if "all" in options.presets else options.presets
    points = [POINTS[name] for name in names]
    if options.capture:
        asyncio.run(capture_all(options.capture, options.scenes, points, options.seconds))
        return 0
    encoders = ENCODERS if options.encoder == "both" else (options.encoder,)
    rows = asyncio.run(
        compare_all(
            options.source,
            with_presets(points, presets),
            options.scenes,
            encoders=encoders,
            extra=options.extra,
            drop=options.drop,
        )
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
