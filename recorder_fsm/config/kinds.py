"""The kinds of values that settings have.

A kind knows how a text becomes a value, in which words the original refuses one (contract 1.1), and how it is shown.
"""

from __future__ import annotations

import base64
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from recorder_fsm.config import go_syntax
from recorder_fsm.config.address import site_address
from recorder_fsm.config.listen_address import ListenAddress, listen_address
from recorder_fsm.plain_text import hide

SCHEMES = ("http", "https")
SHOWN_CHARACTERS = 80
LINK_CHARACTERS = 500
WRITTEN_KEY = "whsec_"
"""Begins a webhook's secret that is written in base64 (Standard Webhooks)."""
SHORTEST_KEY = 16


@attrs.frozen
class Text:
    """Any text. The base of the kinds of values; `read` may raise `ValueError` with the original's text."""

    default: str = ""
    limits: str = "any text"
    secret: bool = False

    def read(self, raw: str) -> Any:
        """Turn the variable's text into a value; an empty text is the default."""
        return raw or self.default

    def refusal(self, value: Any) -> str:
        """Return the original's words against `value`, or an empty text if it is allowed."""
        return ""

    def shown(self, value: Any) -> str:
        """Describe the value in a message."""
        text = hide(str(value))  # the token, pasted into another variable by mistake
        cut = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
        return go_syntax.quote(cut) if text else "empty"


@attrs.frozen
class Number(Text):
    """A whole number in Go's syntax; 0 is the default, as if the variable were empty."""

    low: int = 0
    high: int = 0
    value: int = 0
    bits: int = 32

    def read(self, raw: str) -> int:
        return (go_syntax.parse_int(raw, self.bits) if raw else 0) or self.value

    def refusal(self, value: int) -> str:
        optional_and_unset = self.value == 0 and value == 0
        return "" if optional_and_unset or self.low <= value <= self.high else "value is not valid"

    def shown(self, value: int | str) -> str:
        return str(value) if isinstance(value, int) else Text.shown(self, value)


@attrs.frozen
class Choice(Text):
    """One of a few words; `fold` accepts any letter case and yields the word's own."""

    words: tuple[str, ...] = ()
    fold: bool = False

    def read(self, raw: str) -> str:
        by_case = {word.lower(): word for word in self.words} if self.fold else {}
        return by_case.get(raw.lower(), raw) or self.default

    def refusal(self, value: str) -> str:
        return "" if value in self.words else "value is not valid"


@attrs.frozen
class Identifier(Text):
    """A Mattermost id."""

    def refusal(self, value: str) -> str:
        if not value:
            return "cannot be empty"
        return "" if re.fullmatch("[a-z0-9]{26}", value) else "parsing failed"

    def shown(self, value: str) -> str:
        return f"{len(value)} characters long" if self.secret and value else Text.shown(self, value)


@attrs.frozen
class Site(Text):
    """The server's address: scheme, host, port. Exactly one trailing slash is forgiven."""

    def read(self, raw: str) -> str:
        return raw.removesuffix("/")

    def refusal(self, value: str) -> str:
        if not value:
            return "cannot be empty"
        try:
            url = go_syntax.parse_url(value)
        except ValueError as error:
            return f"parsing failed: {error}"
        if url.scheme not in SCHEMES:
            return f"parsing failed: invalid scheme {go_syntax.quote(url.scheme)}"
        if url.path:
            return f"parsing failed: invalid path {go_syntax.quote(url.path)}"
        try:
            site_address(value)
        except ValueError as error:  # what the original takes, and then cannot record with
            return f"cannot be used: {error}"
        return ""

    def shown(self, value: str) -> str:
        return Text.shown(self, re.sub("([?#]).+", r"\1...", go_syntax.without_password(value), flags=re.DOTALL))


@attrs.frozen
class Page(Text):
    """The address of a page to record; an empty one is none. Query and fragment are the page's own, and not shown."""

    def refusal(self, value: str) -> str:
        if not value:
            return ""
        if not value.isprintable() or " " in value:
            return "cannot be used: it has blanks or control characters"
        scheme, _, rest = value.partition(":")
        if scheme.lower() not in SCHEMES:
            return f"cannot be used: invalid scheme {go_syntax.quote(scheme[:SHOWN_CHARACTERS])}"
        authority = re.match(r"//[^/\\?#]*", rest)  # a browser takes a backslash for a slash
        try:
            site_address(f"{scheme}:{authority[0]}" if authority else f"{scheme}://")
        except ValueError as error:
            return f"cannot be used: {error}"
        return ""

    def shown(self, value: str) -> str:
        return Site().shown(value)


@attrs.frozen
class File(Text):
    """A path of a file that must exist if it is named."""

    def read(self, raw: str) -> Path | None:
        return Path(raw) if raw else None

    def refusal(self, value: Path | None) -> str:
        try:
            if value is None or value.is_file():
                return ""
            return "is a directory, and must be one file" if value.is_dir() else "file does not exist"
        except OSError as error:
            return f"file cannot be read: {error.strerror}"


@attrs.frozen
class Link(Text):
    """An address that people are shown. Nobody asks it, so one that is none is left out, and ends no recording."""

    def read(self, raw: str) -> str:
        try:
            url = go_syntax.parse_url(raw)
        except ValueError:
            return ""
        fit = raw.isascii() and raw.isprintable() and " " not in raw and len(raw) <= LINK_CHARACTERS
        plain = url.scheme in SCHEMES and "//" in raw and not re.search(r"[?#\"'<>`\\]|//[^/]*@|://(/|$)", raw)
        return raw.rstrip("/") if fit and plain else ""


@attrs.frozen
class Listen(Text):
    """Where to listen, None where nowhere."""

    def read(self, raw: str) -> ListenAddress | None:
        return listen_address(raw) if raw else None


@attrs.frozen
class Receiver(Text):
    """The address of a server that is told something. Its path and query may be secret, so they are never shown."""

    def refusal(self, value: str) -> str:
        if not value:
            return ""
        try:
            url = urlsplit(value)
            usable = bool(url.hostname) and (url.port is None or url.port > 0)
        except ValueError:
            return "parsing failed"
        if url.scheme not in SCHEMES:
            return f"parsing failed: invalid scheme {go_syntax.quote(url.scheme)}"
        return "" if usable and value.isprintable() and " " not in value else "parsing failed"

    def shown(self, value: str) -> str:
        return f"{len(value)} characters long"


@attrs.frozen
class Key(Text):
    """A key that messages are signed with: text, or base64 behind `whsec_`."""

    def refusal(self, value: str) -> str:
        if not value.startswith(WRITTEN_KEY):
            return "is too short" if 0 < len(value) < SHORTEST_KEY else ""
        try:
            key = base64.b64decode(value.removeprefix(WRITTEN_KEY), validate=True)
        except ValueError:
            return "parsing failed: no base64"
        return "" if len(key) >= SHORTEST_KEY else "is too short"

    def shown(self, value: str) -> str:
        return f"{len(value)} characters long"


@attrs.frozen
class CommandLine(Text):
    """A program and its arguments, as a shell splits them; no shell runs them. They may hold a password: not shown."""

    def read(self, raw: str) -> tuple[str, ...]:
        return tuple(shlex.split(raw))

    def refusal(self, value: tuple[str, ...]) -> str:
        return "" if not value or value[0] else "names no program"

    def shown(self, value: str | tuple[str, ...]) -> str:
        return f"{len(value)} characters long" if isinstance(value, str) else f"{len(value)} words long"
