"""A parent that is careless of all that a process inherits: whole jobs, recorded, stopped and published as ever."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import launched, orphans
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from tests.faults.often import slow_but
from tests.faults.scene import Fault, Row, published

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
LIMIT_S = 60.0
RECORDED_BYTES = 150_000
"""Some seconds of the pattern."""

HARM = """
import os, resource, signal, sys, tempfile
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for limit, soft in ((resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_FSIZE, 100_000), (resource.RLIMIT_CPU, 3)):
    resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))
os.umask(0o777)
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
os.closerange(0, 3)
os.execv(sys.argv[1], sys.argv[1:])
"""


async def test_carelessness_of_a_parent_costs_nothing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Signals blocked and ignored, low soft limits, no umask, no directory, no descriptors: and a SIGTERM ends it."""
    made = row("S11", "signals blocked and ignored, limits, umask, directory, descriptors 0 to 2 closed; SIGTERM")
    ids = standin.create_call(scene={"mode": "pattern"})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HARM, sys.executable, "-m", "recorder_fsm"),
        env=job_environment(standin.url, ids, data),
    )
    try:
        await standin.wait_for(lambda: standin.state.statuses, LIMIT_S)
        live = data / ids.recording_id / "live.mp4"
        async with asyncio.timeout(LIMIT_S):
            while live.stat().st_size < RECORDED_BYTES:  # noqa: ASYNC110 - a file tells nobody that it grows
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            made.exit_code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert made.exit_code == 0
    assert standin.state.statuses[0].status == "started"
    facts = await probe(published(standin, ids))
    assert facts.video is not None
    made.noticed, made.published, made.left = "no fault", f"{facts.duration_s:.1f} s", len(orphans(str(data)))
    assert made.left == 0


INTERPRETER = {
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONMALLOC": "debug",
    "PYTHONHASHSEED": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii:strict",
    "LC_ALL": "POSIX",
}


async def test_locale_and_variables_cost_no_name(standin: StandIn, tmp_path: Path, row: MakeRow) -> None:
    """An interpreter that was told to be ASCII and to inspect: the name is whole, and SIGHUP ends it."""
    made = row("S11", "variables of the interpreter, a forced ASCII locale, names in other scripts; SIGHUP")
    standin.state.knobs.filename = "Grüße an 会議 🎥"
    data = tmp_path / "dätä 会"
    data.mkdir()
    ids = standin.create_call(scene={"mode": "pattern"})
    async with launched(job_environment(standin.url, ids, data, **INTERPRETER), ids, data) as run:
        await run.recorded(3)
        run.signal(signal.SIGHUP)
        await Fault(made, standin, run).ends(0)
    published(standin, ids)
    assert [file.name for file in standin.state.files.values()] == ["Grüße_an_会議_🎥.mp4"]
    assert not any("took" in line["message"] and "seconds" in line["message"] for line in run.lines), "debug mode is on"
    made.noticed, made.published = "stop_requested", f"{run.report['file']['duration_s']:.1f} s"


TERMINALS = (signal.SIGHUP, signal.SIGQUIT)


@pytest.mark.parametrize("number", slow_but(TERMINALS[:1], TERMINALS), ids=[number.name for number in TERMINALS])
async def test_signal_of_a_terminal_ends_a_start_in_order(
    standin: StandIn, data: Path, row: MakeRow, number: signal.Signals
) -> None:
    """What a terminal that closes sends, or a person at its keyboard: told once, nothing left, code 0."""
    made = row("S8", f"{number.name}: display starting")
    ids = standin.create_call()
    async with launched(job_environment(standin.url, ids, data), ids, data) as run:
        await run.seen(lambda line: "Xvfb started" in line["message"])
        run.signal(number)
        fault: Any = Fault(made, standin, run)
        await fault.ends(0)
        fault.nothing_published()
        assert "was stopped" in fault.told()
    assert [report.status for report in standin.state.statuses] == ["failed"]
    made.noticed = "stop_requested"
