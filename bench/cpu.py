"""CPU by part over a window: nothing moves, tiles move, a shared screen. Ours and the reference in turn."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.parts import OWN_PARTS, Usage
from bench.programs import packets
from bench.results import Row
from bench.running import PATIENT, Who, job_of
from bench.scenes import DOCUMENT, GRID, TILES, Point
from recorder_fsm.standin.server import StandIn

SETTLE_S = 4.0
WINDOW_S = 20.0
"""From one key frame of a still call to the next."""
SCENES: dict[str, dict[str, Any]] = {"still": GRID, "tiles": TILES, "shared": DOCUMENT}
WORDS = {"still": "nothing moves", "tiles": "tiles move", "shared": "shared screen"}
KEYS = ("scene", "who", "point")


async def measure(
    point: Point, scenes: Sequence[str], encoders: Sequence[Who], runs: int, window_s: float = WINDOW_S
) -> list[Row]:
    """Measure each scene with each of the two, `runs` times in turn."""
    rows = []
    for number in range(1, runs + 1):
        for scene in scenes:
            for who in encoders:
                rows.append(await _one(point, scene, who, window_s))
                own = sum(rows[-1]["shares"][part] for part in OWN_PARTS)
                print(f"cpu: run {number} of {runs}, {WORDS[scene]}, {who}: {own:.0f} % of a core", flush=True)
    return rows


async def _one(point: Point, scene: str, who: Who, window_s: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name).resolve()
        async with StandIn(data_dir=folder, knobs=PATIENT) as standin:
            async with job_of(who, standin, folder, SCENES[scene], point) as job:
                await asyncio.sleep(SETTLE_S)
                usage, since = Usage(job.processes), time.monotonic()
                await asyncio.sleep(window_s)
                shares, memory = usage.shares(time.monotonic() - since), usage.memory()
                file = await job.finish()
            sent = await packets(file)
    return {
        "scene": scene,
        "who": who,
        "point": point.name,
        "shares": shares,
        "memory": memory,
        "frames_per_s": len(sent) / max(1.0, sent[-1][0]),
        "kbps": sum(size for _, size in sent) * 8 / 1000 / max(1.0, sent[-1][0]),
        "load": os.getloadavg()[0],
    }
