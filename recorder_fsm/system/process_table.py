"""The table of processes: find, watch and kill those that we did not start ourselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path

import attrs
import psutil

EXIT_POLL_S = 0.1


@attrs.frozen
class Known:
    """One process: its number, and when it started, in ticks since the machine did. A number alone is given again."""

    pid: int
    started: int

    @property
    def there(self) -> bool:
        """Whether it still has its number; one that has ended and waits for its parent has."""
        return started(self.pid) == self.started


def identify(pid: int) -> Known | None:
    """Return the process that has this number now, None where there is none or /proc does not show it."""
    since = started(pid)
    return None if since is None else Known(pid, since)


def started(pid: int) -> int | None:
    """Return when a process started (proc_pid_stat(5), field 22), None where that is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(fields[fields.rindex(b")") :].split()[20])


async def wait_for_exit(process: Known | None) -> None:
    """Wait until a process ends, also one that is not our child; returns at once if it has, or there was none.

    By pidfd_open(2), or by looking again and again where a seccomp filter refuses that: calls-offloader v0.9.0 to
    v0.9.4 does.
    """
    if process is None:
        return
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:
        while process.there and _lives(process.pid):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(EXIT_POLL_S)
        return
    if not process.there:  # the handle is of another one that has its number now
        os.close(handle)
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


def find_descendant(accept: Callable[[list[str]], bool]) -> Known | None:
    """Return our first child, grandchild ... whose command line is accepted."""
    # One by one: psutil's own search ends at the first process of another user where /proc hides those (hidepid).
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            known = identify(process.pid)
            if known is not None and accept(process.cmdline()) and _descends_from_us(process):
                return known
    return None


def _descends_from_us(process: psutil.Process) -> bool:
    while (parent := process.ppid()) not in (0, os.getpid()):
        process = psutil.Process(parent)
    return parent != 0


def kill(process: Known | None, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal one process; none, or one that is gone, is fine. One that got its number meanwhile is left alone."""
    if process is None:
        return
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:  # it has gone, or a seccomp filter refuses
        handle = -1
    try:
        if process.there:  # so the handle is of this one, whatever becomes of the number from now on
            _signal(handle, process.pid, number)
    finally:
        if handle >= 0:
            os.close(handle)


def _signal(handle: int, pid: int, number: signal.Signals) -> None:
    """Signal by the handle, or by the number where that is refused: the look at it was a moment ago."""
    with contextlib.suppress(OSError):
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        except OSError:
            os.kill(pid, number)


def kill_group(leader: Known) -> None:
    """Kill what is left of the group that `leader` led; none is fine.

    While anybody is in a group, nobody else gets its number. So where another process has it, our group is gone, and
    one of that number is not ours.
    """
    if started(leader.pid) in (None, leader.started):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, signal.SIGKILL)


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
