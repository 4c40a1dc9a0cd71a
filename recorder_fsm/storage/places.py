"""Where a job's temporary files may lie: in memory where there is any with room, never on the volume of the recordings.

A container has 64 MB of memory for files (/dev/shm), a machine half of its own. The first is enough for what must not
get onto a disk: sockets, the X cookie, Chromium's profile. Chromium's shared memory needs more, and leaves nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
from loguru import logger

from recorder_fsm.errors import DirectoryError
from recorder_fsm.system.read_only import is_read_only

MIB = 2**20
SMALL_BYTES = 32 * MIB
"""What a profile may grow to (3 MiB were seen after a minute, a cache of 8 MiB is allowed), and some more."""
LARGE_BYTES = 1024 * MIB
"""Enough for the shared memory of Chromium, too: a frame of 3840 x 2160 takes 32 MiB, and it holds several."""
TIGHT_BYTES = 256 * MIB
"""Enough for a call of usual size: 6 MiB were seen at 1280 x 720."""
LONGEST_BYTES = 36
"""Of a place's path. The address of a socket has 107 bytes at most; Chromium's takes 71 behind the place."""
PLAIN = re.compile(r"/[A-Za-z0-9._/+@-]*")
"""A blank, a quote, a comma mean something in the address of a sound server or a display."""
IN_MEMORY = ("tmpfs", "ramfs")
USUAL = ("/tmp", "/var/tmp")  # noqa: S108 - directories are made in them by mkdtemp
SHARED_MEMORY = "/dev/shm"  # noqa: S108


@attrs.frozen
class Place:
    """A directory in which directories may be made: whether its files are in memory, and what it has room for."""

    path: Path
    in_memory: bool
    free_bytes: int


@attrs.frozen
class Places:
    """The places of one machine. `named` comes from the environment; `usual` and `memory` are there on every Linux."""

    named: tuple[str, ...] = ()
    memory: tuple[str, ...] = (SHARED_MEMORY,)
    usual: tuple[str, ...] = USUAL
    data: Path | None = None
    """The volume of the recordings: it outlives a container, and its room is for recordings. The last choice."""

    @classmethod
    def of(cls, environment: Mapping[str, str], data: Path) -> Places:
        """Return the places that a job with this environment may use."""
        runtime = environment.get("XDG_RUNTIME_DIR", "")
        temporary = environment.get("TMPDIR", "")
        return cls((temporary,) if temporary else (), (SHARED_MEMORY, *([runtime] if runtime else [])), USUAL, data)

    def all(self) -> list[Path]:
        """Return every place that may be used, those with paths of any form included."""
        return [place.path for place in self._usable((*self.named, *self.memory, *self.usual))]

    def choose(self, *, spacious: bool = False) -> tuple[Path, Path]:
        """Return the place for what is private, and the one for what is large; raises `DirectoryError`.

        `spacious`: what is large is a recording.
        """
        usable = list(self._usable((*self.named, *self.memory, *self.usual)))
        every = [place for place in usable if not self._on_volume(place.path)] or usable
        fit = [place for place in every if not form_trouble(place.path)]
        private = (
            _first(fit, in_memory=True, free_bytes=LARGE_BYTES)
            or _first(fit, in_memory=True, free_bytes=SMALL_BYTES)
            or _first(fit, in_memory=False, free_bytes=SMALL_BYTES)
            or next((place for place in fit if not place.in_memory), None)
            or next(iter(fit), None)
        )
        if private is None:
            raise DirectoryError(
                "The recorder has no directory for its temporary files.",
                detail=self._trouble(),
                code="no_temporary_dir",
            )
        if private.free_bytes >= LARGE_BYTES and not spacious:
            return private.path, private.path
        ordinary = [place for place in every if place.path in map(Path, (*self.named, *self.usual))]
        roomiest = max([*ordinary, private], key=lambda place: place.free_bytes)
        large = None if spacious else _first(ordinary, in_memory=False, free_bytes=LARGE_BYTES)
        chosen = large or roomiest
        if chosen.free_bytes < TIGHT_BYTES and not spacious:
            logger.warning(
                "{} has room for {} MiB: it may be too little for Chromium; in a container, give it --tmpfs /tmp",
                *(chosen.path, chosen.free_bytes // MIB),
            )
        return private.path, chosen.path

    def _usable(self, paths: tuple[str, ...]) -> Iterator[Place]:
        seen: set[Path] = set()
        for text in paths:
            path = Path(text)
            if not self._use_trouble(path) and path.resolve() not in seen:
                seen.add(path.resolve())
                yield Place(path, _in_memory(path), _free_bytes(path))

    def _use_trouble(self, path: Path) -> str:
        """Return why nothing can be made in `path`, "" where it can."""
        if not path.is_absolute():
            return "is relative"
        try:
            if not stat.S_ISDIR(path.stat().st_mode):
                return "is no directory"
        except OSError as error:
            return f"{error.strerror}".lower()
        if is_read_only(path):
            return f"is read-only (in a container, give it --tmpfs {path})"
        if not os.access(path, os.W_OK | os.X_OK):
            return "may not be written by this user"
        return ""

    def _on_volume(self, path: Path) -> bool:
        return self.data is not None and path.resolve().is_relative_to(self.data.resolve())

    def _trouble(self) -> str:
        paths = map(Path, dict.fromkeys((*self.named, *self.memory, *self.usual)))
        return "; ".join(f"{path} {self._use_trouble(path) or form_trouble(path)}" for path in paths)


def form_trouble(path: Path) -> str:
    """Return why no socket can lie below `path`, "" where one can."""
    if len(os.fsencode(path)) > LONGEST_BYTES:
        return f"has a path of more than {LONGEST_BYTES} bytes, too long for a socket in it"
    if not PLAIN.fullmatch(str(path)):
        return "has characters in its path that the address of a socket may not have"
    return ""


def _first(places: list[Place], *, in_memory: bool, free_bytes: int) -> Place | None:
    return next(
        (place for place in places if place.in_memory is in_memory and place.free_bytes >= free_bytes),
        None,
    )


def _in_memory(path: Path) -> bool:
    """Tell whether files in `path` are in memory, by the table of mounts (proc_pid_mountinfo(5))."""
    try:
        device = path.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2] == wanted:
            return kind.split()[0] in IN_MEMORY
    return False


def _free_bytes(path: Path) -> int:
    """Return what may still be written in `path`; 0 where the system does not tell: it counts as the last choice."""
    try:
        room = os.statvfs(path)
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize
