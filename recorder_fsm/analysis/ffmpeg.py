"""ffmpeg and ffprobe as instruments: they read one file that nobody trusts, and write none.

Whatever the file's name or content says, only that file is read: the name is no address and no option, and a playlist
that names other files is no recording. How long a program may take follows from the file's size, the one thing that the
file cannot lie about.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from recorder_fsm.errors import RecordingError
from recorder_fsm.system.process import Finished, run

PROGRAM_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
PROGRAM_LIMIT_S = 600.0
LIMIT_S = (120.0, 6 * 3600.0)
SLOWEST_BYTES_PER_S = 20_000
"""Two seconds of a call in which nothing moves: half of real time is as slow as a machine may be."""
MEASURES_BYTES = 256 * 2**20
"""What ffmpeg prints of each frame of a long recording: some 220 bytes."""
FORMATS = "mov,mp4,matroska,webm,mpegts,ogg,wav,avi,flv"
"""What ffmpeg may take a file for; none of these opens another file."""
TOLD = {
    "moov atom not found": "it has no index (moov): it is no MP4, or its end is missing",
    "not on whitelist": "it is no recording, but a list of other files or something else that is not opened",
}
_ORIGIN = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\] ")


def require_file(path: Path) -> int:
    """Return the size in bytes; raises `RecordingError` for what is no file with something in it."""
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            with path.open("rb"):
                pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RecordingError("The recording cannot be opened.", detail=why, code="unreadable") from error
    if stat.S_ISDIR(found.st_mode):
        raise RecordingError("This is a directory, not a recording.", code="unreadable")
    if not stat.S_ISREG(found.st_mode):
        raise RecordingError("This is a device or a pipe, not a file.", code="unreadable")
    if not found.st_size:
        raise RecordingError("The file is empty.", code="empty")
    return found.st_size


def opened(path: Path) -> list[str]:
    """Return the options with which ffmpeg or ffprobe opens `path`, and nothing else."""
    return ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-i", f"file:{path.absolute()}"]


def reason(said: str, path: Path) -> str:
    """Return why a file cannot be opened, of what ffmpeg or ffprobe said: without places in memory, and once each."""
    bare = [_ORIGIN.sub("", line).removeprefix(f"file:{path.absolute()}: ").strip() for line in said.splitlines()]
    words = "; ".join(dict.fromkeys(line for line in bare if line))
    return next((told for word, told in TOLD.items() if word in words), words)[-500:]


def limit_s(size_bytes: int) -> float:
    """Return how long a program may read a file of this size."""
    least, most = LIMIT_S
    return min(least + size_bytes / SLOWEST_BYTES_PER_S, most)


async def ffmpeg(
    path: Path, *arguments: str, before: tuple[str, ...] = (), most_s: float | None = None, must_succeed: bool = True
) -> Finished:
    """Let ffmpeg read `path`; `before` are options of the input, `arguments` what to do with it.

    Raises `RecordingError` where it fails though it `must_succeed`, `ProgramError` where it takes longer than `most_s`,
    or than a file of this size may.
    """
    argv = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", *before, *opened(path), *arguments]
    limit = limit_s(require_file(path)) if most_s is None else most_s
    finished = await run("ffmpeg", argv, env=PROGRAM_ENV, limit_s=limit, words_bytes=MEASURES_BYTES)
    if finished.returncode and must_succeed:
        raise RecordingError("The recording cannot be read.", detail=finished.stderr[-500:].strip())
    return finished


def escaped(value: str) -> str:
    """Return `value` for use in a filter's option: as an option's value, and then as part of a graph.

    https://ffmpeg.org/ffmpeg-filters.html#Notes-on-filtergraph-escaping
    """
    return re.sub(r"([\\'\[\],;])", r"\\\1", re.sub(r"([\\':])", r"\\\1", value))
