"""Reads what a job left in its directory. A killed job leaves half of it, and a damaged volume leaves anything.

Nothing is followed, waited for or read without an end: no link, no pipe, no file that grows. Every text passes
`plain_text` once more.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.errors import RecorderError
from recorder_fsm.plain_text import plain
from recorder_fsm.storage.job_dir import JOURNAL, LOG, REPORT, SCREENSHOT, recordings_in
from recorder_fsm.storage.lease import EXPIRES_S
from recorder_fsm.storage.lease import NAME as LEASE

REPORT_BYTES = 8 * 2**20
JOURNAL_BYTES = 2 * 2**20
PICTURE_BYTES = 8 * 2**20
LOG_HEAD_BYTES = 256 * 1024
LOG_TAIL_BYTES = 4 * 2**20
HEAD_LINES = 200
TAIL_LINES = 2000
LINE_CHARS = 1000
WORDS_CHARS = 3000
MOST_ENTRIES = 2000
"""Of a list in a file; of columns of samples too, which have 720."""
DEEPEST = 12
MOST = 2.0**60

_TEXT_LINE = re.compile(r"(\S+Z) +([A-Z]+) +(\S+) (\S+) +(.*)")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class NotAJobError(RecorderError):
    code = "no_job"
    sentence = "This is not the directory of a job."


@attrs.frozen
class LogLine:
    """One line of the log; `level` is one of `LEVELS`, "" where the line is in no form of ours."""

    at: str
    level: str
    state: str
    text: str


@attrs.frozen
class Evidence:
    """What was found. `report` is {} where there is none, or none of this start; `journal` are the facts of all starts.

    `left_out`: how many lines of the log are missing between `log_head` and `log_tail`, None where nobody counted.
    `recordings` are names and sizes. `running`: a recorder seems to work there; one that wrote its report has ended.
    `ended_at`: when it wrote something last, in seconds since 1970, None where that is not known. `problems` says what
    could not be read.
    """

    folder: Path
    report: Mapping[str, Any] = attrs.Factory(dict)
    journal: tuple[Mapping[str, Any], ...] = ()
    log_head: tuple[LogLine, ...] = ()
    log_tail: tuple[LogLine, ...] = ()
    left_out: int | None = 0
    screenshot: bytes | None = None
    recordings: tuple[tuple[str, int], ...] = ()
    running: bool = False
    ended_at: float | None = None
    problems: tuple[str, ...] = ()


class _Reader:
    """Reads files of one directory, and keeps what was wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.seen: dict[str, os.stat_result] = {}

    def content(self, name: str, most: int) -> bytes | None:
        """Return a file whole, None where it is not there, not a file, or too large."""
        if (opened := self._opened(name)) is None:
            return None
        descriptor, size = opened
        with os.fdopen(descriptor, "rb") as file:
            if size > most:
                self.problems.append(f"{name} is too large to be shown ({size} bytes)")
                return None
            return self._read(name, file, most)

    def ends(self, name: str, head: int, tail: int) -> tuple[bytes, bytes | None]:
        """Return the begin of a file and its end, None for the end where the begin is all of it."""
        if (opened := self._opened(name)) is None:
            return b"", None
        descriptor, size = opened
        with os.fdopen(descriptor, "rb") as file:
            if size <= head + tail:
                return self._read(name, file, head + tail), None
            begin = self._read(name, file, head)
            with contextlib.suppress(OSError):
                file.seek(size - tail)
            return begin, self._read(name, file, tail)

    def _read(self, name: str, file: Any, most: int) -> bytes:
        try:
            content: bytes = file.read(most)
        except OSError as error:
            self.problems.append(f"{name} cannot be read: {error.strerror}")
            return b""
        return content

    def _opened(self, name: str) -> tuple[int, int] | None:
        try:
            # Not through a link, and without waiting for whoever has the other end of a pipe.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            descriptor = os.open(self.folder / name, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            why = "it is a link" if (self.folder / name).is_symlink() else error.strerror
            self.problems.append(f"{name} is not read: {why}")
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            self.problems.append(f"{name} is not read: it is no file")
            return None
        self.seen[name] = found
        return descriptor, found.st_size


def read_evidence(folder: Path) -> Evidence:
    """Return what is there; raises `NotAJobError` where `folder` is not the directory of a job."""
    _refuse_other_directories(folder)
    reader = _Reader(folder)
    journal = _journal(reader)
    report = _report(reader)
    head, tail, left_out = _log(reader)
    picture = reader.content(SCREENSHOT, PICTURE_BYTES)
    reader.content(LEASE, JOURNAL_BYTES)
    recordings = _recordings(reader)
    lease = reader.seen.pop(LEASE, None)
    times = [found.st_mtime for found in reader.seen.values()]  # they are those of a copy, where this is one
    if report and _is_of_an_earlier_start(reader, journal):
        reader.problems.append(f"{REPORT} is of an earlier start of this job and is not shown: the last one left none")
        report = {}
    return Evidence(
        folder=folder,
        report=report,
        journal=journal,
        log_head=head,
        log_tail=tail,
        left_out=left_out,
        screenshot=picture,
        recordings=recordings,
        running=not report and lease is not None and abs(time.time() - lease.st_mtime) < EXPIRES_S,
        ended_at=_last_moment(journal, (*head, *tail)) or max(times, default=None),
        problems=tuple(reader.problems),
    )


def _refuse_other_directories(folder: Path) -> None:
    traces = (REPORT, JOURNAL, LOG)
    try:
        names = set(os.listdir(folder))  # noqa: PTH208 - names are all that is needed
    except NotADirectoryError as error:
        raise NotAJobError(detail=f"{folder} is a file; a job's directory is DATA_DIR/RECORDING_ID") from error
    except OSError as error:
        raise NotAJobError(detail=f"{folder} cannot be read: {error.strerror}") from error
    if names.isdisjoint(traces) and not recordings_in(folder):
        jobs = [name for name in sorted(names) if any((folder / name / trace).is_file() for trace in traces)]
        hint = (
            f"it holds {len(jobs)} of them, {plain(jobs[0], 80)} for example" if jobs else "none of its files is there"
        )
        raise NotAJobError(detail=f"{folder} is not the directory of a job: {hint}")


def _report(reader: _Reader) -> dict[str, Any]:
    content = reader.content(REPORT, REPORT_BYTES)
    if content is None:
        return {}
    try:
        found = _plain(json.loads(content.decode(errors="replace")))
    except (ValueError, RecursionError, MemoryError):
        reader.problems.append(f"{REPORT} cannot be read: it was cut, or is damaged")
        return {}
    if not isinstance(found, dict):
        reader.problems.append(f"{REPORT} cannot be read: it is no report")
        return {}
    return found


def _journal(reader: _Reader) -> tuple[Mapping[str, Any], ...]:
    facts: list[Mapping[str, Any]] = []
    for line in (reader.content(JOURNAL, JOURNAL_BYTES) or b"").split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):  # one that a crash cut in half
            fact = _plain(json.loads(line.decode(errors="replace")))
            if isinstance(fact, dict):
                facts.append(fact)
    return tuple(facts[-MOST_ENTRIES:])


def _is_of_an_earlier_start(reader: _Reader, journal: tuple[Mapping[str, Any], ...]) -> bool:
    """Tell whether a process began after the report was written: it has written none yet, and perhaps never will."""
    starts = [str(fact.get("at", "")) for fact in journal if fact.get("fact") == "process_started"]
    written = reader.seen[REPORT].st_mtime
    return bool(starts) and (seconds_of(starts[-1]) or 0.0) > written


def _last_moment(journal: tuple[Mapping[str, Any], ...], lines: tuple[LogLine, ...]) -> float | None:
    logged = next((line.at for line in reversed(lines) if seconds_of(line.at) is not None), "")
    moments = (seconds_of(logged), seconds_of(str(journal[-1].get("at", ""))) if journal else None)
    return max((moment for moment in moments if moment is not None), default=None)


def seconds_of(moment: str) -> float | None:
    """Return seconds since 1970 of a moment as journal, log and report write it; None where it is none."""
    from datetime import UTC, datetime  # noqa: PLC0415 - only a page needs it

    try:
        at = datetime.fromisoformat(moment)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _log(reader: _Reader) -> tuple[tuple[LogLine, ...], tuple[LogLine, ...], int | None]:
    begin, end = reader.ends(LOG, LOG_HEAD_BYTES, LOG_TAIL_BYTES)
    lines = [line for line in begin.split(b"\n") if line.strip()]
    if end is None:
        head, rest = lines[:HEAD_LINES], lines[HEAD_LINES:]
        tail, left_out = rest[-TAIL_LINES:], max(0, len(rest) - TAIL_LINES)
        return _lines(head), _lines(tail), left_out
    last = [line for line in end.split(b"\n")[1:] if line.strip()]  # the first one was cut
    return _lines(lines[:HEAD_LINES]), _lines(last[-TAIL_LINES:]), None


def _lines(raw: list[bytes]) -> tuple[LogLine, ...]:
    return tuple(_line(line[: 4 * WORDS_CHARS].decode(errors="replace"), whole=line) for line in raw)


def _line(text: str, whole: bytes) -> LogLine:
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(whole.decode(errors="replace"))
            if isinstance(fields, dict):
                words = " ".join(str(fields[key]) for key in ("message", "exception") if fields.get(key))
                at, level, state = (str(fields.get(key, "")) for key in ("time", "level", "state"))
                return _log_line(at, level, state, words)
    if match := _TEXT_LINE.fullmatch(text.strip()):
        return _log_line(match[1], match[2], match[4], match[5])
    return LogLine("", "", "", plain(text, LINE_CHARS))


def _log_line(at: str, level: str, state: str, text: str) -> LogLine:
    return LogLine(plain(at, 40), level if level in LEVELS else "", plain(state, 40), plain(text, LINE_CHARS))


def _recordings(reader: _Reader) -> tuple[tuple[str, int], ...]:
    found = []
    with contextlib.suppress(OSError):
        for path in recordings_in(reader.folder):
            if not path.is_symlink():
                reader.seen[path.name] = path.stat()
                found.append((plain(path.name, 200), path.stat().st_size))
    return tuple(found[:MOST_ENTRIES])


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what JSON said, with texts made plain, numbers that are numbers, and lists and depths that have an end."""
    if depth > DEEPEST:
        return None
    if isinstance(value, str):
        return plain(value, WORDS_CHARS)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if -MOST < value < MOST and math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value[:MOST_ENTRIES]]
    return {plain(str(key), 100): _plain(one, depth + 1) for key, one in list(value.items())[:MOST_ENTRIES]}
