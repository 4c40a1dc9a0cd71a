"""How the original recorder, a Go program, reads a number and a URL, and how it words a refusal.

Owns no meaning: what a value is for and which limits it has is said in `settings`. People compare the texts
of this recorder with those of the original, so numbers and URLs are read and refused as Go 1.26 does it
(`strconv.ParseInt`, `strconv.Quote`, `net/url.Parse`). Refusals are `ValueError`s that carry Go's text.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable

import attrs

DIGITS = frozenset(string.digits)
HEX = frozenset(string.hexdigits)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
USER_INFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
HOST_BYTES = frozenset(string.ascii_letters + string.digits + "-_.~!$&'()*+,;=:[]<>\"%")
NAMED_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def quote(text: str) -> str:
    """Return `text` as a Go string literal. Bytes that are not UTF-8 arrive as Python's surrogate escapes."""
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    code = ord(char)
    if code in NAMED_ESCAPES:
        return "\\" + NAMED_ESCAPES[code]
    if char.isprintable():
        return char
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def parse_int(text: str, bits: int = 32) -> int:
    """Read a decimal number of `bits` bits: a sign and ASCII digits; raises `ValueError` with Go's text.

    A number that is already too large is out of range, whatever follows its digits.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    value = 0
    for char in digits:
        if char not in DIGITS:
            raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
        value = value * 10 + int(char)
        if value >= 1 << bits:
            break
    if not digits:
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    limit = 1 << (bits - 1)
    if value > limit or (value == limit and text[0] != "-"):
        raise ValueError(f"strconv.ParseInt: parsing {quote(text)}: value out of range")
    return -value if text[0] == "-" else value


@attrs.frozen
class Url:
    """The parts of a URL that the recorder needs. `host` keeps brackets and port; `path` has no escapes."""

    scheme: str
    host: str
    path: str


def parse_url(raw: str) -> Url:
    """Split a URL; raises `ValueError` with Go's text, a password in it replaced by `xxxxx`."""
    body, _, fragment = raw.partition("#")
    try:
        url = _split(body)
    except ValueError as error:
        raise ValueError(f"parse {quote(without_password(body))}: {error}") from error
    try:
        _unescape(fragment)
    except ValueError as error:
        raise ValueError(f"parse {quote(without_password(raw))}: {error}") from error
    return url


def _split(text: str) -> Url:
    if any(char < " " or char == "\x7f" for char in text):
        raise ValueError("net/url: invalid control character in URL")
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    match = SCHEME.match(text)
    scheme = match.group()[:-1].lower() if match else ""
    rest = text[match.end() :] if match else text
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        if scheme:  # an opaque URL, such as mailto:somebody: no host, no path
            return Url(scheme, "", "")
        if ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        host = _host(authority)
    return Url(scheme, host, _unescape(rest))


def _host(authority: str) -> str:
    user, at, host = authority.rpartition("@")
    name = _bracketed(host) if host.startswith("[") else _named(host)
    if at:
        if not USER_INFO.fullmatch(user):
            raise ValueError("net/url: invalid userinfo")
        _unescape(user)
    return name


def _bracketed(host: str) -> str:
    address, bracket, port = host.rpartition("]")
    if not bracket:
        raise ValueError("missing ']' in host")
    _check_port(port)
    address, percent, zone = address.partition("%25")
    text = _unescape_host(address)
    try:
        ipaddress.IPv6Address(text[1:])
    except ValueError as error:
        raise ValueError(f"invalid host: ParseAddr({quote(text[1:])}): unable to parse IP") from error
    return text + _unescape(percent + zone) + "]" + port


def _named(host: str) -> str:
    _, colon, port = host.partition(":")
    if colon:
        _check_port(colon + port)
    return _unescape_host(host)


def _check_port(port: str) -> None:
    if port and not (port[0] == ":" and DIGITS.issuperset(port[1:])):
        raise ValueError(f"invalid port {quote(port)} after host")


def _unescape_host(host: str) -> str:
    """Decode a host: only bytes above ASCII may be escaped, and an escaped percent sign."""
    text = _unescape(host, allowed=lambda pair: int(pair, 16) >= 0x80 or pair == "25")
    for char in host:
        if ord(char) < 0x80 and char not in HOST_BYTES:
            raise ValueError(f"invalid character {quote(char)} in host name")
    return text


def _unescape(text: str, allowed: Callable[[str], bool] | None = None) -> str:
    """Decode %xx; raises `ValueError` naming the first one that is no escape or not `allowed`."""
    result = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "%":
            result += text[at].encode(errors="surrogateescape")
            at += 1
            continue
        pair = text[at + 1 : at + 3]
        if len(pair) < 2 or not HEX.issuperset(pair) or (allowed is not None and not allowed(pair)):
            raise ValueError(f"invalid URL escape {quote(text[at : at + 3])}")
        result.append(int(pair, 16))
        at += 3
    return result.decode(errors="surrogateescape")


def without_password(text: str) -> str:
    """Return a URL with the password of its user part, if any, replaced by `xxxxx`."""
    return re.sub(r"(//[^/@:]*):[^/]*@", r"\1:xxxxx@", text)
