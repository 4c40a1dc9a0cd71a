"""From the start of a recorder's process to the server's `started`: alone, and five in the same second."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from bench.parts import cpu_s
from bench.results import Row
from bench.running import PATIENT, OurJob, our_job
from bench.scenes import DEFAULT, DOCUMENT, Point
from recorder_fsm.standin.server import StandIn

AT_ONCE = 5
KEYS = ("jobs",)


async def measure(runs: int, jobs: int, point: Point = DEFAULT) -> list[Row]:
    """Start so many recorders at once, `runs` times."""
    rows: list[Row] = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name).resolve()
            async with StandIn(data_dir=folder, knobs=PATIENT) as standin, AsyncExitStack() as stack:
                started = [
                    await stack.enter_async_context(our_job(standin, folder, DOCUMENT, point, wait=False))
                    for _ in range(jobs)
                ]
                spent = await asyncio.gather(*(_cpu_until_started(job) for job in started))
                rows += [
                    {"jobs": jobs, "run": number, "started_s": job.started_s, "cpu_s": used}
                    for job, used in zip(started, spent, strict=True)
                ]
                await asyncio.gather(*(job.finish() for job in started))
        times = ", ".join(f"{row['started_s']:.1f}" for row in rows if row["run"] == number)
        print(f"start: run {number} of {runs}, {jobs} at once: {times} s", flush=True)
    return rows


async def _cpu_until_started(job: OurJob) -> float:
    """Return the seconds of CPU of the job's programs, ended ones too, when the server has its `started`.

    One that is just ending has no command line any more, and counts nevertheless: the driver ends then.
    """
    await job.started()
    recorder = psutil.Process(job.child.pid)
    everyone = (recorder, *recorder.children(recursive=True))
    return sum(cpu_s(process.pid, with_ended=True) for process in everyone)
