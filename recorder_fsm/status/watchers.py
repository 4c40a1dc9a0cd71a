"""Those who watch the page: each is sent what there is to see, once a second and at each change (server-sent events).

What they are sent is the newest, made once for all; one that reads slowly misses what it was too slow for, and one that
does not read is left. Nothing is made while nobody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import web

from recorder_fsm.status.board import Board
from recorder_fsm.status.page_facts import as_json, page_facts

MOST_WATCHERS = 16
EVERY_S = 1.0
WRITE_LIMIT_S = 5.0
"""One that takes nothing for so long has gone, or means harm."""
COME_BACK_MS = 2000
"""When a page asks again that lost its connection."""
HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


class Watchers:
    """The open pages of one board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._waiting: dict[asyncio.Event, None] = {}
        self._facts = b""
        self._ticking: asyncio.Task[None] | None = None
        self._ended = False
        self._nobody = asyncio.Event()
        self._nobody.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def changed(self) -> None:
        """Send everybody what there is now."""
        if self._waiting:
            self._facts = as_json(page_facts(self._board, ended=self._ended))
            for waiting in self._waiting:
                waiting.set()

    async def end(self) -> None:
        """Send everybody the last that there is; returns when all have it."""
        self._ended = True
        self.changed()
        await self._nobody.wait()

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Answer a page that wants to watch."""
        if len(self) >= MOST_WATCHERS or self._ended:
            return web.Response(status=503, text="too many pages are open\n", headers={"Retry-After": "5"})
        reply = web.StreamResponse(headers=HEADERS)
        news = asyncio.Event()
        self._waiting[news] = None
        self._nobody.clear()
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="status page")
        try:
            await reply.prepare(request)
            await _write(request, reply, f"retry: {COME_BACK_MS}\n\n".encode())
            self._facts = as_json(page_facts(self._board, ended=self._ended))
            news.set()
            ended = False
            while not ended:
                await news.wait()
                news.clear()
                ended = self._ended
                await _write(request, reply, b"event: status\ndata: " + self._facts + b"\n\n")
            await _write(request, reply, b"event: end\ndata: {}\n\n")
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._left(news)
        return reply

    def _left(self, news: asyncio.Event) -> None:
        del self._waiting[news]
        if not self._waiting:
            self._nobody.set()
            if self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.changed()


async def _write(request: web.Request, reply: web.StreamResponse, data: bytes) -> None:
    """Send bytes; ends the connection where they are not taken."""
    try:
        async with asyncio.timeout(WRITE_LIMIT_S):
            await reply.write(data)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise


class Coalesced:
    """Calls a function soon, once for all that ask until then."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._handle: asyncio.Handle | None = None

    def soon(self) -> None:
        """Ask for it; outside of a running loop nobody is there to see it."""
        if self._handle is None:
            with contextlib.suppress(RuntimeError):
                self._handle = asyncio.get_running_loop().call_soon(self._now)

    def _now(self) -> None:
        self._handle = None
        self._call()
