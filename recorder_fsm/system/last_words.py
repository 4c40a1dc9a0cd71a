"""What a program printed last, without what it prints anyway: the words that tell why it ended.

Chromium complains about a missing D-Bus in the middle of its last words, and prints a stack behind them; X and ffmpeg
introduce themselves. None of that is the cause of anything, and it would take the place of what is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from recorder_fsm.plain_text import plain, plain_end

KEPT_LINES = 20
SHOWN_LINES = 5
LINE_CHARS = 300
WORDS_CHARS = 900

BUS = re.compile(r"\bd-?bus|DBus|\bbus\.cc|object_proxy\.cc", re.IGNORECASE)
"""Complaints about a message bus: there is none, by intent."""
_NOISE = re.compile(
    "|".join(
        (
            BUS.pattern,
            r"^#\d+ 0x|end of stack trace",
            r"^\s*(?:r\d+|[re]?[abcds][xip]|efl|cgf|erf|trp|msk|cr2): [0-9a-f]{8}",
            r"^\s+at .+[:(]|^Node\.js v",  # the same of Node
            r"xkbcomp|XKEYBOARD keymap compiler|^> (?:Warning|Internal error):|^\(EE\)\s*$",  # X
            r"^(?:I|D): \[pulseaudio\]|not intended to be run as root|authkey\.c",
            r"^ffmpeg version |^\s*built with |^\s*configuration: |^\s*lib\w+\s+\d+\.\s*\d+|^\s*Last message repeated",
            r"^Fontconfig |^ALSA lib |libva error|vaapi_wrapper|\bgcm/|DEPRECATED_ENDPOINT",
            r"\bgl_display\.cc|\bviz_main_impl|third_party/crashpad|segmentation_platform|: unexpected operator",
        )
    ),
    re.IGNORECASE,
)
_FATAL = re.compile(r"\bfatal\b", re.IGNORECASE)


class LastWords:
    """The last lines of one program. Those that tell nothing are kept apart, for one that prints nothing else."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._telling: deque[str] = deque(maxlen=KEPT_LINES)
        self._noise: deque[str] = deque(maxlen=SHOWN_LINES)
        self._fatal = ""
        for line in lines:
            self.heard(line)

    def heard(self, line: str) -> None:
        """Take a line."""
        if not line.strip():
            return
        kept = plain(line, LINE_CHARS)
        if _NOISE.search(line[:LINE_CHARS]):
            self._noise.append(kept)
            return
        self._telling.append(kept)
        if _FATAL.search(kept):
            self._fatal = kept

    @property
    def lines(self) -> list[str]:
        """The lines that tell something, the last `KEPT_LINES` of them, and the last that was called fatal."""
        lines = list(self._telling or self._noise)
        return lines if not self._fatal or self._fatal in lines else [self._fatal, *lines]

    def shown(self, lines: int = SHOWN_LINES) -> str:
        """Return the last few on one line, for a cause; what was fatal is among them."""
        last = self.lines[-lines:]
        if self._fatal and self._fatal not in last:
            last = [self._fatal, *last[1:]]
        return plain_end(" | ".join(last), WORDS_CHARS)
