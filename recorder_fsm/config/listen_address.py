"""Where a server of ours listens, as STATUS_ADDR says it: `HOST:PORT`, `:PORT` for the loopback, `[::1]:PORT`."""

from __future__ import annotations

import ipaddress
import re

import attrs

LOOPBACK = "127.0.0.1"
LAST_PORT = 65535
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
NAME_CHARS = 253


@attrs.frozen
class ListenAddress:
    """A host, which is an IP address or a name, and a port; 0 stands for any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Return the address that `text` is; raises `ValueError` with what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("missing port in address")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > LAST_PORT:
        raise ValueError("invalid port")
    return ListenAddress(_host(host), int(port))


def _host(host: str) -> str:
    if not host:
        return LOOPBACK
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise ValueError("invalid host") from error
    if ":" in host:
        raise ValueError("an IPv6 address stands in brackets")
    labels = host.split(".")
    if re.fullmatch(r"[0-9.]+", host):  # the resolver would take 127.1, and 1 for 0.0.0.1
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise ValueError("invalid host") from error
    if len(host) > NAME_CHARS or not all(_NAME.fullmatch(label) for label in labels):
        raise ValueError("invalid host")
    return host.lower()
