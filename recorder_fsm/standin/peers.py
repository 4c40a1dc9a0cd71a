"""How long the peer connections between call pages and the plugin live: as long as the bot is in its call.

The media are made inside the page. What stands for their way to the plugin's RTC server is one more websocket of each
page. It is cut when the network is, closed when the plugin closes the connection, and gone for good after a crash of
the RTC server. What follows from that is the page's to say, as with a real peer connection (`peer_link.js`).
"""

from __future__ import annotations

import asyncio

import attrs
from aiohttp import web

from recorder_fsm.standin.events import Hub
from recorder_fsm.standin.network import reset
from recorder_fsm.standin.state import State

CLOSED_BY_PLUGIN = 4000
"""The page takes this code for the close of its peer connection, any other end for a loss."""
CLOSE_LIMIT_S = 0.5


@attrs.frozen(eq=False)
class _Link:
    socket: web.WebSocketResponse
    request: web.Request


class Peers:
    """Serve and end the links; each belongs to a session, named by the connection id with which its page joined."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self._links: dict[str, _Link] = {}
        self._lost: set[str] = set()
        self._goodbyes: set[asyncio.Task[bool]] = set()

    @property
    def open(self) -> set[str]:
        """The sessions whose peer connection stands."""
        return set(self._links)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/standin/peer", self.serve, allow_head=False)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Hold one page's link; a reset while the network is down, 404 for a session that there is none of."""
        session = request.query.get("session", "")
        if self._state.network_down:
            reset(request)
            return web.Response()
        if session in self._lost or all(one.first_id != session for one in self._hub.in_call(None)):
            raise web.HTTPNotFound(text="there is no such session")
        link = _Link(web.WebSocketResponse(timeout=CLOSE_LIMIT_S), request)
        await link.socket.prepare(request)
        self._links[session] = link
        self._state.changed()
        try:
            async for _ in link.socket:
                pass
        finally:
            if self._links.get(session) is link:
                del self._links[session]
            self._state.changed()
        return link.socket

    def close(self, session: str) -> None:
        """Close a session's peer connection, as the plugin does when it has removed the session."""
        if (link := self._links.pop(session, None)) is not None:
            goodbye = asyncio.create_task(link.socket.close(code=CLOSED_BY_PLUGIN, message=b"rtc peer close"))
            self._goodbyes.add(goodbye)
            goodbye.add_done_callback(self._goodbyes.discard)
            self._state.changed()

    def crash(self) -> None:
        """Lose them all at once, without a word and for good: who held them does not know them any more."""
        self._lost |= {one.first_id for one in self._hub.in_call(None)}
        self.cut()

    def cut(self) -> None:
        """Reset every link; a page may come back to its session."""
        links, self._links = list(self._links.values()), {}
        for link in links:
            reset(link.request)
        self._state.changed()

    def forget(self) -> None:
        """Begin anew, for a reset or a shutdown."""
        self.cut()
        self._lost.clear()
