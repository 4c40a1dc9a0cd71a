"""The runtime directory of a job: what must not outlive it. The X cookie, the sockets, Chromium's profile.

The profile holds the token, so the directory lies in memory where there is any (`places`), and goes with the recorder,
however that ends: in order by itself, after a SIGKILL by a reaper, a tiny program that waits for our end. What is left
where both were killed, the next start of any job of the user finds: the directory of a recorder that lives is locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from loguru import logger

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.places import Places
from recorder_fsm.system.process import Guard
from recorder_fsm.system.process_table import kill_orphans

RUNTIME_PREFIX = "recorder-fsm."
MADE_HERE = re.compile(rf"{re.escape(RUNTIME_PREFIX)}[a-z0-9_]{{8}}")
"""What mkdtemp makes of the prefix. People have directories called `recorder-fsm.old`."""
MARK = ".made-by-recorder-fsm"
"""An empty file in each that is locked. Nothing is swept without it, whatever it is called."""
LARGE = "tmp"
"""The name of the part for what is large; a link where it lies elsewhere."""
REAPER = Path(__file__).parent / "reaper"
MAKE_TRIES = 5
NO_LOCKS = (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP)


class RuntimeDirectory:
    """A directory for this job alone, with an empty `tmp` in it; to be given back with `remove`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._made: dict[Path, int] = {}
        self._guard: Guard | None = None

    @classmethod
    def make(cls, places: Places, *, spacious: bool = False) -> Self:
        """Make one; raises `DirectoryError` where there is no place for it, `OSError` where it cannot be made.

        `spacious`: `tmp` has to hold a recording.
        """
        private, large = places.choose(spacious=spacious)
        made = cls(places)
        try:
            made._make(private)
            if large == private:
                made.large.mkdir(mode=0o700)
            else:
                made.large.symlink_to(made._make(large))
            made._guard = Guard.start(REAPER, list(made._made))
        except BaseException:
            made.remove()
            raise
        return made

    @property
    def path(self) -> Path:
        if not self._made:
            raise RuntimeError("the runtime directory is not held")
        return next(iter(self._made))

    @property
    def large(self) -> Path:
        """The part for what is large. Its path is as short as the other's, wherever it lies."""
        return self.path / LARGE

    @property
    def guard_pid(self) -> int | None:
        """The process that removes the directory when we are killed."""
        return self._guard.pid if self._guard is not None else None

    def sweep(self) -> None:
        """Remove what killed recorders of this user left, and end what is left of their programs."""
        for place in self._places.all():
            for path in _runtimes_in(place):
                if path not in self._made:
                    with contextlib.suppress(OSError):  # who cannot lock cannot tell whether somebody lives
                        _remove_if_left(path)

    def _make(self, place: Path) -> Path:
        """Make a directory that is ours, and lock it, so that nobody takes it for one that was left."""
        for _ in range(MAKE_TRIES):
            path = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=place))
            try:
                lock = _lock(path)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                logger.warning("{} cannot be locked ({}): after a kill, no next start clears up", path, error.strerror)
                lock = -1
            if lock is not None:  # else another start has it in its hands: it was just made, and looked forlorn
                self._made[path] = lock
                if lock >= 0:  # others may lock where we may not, and would take it for one that was left
                    (path / MARK).touch(mode=0o600)
                return path
        raise DirectoryError(detail=f"no directory could be made in {place}")

    def remove(self) -> None:
        """Remove it and all that is in it. What cannot be removed is left to the guard."""
        for path, lock in self._made.items():
            shutil.rmtree(path, ignore_errors=True)
            if lock >= 0:
                os.close(lock)
        self._made.clear()
        if self._guard is not None:
            self._guard.end()
            self._guard = None


def _runtimes_in(place: Path) -> Iterator[Path]:
    """Return the runtime directories of this user in a place: real ones, whatever else has such a name."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                ours = MADE_HERE.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
                if ours and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    yield place / entry.name


def _remove_if_left(path: Path) -> None:
    lock = _lock(path)
    if lock is None:
        return
    try:
        mark = os.stat(MARK, dir_fd=lock, follow_symlinks=False)
        if not stat.S_ISREG(mark.st_mode) or mark.st_uid != os.geteuid():
            return
        logger.warning("{} was left by a recorder that was killed: it is removed", path)
        if killed := kill_orphans(str(path)):
            logger.warning("{} processes of it were still running and were killed", killed)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a runtime directory; returns None where somebody holds or has removed it, raises `OSError` elsewhere."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
