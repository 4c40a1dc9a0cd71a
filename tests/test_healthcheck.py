"""The container's health check, as a program: what the status page says counts, where it is this job's."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from recorder_fsm.errors import CallError
from recorder_fsm.machine.lifecycle import Event
from tests.programs import ENV, ask
from tests.status_stage import Shown, shown

HEALTHCHECK = Path(__file__).parent.parent / "deploy/healthcheck"


async def check(address: str, recording_id: str) -> tuple[int, str]:
    """Run it as a container's engine does; returns its exit code and what it printed."""
    env = {**ENV, "STATUS_ADDR": address, "RECORDING_ID": recording_id}
    done = await ask(str(HEALTHCHECK), env=env)
    assert done.stderr == ""
    return done.returncode, done.stdout.decode().strip()


def its_id(stage: Shown) -> str:
    return stage.job.context.settings.recording_id


async def test_status_page_decides_where_it_is_set() -> None:
    """It is asked on the loopback whatever it is bound to; a failed job is not healthy, and its cause is printed."""
    async with shown("0.0.0.0:0") as stage:
        addresses = [f"{host}:{stage.server.port}" for host in ("", "0.0.0.0")]  # noqa: S104 - asked
        for address in addresses:
            assert await check(address, its_id(stage)) == (0, "init")
        stage.moves(Event.STEP_FAILED, cause=CallError(code="join"))
        assert await check(addresses[0], its_id(stage)) == (1, "failed The recorder could not join the call.")


async def test_page_of_another_job_does_not_count() -> None:
    """On the machine's own network the port may be another recorder's; then it is looked for a process, as before."""
    async with shown() as stage:
        stage.moves(Event.STEP_FAILED, cause=CallError(code="join"))
        assert (await check(f"127.0.0.1:{stage.server.port}", "x" * 26))[1] in ("", "no recorder is running")


async def test_port_that_nobody_has_or_that_is_no_page_does_not_count() -> None:
    """A page that could not begin makes no recorder unhealthy."""
    said = ("", "no recorder is running")
    assert (await check("127.0.0.1:0", "x" * 26))[1] in said
    assert (await check("nonsense", "x" * 26))[1] in said

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-other\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        assert (await check(f"127.0.0.1:{other.sockets[0].getsockname()[1]}", "x" * 26))[1] in said


async def test_recorder_that_does_not_answer_is_not_healthy() -> None:
    """A loop that hangs takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert await check(address, "x" * 26) == (1, "the recorder does not answer")
