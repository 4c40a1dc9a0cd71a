"""The call page: going there, noticing that it joined, that it left, that it froze, and leaving.

Owns the page's state as the recorder sees it. The page tells by the hook (`page_hook.js`); a slow poll of the two
booleans that are the page's contract with its recorder (contract 3.3) is the safety net. Does not know Playwright: it
is given a `Tab`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from typing import Any, Protocol

import attrs
from loguru import logger

from recorder_fsm.errors import BrowserError, CallError, RecorderError
from recorder_fsm.system.clock import running_timeout

CLIENT_LIMIT_S = 8.0
"""How long a loaded page may take to make its client object before it is loaded again."""
LOAD_LIMIT_S = 10.0
"""How long the server may take to answer for the page before it is asked again."""
RELOAD_PAUSE_S = 1.0
POLL_S = 2.0
FROZEN_LIMIT_S = 12.0
"""A busy page answers late; one that has not answered for this long is taken for dead."""
LEAVE_LIMIT_S = 2.0
RESTORE_LIMIT_S = 5.0
LAST_WORD_S = 1.0
KEPT_ERRORS = 10
CONSOLE_LINES_PER_S = 20
CONSOLE_LINE_CHARS = 2000

PERMANENT_STATUS = {
    401: "Mattermost does not accept the recorder's token for the call page.",
    403: "Mattermost refused the recorder the call page.",
    404: "Mattermost has no call page: the Calls plugin is missing, disabled or too old.",
}


class Tab(Protocol):
    """What a page needs of its browser. Both raise `BrowserError` where the browser or the page has gone."""

    async def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript by the DevTools protocol itself, which the page's CSP does not hinder."""

    async def load(self, url: str, limit_s: float) -> int:
        """Navigate; returns the HTTP status as soon as it is known, 0 where there is none."""


@attrs.frozen
class Left:
    """The client closed: `reason` is None where the end was asked for (call ended, recording stopped)."""

    reason: str | None


class CallPage:
    """One page, from the first address to the last word of its client."""

    def __init__(self, tab: Tab, width: int, height: int) -> None:
        self._tab = tab
        self._size = (width, height)
        self._wrong_size: tuple[int, int] | None = None
        self._joined = asyncio.Event()
        self._client_seen = asyncio.Event()
        self._left: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self._leaving = False
        self._console_window = (0.0, 0)
        self._console_dropped = 0
        self.errors: deque[str] = deque(maxlen=KEPT_ERRORS)

    async def join(self, url: str, limit_s: float) -> None:
        """Load the page and wait until its client has joined the call.

        Loads again where that can help (network error, 5xx, no client object); raises `CallError` with the page's own
        words where it cannot, or when `limit_s` seconds have passed.
        """
        trouble = "the page did not answer"
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    trouble = await self._load(url, limit_s) or "the page made no client object"
                    if not trouble.startswith("!") and await self._joins():
                        return
                    trouble = trouble.removeprefix("!")
                    logger.warning("the call page is loaded again: {}", trouble)
                    await asyncio.sleep(RELOAD_PAUSE_S)
        except TimeoutError as error:
            if self._client_seen.is_set():
                trouble = "the page did not get into the call"
            raise CallError(
                "The recorder could not join the call in time.",
                detail=f"{trouble} within {limit_s:g} s{self._console_words()}",
                code="join_timeout",
            ) from error

    async def closed(self) -> RecorderError | None:
        """Wait until the client, once it has joined, closes.

        Returns None for an end that was asked for, else the page's reason. Before it joined, `join` says what happened.
        """
        await self._joined.wait()
        poll = asyncio.create_task(self._poll_until_gone())
        try:
            waited: list[asyncio.Future[Any]] = [self._left, poll]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            poll.cancel()
        left = self._left.result() if self._left.done() else Left("nothing: its client vanished")
        if left.reason is None:
            return None
        return CallError("The recorder lost the call.", detail=f"the page said: {left.reason}", code="call_lost")

    async def frozen(self) -> str:
        """Wait until the page stops answering; returns how that was noticed. A busy page only answers late.

        A page that loads may not answer either: `join` has limits of its own for that.
        """
        await self._joined.wait()
        while True:
            await asyncio.sleep(POLL_S)
            try:
                async with running_timeout(FROZEN_LIMIT_S):
                    await self._tab.evaluate("1")
            except TimeoutError:
                return f"the page has not answered for {FROZEN_LIMIT_S:g} s"
            except BrowserError as error:
                if error.code == "page_gone":
                    return "the page has gone"

    async def signs(self) -> tuple[float, int]:
        """Return the audio energy that the page has received and how often its document changed; zeros if unknown."""
        try:
            async with asyncio.timeout(POLL_S):
                value = await self._tab.evaluate("window.__recorderFsm?.signs()")
            return float(value["energy"]), int(value["changes"])
        except (TimeoutError, BrowserError, TypeError, KeyError, ValueError):
            return 0.0, 0

    async def restore_audio(self) -> None:
        """Have the page play into the sound server again, which was restarted; see `audio_hook.js`."""
        try:
            async with running_timeout(RESTORE_LIMIT_S):
                restored = await self._tab.evaluate("window.__recorderFsmAudio?.restore()")
        except (TimeoutError, BrowserError) as error:
            logger.warning("the page's audio could not be restored: {}", str(error) or "no answer")
            return
        logger.info("the page's audio was restored: {}", restored)

    async def leave(self) -> None:
        """Leave the call; does nothing where the page has gone or does not answer within two seconds."""
        self._leaving = True
        with contextlib.suppress(TimeoutError, BrowserError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._tab.evaluate("window.__recorderFsm?.leave()")

    def told(self, message: str) -> None:
        """Take what the hook says: a JSON object with `kind`, `detail` and `at` (milliseconds since 1970)."""
        try:
            heard = json.loads(message)
            kind, detail = str(heard["kind"]), heard.get("detail")
        except (ValueError, KeyError, TypeError):
            logger.warning("the page sent a message that is not understood")
            return
        logger.debug("page: {}{}", kind, f" ({detail})" if detail else "")
        if kind == "client":
            self._client_seen.set()
        elif kind == "connect":
            self._joined.set()
        elif kind == "close" and not self._left.done():
            if not self._leaving:
                logger.info("the call page closed its client{}", f": {detail}" if detail else "")
            self._left.set_result(Left(str(detail) if detail is not None else None))

    def console(self, kind: str, text: str) -> None:
        """Log a line of the page's console, at most so many in a second; keep the last errors for causes."""
        if kind == "error":
            self.errors.append(text[:300])
        second, count = self._console_window
        now = time.monotonic()
        if now - second >= 1:
            if self._console_dropped:
                logger.debug("console: {} lines were left out", self._console_dropped)
            second, count, self._console_dropped = now, 0, 0
        self._console_window = (second, count + 1)
        if count >= CONSOLE_LINES_PER_S:
            self._console_dropped += 1
            return
        logger.debug("console {}: {}", kind, text[:CONSOLE_LINE_CHARS])

    async def _load(self, url: str, limit_s: float) -> str:
        """Go to `url`; returns "" or, after a "!", why another try may help; raises `CallError` where it cannot."""
        try:
            status = await self._tab.load(url, min(limit_s, LOAD_LIMIT_S))
        except BrowserError as error:
            return f"!the page could not be loaded ({error.detail})"
        if sentence := PERMANENT_STATUS.get(status):
            raise CallError(sentence, detail=f"HTTP {status} for the call page", code=f"page_{status}")
        return f"!the server answered HTTP {status} for the call page" if status >= 400 else ""

    async def _joins(self) -> bool:
        """Wait for the client to join; False where the page made no client; raises `CallError` where it gave up."""
        started = time.monotonic()
        while True:
            wait_for: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._joined.wait()), self._left]
            try:
                await asyncio.wait(wait_for, timeout=POLL_S / 2, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wait_for[0].cancel()
            if self._left.done():
                reason = self._left.result().reason
                if reason is None:
                    raise CallError("The call or the recording ended before the recording began.", code="call_ended")
                raise self._refused(reason)
            if self._joined.is_set():
                return True
            seen = await self._probe()
            if seen is None:
                continue
            if seen["connected"] and not seen["closed"]:
                self._joined.set()
                return True
            if seen["seen"] and not seen["present"]:
                # The blind spot of the events: a failed start deletes the client without a `close` (contract 3.2).
                raise self._refused("the page gave up while it was starting")
            if not seen["seen"] and time.monotonic() - started > CLIENT_LIMIT_S:
                return False

    async def _poll_until_gone(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            seen = await self._probe()
            if seen is not None and (not seen["present"] or seen["closed"]):
                # The hook tells first, and with a reason: its message may still be on the way.
                await asyncio.wait({self._left}, timeout=LAST_WORD_S)
                return

    async def _probe(self) -> dict[str, Any] | None:
        """Return what the hook's probe says; None while the page loads or does not answer."""
        try:
            async with asyncio.timeout(POLL_S):
                value = await self._tab.evaluate("window.__recorderFsm?.probe()")
        except (TimeoutError, BrowserError):
            return None
        if not isinstance(value, dict):
            return None
        size = (value["width"], value["height"])
        if size not in (self._size, self._wrong_size):
            logger.warning("the page is {}x{}, not {}x{}", *size, *self._size)
            self._wrong_size = size
        return value

    def _refused(self, reason: str) -> CallError:
        return CallError(
            "The recorder could not join the call.",
            detail=f"the page said: {reason}{self._console_words()}",
            code="join_refused",
        )

    def _console_words(self) -> str:
        return f"; last console errors: {' | '.join(list(self.errors)[-3:])}" if self.errors else ""
