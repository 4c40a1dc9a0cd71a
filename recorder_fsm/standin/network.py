"""Faults below HTTP: a connection reset, and a network that is gone for a while."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.state import State

RETURN_MARGIN_S = 0.01
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
