"""The status page beside a job: it is started and ended with it, and nothing that goes wrong with it is the job's."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from recorder_fsm.config.listen_address import listen_address
from recorder_fsm.machine.lifecycle import Event, Lifecycle, State
from recorder_fsm.status import service
from recorder_fsm.status.board import Board
from recorder_fsm.status.server import StatusServer
from recorder_fsm.status.service import status_page
from tests.programs import until
from tests.steps.job import StepJob


async def no_picture(_: int) -> bytes | None:
    return None


async def run_beside(tmp_path: Path, address: str, then: Callable[[], object]) -> None:
    """Run a job that moves once and does nothing else, with a page at `address`, until `then` holds."""
    lifecycle = Lifecycle()
    async with status_page(listen_address(address), StepJob(tmp_path).context, lifecycle, no_picture):
        lifecycle.fire(Event.DISPLAY_READY)
        await until(then)
        lifecycle.fire(Event.CALL_JOINED)
    assert lifecycle.state is State.BROWSER_JOINED


async def test_port_in_use_is_a_warning(tmp_path: Path, log: list[str]) -> None:
    """The job goes on without a page, and the log says why there is none."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await run_beside(tmp_path, f"127.0.0.1:{port}", lambda: "WARNING" in "".join(log))
    (warning,) = [line for line in log if line.startswith("WARNING")]
    assert f"127.0.0.1:{port} cannot be used" in warning
    assert "in use" in warning


@pytest.mark.parametrize("name", ["aiohttp", "prometheus_client"])
async def test_missing_package_is_a_warning(tmp_path: Path, log: list[str], name: str) -> None:
    """An installation without it records all the same."""
    loaded = {one: None for one in (*sys.modules, name) if one.partition(".")[0] == name}
    ours = [one for one in sys.modules if one.startswith("recorder_fsm.status.") and one != service.__name__]
    with mock.patch.dict(sys.modules, loaded):
        for one in ours:
            del sys.modules[one]
        await run_beside(tmp_path, "127.0.0.1:0", lambda: "WARNING" in "".join(log))
    (warning,) = [line for line in log if line.startswith("WARNING")]
    assert name in warning


async def test_defect_is_a_warning(tmp_path: Path, log: list[str]) -> None:
    """So is whatever nobody has thought of, at the start and in a change."""
    with mock.patch.object(StatusServer, "start", side_effect=RuntimeError("never thought of")):
        await run_beside(tmp_path, "127.0.0.1:0", lambda: "WARNING" in "".join(log))
    with mock.patch.object(Board, "changed", side_effect=RuntimeError("never thought of")):
        await run_beside(tmp_path, "127.0.0.1:0", lambda: "the status page did not take a change" in "".join(log))


async def test_page_that_does_not_end_holds_up_no_job(tmp_path: Path, log: list[str]) -> None:
    """The end of the job waits for it for a limited time."""

    async def never(_: StatusServer) -> None:
        await asyncio.Event().wait()

    with mock.patch.object(StatusServer, "stop", never), mock.patch.object(service, "STOP_LIMIT_S", 0.05):
        async with asyncio.timeout(20):
            await run_beside(tmp_path, "127.0.0.1:0", lambda: "status page is at" in "".join(log))


async def test_port_is_free_again_after_the_job(tmp_path: Path, log: list[str]) -> None:
    """Whoever comes next may have it."""
    await run_beside(tmp_path, "127.0.0.1:0", lambda: "status page is at" in "".join(log))
    url = next(line for line in log if "status page is at" in line)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].strip("/")))


def test_recorder_without_it_loads_nothing_of_it() -> None:
    """Where STATUS_ADDR is not set, neither the package nor its libraries cost memory or time."""
    code = "import sys, recorder_fsm.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {name for name in loaded if name.startswith(("aiohttp", "prometheus_client", "recorder_fsm.status"))}
