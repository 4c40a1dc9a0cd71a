"""Blocking calls in daemon threads."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recorder_fsm.system.threads import in_daemon_thread

HANGS = """
import asyncio, os, sys
from recorder_fsm.system.surroundings import end_process
from recorder_fsm.system.threads import run_to_end

async def main():
    asyncio.create_task(asyncio.to_thread(open, sys.argv[1]))  # as a library may
    await asyncio.to_thread(print, "begun", flush=True)
    return 7

end_process(run_to_end(main()))
"""


async def test_result_and_error_come_back() -> None:
    """The caller gets what the function returns, or what it raises."""
    assert await in_daemon_thread(lambda a, b: a + b, 2, 3) == 5
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 // 0)


async def test_thread_is_a_daemon_and_sees_context() -> None:
    """The thread cannot hold the process back, and knows the caller's context variables."""
    name = contextvars.ContextVar("name", default="")
    name.set("job")
    assert await in_daemon_thread(lambda: (threading.current_thread().daemon, name.get())) == (True, "job")


async def test_cancelled_call_returns_while_the_thread_hangs() -> None:
    """A cancelled call does not wait for its thread, and the late result disturbs nobody."""
    release, ended = threading.Event(), threading.Event()

    def hang() -> None:
        release.wait(10)
        ended.set()

    call = asyncio.create_task(in_daemon_thread(hang))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    release.set()
    assert await in_daemon_thread(ended.wait, 10)


def test_thread_may_outlive_its_loop() -> None:
    """A thread that ends after the loop was closed ends quietly."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        release.wait(10)

    async def abandon() -> None:
        call = asyncio.create_task(in_daemon_thread(hang))
        while not threads:  # noqa: ASYNC110 - the thread cannot set an asyncio event
            await asyncio.sleep(0)
        call.cancel()

    asyncio.run(abandon())
    release.set()
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_end_of_the_process_waits_for_no_thread(tmp_path: Path) -> None:
    """Neither the loop nor the interpreter: a volume that hangs holds up nobody's exit code."""
    os.mkfifo(tmp_path / "hangs")
    command = [sys.executable, "-c", HANGS, str(tmp_path / "hangs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (7, "begun\n"), done.stderr
