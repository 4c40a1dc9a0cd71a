"""Numbers, quotes and URLs as Go reads them; the expectations were taken from Go 1.26."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_fsm.config.go_syntax import Url, parse_int, parse_url, quote, without_password

NEARLY_NUMBERS = st.one_of(
    st.text(alphabet="+-0123456789", max_size=14),
    st.integers(-(2**34), 2**34).map(str),
    st.text(max_size=6),
    st.from_regex(r"[+-]?[0-9]{1,12}[x_ ]?", fullmatch=True),
)


def oracle(text: str, bits: int) -> int | str:
    """The straightforward way: a pattern, Python's integer, the limits; Go's early overflow as the one extra."""
    lead = re.match(r"[+-]?([0-9]*)", text, re.ASCII)
    digits = lead.group(1) if lead else ""
    overflows = bool(digits) and int(digits) >= 2**bits
    if not overflows and not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        return "invalid syntax"
    value = -int(digits) if text.startswith("-") else int(digits)
    return value if not overflows and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else "value out of range"


@given(NEARLY_NUMBERS, st.sampled_from([32, 64]))
def test_parse_int_agrees_with_an_oracle(text: str, bits: int) -> None:
    """Every text gives the number or the refusal that a plain reading of Go's rules gives."""
    expected = oracle(text, bits)
    if isinstance(expected, int):
        assert parse_int(text, bits) == expected
    else:
        with pytest.raises(ValueError, match=re.escape(expected) + "$") as caught:
            parse_int(text, bits)
        assert str(caught.value) == f"strconv.ParseInt: parsing {quote(text)}: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2147483647", 2147483647),
        ("-2147483648", -2147483648),
        ("+7", 7),
        ("-0", 0),
        ("2147483648", "value out of range"),
        ("-2147483649", "value out of range"),
        ("4294967295x", "invalid syntax"),
        ("4294967296x", "value out of range"),
        ("", "invalid syntax"),
        ("+", "invalid syntax"),
        ("1_0", "invalid syntax"),
        ("\u0663", "invalid syntax"),
    ],
)
def test_parse_int_edges_are_those_of_go(text: str, expected: int | str) -> None:
    """The edges of int32, and an overflow that is noticed before a bad character, as Go does."""
    if isinstance(expected, int):
        assert parse_int(text) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            parse_int(text)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\t\n\r\x00\x1b\x7f", '"\\t\\n\\r\\x00\\x1b\\x7f"'),
        ("\u00e9\U0001f600", '"\u00e9\U0001f600"'),
        ("\u200b", '"\\u200b"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_quote_writes_go_literals(text: str, quoted: str) -> None:
    """Quotes, control characters and broken bytes are written as strconv.Quote writes them."""
    assert quote(text) == quoted


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("HTTP://h/p?q#f", Url("http", "h", "/p")),
        ("//h", Url("", "h", "")),
        ("///h", Url("", "", "///h")),
        ("http:/h", Url("http", "", "/h")),
        ("http:h", Url("http", "", "")),
        ("http://u:p@h:1", Url("http", "h:1", "")),
        ("http://h%c3%a9", Url("http", "h\u00e9", "")),
        ("http://[fe80::1%25en0]:80", Url("http", "[fe80::1%en0]:80", "")),
        ("http://h?q=%zz", Url("http", "h", "")),
        ("http://h/%41", Url("http", "h", "/A")),
        ("ht!tp", Url("", "", "ht!tp")),
    ],
)
def test_parse_url_splits_as_go_does(raw: str, url: Url) -> None:
    """Odd but accepted URLs are split into the same parts as by Go."""
    assert parse_url(raw) == url


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("http://h%41", 'invalid URL escape "%41"'),
        ("http://h%", 'invalid URL escape "%"'),
        ("http://h#%zz", 'invalid URL escape "%zz"'),
        ("http://u p@h", "net/url: invalid userinfo"),
        ("http://h^", 'invalid character "^" in host name'),
        ("http://[::1]x", 'invalid port "x" after host'),
        ("http://[h]", 'invalid host: ParseAddr("h"): unable to parse IP'),
        ("http://::1", 'invalid port "::1" after host'),
        (":h", "missing protocol scheme"),
    ],
)
def test_parse_url_refuses_with_go_text(raw: str, text: str) -> None:
    """Refused URLs give `parse "<url>": ` and Go's reason."""
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        parse_url(raw)
    assert str(caught.value) == f"parse {quote(raw)}: {text}"


def test_password_in_a_url_is_masked() -> None:
    """Only the password of the user part is replaced."""
    assert without_password("http://u:p@h:80/x@y") == "http://u:xxxxx@h:80/x@y"
    assert without_password("http://h:80/a:b@c") == "http://h:80/a:b@c"


@given(st.text())
def test_parse_url_raises_nothing_but_value_errors(raw: str) -> None:
    """Any text is split or refused."""
    words = ""
    try:
        parse_url(raw)
    except ValueError as error:
        words = str(error)
    assert not words or words.startswith("parse ")
