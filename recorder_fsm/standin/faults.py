"""Faults applied to requests: those that need no knowledge of what the request does.

The others (`cut_at`, `ends_at`, `stand_at`, `no_progress`, `stale_offset`, `lie_offset`, `busy`, `post_only`, a slow
reader) are left in `request[FAULT]` for the routes that play them.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.access import PLUGIN
from recorder_fsm.standin.knobs import Fault
from recorder_fsm.standin.network import is_ours, reset
from recorder_fsm.standin.state import State

HANG_LIMIT_S = 120.0
FAULT = web.RequestKey("fault", Fault)
ENDLESS_CHUNK = b" " * 16 * 1024
ENDLESS_PAUSE_S = 0.02


def route_name(request: web.Request) -> str:
    """Return the name of the route that a request hits, empty where it hits none."""
    return request.match_info.route.name or ""


def body_bytes(request: web.Request) -> int | None:
    """Return the declared length of the body, None for a chunked one."""
    if request.content_length is not None:
        return request.content_length
    return None if request.body_exists else 0


class Faults:
    """Apply the knobs' faults to whatever a recorder or its page asks."""

    def __init__(self, state: State) -> None:
        self._state = state

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Play the first fault that strikes this request, or just let it pass."""
        if is_ours(request.path):
            return await handler(request)
        if self._state.plugin_off and request.path.startswith(PLUGIN):
            # Mattermost's own answer on the routes of a plugin that does not run (contract 6.13).
            return web.Response(status=404, text="404 page not found\n", content_type="text/plain")
        fault = self._state.knobs.fault_for(route_name(request), body_bytes(request))
        if fault is None:
            return await handler(request)
        request[FAULT] = fault
        return await self._play(fault, request, handler)

    async def _play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault.kind:
            case "status":
                return _ordered(fault)
            case "redirect":
                return web.Response(status=302, headers={"Location": fault.location})
            case "endless":
                return await self._endless(fault, request)
            case "reset" | "hang":
                await self._pause(HANG_LIMIT_S if fault.kind == "hang" else 0)
                reset(request)
                return web.Response()
            case "late_reply" | "drop_reply" | "spoil_reply":
                return await self._done(fault, request, handler)
        await self._pause(fault.delay_s)
        return await handler(request)

    async def _done(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Do what was asked, then answer late, or not at all, or as somebody on the way."""
        reply: web.StreamResponse = web.Response()
        with contextlib.suppress(web.HTTPException):
            reply = await handler(request)
        if fault.kind == "drop_reply" and request.transport is not None:
            request.transport.close()
        await self._pause(fault.delay_s)
        return _ordered(fault) if fault.kind == "spoil_reply" else reply

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the server."""
        if not seconds:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._state.closing.wait()

    async def _endless(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": fault.content_type})
        await reply.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not self._state.closing.is_set():
                await reply.write(ENDLESS_CHUNK)
                await self._pause(ENDLESS_PAUSE_S)
        reset(request)
        return reply


def _ordered(fault: Fault) -> web.Response:
    return web.Response(status=fault.status, text=fault.body, content_type=fault.content_type)
