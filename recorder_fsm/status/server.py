"""The server: what is asked for and who answers. It runs in the job's own loop: an answer shows that it lives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import ipaddress
import logging
import socket
from pathlib import Path
from typing import Self

from aiohttp import web
from loguru import logger

from recorder_fsm.config.listen_address import ListenAddress
from recorder_fsm.machine.lifecycle import Change
from recorder_fsm.status import diagram
from recorder_fsm.status.board import Board
from recorder_fsm.status.door import Door
from recorder_fsm.status.metrics import TEXT_FORMAT, exposition, registry_of
from recorder_fsm.status.page_facts import as_json, health_facts, page_facts
from recorder_fsm.status.thumbnail import Take, Thumbnail
from recorder_fsm.status.watchers import Coalesced, Watchers

FILES = Path(__file__).parent
KEEP_ALIVE_S = 15.0
WAITING = 16
SEND_BUFFER_BYTES = 128 * 1024
"""What one who reads slowly, or not at all, may have waiting in the kernel."""
LAST_WORDS_S = 0.5
"""How long open pages may take to hear how the job ended."""
CLOSE_S = 0.1
SEEN_BY_ALL = (
    "the status page can be reached from other machines at {}: whoever does sees a thumbnail of the call, its name and "
    "what happens to the recording; bind it to 127.0.0.1, or let a firewall or a network policy decide who may"
)


class StatusServer:
    """Serves one board; made by `start`."""

    def __init__(self, address: ListenAddress, board: Board, take: Take) -> None:
        self._address = address
        self._board = board
        self._registry = registry_of(board)
        self._thumbnail = Thumbnail(take)
        self._watchers = Watchers(board)
        self._news = Coalesced(self._watchers.changed)
        self._door = Door({address.host})
        self._page, self._policy = _page()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.port = 0

    @classmethod
    async def start(cls, address: ListenAddress, board: Board, take: Take) -> Self:
        """Return a server that listens; raises `OSError` where it cannot."""
        server = cls(address, board, take)
        try:
            await server._listen()
        except BaseException:
            await server.stop()
            raise
        return server

    def changed(self, _: Change) -> None:
        """Tell those who watch of a change."""
        self._news.soon()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{ListenAddress(self._address.host, self.port)}/"

    async def stop(self) -> None:
        """Tell open pages how the job ended, and close."""
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._watchers.end()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _listen(self) -> None:
        application = web.Application(middlewares=[self._door.middleware()], client_max_size=1024)
        application.on_response_prepare.append(self._door.label)
        application.add_routes(
            [
                web.get("/", self._show),
                web.get("/icon.svg", self._icon),
                web.get("/events", self._watchers.watch, allow_head=False),
                web.get("/status.json", self._tell),
                web.get("/thumbnail.jpg", self._picture),
                web.get("/healthz", self._health),
                web.get("/metrics", self._measure),
            ]
        )
        quiet = logging.getLogger("recorder_fsm.status")
        quiet.setLevel(logging.CRITICAL)  # what strangers send is no news; what fails here is told by the door
        runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            logger=quiet,
            keepalive_timeout=KEEP_ALIVE_S,
            lingering_time=0,
            shutdown_timeout=CLOSE_S,
        )
        await runner.setup()
        self._runner, self._door.server = runner, runner.server
        loop = asyncio.get_running_loop()
        host, port = self._address.host, self._address.port
        if port == 0:  # a name may have several addresses, and each would get a port of its own
            host = str((await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0][4][0])
        self._listener = await loop.create_server(self._door, host, port, backlog=WAITING, reuse_address=True)
        for listening in self._listener.sockets:  # each connection inherits it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.port = self._listener.sockets[0].getsockname()[1]
        logger.info("the status page is at {}", self.url)
        if not all(_is_loopback(one) for one in self._listener.sockets):
            logger.warning(SEEN_BY_ALL, self.url)

    async def _show(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._policy}
        return web.Response(text=self._page, content_type="text/html", charset="utf-8", headers=headers)

    async def _icon(self, _: web.Request) -> web.Response:
        icon = (FILES / "icon.svg").read_text(encoding="utf-8")
        return web.Response(text=icon, content_type="image/svg+xml")

    async def _tell(self, _: web.Request) -> web.Response:
        return web.Response(body=as_json(page_facts(self._board)) + b"\n", content_type="application/json")

    async def _picture(self, _: web.Request) -> web.Response:
        jpeg = await self._thumbnail.jpeg()
        if jpeg is None:
            return web.Response(status=404, text="there is no display now\n")
        return web.Response(body=jpeg, content_type="image/jpeg")

    async def _health(self, _: web.Request) -> web.Response:
        facts = health_facts(self._board)
        return web.Response(
            body=as_json(facts) + b"\n", content_type="application/json", status=200 if facts["ok"] else 503
        )

    async def _measure(self, _: web.Request) -> web.Response:
        return web.Response(body=exposition(self._registry), headers={"Content-Type": TEXT_FORMAT})


def _page() -> tuple[str, str]:
    """Return the page, whole in itself, and the policy under which nothing but what is in it may run or be shown."""
    style, script = ((FILES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = (FILES / "page.html").read_text(encoding="utf-8")
    for mark, text in (
        ("/*style*/", style),
        ("/*script*/", script),
        ("<!--diagram-->", diagram.svg(diagram.WIDE) + diagram.svg(diagram.TALL)),
    ):
        page = page.replace(mark, text)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page, policy


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(str(listening.getsockname()[0]).partition("%")[0]).is_loopback
