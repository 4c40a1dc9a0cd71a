"""The site's address, taken apart once: for the HTTP client, for Chromium's switches, for the header's filter."""

from __future__ import annotations

import contextlib
import re

import attrs

from recorder_fsm.config import go_syntax

DEFAULT_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class SiteAddress:
    """A Mattermost server. `host` is lower case and ASCII, with brackets around IPv6, as in a URL."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """`scheme://host[:port]` as a browser writes it: without user and default port."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def site_address(site_url: str) -> SiteAddress:
    """Take an address apart; raises `ValueError` for one without scheme, host or a possible port."""
    url = go_syntax.parse_url(site_url)
    if url.scheme not in DEFAULT_PORTS:
        raise ValueError("it has no scheme http or https")
    host, port = url.host.lower(), ""
    if match := re.fullmatch(r"(.*):([0-9]*)", host):
        host, port = match.group(1), match.group(2)
    if not host:
        raise ValueError("it has no host")
    if not host.isascii():
        with contextlib.suppress(UnicodeError):  # no browser would open it either; the navigation says so
            host = host.encode("idna").decode()
    number = int(port or DEFAULT_PORTS[url.scheme])
    if number > 65535:
        raise ValueError(f"port {port} is not possible")
    return SiteAddress(url.scheme, host, number)
