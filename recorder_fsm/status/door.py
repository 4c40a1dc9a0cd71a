"""Who is let in: so many connections at once, requests that only read, and nobody in the name of a foreign page.

A page of another site can make a browser ask for ours, and with a name of its own for our address (DNS rebinding) even
read what comes back. So a name must be one that we were given, and what a foreign page asks for is refused. A
connection that asks for nothing is closed: its descriptor is one that the recording may need.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from loguru import logger

MOST_CONNECTIONS = 48
FIRST_REQUEST_S = 10.0
FOREIGN = ("cross-site", "same-site")
"""Sec-Fetch-Site (W3C Fetch Metadata) of what another page asks for; another port of one host is the same site."""
HEADERS = {
    "Server": "recorder-fsm",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def ours(host: str | None, names: Collection[str]) -> bool:
    """Tell whether a Host header names us: an IP address, localhost, or one of `names`. Browsers always send one."""
    if host is None:
        return True
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    name = name.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Door:
    """Stands between the listener and the server; also wraps each request. `names`: under which we may be asked."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._silent: set[asyncio.BaseProtocol] = set()
        """Connections that have asked for nothing yet."""
        self.server: web.Server | None = None

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of a new connection."""
        if self.server is None or len(self.server.connections) >= MOST_CONNECTIONS:
            return _Closed()
        protocol = self.server()
        self._silent.add(protocol)
        asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._look, protocol)
        return protocol

    def middleware(self) -> Middleware:
        """Return what each request passes."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            try:
                return await handler(request)
            except web.HTTPException as error:
                return web.Response(status=error.status, text=f"{error.reason}\n", headers=_allow(error))
            except Exception as error:  # noqa: BLE001 - a defect here must not reach the job, and is told
                logger.opt(exception=error).debug("{} could not be answered", request.path)
                return web.Response(status=500, text="the recorder could not answer\n")

        return guard

    async def label(self, _: web.Request, reply: web.StreamResponse) -> None:
        """Put the headers on a reply, before it is sent."""
        for name, value in HEADERS.items():
            if name not in reply.headers or name == "Server":
                reply.headers[name] = value

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="only GET and HEAD\n", headers={"Allow": "GET, HEAD"})
        if not ours(request.headers.get("Host"), self._names):
            text = "ask for me by IP address, by localhost, or by the name that is in STATUS_ADDR\n"
            return web.Response(status=403, text=text)
        opened = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.path == "/"
        if request.headers.get("Sec-Fetch-Site") in FOREIGN and not opened:
            return web.Response(status=403, text="not for other sites\n")
        return None

    def _look(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()


class _Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
