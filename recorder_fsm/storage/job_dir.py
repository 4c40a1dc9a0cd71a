"""The directories of a job: the one that stays (`DATA_DIR/RECORDING_ID`) and the one that goes (sockets, profile).

The job directory is locked while a recorder works in it, so two processes never record into one file. The runtime
directory holds everything that must not survive: the X cookie, the socket of the sound server, the browser profile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder_fsm.errors import DirectoryError

RUNTIME_PREFIX = "recorder-fsm-"
PRIVATE = 0o700
SEGMENT = re.compile(r"live(?:-([0-9]+))?\.mp4")
"""A file that an encoder writes: `live.mp4`, then `live-2.mp4` ... after restarts."""
BUSY = "directory_busy"
"""The code of the error for a directory in which another recorder works."""


class JobDirectory:
    """Holds the job's directory and its lock; ready on entering; the runtime directory is removed on leaving."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "recorder.log"
        self.journal = path / "journal.jsonl"
        self.report = path / "report.json"
        self.poster = path / "poster.png"
        self.screenshot = path / "last-screen.png"
        self._lock: int | None = None
        self._runtime: Path | None = None

    @property
    def runtime(self) -> Path:
        if self._runtime is None:
            raise RuntimeError("the job directory is not held")
        return self._runtime

    def __enter__(self) -> Self:
        """Make and lock the directory; raises `DirectoryError` if it cannot be made, written or locked."""
        try:
            self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._runtime = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX))
            (self._runtime / "tmp").mkdir(mode=PRIVATE)
        except BlockingIOError as error:
            self._unlock()
            raise DirectoryError(
                "Another recorder is already working on this recording.",
                detail=str(self.path),
                code=BUSY,
            ) from error
        except OSError as error:
            self._unlock()
            raise DirectoryError(detail=f"{error.strerror}: {error.filename or self.path}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def segment(self, number: int) -> Path:
        """Return the path of the segment `number`, counted from 1."""
        return self.path / ("live.mp4" if number == 1 else f"live-{number}.mp4")

    def is_segment(self, file: Path) -> bool:
        """Tell whether `file` has the name of a segment."""
        return SEGMENT.fullmatch(file.name) is not None

    def segments(self) -> list[Path]:
        """Return the segments that hold anything, in the order of recording."""
        return segments_in(self.path)

    def free_bytes(self) -> int:
        """Return what an ordinary user may still write on the volume, in bytes."""
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize


def segments_in(path: Path) -> list[Path]:
    """Return the segments in a job's directory that hold anything, in the order of recording."""
    numbered = [(int(match[1] or 1), file) for file in path.glob("*.mp4") if (match := SEGMENT.fullmatch(file.name))]
    return [file for _, file in sorted(numbered) if file.is_file() and file.stat().st_size > 0]


def recordings_in(path: Path) -> list[Path]:
    """Return the recordings in a job's directory that hold anything: finished ones first, then segments."""
    segments = segments_in(path)
    whole = [file for file in path.glob("*.mp4") if file.is_file() and not SEGMENT.fullmatch(file.name)]
    return [*sorted(file for file in whole if file.stat().st_size > 0), *segments]


def remove_runtime(path: str) -> None:
    """Remove the runtime directory of a job that was killed; refuses anything that is not one."""
    runtime = Path(path)
    if runtime.name.startswith(RUNTIME_PREFIX) and runtime.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(runtime, ignore_errors=True)
