"""The output of a command: what it can show (colours, symbols, width), and how lines are written to it.

A terminal gets colours and drawings; a file, a pipe and a terminal that knows nothing (TERM=dumb) get plain lines.
NO_COLOR (no-color.org) takes the colours away, and a locale other than UTF-8 the symbols.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

import attrs

if TYPE_CHECKING:
    from rich.console import Console

NO_LOCALE = ("", "C", "POSIX")
COERCED = "C.UTF-8"
"""What the interpreter sets LC_CTYPE to where there is no locale (PEP 538): it says nothing of the terminal."""
NARROWEST = 20
USUAL_COLUMNS = 80
RESET = "\x1b[0m"


class Mark(StrEnum):
    """How something turned out."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


@attrs.frozen
class _Sign:
    """How a mark is written: with Unicode, with ASCII alone, and in which colour (the numbers of ECMA-48)."""

    symbol: str
    ascii: str
    colour: str


SIGNS = {
    Mark.OK: _Sign("✓", "+", "32"),
    Mark.WARNING: _Sign("!", "!", "33"),
    Mark.BAD: _Sign("✗", "x", "31"),
    Mark.SKIPPED: _Sign("-", "-", "2"),
}


class Screen:
    """One stream, standard output unless another is given. `environment` is the process's own.

    `drawn`: it is a terminal on which can be drawn; `colour` and `unicode`: what it shows.
    """

    def __init__(self, environment: Mapping[str, str], stream: TextIO | None = None) -> None:
        self._environment = environment
        self.stream = stream or sys.stdout
        self.drawn = _is_terminal(self.stream) and environment.get("TERM", "") not in ("", "dumb", "unknown")
        self.colour = self.drawn and not environment.get("NO_COLOR")
        self.unicode = speaks_utf8(environment)

    @property
    def columns(self) -> int:
        """The width of the terminal now; 80 elsewhere."""
        if not self.drawn:
            return USUAL_COLUMNS
        return max(NARROWEST, shutil.get_terminal_size((USUAL_COLUMNS, 24)).columns)

    def say(self, line: str = "") -> None:
        """Write a line at once. What the stream's encoding lacks is replaced."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(line.encode(encoding, errors="replace").decode(encoding, errors="replace") + "\n")
        self.stream.flush()

    def painted(self, text: str, colour: str) -> str:
        """Return `text` in a colour, a number of ECMA-48, where there are colours."""
        return f"\x1b[{colour}m{text}{RESET}" if self.colour and text else text

    def sign(self, mark: Mark) -> str:
        """Return the sign of an outcome: a symbol, or a letter where the locale has no symbols."""
        sign = SIGNS[mark]
        return self.painted(sign.symbol if self.unicode else sign.ascii, sign.colour)

    def word(self, mark: Mark, width: int = 0) -> str:
        """Return the word for an outcome, in its colour, filled with blanks up to `width`."""
        return self.painted(f"{mark.value:<{width}}", SIGNS[mark].colour)

    @cached_property
    def console(self) -> Console:
        """Rich's console for what only it can draw; it keeps to what the stream can show."""
        from rich.console import Console  # noqa: PLC0415 - a library that plain lines do not need

        screen = self

        class _Console(Console):
            @property
            def encoding(self) -> str:
                """Rich draws boxes and bars in ASCII for an encoding without others."""
                return "utf-8" if screen.unicode else "ascii"

        return _Console(
            file=self.stream,
            force_terminal=self.drawn,
            color_system="auto" if self.colour else None,
            no_color=not self.colour,
            highlight=False,
            width=self.columns if self.drawn else None,
        )


def size(number: float) -> str:
    """Return a number of bytes as people read it: `820 bytes`, `12.3 MB`."""
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= of:
            return f"{number / of:.1f} {unit}"
    return f"{number:.0f} bytes"


def speaks_utf8(environment: Mapping[str, str]) -> bool:
    """Tell whether the locale that a person chose is one with UTF-8; none chosen is none."""
    ctype = environment.get("LC_CTYPE", "")
    if ctype == COERCED and environment.get("LANG", "") in NO_LOCALE:
        ctype = ""
    chosen = environment.get("LC_ALL") or ctype or environment.get("LANG", "")
    return chosen.lower().replace("-", "").endswith("utf8")


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False
