"""What the page is still loading, and what of it has failed, by the events of our own session.

Tells a page that is slow from one that has failed. While it looks, no cache answers: a page that is loaded again is
asked for again with all its parts.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import urlsplit

from recorder_fsm.browser.console import ERROR_CHARS, thrown
from recorder_fsm.browser.devtools import Message, Session
from recorder_fsm.plain_text import plain

AWAITED = frozenset({"Document", "Stylesheet", "Script", "XHR", "Fetch"})
"""Kinds of requests that a page may need before it can make its client; not pictures, sounds or sockets."""


class Loading:
    """The document that is loaded now.

    `trouble`: what of it failed first, "" for nothing; `moves` counts what came; `led_to`: another site's origin, to
    which it was redirected or which its scripts chose, and where it was not let go.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._awaited: dict[str, Message] = {}
        self.trouble = ""
        self.moves = 0
        self.led_to = ""
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)
        session.on("Network.loadingFailed", self._failed)
        session.on("Runtime.exceptionThrown", self._threw)

    @property
    def pending(self) -> bool:
        """Whether the page waits for an answer that it may need."""
        return bool(self._awaited)

    async def begin(self) -> None:
        """Forget the document before, and look at what the next one asks for."""
        await self._session.call("Network.enable", {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0})
        await self._session.call("Network.setCacheDisabled", {"cacheDisabled": True})
        self._awaited.clear()
        self.trouble = ""
        self.moves = 0
        self.led_to = ""

    def led_away(self, origin: str) -> None:
        """Note that the page was refused to go to another site."""
        self.led_to = self.led_to or origin
        self._found(f"it was led to {origin}")

    def end(self) -> None:
        """Look no longer: a call of hours has many requests."""
        self._session.tell("Network.disable")
        self._awaited.clear()

    def _asked(self, params: Message) -> None:
        if params.get("type") in AWAITED:
            self._awaited[params["requestId"]] = params
            self.moves += 1

    def _answered(self, params: Message) -> None:
        status = int(params["response"]["status"])
        if params["requestId"] in self._awaited and params["type"] == "Script" and status >= 400:
            self._found(f"its script {_name(params['response']['url'])} was answered with HTTP {status}")

    def _finished(self, params: Message) -> None:
        self._ended(params)

    def _failed(self, params: Message) -> None:
        asked = self._ended(params)
        if asked is not None and asked["type"] == "Script" and not params.get("canceled"):
            self._found(f"its script {_name(asked['request']['url'])} was not loaded ({params.get('errorText')})")

    def _threw(self, params: Message) -> None:
        first_line = thrown(params).partition("\n")[0]
        self._found(f"its script threw {first_line}")

    def _ended(self, params: Message) -> Message | None:
        asked = self._awaited.pop(params["requestId"], None)
        if asked is not None:
            self.moves += 1
        return asked

    def _found(self, trouble: str) -> None:
        self.trouble = self.trouble or plain(trouble, ERROR_CHARS)


def _name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name
