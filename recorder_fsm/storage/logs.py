"""Logging: two sinks (standard output and the job's `recorder.log`), one line per event, no secrets.

Every line carries the recording id and the state of the job. Redaction happens on the finished line, so nothing that a
library, a traceback or the page's console puts into it can slip past.
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
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote

from loguru import logger

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

_ICE_PASSWORD = re.compile(r"(ice-pwd:)[^\s\\\"']+")
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


def configure(*, level: str = "DEBUG", form: str = "text", redact: Redactor, stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard output) at `level`, as `text` or `json` lines."""
    logger.remove()
    logger.configure(patcher=_add_context)
    _add_sink(
        (stream or sys.stdout).write,
        level=level,
        form=form,
        redact=redact,
        flush=(stream or sys.stdout).flush,
    )
    logging.basicConfig(handlers=[_StandardLibraryBridge()], level=logging.DEBUG, force=True)
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


def add_file(path: Path, *, level: str, form: str, redact: Redactor) -> Callable[[], None]:
    """Append the log to `path` too, readable by its owner alone; returns what ends that. Raises `OSError`."""
    path.touch(mode=LOG_MODE)
    file = path.open("a", encoding="utf-8", errors="replace", buffering=1)
    sink = _add_sink(file.write, level=level, form=form, redact=redact)

    def end() -> None:
        logger.remove(sink)
        with contextlib.suppress(OSError):  # what a full disk did not take
            file.close()

    return end


def release_stdout() -> None:
    """Let go of standard output: a reader that has gone must not change the exit code (Python would make it 120)."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())


def set_context(*, recording_id: str | None = None, state: str | None = None) -> None:
    """Set what every following line says of the job."""
    if recording_id is not None:
        _context["recording_id"] = recording_id
    if state is not None:
        _context["state"] = state


def _add_context(record: Record) -> None:
    record["extra"].update(_context)


def _add_sink(
    write: Callable[[str], object],
    *,
    level: str,
    form: str,
    redact: Redactor,
    flush: Callable[[], None] = lambda: None,
) -> int:
    render = _as_json if form == "json" else _as_text

    def sink(message: Message) -> None:
        try:
            write(redact(render(message.record, redact)))
            flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not end the recording; the other sink still has the line.
            return

    return logger.add(sink, level=level, format="{message}", backtrace=False, diagnose=False, catch=True)


def _as_text(record: Record, redact: Redactor) -> str:
    when = record["time"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    extra = record["extra"]
    text = _one_line(redact(record["message"]))
    if record["exception"] is not None:
        text += f" [{_one_line(redact(_exception_text(record)))}]"
    return f"{when} {record['level'].name:<7} {extra['recording_id']} {extra['state']:<14} {text}\n"


def _as_json(record: Record, redact: Redactor) -> str:
    line: dict[str, object] = {
        "time": record["time"].astimezone(UTC).isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "recording_id": record["extra"]["recording_id"],
        "state": record["extra"]["state"],
        "module": record["name"] or "",
        "message": redact(record["message"]),
    }
    if "data" in record["extra"]:
        line["data"] = _for_json(record["extra"]["data"])
    if record["exception"] is not None:
        line["exception"] = redact(_exception_text(record))
    return json.dumps(line, ensure_ascii=False) + "\n"


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
