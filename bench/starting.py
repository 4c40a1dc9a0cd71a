"""From the start of a recorder's process to the server's `started`: alone, and five in the same second.

Beside this recorder that of another checkout may be measured, by turns: seconds of one machine say little of another.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path

import psutil

from bench.parts import cpu_s
from bench.results import Row
from bench.running import PATIENT, OurJob, our_job
from bench.scenes import DEFAULT, DOCUMENT, Point
from recorder_fsm.standin.launcher import RECORDER
from recorder_fsm.standin.server import StandIn

AT_ONCE = 5
KEYS = ("who", "jobs")
OURS, EARLIER = "ours", "earlier"


def recorders(earlier: Path | None) -> dict[str, Sequence[str]]:
    """Return the commands to measure, by who they are; `earlier`: a checkout in which `make setup` was run."""
    ours: dict[str, Sequence[str]] = {OURS: RECORDER}
    if earlier is None:
        return ours
    return ours | {EARLIER: (str(earlier.resolve() / ".venv/bin/recorder-fsm"), "run")}


async def measure(runs: int, jobs: int, *, earlier: Path | None = None, point: Point = DEFAULT) -> list[Row]:
    """Start so many recorders at once, `runs` times; those of an earlier checkout by turns with ours."""
    rows: list[Row] = []
    for number, (who, recorder) in product(range(1, runs + 1), recorders(earlier).items()):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name).resolve()
            async with StandIn(data_dir=folder, knobs=PATIENT) as standin, AsyncExitStack() as stack:
                started = [
                    await stack.enter_async_context(
                        our_job(standin, folder, DOCUMENT, point, wait=False, recorder=recorder)
                    )
                    for _ in range(jobs)
                ]
                spent = await asyncio.gather(*(_cpu_until_started(job) for job in started))
                rows += [
                    {"who": who, "jobs": jobs, "run": number, "started_s": job.started_s, "cpu_s": used}
                    for job, used in zip(started, spent, strict=True)
                ]
                await asyncio.gather(*(job.finish() for job in started))
        times = ", ".join(f"{row['started_s']:.1f}" for row in rows[-jobs:])
        print(f"start: {who}, run {number} of {runs}, {jobs} at once: {times} s", flush=True)
    return rows


async def _cpu_until_started(job: OurJob) -> float:
    """Return the seconds of CPU of the job's programs, ended ones too, when the server has its `started`.

    One that is just ending has no command line any more, and counts nevertheless: the driver ends then.
    """
    await job.started()
    recorder = psutil.Process(job.child.pid)
    everyone = (recorder, *recorder.children(recursive=True))
    return sum(cpu_s(process.pid, with_ended=True) for process in everyone)
