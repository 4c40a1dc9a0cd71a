"""Text from outside: whatever holds the token, wherever it is cut, none of it is shown."""

from __future__ import annotations

import base64
import html
import json
import os
import textwrap
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_fsm import plain_text
from recorder_fsm.browser.console import ERROR_CHARS, Console
from recorder_fsm.browser.launch_options import CallPageAddress
from recorder_fsm.errors import RecorderError
from recorder_fsm.mattermost.answers import refusal
from recorder_fsm.plain_text import LINE_CHARS, MASK, hide, keep_secret, plain, plain_end, plain_facts

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"
PIECE = 8
ADDRESS = CallPageAddress(
    origin="https://chat.example.com", call_id="c" * 26, recording_id="r" * 26,
    token=TOKEN,
)  # fmt: skip
FRAGMENT = ADDRESS.url.partition("#")[2]
BASE64 = {
    f"base64 after {before} characters": base64.b64encode(b"Bearer "[:before] + TOKEN.encode() + b" and more").decode()
    for before in range(3)
}
FORMS = {
    "plain": TOKEN,
    "in capitals": TOKEN.upper(),
    "in the page's address": FRAGMENT,
    "address quoted": quote(ADDRESS.url, safe=""),
    "spaced JSON in the address": base64.urlsafe_b64encode(json.dumps({"token": TOKEN}).encode()).decode(),
    **BASE64,
    "hexadecimal": TOKEN.encode().hex(),
    "each character quoted": "".join(f"%{ord(char):02X}" for char in TOKEN),
    "each character escaped in JSON": "".join(f"\\u{ord(char):04x}" for char in TOKEN),
    "each character escaped in HTML": "".join(f"&#{ord(char)};" for char in TOKEN),
    "JSON": json.dumps({"token": TOKEN}),
    "wrapped": "\n    ".join(textwrap.wrap(TOKEN, 5)),
    "wrapped base64": "\r\n".join(textwrap.wrap(FRAGMENT, 7)),
    "wrapped in a text in a text": json.dumps("\r\n".join(textwrap.wrap(TOKEN, 3))),
    "coloured": "".join(f"\x1b[1;{30 + at % 8}m{char}\x1b[0m" for at, char in enumerate(TOKEN)),
    "with control characters": "\x00".join(TOKEN),
    "with characters that nobody sees": "\u200b".join(TOKEN),
    "half of it": TOKEN[:13],
}


def decodings(text: str) -> Iterator[str]:
    """Return `text` as whoever looks for a token in it would read it."""
    letters = "".join(char for char in text if char.isascii() and char.isalnum())
    yield letters.lower()
    yield html.unescape(text)
    for shift in range(4):
        for alphabet in ("+/", "-_"):
            usable = "".join(char for char in text if char.isascii() and (char.isalnum() or char in alphabet))[shift:]
            whole = usable[: len(usable) // 4 * 4].translate(str.maketrans("-_", "+/"))
            yield base64.b64decode(whole).decode("latin-1")
    for shift in range(2):
        digits = "".join(char for char in text if char in "0123456789abcdefABCDEF")[shift:]
        yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")


def shown_of_token(text: str, token: str = TOKEN) -> set[str]:
    """Return the pieces of the token that can still be read in `text`."""
    pieces = {token[at : at + PIECE] for at in range(len(token) - PIECE + 1)}
    return {piece for decoded in decodings(text) for piece in pieces if piece in decoded}


@pytest.fixture(autouse=True)
def _secret() -> Iterator[None]:
    keep_secret(TOKEN)
    yield
    keep_secret("")


READABLE = [name for name in FORMS if not any(word in name for word in ("escaped", "coloured", "in a text"))]


@pytest.mark.parametrize("form", READABLE)
def test_the_look_for_the_token_finds_it(form: str) -> None:
    """The check below can fail: it reads each form that is not masked."""
    assert shown_of_token(f"x {FORMS[form]} y"), form


@pytest.mark.parametrize("form", FORMS)
def test_token_is_masked_in_each_form(form: str) -> None:
    """With the words around it as they were."""
    line = plain(f"before {FORMS[form]} after")
    assert shown_of_token(line) == set()
    assert line.startswith("before ")
    assert line.endswith(" after")
    assert MASK in line


ENTRANCES: dict[str, Callable[[str], str]] = {
    "a line": plain,
    "the end of a text": plain_end,
    "a short line": lambda text: plain(text, 200),
    "the end of a short text": lambda text: plain_end(text, 200),
    "facts": lambda text: json.dumps(plain_facts({"a": [text], text: 1})),
    "a cause": lambda text: str(RecorderError(text, detail=text)),
    "a refusal of the server": lambda text: str(refusal(502, text.encode(errors="replace"), "GET /")),
    "a redirect": lambda text: str(refusal(302, b"", "GET /", text)),
}
ANYTHING = st.text(max_size=40)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(sorted(ENTRANCES)),
    st.integers(0, 4 * LINE_CHARS + 60),
    st.integers(0, 4 * LINE_CHARS + 60),
    st.sampled_from(["x", " ", "\n", "\x1b[31m", "\ud800", "🎥", "\u202e", "="]),
    ANYTHING,
)
def test_token_is_nowhere_in_what_is_shown(
    form: str, entrance: str, before: int, after: int, filling: str, words: str
) -> None:
    """In no form, wherever it stands, also where the text is cut in the middle of it."""
    text = f"{filling * before}{FORMS[form]}{filling * after}{words}"
    assert shown_of_token(ENTRANCES[entrance](text)) == set()


@given(st.integers(0, 30), st.integers(200 - 40, 200 + 10), st.sampled_from(["plain", "in the page's address"]))
def test_token_across_the_cut_is_not_shown(taken: int, before: int, form: str) -> None:
    """Cut first, 25 of 26 characters would be left: nobody masks what is no token any more."""
    text, filling, more = FORMS[form], "x" * before, "and more" * 100
    assert shown_of_token(plain(f"{filling}{text[taken:]} {more}", 200)) == set()
    assert shown_of_token(plain_end(f"{more} {text[: len(text) - taken]}{filling}", 200)) == set()


@given(ANYTHING, st.integers(10, 300))
def test_line_is_printable_and_not_too_long(words: str, most: int) -> None:
    """No control character, no half character, nothing that turns the reading direction: one line."""
    for text in (words, words * 100):
        for line in (plain(text, most), plain_end(text, most)):
            assert len(line) <= most
            assert line.isprintable()
            assert len(line.encode()) <= 4 * most


NASTY = {
    "colours": ("\x1b[31mred\x1b[0m", "red"),
    "a title": ("a\x1b]0;title\x07b", "ab"),
    "C1": ("a\x9b31mb\x85c", "ab c"),
    "an end of line": ("one\r\n  two\u2028three", "one two three"),
    "a reading direction": ("abc\u202edef\u2066", "abcdef"),
    "half a character": ("a\ud800b", "a b"),
    "a NUL": ("a\x00b", "a b"),
    "blanks": ("two  blanks", "two  blanks"),
    "an umlaut": ("Übung 🎥 会議", "Übung 🎥 会議"),
}


@pytest.mark.parametrize("name", NASTY)
def test_characters_that_are_none_are_taken_out(name: str) -> None:
    """And all others stay."""
    text, line = NASTY[name]
    assert plain(text) == line


def test_user_and_password_of_an_address_are_masked() -> None:
    """Whose ever they are: a proxy's, for example."""
    assert (
        plain("by http://me:secret@proxy:3128/, to https://h/a@b") == f"by http://{MASK}@proxy:3128/, to https://h/a@b"
    )


def test_end_of_a_text_is_kept() -> None:
    """The last words of a program say more than its first."""
    assert plain_end("x" * 1000 + " the end", 50).endswith(" the end")
    assert plain("the begin " + "x" * 1000, 50).startswith("the begin ")


def test_text_without_end_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 MB as much is looked at as may be shown, and a little more."""
    looked_at: list[int] = []

    def hide(text: str) -> str:
        looked_at.append(len(text))
        return text

    with monkeypatch.context() as patch:
        patch.setattr(plain_text, "hide", hide)
        plain("\n" * 100_000_000, 300)
        plain_end("\n" * 100_000_000, 300)
    assert max(looked_at) <= 1200


def test_console_error_across_the_cut_shows_no_token(log: list[str]) -> None:
    """What is kept for the report, and what is logged: both are cut, behind the mask."""
    console = Console()
    for before in (ERROR_CHARS - 25, 2000 - 25):
        console.heard("error", "x" * before + TOKEN)
    assert shown_of_token("".join(console.errors)) == set()
    assert shown_of_token("".join(log)) == set()


def test_key_that_somebody_chose_is_masked_as_a_whole() -> None:
    """In every form, but not in pieces: those of words are words."""
    keep_secret("recording webhook of the office", "webhook")
    try:
        assert "office" not in hide("key: recording webhook of the office!")
        assert "office" not in hide("key: recording%20webhook%20of%20the%20office!")
        assert hide("the recording of the office") == "the recording of the office"
    finally:
        keep_secret("", "webhook")


def test_key_of_any_bytes_is_masked() -> None:
    """An environment may hold bytes that are no text."""
    octets = b"caf\xe9 of the office"
    key = os.fsdecode(octets)
    keep_secret(key, "webhook")
    try:
        assert "office" not in hide(f"key: {key}!")
        assert "office" not in hide("key: caf%E9%20of%20the%20office!")
        assert hide(f"key: {octets.hex()}!") == "key: ***!"
    finally:
        keep_secret("", "webhook")
