"""The stop request, by real signals to real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recorder_fsm.system.signals import STOP_SIGNALS, StopRequest

NAMES = [number.name for number in STOP_SIGNALS]
BEFORE_THE_LOOP = """
import asyncio, os, signal
from recorder_fsm.system.signals import StopRequest

stop = StopRequest()
stop.install()
os.kill(os.getpid(), signal.{name})
first = stop.requested_at
os.kill(os.getpid(), signal.{name})

async def main():
    stop.attach(asyncio.get_running_loop())
    await asyncio.wait_for(stop.wait(), 5)

asyncio.run(main())
assert first is not None and stop.requested_at == first
print("orderly")
"""

IN_THE_LOOP = """
import asyncio, sys
from recorder_fsm.system.signals import StopRequest

stop = StopRequest()
stop.install()

async def main():
    stop.attach(asyncio.get_running_loop())
    print("ready", flush=True)
    await asyncio.wait_for(stop.wait(), 20)
    print("stopping", flush=True)
    first = stop.requested_at
    await asyncio.to_thread(sys.stdin.readline)
    assert stop.requested_at == first

asyncio.run(main())
print("orderly")
"""

AFTER_THE_LOOP = """
import asyncio, os, signal
from recorder_fsm.system.signals import StopRequest

stop = StopRequest()
stop.install()

async def main():
    stop.attach(asyncio.get_running_loop())

asyncio.run(main())
os.kill(os.getpid(), signal.{name})
print("orderly")
"""

UNDER_NOHUP = """
import os, signal
from recorder_fsm.system.signals import StopRequest

stop = StopRequest()
stop.install()
os.kill(os.getpid(), signal.SIGHUP)
print(stop.requested_at is None)
"""

HANGS = """
import os, sys
from recorder_fsm.system.signals import StopRequest

stop = StopRequest()
stop.install()
stop.end_within(0.5)
stop.end_within(600)
print("ready", flush=True)
open(sys.argv[1])  # a pipe that nobody opens at its other end: the call is not done, whatever comes
os._exit(0)
"""


async def run(code: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.parametrize("name", NAMES)
async def test_signal_before_the_loop_is_remembered(name: str) -> None:
    """Neither kills the process nor gets lost; the first one counts."""
    assert await run(BEFORE_THE_LOOP.format(name=name)) == (0, "orderly\n")


@pytest.mark.parametrize("name", NAMES)
async def test_signal_after_the_loop_does_not_spoil_the_exit_code(name: str) -> None:
    """A second signal in the last moments, when the loop has closed, must not turn a published job into exit 143."""
    assert await run(AFTER_THE_LOOP.format(name=name)) == (0, "orderly\n")


@pytest.mark.parametrize("first", STOP_SIGNALS, ids=lambda number: number.name)
async def test_signal_wakes_a_loop_that_waits_and_later_ones_are_absorbed(first: signal.Signals) -> None:
    """One orderly stop: a loop with nothing else to do wakes up at once, and three more signals change nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IN_THE_LOOP), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(first)
        assert await process.stdout.readline() == b"stopping\n"
        for number in (*STOP_SIGNALS, signal.SIGTERM):
            process.send_signal(number)
        process.stdin.write(b"go on\n")
        await process.stdin.drain()
        assert await process.stdout.readline() == b"orderly\n"
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_all_who_wait_are_woken() -> None:
    """The loop and others may wait at the same time, and who comes later does not wait at all."""
    stop = StopRequest()
    waiting = [asyncio.create_task(stop.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    stop.request()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
        await stop.wait()


async def test_who_stops_waiting_is_forgotten() -> None:
    """A cancelled wait leaves nothing behind and disturbs nobody."""
    stop = StopRequest()
    one, other = (asyncio.create_task(stop.wait()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    stop.request()
    async with asyncio.timeout(5):
        await other


async def test_time_of_the_first_request_is_kept() -> None:
    """Deadlines count from the first signal, not from the last."""
    stop = StopRequest()
    stop.request()
    first = stop.requested_at
    stop.request()
    assert first is not None
    assert stop.requested_at == first


def test_terminal_that_closes_stops_nothing_under_nohup() -> None:
    """Whoever starts it so wants it to go on without the terminal."""
    command = ["nohup", sys.executable, "-c", UNDER_NOHUP]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "True\n"


def test_signals_are_those_that_would_end_the_process_with_no_word() -> None:
    """What launchers, shells, terminals and people at keyboards send."""
    assert set(NAMES) == {"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"}


async def test_call_that_hangs_is_no_reason_to_stay(tmp_path: Path) -> None:
    """A volume that does not answer keeps every handler from being run, and the process from ending."""
    os.mkfifo(tmp_path / "hangs")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HANGS, str(tmp_path / "hangs")), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
