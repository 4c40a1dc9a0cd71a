"""Memory by part over time, while both cores are busy with something else."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench.parts import memory_mb
from bench.programs import ENV
from bench.results import Row
from bench.running import PATIENT, Who, job_of
from bench.scenes import DOCUMENT, Point
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.process import ChildProcess

EVERY_S = 5.0
KEYS = ("who", "point")


async def measure(point: Point, encoders: Sequence[Who], minutes: float, *, busy: bool = True) -> list[Row]:
    """Record a shared screen for `minutes` minutes, and read the memory of each part every few seconds."""
    rows: list[Row] = []
    for who in encoders:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name).resolve()
            async with (
                StandIn(data_dir=folder, knobs=PATIENT) as standin,
                job_of(who, standin, folder, DOCUMENT, point) as job,
                busy_cores(os.cpu_count() or 1 if busy else 0),
            ):
                began = time.monotonic()
                while (at_s := time.monotonic() - began) < 60 * minutes:
                    found = memory_mb(job.processes())
                    rows.append({"who": who, "point": point.name, "busy": busy, "at_s": at_s, "parts": found})
                    await asyncio.sleep(EVERY_S)
        print(f"memory: {who}: {sum(rows[-1]['parts'].values()):.0f} MB after {minutes:g} min", flush=True)
    return rows


@asynccontextmanager
async def busy_cores(cores: int) -> AsyncIterator[None]:
    """Keep so many cores busy."""
    async with AsyncExitStack() as stack:
        for _ in range(cores):
            loop = await ChildProcess.spawn("busy loop", ["sh", "-c", "while :; do :; done"], env=ENV)
            stack.push_async_callback(loop.stop)
        yield
