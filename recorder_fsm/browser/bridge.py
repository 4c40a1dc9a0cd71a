"""The bridge: a websocket on this machine's loopback through which one Playwright driver uses our pipe to Chromium.

Playwright can be given an address only. The door opens to who knows a secret, which travels in a header: no page can
set one on a websocket, and Playwright repeats no header in its errors. A request with an `Origin`, as from a page, is
refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from http import HTTPStatus
from types import TracebackType
from typing import Self

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from recorder_fsm.browser.devtools import DevTools, Message
from recorder_fsm.errors import BrowserError
from recorder_fsm.system.clock import running_timeout

PLACE_LIMIT_S = 5.0
"""How long a new guest waits until the one before it is cleaned up behind."""
CLEAN_LIMIT_S = 3.0
PING_EVERY_S = 5.0
PING_LIMIT_S = 10.0
"""A guest that does not answer a ping for this long is shown out: new workers of the page wait for its word."""
BACKLOG_LIMIT_BYTES = 64 * 1024 * 1024
CLOSE_LIMIT_S = 2.0


class Bridge:
    """Lets one guest in at a time. `vacant` is set while there is none."""

    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools
        self._word = f"Bearer {secrets.token_urlsafe(32)}"
        self._place = asyncio.Lock()
        self._server: Server | None = None
        self.vacant = asyncio.Event()
        self.vacant.set()

    @property
    def address(self) -> str:
        if self._server is None:
            raise RuntimeError("the bridge is not held")
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"ws://127.0.0.1:{port}/"

    @property
    def headers(self) -> dict[str, str]:
        """What a guest must send."""
        return {"Authorization": self._word}

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._admit,
            origins=[None],
            compression=None,
            max_size=None,  # it is our own driver; its maker allows 256 MB
            ping_interval=None,  # the library's limit would count the time in which we stood still
            close_timeout=CLOSE_LIMIT_S,
            server_header=None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with running_timeout(CLOSE_LIMIT_S + CLEAN_LIMIT_S):
                    await self._server.wait_closed()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        given = request.headers.get_all("Authorization")
        if len(given) == 1 and secrets.compare_digest(given[0].encode(), self._word.encode()):
            return None
        logger.warning("somebody without the secret knocked at the browser's bridge")
        return connection.respond(HTTPStatus.FORBIDDEN, "")

    async def _serve(self, guest: ServerConnection) -> None:
        try:
            async with running_timeout(PLACE_LIMIT_S):
                await self._place.acquire()
        except TimeoutError:
            await guest.close(1013, "another guest is here")
            return
        self.vacant.clear()
        try:
            with contextlib.suppress(ConnectionClosed, BrowserError):
                await self._host(guest)
        finally:
            self.vacant.set()
            self._place.release()

    async def _host(self, guest: ServerConnection) -> None:
        """Carry messages both ways until the guest or Chromium goes; then end all sessions of the guest."""
        devtools = self._devtools
        session_id = str((await devtools.root.call("Target.attachToBrowserTarget"))["sessionId"])
        backlog: asyncio.Queue[str] = asyncio.Queue()
        waiting = 0

        def take(message: Message, raw: bytes) -> None:
            nonlocal waiting
            if message.get("sessionId") == session_id:  # the guest knows this session as the browser itself
                del message["sessionId"]
                text = json.dumps(message, separators=(",", ":"))
            else:
                text = raw.decode()
            waiting += len(text)
            if waiting > BACKLOG_LIMIT_BYTES:
                guest.transport.abort()
            else:
                backlog.put_nowait(text)

        async def deliver() -> None:
            nonlocal waiting
            while True:
                text = await backlog.get()
                waiting -= len(text)
                await guest.send(text)

        async def collect() -> None:
            async for text in guest:
                message = {"sessionId": session_id, **json.loads(text)}
                if message.get("method") == "Target.setAutoAttach":
                    # Playwright would stop each new worker, frame and window until it has looked at it. One that hangs
                    # would hang them, and a window that is closed while it is stopped hangs the page that opened it.
                    message["params"]["waitForDebuggerOnStart"] = False
                devtools.send(message)

        async def check() -> None:
            while True:
                await asyncio.sleep(PING_EVERY_S)
                try:
                    async with running_timeout(PING_LIMIT_S):
                        await (await guest.ping())
                except TimeoutError:
                    logger.warning("the browser's driver has not answered for {:g} s", PING_LIMIT_S)
                    guest.transport.abort()
                    return

        devtools.guest = take
        work = [asyncio.create_task(one()) for one in (deliver, collect, check)]
        try:
            await asyncio.wait([*work, devtools.root.gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            devtools.guest = None
            for task in work:
                task.cancel()
            for failure in await asyncio.gather(*work, return_exceptions=True):
                if not isinstance(failure, ConnectionClosed | asyncio.CancelledError | None):
                    logger.warning("the browser's bridge: {}", type(failure).__name__)
            with contextlib.suppress(BrowserError):
                await devtools.root.call("Target.detachFromTarget", {"sessionId": session_id}, CLEAN_LIMIT_S)
