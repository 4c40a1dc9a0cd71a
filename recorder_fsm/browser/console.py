"""The page's console: what of it is logged, what is left out and counted, and the last errors for causes.

A page may write without end, and hours of it must not fill the volume; what explains a fault must not be lost in it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from loguru import logger

from recorder_fsm.browser.devtools import Message, Session
from recorder_fsm.plain_text import plain

KEPT_ERRORS = 10
ERROR_CHARS = 300
LINE_CHARS = 2000
WINDOW_S = 60.0
LIMIT_BYTES = 256 * 1024
"""So many bytes of the console are logged in a minute."""
RESERVED_BYTES = 64 * 1024
"""The part of them that is kept for warnings and errors."""
GRAVE = frozenset({"error", "warning", "assert"})


class Console:
    """Logs the lines of one page. `errors` are its last errors, each cut to `ERROR_CHARS`."""

    def __init__(self) -> None:
        self.errors: deque[str] = deque(maxlen=KEPT_ERRORS)
        self._began = time.monotonic()
        self._logged_bytes = 0
        self._left_out: Counter[str] = Counter()

    def heard(self, kind: str, text: str) -> None:
        """Take a line: log it where the minute has room for it, else count it."""
        if kind in ("error", "assert"):
            self.errors.append(plain(text, ERROR_CHARS))
        now = time.monotonic()
        if now - self._began >= WINDOW_S:
            self.tell_left_out()
            self._began, self._logged_bytes = now, 0
        room = LIMIT_BYTES - (0 if kind in GRAVE else RESERVED_BYTES) - self._logged_bytes
        line = plain(text, LINE_CHARS) if room > 0 else ""  # a page that floods us is not read any more
        size = len(line.encode())
        if room <= 0 or size > room:
            self._left_out[kind] += 1
            return
        self._logged_bytes += size
        logger.bind(important=kind in GRAVE).debug("console {}: {}", kind, line)

    def tell_left_out(self) -> None:
        """Log how many lines of which kind were not logged."""
        if self._left_out:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self._left_out.items()))
            logger.debug("console: lines left out because there were too many: {}", counts)
            self._left_out.clear()


def listen_to_console(session: Session, heard: Callable[[str, str], None]) -> None:
    """Pass on the console's lines and uncaught errors as kind and text; Runtime must be enabled."""

    def called(params: Message) -> None:
        heard(str(params["type"]), " ".join(said(arg) for arg in params["args"]))
        # Chromium keeps the objects that were logged alive for us, for hours, until we let them go.
        if any("objectId" in arg for arg in params["args"]):
            session.tell("Runtime.releaseObjectGroup", {"objectGroup": "console"})

    session.on("Runtime.consoleAPICalled", called)
    session.on("Runtime.exceptionThrown", lambda params: heard("error", thrown(params)))


def thrown(params: Message) -> str:
    """Return the text of an exception that nobody caught, of a `Runtime.exceptionThrown`."""
    details = params["exceptionDetails"]
    return said(details.get("exception", {})) or str(details.get("text"))


def said(value: Mapping[str, Any]) -> str:
    """Return the text of a value as the protocol describes it (a `RemoteObject`)."""
    for key in ("value", "unserializableValue", "description", "type"):
        if key in value:
            return str(value[key])
    return ""
