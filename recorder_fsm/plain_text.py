"""Text from outside, made fit to be shown: no secret in it, on one line, of a length that is known.

Servers, pages, programs and libraries say what they like, for as long as they like, and much of it ends in a log, a
report, a journal or a message to people. All of that passes here, in one order: what is secret is masked, then control
characters are taken out, then it is cut. Cut first, a secret would lose the end by which it is known.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote

MASK = "***"
SHORTEST_SECRET = 8
"""A shorter token is none of Mattermost's, and masking it would take words out of the log."""
PIECE = 8
"""So many consecutive characters of a secret, in any of its forms, are masked wherever they stand."""
LOOKED_AT = 4
"""So many times as much of a text is looked at as may be shown: the rest of it, which may be endless, costs nothing."""
LINE_CHARS = 3000
"""The longest line of a log, entry of the journal or of the report; four times as many bytes at most."""
CUT = "..."

_ICE_PASSWORD = re.compile(r"(ice-pwd:)[^\s\\\"']+")
_USER_OF_URL = re.compile(r"(?<=://)[^\s/@?#\"'<>]+@")
# CSI, OSC and the like with their parameters, and two-character ones: ECMA-48.
_TERMINAL = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?")
# The end of a line as a text in a text has it.
_WRITTEN_BREAK = re.compile(r"\\+(?:[nrtbfv]|[ux](?:00)?[01][0-9a-fA-F])|%[01][0-9a-fA-F]|&#(?:x0?[aAdD9]|9|10|13);")
_OTHER = re.compile(r"[^0-9A-Za-z]+")
_ALNUM = re.compile(r"[0-9A-Za-z]")
_BREAKS = re.compile(r" *\n[ \n]*")


class Redactor:
    """Masks one token wherever as much as a piece of it stands, in each form in which it travels.

    Also the ICE passwords of a page (contract 3.5), and user and password in addresses. Between the characters of the
    token may stand whatever is no letter and no digit: the end of a line, as it is or escaped, a colour, a hyphen.
    """

    def __init__(self, token: str = "", *, pieces: bool = True) -> None:
        """`pieces`: mask pieces of it as well, as is right for what was made by chance; one of words has pieces that
        are words, and is masked as a whole.
        """
        self.token = token
        forms = _forms(token) if len(token) >= SHORTEST_SECRET else set()
        self._forms = sorted(forms, key=len, reverse=True)
        squeezed = {_squeezed(form) for form in forms} if pieces else set()
        self._pieces = _pieces_of(squeezed, PIECE)
        self._halves = _pieces_of(squeezed, PIECE // 2)

    def __call__(self, text: str) -> str:
        """Return `text` without its secrets, and without the escape sequences of terminals."""
        text = _TERMINAL.sub("", text)
        for form in self._forms:
            text = text.replace(form, MASK)
        if self._pieces:
            text = self._without_pieces(text)
        return _USER_OF_URL.sub(f"{MASK}@", _ICE_PASSWORD.sub(rf"\1{MASK}", text))

    def _without_pieces(self, text: str) -> str:
        seen = _WRITTEN_BREAK.sub(lambda match: " " * len(match[0]), text)
        squeezed, pieces, step = _squeezed(seen), self._pieces, PIECE // 2
        # Wherever a piece begins, one half of it begins at a multiple of its length: a quick look for most texts.
        if not any(squeezed[at : at + step] in self._halves for at in range(0, len(squeezed) - step + 1, step)):
            return text
        found = [start for start in range(len(squeezed) - PIECE + 1) if squeezed[start : start + PIECE] in pieces]
        if not found:
            return text
        places = [match.start() for match in _ALNUM.finditer(seen)]
        parts, shown = [], 0
        for begin, end in _runs(found):
            parts += [text[shown : places[begin]], MASK]
            shown = places[end - 1] + 1
        return "".join([*parts, text[shown:]])


def _forms(token: str) -> set[str]:
    """Return how a token may be written: as it is, escaped, in numbers, in base64, in the fragment of the page."""
    octets = token.encode(errors="surrogateescape")  # an environment holds bytes
    forms = {token, repr(token)[1:-1], json.dumps(token)[1:-1], html.escape(token), octets.hex()}
    forms |= {"".join(f"{mark}{octet:02x}" for octet in octets) for mark in ("x", "u00")}
    forms |= {"".join(f"&#{octet};" for octet in octets), "".join(f"&#x{octet:02x};" for octet in octets)}
    for fragment in (json.dumps({"token": token}, separators=pair) for pair in ((",", ":"), (", ", ": "))):
        forms.add(base64.b64encode(fragment.encode()).decode().rstrip("="))
    for before in range(3):  # three octets are four characters, so there are three ways to stand in a longer text
        whole = base64.b64encode(bytes(before) + octets).decode().rstrip("=")
        forms.add(whole[(before * 8 + 5) // 6 : len(whole) - 1])
    return forms | {quote(form, safe="", errors="surrogateescape") for form in forms}


def _squeezed(text: str) -> str:
    return _OTHER.sub("", text).lower()


def _pieces_of(forms: Iterable[str], length: int) -> frozenset[str]:
    return frozenset(form[at : at + length] for form in forms for at in range(len(form) - length + 1))


def _runs(starts: Iterable[int]) -> list[tuple[int, int]]:
    """Join pieces that begin at `starts`, in order, and touch each other; returns begins and ends."""
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], start + PIECE)
        else:
            runs.append((start, start + PIECE))
    return runs


TOKEN = "token"  # noqa: S105 - a kind of secret
_redactors = {TOKEN: Redactor()}


def keep_secret(secret: str, kind: str = TOKEN) -> None:
    """Mask this secret from now on: a process has one job, or several of one bot, and so one secret of each kind.

    The token is masked in pieces, too; any other kind, which people may have chosen, as a whole.
    """
    if kind not in _redactors or _redactors[kind].token != secret:
        _redactors[kind] = Redactor(secret, pieces=kind == TOKEN)


def hide(text: str) -> str:
    """Return `text` with what is secret masked, and otherwise as it is."""
    for redactor in _redactors.values():
        text = redactor(text)
    return text


def plain(text: str, most: int = LINE_CHARS) -> str:
    """Return `text` on one line of at most `most` characters, all printable, and none of a secret.

    What gives no mark of its own (direction, joining) is left out, what cannot be printed becomes a blank.
    """
    line = _one_line(hide(text[: LOOKED_AT * most]))
    return line if len(line) <= most else line[: most - len(CUT)] + CUT


def plain_end(text: str, most: int = LINE_CHARS) -> str:
    """Return the end of `text` as `plain` returns its begin: the last words of a program say what went wrong."""
    line = _one_line(hide(text[-LOOKED_AT * most :]))
    return line if len(line) <= most else CUT + line[len(line) - most + len(CUT) :]


def plain_facts(value: object, words: Callable[[str], str] = plain) -> object:
    """Return `value` as JSON can say it: texts by `words`, no infinity, and text for what JSON does not know."""
    if isinstance(value, Mapping):
        return {words(str(key)): plain_facts(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_facts(item, words) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float) else words(str(value))


def _one_line(text: str) -> str:
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _stand_in(char) for char in text)
        text = _BREAKS.sub(" ", text)
    return text.strip()


def _stand_in(char: str) -> str:
    return "" if unicodedata.category(char) == "Cf" else "\n"
