"""System calls that a filter refuses or a kernel lacks: none that is merely convenient may be the end of a job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.harness.containers import offloader_lacks
from bench.harness.environment import job_environment
from bench.harness.recorder_process import launched
from recorder_fsm.standin.server import StandIn
from tests import refusing
from tests.faults.scene import Fault, Row, published

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.fault,
    pytest.mark.skipif(not refusing.SUPPORTED, reason="no numbers of system calls for this processor"),
]

MakeRow = Callable[[str, str], Row]

OLD_OFFLOADER = [name for name in offloader_lacks("0.9.4") if name in refusing.NUMBERS["x86_64"]]
CONVENIENT = ["flock", "fsync", "statfs", "fstatfs", "sendfile", *refusing.USES]
REFUSED = {
    "what calls-offloader v0.9.4 refuses": ("EPERM", OLD_OFFLOADER),
    "what is merely convenient": ("EPERM", [*OLD_OFFLOADER, *CONVENIENT]),
    "what is merely convenient, unknown to the kernel": ("ENOSYS", [*OLD_OFFLOADER, *CONVENIENT]),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_refused_system_calls_cost_no_recording(standin: StandIn, data: Path, row: MakeRow, kind: str) -> None:
    """A whole job under a real filter, with every program that it starts: recorded, stopped, published."""
    error, names = REFUSED[kind]
    made = row("S2", f"seccomp: {kind} ({error})")
    ids = standin.create_call(scene={"mode": "pattern"})
    prefix = (sys.executable, "-m", "tests.refusing", error, *names, "--")
    async with launched(job_environment(standin.url, ids, data), ids, data, prefix=prefix) as run:
        await run.recorded(4)
        standin.stop_recording(ids.recording_id)
        await Fault(made, standin, run).ends(0)
        published(standin, ids)
    made.noticed, made.published = "no fault", f"{run.report['file']['duration_s']:.1f} s"
