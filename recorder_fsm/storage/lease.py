"""The lease: which recorder works in a job's directory, written down for the other hosts of a shared volume.

A lock (flock(2)) keeps a second process of the same kernel out, and often no more: many network file systems keep locks
to themselves. So whoever works in the directory writes down who it is, and counts while it lives. Who finds such a note
watches it: one that counts is alive, one that has stood still for `EXPIRES_S` has expired, and may be replaced. Only
the watcher's own clock is used for that, so clocks may differ. A recorder that stood still for so long finds another's
note in the place of its own, and then publishes and removes nothing (`check`).

A note of the same boot of the same kernel needs no watching: there the lock on it tells at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import attrs
from loguru import logger

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.job_dir import BUSY
from recorder_fsm.system.clock import Stopwatch, running_timeout
from recorder_fsm.system.process_table import started
from recorder_fsm.system.threads import in_daemon_thread

NAME = "lease.json"
NOTE_BYTES = 512
"""Every note has this length: it is written in one go, over the one before it."""
BEAT_S = 2.0
LOOK_S = 1.0
EXPIRES_S = 30.0
"""Of another host: long enough for a volume that is slow, short enough for a person who waits."""
EXPIRES_HERE_S = 6.0
"""Of an earlier boot of this host: nobody from then can count any more, unless two hosts have one name."""
SETTLE_S = 1.0
"""After another's note was replaced: of two that do so at once, the last one stays."""
UNREADABLE = b"unreadable"
DISK_LIMIT_S = 20.0
LOST = "lease_lost"

T = TypeVar("T")


@attrs.frozen
class Holder:
    """Who holds a lease. `key` is made anew for each process; the rest says where to look for it."""

    key: str
    host: str
    boot: str
    pid: int
    started: int

    @classmethod
    def here(cls) -> Self:
        """Return this process."""
        boot, machine = (_text(Path(path)) for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"))
        host = f"{os.uname().nodename} {machine}".strip()
        return cls(secrets.token_hex(8), host, boot, os.getpid(), started(os.getpid()) or 0)


class Lease:
    """Holds the lease of one job's directory; ready on entering, given up on leaving.

    `stop_asked`: whether waiting for another's lease has become pointless. `me` and `expires_s` are for tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stop_asked: Callable[[], bool] = lambda: False,
        me: Holder | None = None,
        expires_s: float = EXPIRES_S,
    ) -> None:
        self.path = folder / NAME
        self._me = me or Holder.here()
        self._stop_asked = stop_asked
        self._expires_s = expires_s
        self._note: int | None = None
        """Descriptor of our own note, None where none could be written."""
        self._passed: bytes | None = None
        """Another's note that counted as dead."""
        self._beats = 0
        self._writing = threading.Lock()
        self._ended = threading.Event()

    async def __aenter__(self) -> Self:
        """Take the lease; raises `DirectoryError` where another recorder lives. A volume that refuses it has none."""
        try:
            while not await self._in_time(self._begin):
                if await self._is_dead():
                    await self._in_time(self._replace)
                    await asyncio.sleep(SETTLE_S)
                    if await self._in_time(self._taken_from_us):
                        raise _busy(self.path)
                    break
        except OSError as error:
            logger.warning("no lease can be written ({}): nothing tells other hosts that we work here", error)
        except BaseException:
            self._let_go()
            raise
        threading.Thread(target=self._count, name="lease", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            await self._in_time(self._give_up)

    async def ours(self) -> bool:
        """Tell whether the directory is still ours, as far as anybody can tell."""
        try:
            return not await self._in_time(self._taken_from_us)
        except OSError:
            return False

    async def check(self) -> None:
        """See that the directory is still ours; raises `DirectoryError` where it is not, or where nobody can tell."""
        try:
            taken = await self._in_time(self._taken_from_us)
        except OSError as error:
            raise DirectoryError(detail=f"whether {self.path} is still ours cannot be told: {error}") from error
        if taken:
            raise DirectoryError(
                "Another recorder has taken this recording over.",
                detail=f"{self.path} is another's: this recorder stood still, or lost its volume, for too long",
                code=LOST,
            )

    async def _in_time(self, func: Callable[[], T]) -> T:
        """Do something on the volume, which may hang; raises `OSError`, also where it takes over `DISK_LIMIT_S`."""
        async with running_timeout(DISK_LIMIT_S):
            return await in_daemon_thread(func)

    def _begin(self) -> bool:
        """Write the first note; returns whether there was none."""
        if self.path.exists():
            return False
        with self._written() as part:
            try:
                _put(part, self.path)
            except FileExistsError:
                self._let_go()
                return False
        return True

    def _replace(self) -> None:
        with self._written() as part:
            part.rename(self.path)

    @contextlib.contextmanager
    def _written(self) -> Iterator[Path]:
        """Write our note beside its place, locked before anybody can find it."""
        part = self.path.with_name(f"lease-{self._me.key}.part")
        self._note = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError):  # no locks here: then the counting alone tells
                fcntl.flock(self._note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write()
            yield part
        except BaseException:
            self._let_go()
            raise
        finally:
            with contextlib.suppress(OSError):
                part.unlink()

    def _write(self) -> None:
        if self._note is not None:
            note = json.dumps({**attrs.asdict(self._me), "beats": self._beats})
            os.pwrite(self._note, note.encode()[: NOTE_BYTES - 1].ljust(NOTE_BYTES - 1) + b"\n", 0)
            os.close(os.dup(self._note))  # has a network volume sent it to its server, and costs a disk nothing

    def _count(self) -> None:
        failing = False
        while self._note is not None and not self._ended.wait(BEAT_S):
            self._beats += 1
            try:
                if self._taken_from_us():
                    logger.error("another recorder has taken {} over: nothing more is published here", self.path.parent)
                    return
                with self._writing:
                    self._write()
                failing = False
            except OSError as error:
                if not failing:
                    logger.warning("the lease cannot be renewed: {}", error)
                failing = True

    def _taken_from_us(self) -> bool:
        """Tell whether there is another's note; one of ours that somebody removed is written anew."""
        with self._writing:
            now = self._look()
            if self._note is None:
                return now != self._passed
            if now is None and not self._ended.is_set():
                self._let_go()
                self._begin()
                now = self._look()
            if now is not None and now.startswith(UNREADABLE):  # somebody gave the directory away
                return self.path.stat().st_ino != os.fstat(self._note).st_ino
            return now is not None and _holder(now) != self._me

    async def _is_dead(self) -> bool:
        """Watch another's note until it has expired, or has gone (returns False).

        Raises `DirectoryError` where its holder lives.
        """
        first = await self._in_time(self._look)
        if first is None:
            return False
        self._passed = first
        there = _holder(first)
        verdict = await self._in_time(lambda: self._known_here(there))
        if verdict is not None:
            if verdict:
                raise _busy(self.path)
            return True
        limit_s = min(EXPIRES_HERE_S, self._expires_s) if self._same_host(there) else self._expires_s
        logger.warning("{} is of a recorder on another host or boot: it is watched for {:g} s", self.path, limit_s)
        watch = Stopwatch()
        while watch.elapsed_s() < limit_s:
            await asyncio.sleep(LOOK_S)
            now = await self._in_time(self._look)
            if now is None:
                return False
            self._passed = now
            if now != first or self._stop_asked():
                raise _busy(self.path)
        logger.warning("{} has not changed for {:g} s: it has expired", self.path, limit_s)
        return True

    def _look(self) -> bytes | None:
        """Return the note that is there; opened anew each time, since only that asks the server of a network volume."""
        try:
            with self.path.open("rb") as file:
                return file.read(NOTE_BYTES)
        except FileNotFoundError:
            return None
        except PermissionError:  # another user's: whether it changes can be seen all the same
            there = self.path.stat()
            return UNREADABLE + f" {there.st_ino}, written at {there.st_mtime_ns}".encode()

    def _known_here(self, there: Holder | None) -> bool | None:
        """Return whether the holder of a note of our own boot lives, None where only watching tells."""
        if there is None or not there.boot or there.boot != self._me.boot:
            return None
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks here
            return True if started(there.pid) == there.started else None
        finally:
            os.close(handle)
        return False

    def _same_host(self, there: Holder | None) -> bool:
        return there is not None and bool(there.host) and there.host == self._me.host

    def _give_up(self) -> None:
        if self._note is not None and not self._taken_from_us():
            self.path.unlink(missing_ok=True)
        self._let_go()

    def _let_go(self) -> None:
        note, self._note = self._note, None
        if note is not None:
            os.close(note)


def _put(part: Path, path: Path) -> None:
    """Give a written note its place; raises `FileExistsError` where there is one."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        part.rename(path)


def _busy(path: Path) -> DirectoryError:
    return DirectoryError("Another recorder is already working on this recording.", detail=str(path), code=BUSY)


def _holder(note: bytes) -> Holder | None:
    """Return who wrote a note, None where it is none."""
    try:
        found = json.loads(note)
        key, host, boot = (str(found[field]) for field in ("key", "host", "boot"))
        return Holder(key, host, boot, int(found["pid"]), int(found["started"]))
    except (ValueError, KeyError, TypeError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
