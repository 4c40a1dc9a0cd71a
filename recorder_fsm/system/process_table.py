"""The table of processes: find, watch and kill those that we did not start ourselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

EXIT_POLL_S = 0.1


async def wait_for_exit(pid: int) -> None:
    """Wait until the process `pid` ends, also one that is not our child; returns at once if it has.

    By pidfd_open(2), or by looking again and again where a seccomp filter refuses that: calls-offloader v0.9.0 to
    v0.9.4 does.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        while _lives(pid):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(EXIT_POLL_S)
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is there, and /proc does not show it (hidepid)
        return True


def find_descendant(accept: Callable[[list[str]], bool]) -> int | None:
    """Return the id of our first child, grandchild ... whose command line is accepted."""
    # One by one: psutil's own search ends at the first process of another user where /proc hides those (hidepid).
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if accept(process.cmdline()) and _descends_from_us(process):
                return process.pid
    return None


def _descends_from_us(process: psutil.Process) -> bool:
    while (parent := process.ppid()) not in (0, os.getpid()):
        process = psutil.Process(parent)
    return parent != 0


def kill(pid: int | None) -> None:
    """Kill one process; none, or one that is gone, is fine."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_descendants(spare: Collection[int] = ()) -> int:
    """Kill every process that descends from us, but those in `spare`; returns how many.

    The last resort after all resources are released. What lost its parent is still there where `adopt_orphans` holds.
    """
    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid in spare or process.status() == psutil.STATUS_ZOMBIE or not _descends_from_us(process):
                continue
            process.kill()
            killed += 1
    return killed


def kill_orphans(marker: str) -> int:
    """Kill every process of this user whose command line or environment mentions `marker`; returns how many.

    For those of a job whose recorder was killed: nothing but a path that only this job has gives them away. It is
    looked for in the bytes that the kernel shows: Chromium's programs write theirs anew, with blanks between the words.
    """
    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.uids().real != os.getuid():
                continue
            folder = Path("/proc") / str(process.pid)
            if any(os.fsencode(marker) in (folder / name).read_bytes() for name in ("cmdline", "environ")):
                process.kill()
                killed += 1
    return killed
