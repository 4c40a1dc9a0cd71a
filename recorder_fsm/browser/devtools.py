"""Chromium's DevTools protocol over a pipe that only we hold: commands, answers, events, and a door for one guest.

Chromium reads on its descriptor 3 and writes on 4 (`--remote-debugging-pipe`), JSON messages that end with a NUL. No
port is opened by it. We own the connection; a guest (Playwright, by `bridge`) gets a session of the browser of its own.
All that the guest attaches to hangs below that session: when the guest goes, one detach ends all of it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from loguru import logger

from recorder_fsm.errors import BrowserError
from recorder_fsm.system.clock import running_timeout

CALL_LIMIT_S = 10.0
"""How long Chromium may take to answer where the caller sets no limit."""
MESSAGE_LIMIT_BYTES = 256 * 1024 * 1024
"""A message that is longer ends the connection, and with it the browser: a page must not fill our memory."""

Message = dict[str, Any]
Listener = Callable[[Message], None]


class Session:
    """One DevTools session: the browser itself (id ""), or one target. Made by `DevTools`.

    `gone` completes when it is detached, or the pipe closes.
    """

    def __init__(self, devtools: DevTools, session_id: str) -> None:
        self.id = session_id
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._devtools = devtools
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)

    def on(self, event: str, listener: Listener) -> None:
        """Call `listener` with the parameters of every such event, in order; it must not wait."""
        self._listeners[event].append(listener)

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, limit_s: float = CALL_LIMIT_S
    ) -> Message:
        """Send a command and return its result.

        Raises `BrowserError`: `page_gone` where the session or Chromium is no more, `page` where Chromium refuses,
        `page_late` where it does not answer in `limit_s` seconds. Texts have the method, never the parameters.
        """
        answer = self._devtools.ask(self, method, params or {})
        try:
            async with running_timeout(limit_s):
                return await answer
        except TimeoutError as error:
            raise BrowserError(detail=f"{method}: no answer within {limit_s:g} s", code="page_late") from error
        finally:
            answer.cancel()

    def tell(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a command whose answer does not matter; does nothing where the session is no more."""
        if not self.gone.done():
            self._devtools.post(self.id, method, params or {})

    def happened(self, event: str, params: Message) -> None:
        for listener in self._listeners.get(event, ()):
            try:
                listener(params)
            except Exception:  # noqa: BLE001 - one listener's fault must not deafen the others
                logger.opt(exception=True).error("an event of Chromium was not understood: {}", event)


class DevTools(asyncio.Protocol):
    """The pipe, from our end. `root` is the browser's session; `root.gone` completes when Chromium closes the pipe."""

    def __init__(self) -> None:
        self.root = Session(self, "")
        self.guest: Callable[[Message, bytes], None] | None = None
        """Takes every message that is not for one of our sessions."""
        self._sessions = {"": self.root}
        self._answers: dict[int, tuple[Session, str, asyncio.Future[Message]]] = {}
        self._last_id = 0
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> socket.socket:
        """Open the pipe; returns Chromium's end, which the caller hands over and then closes."""
        ours, theirs = socket.socketpair()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            theirs.close()
            ours.close()
            raise
        return theirs

    def close(self) -> None:
        """Close our end: Chromium exits by itself then. Safe to call twice."""
        if self._transport is not None:
            self._transport.abort()

    async def attach(self, target_id: str) -> Session:
        """Return a session of ours on a target; raises `BrowserError` as `Session.call` does."""
        answer = await self.root.call("Target.attachToTarget", {"targetId": target_id, "flatten": True})
        session = Session(self, str(answer["sessionId"]))
        self._sessions[session.id] = session
        return session

    def ask(self, session: Session, method: str, params: Mapping[str, Any]) -> asyncio.Future[Message]:
        """Send a command; returns the future of its result, or raises `BrowserError` where the session is no more."""
        if session.gone.done():
            raise _gone(method)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        number = self.post(session.id, method, params)
        self._answers[number] = (session, method, answer)
        answer.add_done_callback(lambda _: self._answers.pop(number, None))
        return answer

    def post(self, session_id: str, method: str, params: Mapping[str, Any]) -> int:
        self._last_id += 1
        message: Message = {"id": self._last_id, "method": method, "params": params}
        if session_id:
            message["sessionId"] = session_id
        self.send(message)
        return self._last_id

    def send(self, message: Message) -> None:
        """Write a message as it is; does nothing where the pipe is closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(json.dumps(message, separators=(",", ":")).encode() + b"\0")

    # --- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if b"\0" not in data:
            self._buffer += data
            if len(self._buffer) > MESSAGE_LIMIT_BYTES:
                logger.error("Chromium sent a message of over {} bytes; its pipe is closed", MESSAGE_LIMIT_BYTES)
                self.close()
            return
        first, *others = data.split(b"\0")
        raw = bytes(self._buffer) + first
        self._buffer = bytearray(others.pop())
        for one in (raw, *others):
            self._received(one)

    def connection_lost(self, exc: Exception | None) -> None:
        for session in list(self._sessions.values()):
            self._end(session)

    # ----------------------------------------------------------------------------------------------------------------

    def _received(self, raw: bytes) -> None:
        try:
            message = json.loads(raw)
            session = self._sessions.get(message.get("sessionId", ""))
        except (ValueError, AttributeError):
            logger.error("Chromium sent what is no message ({} bytes)", len(raw))
            return
        if session is None:
            if self.guest is not None:
                self.guest(message, raw)
        elif "method" in message:
            params = message.get("params", {})
            if session is self.root and message["method"] == "Target.detachedFromTarget":
                self._detached(str(params.get("sessionId")))
            session.happened(message["method"], params)
        elif message.get("id") in self._answers:
            _, method, answer = self._answers[message["id"]]
            if answer.done():
                return
            if error := message.get("error"):
                answer.set_exception(BrowserError(detail=f"{method}: {error.get('message')}", code="page"))
            else:
                answer.set_result(message.get("result", {}))

    def _detached(self, session_id: str) -> None:
        if session_id and (session := self._sessions.get(session_id)):
            self._end(session)

    def _end(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        if not session.gone.done():
            session.gone.set_result(None)
        for asker, method, answer in list(self._answers.values()):
            if asker is session and not answer.done():
                answer.set_exception(_gone(method))


def _gone(method: str) -> BrowserError:
    return BrowserError(detail=f"{method}: the page or the browser is no more", code="page_gone")
