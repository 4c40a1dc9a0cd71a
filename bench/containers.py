"""How many jobs a machine takes: N containers at once, each recording a shared screen as the plugin's `medium` does.

`RECORDER_FSM_IMAGE=recorder-fsm python -m bench.containers --jobs 1 2 3` prints one line per number of jobs. Needs a
Docker engine and the image. The stand-in server and its pages run on the same machine and are part of the load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.harness.containers import IMAGE, SECCOMP, container, docker, job
from recorder_fsm.standin.server import StandIn

# The plugin's `medium` (contract 1.3); 20 frames/s and the size are those of the tests' small frame.
MEDIUM = {"VIDEO_RATE": "1500", "VIDEO_PRESET": "veryfast"}
SETTLE_S = 4.0


def cpu_time() -> tuple[int, int]:
    """Return the machine's busy time and all its time so far, in ticks (proc(5))."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(word) for word in first]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


async def measure(jobs: int, seconds: float) -> str:
    """Record `jobs` calls at once for `seconds`; returns a row of a table."""
    with tempfile.TemporaryDirectory() as folder:
        async with StandIn(data_dir=Path(folder)) as standin, AsyncExitStack() as stack:
            calls = [standin.create_call(scene={"mode": "call", "share": True}) for _ in range(jobs)]
            options = ("--security-opt", f"seccomp={SECCOMP}")
            runs = [
                await stack.enter_async_context(container(*options, env=job(standin.url, ids, **MEDIUM), ids=ids))
                for ids in calls
            ]
            await asyncio.gather(*(run.recorded(SETTLE_S) for run in runs))
            before = cpu_time()
            await asyncio.gather(*(run.recorded(SETTLE_S + seconds) for run in runs))
            after = cpu_time()
            names = [run.name for run in runs]
            told = await docker("stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}}", *names)
            for ids in calls:
                standin.stop_recording(ids.recording_id)
            codes = await asyncio.gather(*(run.exit_code(300) for run in runs))
            files = [json.loads(await run.read("report.json"))["file"] for run in runs]
    busy = (after[0] - before[0]) / (after[1] - before[1])
    shares = [float(line.split("%")[0]) for line in told.splitlines() if line]
    memory = [line.split()[1] for line in told.splitlines() if line]
    rates = [file["frames"] / file["duration_s"] for file in files]
    return (
        f"| {jobs} | {busy:.0%} | {min(shares):.0f} to {max(shares):.0f} % | {min(memory)} to {max(memory)} "
        f"| {min(rates):.1f} to {max(rates):.1f} | {sum(code == 0 for code in codes)} |"
    )


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=15)
    chosen = parser.parse_args(words)
    if not IMAGE:
        parser.error("RECORDER_FSM_IMAGE names the image to measure")
    print("| Jobs | Machine busy | Of a core, each | Memory, each | Frames/s in the files | Published |")
    print("|---|---|---|---|---|---|")
    for jobs in chosen.jobs:
        print(asyncio.run(measure(jobs, chosen.seconds)), flush=True)


if __name__ == "__main__":
    main()
