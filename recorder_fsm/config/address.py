"""The site's address, taken apart once: for the HTTP client, for Chromium's switches, for all that compares origins.

A host has many forms (`127.1`, `[0:0:0:0:0:0:0:1]`, `Faß.example`). Browsers bring each into one (the URL standard of
WHATWG, "host parsing") before they ask anybody, compare, or write it down; other programs read some of them as another
host, or not at all. Here it is brought into that form, and both clients are given no other.
"""

from __future__ import annotations

import ipaddress
import re

import attrs
import idna

from recorder_fsm.config import go_syntax

DEFAULT_PORTS = {"http": 80, "https": 443}
FORBIDDEN = re.compile(r"[\x00-\x20#%*/:<>?@\[\\\]^|\x7f]")
"""What no domain may have ("forbidden domain code points"; Chromium escapes an asterisk, and finds nobody)."""
IPV4_BITS = 32


@attrs.frozen
class SiteAddress:
    """A Mattermost server. `host` is as a browser writes it: lower case, ASCII, brackets around IPv6."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """`scheme://host[:port]` as a browser writes it: without default port."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def site_address(site_url: str) -> SiteAddress:
    """Take an address apart.

    Raises `ValueError`, with words that never repeat a password, for one that no browser could open (no scheme, host or
    possible port), and for one with more in it than scheme, host and port, but for a path: that is for others to see.
    """
    url = go_syntax.parse_url(site_url)
    if url.scheme not in DEFAULT_PORTS:
        raise ValueError("it has no scheme http or https")
    for mark, what in (("#", "a fragment (#...)"), ("?", "a query (?...)")):
        if mark in site_url:
            raise ValueError(f"it has {what}, which leads to no other server")
    if "@" in site_url.partition("://")[2].partition("/")[0]:
        raise ValueError("it has a user or a password, which no browser sends from a page")
    name, port = url.host, ""
    if match := re.fullmatch(r"(.*):([0-9]*)", name):
        name, port = match.group(1), match.group(2)
    if not name:
        raise ValueError("it has no host")
    number = int(port or DEFAULT_PORTS[url.scheme])
    if number > 65535:
        raise ValueError(f"port {port} is not possible")
    return SiteAddress(url.scheme, _host(name), number)


def origin_of(url: str) -> str:
    """Return the origin of a URL that a browser wrote."""
    return "/".join(url.split("/", maxsplit=3)[:3])


def _host(name: str) -> str:
    if name.startswith("["):
        try:
            return f"[{_ipv6(ipaddress.IPv6Address(name[1:-1]))}]"
        except ValueError as error:
            raise ValueError(f"no browser opens the host {go_syntax.quote(name)}") from error
    domain = _ascii(name)
    if not domain or FORBIDDEN.search(domain):
        raise ValueError(f"no browser opens the host {go_syntax.quote(name)}")
    return _ipv4(domain) if _ends_in_a_number(domain) else domain


def _ipv6(address: ipaddress.IPv6Address) -> str:
    """Return the shortest form, without dots for IPv4 in it and without a zone, which no browser knows."""
    if address.scope_id is not None:
        raise ValueError("it has a zone")
    text = ":".join(f"{int(address) >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))
    runs = re.finditer(r"(?:^|:)0(?::0)+(?=:|$)", text)
    longest = max(runs, key=lambda run: run.group().count("0"), default=None)
    if longest is None:
        return text
    return f"{text[: longest.start()]}::{text[longest.end() :].removeprefix(':')}"


def _ascii(name: str) -> str:
    """Return a domain in ASCII: mapped as browsers do (UTS 46, not transitional), then in Punycode."""
    if name.isascii() and "xn--" not in name.lower():
        return name.lower()
    try:
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
        for label in mapped.split("."):
            _check_label(label)
        return ".".join(map(_punycode, mapped.split(".")))
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"no browser opens the host {go_syntax.quote(name)}") from error


def _check_label(label: str) -> None:
    """Raise for what browsers refuse: marks at the begin, joiners and right-to-left letters in wrong places.

    They take signs (a snowman), hyphens anywhere and any length, which the rules for registering a name do not.
    """
    idna.check_initial_combiner(label)
    idna.check_bidi(label)
    for place, char in enumerate(label):
        joins = {"\u200c": idna.valid_contextj, "\u200d": idna.valid_contextj}.get(char)
        if joins is not None and not joins(label, place):
            raise idna.IDNAError("a joiner in the wrong place")


def _punycode(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"


def _ends_in_a_number(domain: str) -> bool:
    last = domain.removesuffix(".").rpartition(".")[2]
    return last.isdecimal() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _ipv4(domain: str) -> str:
    """Return an IPv4 address with four decimal parts: parts may be octal or hexadecimal, and the last one long."""
    try:
        numbers = [_number(part) for part in domain.removesuffix(".").split(".")]
        rest_bits = IPV4_BITS - 8 * (len(numbers) - 1)
        if len(numbers) > 4 or max(numbers[:-1], default=0) > 255 or numbers[-1] >= 1 << rest_bits:
            raise ValueError("it is too large")
    except ValueError as error:
        raise ValueError(f"no browser opens the host {go_syntax.quote(domain)}") from error
    head = sum(number << (24 - 8 * place) for place, number in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(head + numbers[-1]))


def _number(part: str) -> int:
    if not part.isascii() or "_" in part or not part:
        raise ValueError("it is no number")
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if len(part) > 1 and part.startswith("0") else 10)
