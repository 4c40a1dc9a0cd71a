"""Logging: two sinks (standard output and the job's `recorder.log`), one line per event, no secrets.

Every line carries the recording id and the state of the job. Redaction happens on the finished line, so nothing that a
library, a traceback or the page's console puts into it can slip past. Logging waits for nobody: both sinks are
written by threads of their own (`system.line_writer`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from loguru import logger

from recorder_fsm.system.line_writer import LineWriter

if TYPE_CHECKING:
    from loguru import Message, Record

MASK = "***"
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
FIRST_OWN_DESCRIPTOR = 3

_ICE_PASSWORD = re.compile(r"(ice-pwd:)[^\s\\\"']+")
_WARNING = logging.WARNING
_context = {"recording_id": "-", "state": "-"}


class Redactor:
    """Replaces secrets in text: the token in each form in which it travels, and ICE passwords (contract 3.5)."""

    def __init__(self, token: str = "") -> None:
        forms = {token, repr(token)[1:-1], json.dumps(token)[1:-1]} if token else set()
        for separators in ((",", ":"), (", ", ": ")) if token else ():
            fragment = json.dumps({"token": token}, separators=separators).encode()
            # Without the padding, which some leave out and others write as %3D.
            forms |= {encode(fragment).decode().rstrip("=") for encode in (base64.urlsafe_b64encode, base64.b64encode)}
        forms |= {quote(form, safe="") for form in forms}
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        return _ICE_PASSWORD.sub(rf"\1{MASK}", text)


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

    def __init__(self, form: str, redact: Redactor) -> None:
        self.form = form
        self.redact = redact
        self.writer: LineWriter | None = None

    def __call__(self, message: Message) -> None:
        """Take a line from loguru."""
        record = message.record
        render = _as_json if self.form == "json" else _as_text
        important = record["level"].no >= _WARNING or bool(record["extra"].get("important"))
        self.put(render(record, self.redact), important=important)

    def put(self, line: str, *, important: bool) -> None:
        if self.writer is not None:
            self.writer.put(self.redact(line), important=important)

    def line(self, text: str, now: datetime) -> str:
        """Return a warning of the log's own, which does not pass through loguru: that may be what is in trouble."""
        text = self.redact(text)
        if self.form == "json":
            return json.dumps(_json_fields(now, "WARNING", __name__, text), ensure_ascii=False) + "\n"
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


def configure(*, level: str = "DEBUG", form: str = "text", redact: Redactor) -> None:
    """Send the log to standard output at `level`, as `text` or `json` lines."""
    logger.remove()
    sink = _Sink(form, redact)
    _output.begin(sink)
    _add_sink(sink, level)
    logging.basicConfig(handlers=[_StandardLibraryBridge()], level=logging.DEBUG, force=True)
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


def add_file(path: Path, *, level: str, form: str, redact: Redactor) -> Callable[[], None]:
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

    sink = _Sink(form, redact)
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
        _output.sink.put(text + "\n", important=True)


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
    configure(redact=Redactor())
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
        for line in lines:
            now = datetime.now(UTC)
            if text := line.strip():
                for sink in (_output.sink, *_files):
                    if sink is not None:
                        sink.put(sink.line(_one_line(text), now), important=True)


def set_context(*, recording_id: str | None = None, state: str | None = None) -> None:
    """Set what every following line says of the job."""
    if recording_id is not None:
        _context["recording_id"] = recording_id
    if state is not None:
        _context["state"] = state


def _add_sink(sink: _Sink, level: str) -> int:
    return logger.add(sink, level=level, format="{message}", backtrace=False, diagnose=False, catch=True)


def _as_text(record: Record, redact: Redactor) -> str:
    text = redact(record["message"])
    if record["exception"] is not None:
        text = f"{_one_line(text)} [{_one_line(redact(_exception_text(record)))}]"
    return _text_line(record["time"], record["level"].name, text)


def _text_line(at: datetime, level: str, text: str) -> str:
    when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return f"{when} {level:<7} {_context['recording_id']} {_context['state']:<14} {_one_line(text)}\n"


def _as_json(record: Record, redact: Redactor) -> str:
    message = redact(record["message"])
    line = _json_fields(record["time"], record["level"].name, record["name"] or "", message)
    if "data" in record["extra"]:
        line["data"] = _for_json(record["extra"]["data"])
    if record["exception"] is not None:
        line["exception"] = redact(_exception_text(record))
    return json.dumps(line, ensure_ascii=False) + "\n"


def _json_fields(at: datetime, level: str, module: str, message: str) -> dict[str, object]:
    when = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"time": when, "level": level, **_context, "module": module, "message": message}


def _for_json(value: object) -> object:
    """Return `value` as JSON can say it: no infinity, and text for what it does not know."""
    if isinstance(value, Mapping):
        return {str(key): _for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _exception_text(record: Record) -> str:
    exception = record["exception"]
    if exception is None or exception.value is None:
        return ""
    return "".join(traceback.format_exception(exception.value))


def _one_line(text: str) -> str:
    return " | ".join(text.splitlines())
