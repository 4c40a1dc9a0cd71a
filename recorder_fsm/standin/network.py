"""Faults below HTTP: a connection reset, and a network that is gone for a while."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.state import State

RETURN_MARGIN_S = 0.01
READER_WAIT_S = 0.05
"""So long after a FIN its connection waits for a reader: a request that came with it is only just being looked at."""
NEVER_LINGER = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: closing sends RST and drops what is unsent


def reset(request: web.BaseRequest) -> None:
    """Close a request's connection with RST; does nothing where it is already gone."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NEVER_LINGER)
    transport.abort()


class HalfOpen(asyncio.Protocol):
    """One connection: a client that has sent FIN in mid-body still listens, and is answered, as by a server in Go.

    It stands before aiohttp's own protocol, which would drop the connection. Who reads a body says so with `reading`.
    """

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._transport: asyncio.BaseTransport | None = None
        self._body: StreamReader | None = None
        self.ended = False

    @contextmanager
    def reading(self, body: StreamReader) -> Iterator[None]:
        """Let a FIN be the end of `body`, also one that came with its first bytes."""
        self._body = body
        if self.ended:
            body.feed_eof()
        try:
            yield
        finally:
            self._body = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self._body is not None:
            self._body.feed_eof()
        else:
            asyncio.get_running_loop().call_later(READER_WAIT_S, self._close_unread)
        return True

    def _close_unread(self) -> None:
        if self._body is None and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def connection_of(request: web.BaseRequest) -> HalfOpen:
    """Return the connection of a request; raises `ConnectionResetError` where it is gone."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(protocol, HalfOpen):
        raise ConnectionResetError("the client has gone")
    return protocol


def is_ours(path: str) -> bool:
    """Say whether a path belongs to the stand-in itself and not to the Mattermost that it plays."""
    return path == "/" or path.startswith("/standin/")


class Network:
    """Own the server's connections: cut them all, and refuse new ones while the network is down."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.server: web.Server | None = None

    def drop(self, seconds: float, *, spare: web.Request | None = None) -> int:
        """Reset every open connection but `spare`'s, and all requests for `seconds`; returns how many."""
        self._state.network_down_until = time.monotonic() + seconds
        self._state.changed()
        # Who waits for its return is woken a little after it, not a tick before.
        asyncio.get_running_loop().call_later(seconds + RETURN_MARGIN_S, self._state.changed)
        dropped = 0
        for protocol in self.server.connections if self.server is not None else []:
            transport = protocol.transport
            if transport is None or (spare is not None and transport is spare.transport):
                continue
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NEVER_LINGER)
            transport.abort()
            dropped += 1
        return dropped

    def crash_plugin(self, seconds: float) -> None:
        """Take the plugin's routes away for `seconds`: its tokens, calls and sessions are as before afterwards."""
        self._state.plugin_off_until = time.monotonic() + seconds
        self._state.changed()
        asyncio.get_running_loop().call_later(seconds + RETURN_MARGIN_S, self._state.changed)

    @web.middleware
    async def gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Reset what asks Mattermost while the network is down."""
        if self._state.network_down and not is_ours(request.path):
            reset(request)
            return web.Response()
        return await handler(request)
