"""The directory of a job that stays (`DATA_DIR/RECORDING_ID`). With it goes one that does not: `runtime_dir`.

The job directory is locked while a recorder works in it, so two processes never record into one file.

A job directory that holds a recording and cannot be written, since it belongs to somebody else or the volume is
read-only, can still be published from: what is made of the recording lies in the runtime directory then.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from loguru import logger

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.places import Places
from recorder_fsm.storage.runtime_dir import RuntimeDirectory

WORKSPACE = "workspace"
LOG = "recorder.log"
JOURNAL = "journal.jsonl"
REPORT = "report.json"
SCREENSHOT = "last-screen.png"
PRIVATE = 0o700
SEGMENT = re.compile(r"live(?:-([0-9]+))?\.mp4")
"""A file that an encoder writes: `live.mp4`, then `live-2.mp4` ... after restarts."""
TIMELINE = ("timeline.json", "timeline.vtt")
"""Who spoke when: for whoever may see the recording, and no longer than that, unless it is asked for."""
OF_A_MEETING = re.compile(
    r"live(?:-[0-9]+)?\.mp4|.*\.part|(?:poster|last-screen)\.png|(?:journal|people)\.jsonl|report\.html"
    r"|timeline\.(?:json|vtt)"
)
"""What else we make beside the finished file, in this version or an earlier one. Only log and report outlive it: the
page, which may show frames, is made anew where it is due."""
BUSY = "directory_busy"
"""The code of the error for a directory in which another recorder works."""


class JobDirectory:
    """Holds the job's directory and its lock; ready on entering; the runtime directory is removed on leaving.

    `environment`: where temporary files may lie (TMPDIR, XDG_RUNTIME_DIR).
    """

    def __init__(self, path: Path, environment: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._places = Places.of(environment or {}, path.parent)
        self.log = path / LOG
        self.journal = path / JOURNAL
        self.report = path / REPORT
        self.screenshot = path / SCREENSHOT
        self.people = path / "people.jsonl"
        self.read_only = False
        """Whether the directory can be read, but not written. It holds a recording then."""
        self._lock: int | None = None
        self._runtime: RuntimeDirectory | None = None

    @property
    def runtime(self) -> Path:
        return self._held.path

    @property
    def guard_pid(self) -> int | None:
        """The process that clears up when we are killed (`runtime_dir`)."""
        return self._held.guard_pid

    @property
    def _held(self) -> RuntimeDirectory:
        if self._runtime is None:
            raise RuntimeError("the job directory is not held")
        return self._runtime

    @property
    def workspace(self) -> Path:
        """Where recordings are found and made: the job's directory, or links to its files where that is read-only."""
        return self._held.large / WORKSPACE if self.read_only else self.path

    def __enter__(self) -> Self:
        """Make and lock the directory; raises `DirectoryError` if it cannot be made, written or locked.

        One that cannot be written is entered all the same where it holds a recording that can be read.
        """
        try:
            if self.path.is_symlink():  # what is recorded and removed here must not be somebody's elsewhere
                raise DirectoryError(detail=f"{self.path} is a link; a job's directory must be one itself")
            self.path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            self.read_only = not os.access(self.path, os.W_OK | os.X_OK)
            if self.read_only and not recordings_in(self.path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            _lock(self._lock, self.path)
            self._runtime = RuntimeDirectory.make(self._places, spacious=self.read_only)
            if self.read_only:
                self._link_recordings()
        except BlockingIOError as error:
            self._unlock()
            raise DirectoryError(
                "Another recorder is already working on this recording.",
                detail=str(self.path),
                code=BUSY,
            ) from error
        except DirectoryError:
            self._leave()
            raise
        except OSError as error:
            self._leave()
            raise DirectoryError(detail=f"{error.strerror}: {error.filename or self.path}") from error
        return self

    def _link_recordings(self) -> None:
        logger.warning("{} cannot be written: nothing of this job is written down or removed there", self.path)
        self.workspace.mkdir(mode=PRIVATE)
        for recording in recordings_in(self.path):
            (self.workspace / recording.name).symlink_to(recording)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._runtime is not None:
            self._runtime.remove()
            self._runtime = None
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
        return segments_in(self.workspace)

    def remove(self, file: Path) -> None:
        """Remove a file that nobody needs any more. One that cannot be removed is no fault of the job."""
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("{} could not be removed: {}", file, error.strerror)

    @property
    def timeline(self) -> tuple[Path, Path]:
        """Who spoke when, as JSON and as WebVTT, beside the recording."""
        return self.workspace / TIMELINE[0], self.workspace / TIMELINE[1]

    def tidy(self, *, keep_timeline: bool = False) -> None:
        """Remove all that shows or tells of a meeting of which nothing is kept here: frames, parts, names, the journal.

        Volumes outlive jobs. The journal goes last: until then it says that there is nothing left to do.
        """
        if self.read_only:
            return
        try:
            ours = [file for file in self.path.iterdir() if OF_A_MEETING.fullmatch(file.name)]
        except OSError as error:
            logger.warning("{} cannot be looked at: {}", self.path, error.strerror)
            return
        for file in sorted(ours, key=lambda file: file == self.journal):
            if not (keep_timeline and file.name in TIMELINE):
                self.remove(file)

    def sweep(self) -> None:
        """Remove what killed recorders of this user left beside our runtime directory, and end their programs."""
        self._held.sweep()

    def free_bytes(self) -> int:
        """Return what an ordinary user may still write where recordings are made, in bytes.

        Where the system does not tell, a great deal: that there is none shows in time, too.
        """
        try:
            stat = os.statvfs(self.workspace)
        except OSError as error:
            logger.debug("free space is not known: {}", error.strerror)
            return sys.maxsize
        return stat.f_bavail * stat.f_frsize


def _lock(descriptor: int, path: Path) -> None:
    """Lock the directory; raises `BlockingIOError` where another recorder has done so."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:  # a file system or a seccomp filter that knows no locks
        logger.warning("{} cannot be locked ({}): nothing keeps a second recorder out", path, error.strerror)


def segments_in(path: Path) -> list[Path]:
    """Return the segments in a job's directory that hold anything, in the order of recording."""
    numbered = [(int(match[1] or 1), file) for file in path.glob("*.mp4") if (match := SEGMENT.fullmatch(file.name))]
    return [file for _, file in sorted(numbered) if file.is_file() and file.stat().st_size > 0]


def recordings_in(path: Path) -> list[Path]:
    """Return the recordings in a job's directory that hold anything: finished ones first, then segments."""
    segments = segments_in(path)
    whole = [file for file in path.glob("*.mp4") if file.is_file() and not SEGMENT.fullmatch(file.name)]
    return [*sorted(file for file in whole if file.stat().st_size > 0), *segments]
