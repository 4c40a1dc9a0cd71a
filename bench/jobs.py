"""One recording of the stand-in's call, measured from outside while it runs."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import attrs

from bench.parts import Usage
from bench.reading import read
from bench.running import our_job
from bench.scenes import DOCUMENT, GRID, Point
from bench.scenes import PATTERN as PATTERN_SCENE
from recorder_fsm.standin.server import StandIn

SETTLE_S = 4.0
"""After `started`: Chromium and the encoder's rate control come to rest."""


@attrs.frozen
class Scene:
    """What is recorded: what the call page draws, and whether its flashes are compared with its beeps."""

    name: str
    scene: dict[str, Any]
    offsets: bool = False


STILL = Scene("still call", GRID)
SHARED = Scene("shared screen", DOCUMENT)
PATTERN = Scene("pattern", PATTERN_SCENE, offsets=True)


@attrs.frozen
class Measured:
    """What one run showed: seconds, percent of one core and MB by part, milliseconds.

    `load` is the machine's load average of the last minute, of this job and of whatever else ran.
    """

    scene: str
    started_s: float
    file_ready_s: float
    shares: dict[str, float]
    memory: dict[str, float]
    frames_per_s: float
    kilobit_per_s: float
    dropped: int
    load: float
    offset_ms: float | None
    spread_ms: float


async def measure_job(scene: Scene, folder: Path, point: Point, window_s: float) -> Measured:
    """Record `scene` and measure for `window_s` seconds; raises `BenchError` if the recording is not published."""
    async with StandIn(data_dir=folder) as standin, our_job(standin, folder, scene.scene, point) as job:
        await asyncio.sleep(SETTLE_S)
        usage, since = Usage(job.processes), time.monotonic()
        await asyncio.sleep(window_s)
        shares, memory = usage.shares(time.monotonic() - since), usage.memory()
        file = await job.finish()
        reading = await read(file, point.frame_rate) if scene.offsets else None
        report = job.report
        return Measured(
            scene=scene.name,
            started_s=job.started_s,
            file_ready_s=job.fact_s("file_ready"),
            shares=shares,
            memory=memory,
            frames_per_s=report["file"]["frames"] / report["file"]["duration_s"],
            kilobit_per_s=8 * report["file"]["size_bytes"] / 1000 / report["file"]["duration_s"],
            dropped=report["capture"]["dropped"],
            load=os.getloadavg()[0],
            offset_ms=reading.offset_ms if reading else None,
            spread_ms=reading.spread_ms if reading else 0.0,
        )
