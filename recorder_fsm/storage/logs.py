"""Logging: two sinks (standard output and the job's `recorder.log`), one line per event, no secrets.

Every line carries the recording id and the state of the job. All that it says passes `plain_text`, so nothing that a
library, a traceback or the page's console puts into it can slip past, break a line or go on without end. Logging waits
for nobody: both sinks are written by threads of their own (`system.line_writer`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from recorder_fsm.plain_text import LINE_CHARS, LOOKED_AT, plain, plain_end, plain_facts
from recorder_fsm.system.line_writer import LineWriter

if TYPE_CHECKING:
    from loguru import Message, Record

QUIET_LIBRARIES = {
    "asyncio": logging.WARNING,
    "urllib3": logging.WARNING,
    "websockets": logging.WARNING,  # at DEBUG it logs every message between driver and browser
    "charset_normalizer": logging.WARNING,
    "transitions": logging.ERROR,  # it warns of each convenience method that `model_override` keeps off the model
}
LOG_MODE = 0o600
LAST_LINES_LIMIT_S = 2.0
"""How long the end of a job waits for a reader who is slow, or does not read at all."""
STRAY_LIMIT_S = 0.5
"""A child that outlives the job may hold the pipe open."""
STANDARD_OUTPUT = "standard output"
LINE_BREAK = " | "
FIRST_OWN_DESCRIPTOR = 3
TRACEBACK_CHARS = 8000
"""The last lines of a traceback say most."""
STRAY_LINE_CHARS = 8 * 1024
"""A longer line of somebody who prints beside the log becomes several."""

_WARNING = logging.WARNING
_context = {"recording_id": "-", "state": "-"}


class _StandardLibraryBridge(logging.Handler):
    """Passes records of the standard library's logging on to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"} else "INFO"
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit: logging never fails its caller
            message = f"{record.msg} {record.args!r}"
        exception = record.exc_info if record.exc_info and record.exc_info[0] else None
        logger.opt(exception=exception).log(level, "{}: {}", record.name, message)


class _Sink:
    """Where lines go: what is written there, in which form, and by which writer."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.writer: LineWriter | None = None

    def __call__(self, message: Message) -> None:
        """Take a line from loguru."""
        record = message.record
        render = _as_json if self.form == "json" else _as_text
        important = record["level"].no >= _WARNING or bool(record["extra"].get("important"))
        self.put(render(record), important=important)

    def put(self, line: str, *, important: bool) -> None:
        if self.writer is not None:
            self.writer.put(line, important=important)

    def line(self, text: str, now: datetime) -> str:
        """Return a warning of the log's own, which does not pass through loguru: that may be what is in trouble."""
        if self.form == "json":
            return _json_line(_json_fields(now, "WARNING", __name__, text))
        return _text_line(now, "WARNING", text)

    def left_out(self, lines: int) -> str:
        return self.line(f"{lines} lines were left out here: nobody took them", datetime.now(UTC))


class _Output:
    """Standard output, the same for all that a process logs. `descriptor` is where it really goes."""

    def __init__(self, descriptor: int = 1) -> None:
        self.descriptor = descriptor
        self.sink: _Sink | None = None
        self.writer: LineWriter | None = None

    def begin(self, sink: _Sink) -> None:
        """Write what `sink` takes; what the one before it took, too."""
        self.sink = sink
        if self.writer is None:
            self.writer = LineWriter(STANDARD_OUTPUT, lambda: self.descriptor, self._left_out, owned=False)
        sink.writer = self.writer

    def _left_out(self, lines: int) -> str:
        return self.sink.left_out(lines) if self.sink is not None else ""


_output = _Output()
_files: list[_Sink] = []


def configure(*, level: str = "DEBUG", form: str = "text") -> None:
    """Send the log to standard output at `level`, as `text` or `json` lines."""
    logger.remove()
    sink = _Sink(form)
    _output.begin(sink)
    _add_sink(sink, level)
    logging.basicConfig(handlers=[_StandardLibraryBridge()], level=logging.DEBUG, force=True)
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


def add_file(path: Path, *, level: str, form: str) -> Callable[[], None]:
    """Append the log to `path` too, readable by its owner alone; returns what ends that.

    A file that cannot be opened or does not open is no reason to do anything else but to say so.
    """

    def open_file() -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(path, flags, LOG_MODE)

    def refused(error: OSError) -> None:
        with contextlib.suppress(ValueError):  # it has ended meanwhile
            _files.remove(sink)
        logger.warning("{} cannot be written ({}): the log is on standard output alone", path, error.strerror)

    sink = _Sink(form)
    sink.writer = writer = LineWriter(path.name, open_file, sink.left_out, on_refusal=refused)
    _files.append(sink)
    number = _add_sink(sink, level)

    def end() -> None:
        with contextlib.suppress(ValueError):  # the log was configured anew
            logger.remove(number)
        with contextlib.suppress(ValueError):  # it was refused
            _files.remove(sink)
        writer.close(LAST_LINES_LIMIT_S)

    return end


def say(text: str) -> None:
    """Write a plain line to standard output, in its place among the lines of the log."""
    if _output.sink is not None:
        _output.sink.put(plain(text) + "\n", important=True)


def note(text: str) -> None:
    """Write a line of the log."""
    logger.info("{}", text)


def left_out() -> dict[str, int]:
    """Return how many lines each sink has left out so far, by its name, for those that left out any."""
    writers = [sink.writer for sink in (_output.sink, *_files) if sink is not None]
    return {writer.name: writer.lost_lines for writer in writers if writer is not None and writer.lost_lines}


def drain(limit_s: float = LAST_LINES_LIMIT_S) -> None:
    """Wait until all that was logged is written, at most `limit_s` seconds."""
    until = time.monotonic() + limit_s
    for sink in (_output.sink, *_files):
        if sink is not None and sink.writer is not None:
            sink.writer.drain(max(0.0, until - time.monotonic()))


@contextmanager
def own_output() -> Iterator[None]:
    """Keep standard output and standard error of this process for the log, until the block ends.

    All that is printed, also by the interpreter, by libraries and by children that inherit either, goes through a pipe
    that is always read, and becomes lines of the log. So nobody waits for a reader, secrets are masked there too, and a
    reader who has gone does not change the exit code. The last lines have `LAST_LINES_LIMIT_S`.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < FIRST_OWN_DESCRIPTOR:
        pass  # one that we were started without: no file of ours may get its number
    os.close(descriptor)
    _output.descriptor = os.dup(1)
    read_end, write_end = os.pipe()
    for number in (1, 2):
        os.dup2(write_end, number)
    os.close(write_end)
    reader = threading.Thread(target=_read_stray_lines, args=(read_end,), name="stray output", daemon=True)
    reader.start()
    configure()
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):  # what the interpreter prints in its last moments reaches nobody, and holds up nobody
            os.dup2(nowhere, number)
        reader.join(STRAY_LIMIT_S)
        drain()


def _read_stray_lines(descriptor: int) -> None:
    with open(descriptor, encoding="utf-8", errors="replace") as lines:
        while line := lines.readline(STRAY_LINE_CHARS):
            now = datetime.now(UTC)
            if text := line.strip():
                for sink in (_output.sink, *_files):
                    if sink is not None:
                        sink.put(sink.line(text, now), important=True)


def set_context(*, recording_id: str | None = None, state: str | None = None) -> None:
    """Set what every following line says of the job."""
    if recording_id is not None:
        _context["recording_id"] = recording_id
    if state is not None:
        _context["state"] = state


def _add_sink(sink: _Sink, level: str) -> int:
    return logger.add(sink, level=level, format="{message}", backtrace=False, diagnose=False, catch=True)


def _as_text(record: Record) -> str:
    trouble = _exception_text(record)
    line = _text_line(record["time"], record["level"].name, record["message"])
    return f"{line.rstrip()} [{trouble}]\n" if trouble else line


def _text_line(at: datetime, level: str, text: str) -> str:
    when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return f"{when} {level:<7} {_context['recording_id']} {_context['state']:<14} {_one_line(text)}\n"


def _as_json(record: Record) -> str:
    line = _json_fields(record["time"], record["level"].name, record["name"] or "", record["message"])
    if "data" in record["extra"]:
        line["data"] = plain_facts(record["extra"]["data"])
    if trouble := _exception_text(record):
        line["exception"] = trouble
    return _json_line(line)


def _json_fields(at: datetime, level: str, module: str, message: str) -> dict[str, object]:
    when = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"time": when, "level": level, **_context, "module": module, "message": _one_line(message)}


def _json_line(fields: dict[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _exception_text(record: Record) -> str:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return ""
    lines = "".join(traceback.format_exception(exception.value)).splitlines()
    return plain_end(LINE_BREAK.join(lines), TRACEBACK_CHARS)


def _one_line(text: str) -> str:
    return plain(LINE_BREAK.join(text[: LOOKED_AT * LINE_CHARS].splitlines()))
