"""The call page: going there, noticing that it joined, that it left, that it froze, and leaving.

Owns the page's state as the recorder sees it. The page tells by the hook (`page_hook.js`); a slow poll of the two
booleans that are the page's contract with its recorder (contract 3.3) is the safety net. Does not know Playwright: it
is given a `Tab`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.browser import picture
from recorder_fsm.browser.needs import Tab
from recorder_fsm.browser.page_answer import CODES, LED_AWAY, REFUSED, SENTENCES, Answer
from recorder_fsm.browser.shown_page import POLL_S, PageSigns, ShownPage
from recorder_fsm.errors import BrowserError, CallError, CallLost, RecorderError
from recorder_fsm.system.clock import Stopwatch, running_timeout, running_wait

LOAD_LIMIT_S = 10.0
"""How long the server may take to answer for the page before it is asked again."""
STALLED_LIMIT_S = 16.0
"""How long a page may wait for one of its scripts or requests; a server that has lost one is asked for all again."""
CLIENT_LIMIT_S = 8.0
"""How long a page that waits for nothing may take to make its client object before it is loaded again."""
TROUBLED_LIMITS_S = (0.5, 3.0)
"""The same where a script failed or threw, the first times: it may have been harmless, so patience grows."""
RELOAD_PAUSES_S = (0.5, 1.0, 2.0)
JOIN_POLL_S = 0.2
LEAVE_LIMIT_S = 2.0
LAST_WORD_S = 1.0
SCREEN_RESTORED = (
    "the call page received a shared screen without showing it; the recorder let it show it after a second"
)


class _AgainError(Exception):
    """The page is to be loaded again; the text says why. `answer`: where the server answered with an error."""

    def __init__(self, trouble: str, answer: Answer | None = None) -> None:
        super().__init__(trouble)
        self.answer = answer


@attrs.frozen
class Left:
    """The client closed: `reason` is None where the end was asked for (call ended, recording stopped).

    `quiet_s`: for how long nothing had come from the call by then, 0 where the page does not know.
    """

    reason: str | None
    quiet_s: float = 0.0


class CallPage(ShownPage):
    """One page, from the first address to the last word of its client. `note` is for the job's report.

    `notice_given` is set when the plugin has told everybody in the call that a recording runs.
    """

    def __init__(self, tab: Tab, width: int, height: int, note: Callable[[str], None]) -> None:
        super().__init__(tab, width, height, note)
        self._screen_restored = False
        self._wrong_size: tuple[int, int] | None = None
        self._client_seen = asyncio.Event()
        self._left: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self._leaving = False

    async def join(self, url: str, limit_s: float) -> None:
        """Load the page and wait until its client has joined the call.

        Loads again where that can help; raises `CallError` with the page's or the server's own words where it cannot,
        or when `limit_s` seconds have passed.
        """
        trouble = _AgainError("the page did not answer")
        tries = 0
        try:
            async with running_timeout(limit_s):
                while True:
                    try:
                        await self._load(url, limit_s)
                        await self._joins(tries)
                        return
                    except _AgainError as again:
                        trouble = again
                    logger.warning("the call page is loaded again: {}", trouble)
                    await asyncio.sleep(RELOAD_PAUSES_S[min(tries, len(RELOAD_PAUSES_S) - 1)])
                    tries += 1
        except TimeoutError as error:
            raise self._not_in_time(trouble, limit_s) from error
        finally:
            self._tab.loading.end()

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
        return CallLost(detail=f"the page said: {left.reason or 'nothing'}", quiet_s=left.quiet_s)

    async def signs(self) -> PageSigns | None:
        """Return what the page has received and done since it joined; None where it does not answer."""
        try:
            async with running_timeout(POLL_S):
                value = await self._tab.evaluate("window.__recorderFsm?.signs()")
            return PageSigns(float(value["energy"]), int(value["packets"]), int(value["changes"]))
        except (TimeoutError, BrowserError, TypeError, KeyError, ValueError):
            return None

    async def leave(self) -> None:
        """Leave the call; does nothing where the page has gone or does not answer within two seconds."""
        self._leaving = True
        self.console.tell_left_out()
        with contextlib.suppress(TimeoutError, BrowserError):
            async with running_timeout(LEAVE_LIMIT_S):
                await self._tab.evaluate("window.__recorderFsm?.leave()")

    def told(self, message: str) -> None:
        """Take what the hook says: a JSON object with `kind`, `detail` and `at` (milliseconds since 1970)."""
        try:
            heard = json.loads(message)
            kind, detail = str(heard["kind"]), heard.get("detail")
        except (ValueError, KeyError, TypeError):
            logger.warning("the page sent a message that is not understood")
            return
        if kind == "people":  # not for the log: it says who was there
            if self.on_people is not None:
                self.on_people(detail, heard.get("at"))
            return
        logger.debug("page: {}{}", kind, f" ({detail})" if detail else "")
        if kind == "client":
            self._client_seen.set()
        elif kind == "connect":
            self._joined.set()
        elif kind == "notice":
            self.notice_given.set()
        elif kind == "screen_restored":
            logger.warning(SCREEN_RESTORED)
            if not self._screen_restored:
                self._note(SCREEN_RESTORED)
            self._screen_restored = True
        elif kind == "close" and not self._left.done():
            if not self._leaving:
                logger.info("the call page closed its client{}", f": {detail}" if detail else "")
            quiet_s = heard.get("quiet_s")
            known = isinstance(quiet_s, int | float) and quiet_s >= 0
            self._left.set_result(Left(str(detail) if detail is not None else None, float(quiet_s) if known else 0.0))

    async def _load(self, url: str, limit_s: float) -> None:
        try:
            answer = await self._tab.load(url, min(limit_s, LOAD_LIMIT_S))
        except BrowserError as error:
            raise _AgainError(f"the page could not be loaded ({error.detail})") from error
        if answer.final:
            sentence = SENTENCES.get(answer.status, CallError.sentence)
            raise CallError(sentence, detail=answer.describe(), code=CODES.get(answer.status, REFUSED))
        if not answer.good:
            raise _AgainError(answer.describe(), answer)

    async def _joins(self, tries: int) -> None:
        """Wait for the client to join; raises `CallError` where it gave up, `_AgainError` where none was made."""
        loading, still, moves = self._tab.loading, Stopwatch(), -1
        while True:
            wait_for: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._joined.wait()), self._left]
            try:
                await asyncio.wait(wait_for, timeout=JOIN_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wait_for[0].cancel()
            if self._left.done():
                reason = self._left.result().reason
                if reason is None:
                    raise CallError("The call or the recording ended before the recording began.", code="call_ended")
                raise self._refused(reason)
            if self._joined.is_set():
                return
            seen = await self._probe()
            if seen is None:
                continue
            if seen["connected"] and not seen["closed"]:
                self._joined.set()
                return
            if seen["seen"] and not seen["present"]:
                # The blind spot of the events: a failed start deletes the client without a `close` (contract 3.2).
                raise self._refused("the page gave up while it was starting")
            if moves != loading.moves:
                moves = loading.moves
                still.restart()
            waits = loading.pending or not seen["complete"]
            if not seen["seen"] and still.elapsed_s() > self._patience_s(waits, tries) and await self._abandoned():
                if loading.led_to:
                    led = Answer(0, elsewhere=loading.led_to)
                    raise _AgainError(led.describe(), led)
                raise _AgainError(loading.trouble or "the page made no client object")

    def _patience_s(self, waits: bool, tries: int) -> float:
        """Return how long a page may stand still without a client: slow is not failed."""
        if waits:
            return STALLED_LIMIT_S
        troubled = self._tab.loading.trouble and tries < len(TROUBLED_LIMITS_S)
        return TROUBLED_LIMITS_S[tries] if troubled else CLIENT_LIMIT_S

    async def _abandoned(self) -> bool:
        """Have the page tell nothing more before another is loaded; False where it has just made its client."""
        try:
            async with running_timeout(POLL_S):
                return await self._tab.evaluate("window.__recorderFsm?.abandon()") is not False
        except (TimeoutError, BrowserError):
            return True

    async def _poll_until_gone(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            seen = await self._probe()
            if seen is not None and (not seen["present"] or seen["closed"]):
                # The hook tells first, and with a reason: its message may still be on the way.
                await running_wait({self._left}, LAST_WORD_S)
                return

    async def _probe(self) -> dict[str, Any] | None:
        """Return what the hook's probe says; None while the page loads or does not answer."""
        try:
            async with running_timeout(POLL_S):
                value = await self._tab.evaluate("window.__recorderFsm?.probe()")
        except (TimeoutError, BrowserError):
            return None
        if not isinstance(value, dict):
            return None
        size = (value["width"], value["height"])
        if not picture.fits(size, self._size) and size != self._wrong_size:
            logger.warning("the page is {}x{}, not {}x{}", *size, *self._size)
            self._wrong_size = size
        return value

    def _refused(self, reason: str) -> CallError:
        return CallError(
            "The recorder could not join the call.",
            detail=f"the page said: {reason}{self._console_words()}",
            code="join_refused",
        )

    def _not_in_time(self, trouble: _AgainError, limit_s: float) -> CallError:
        words = "the page did not get into the call" if self._client_seen.is_set() else str(trouble)
        detail = f"{words} within {limit_s:g} s{self._console_words()}"
        answer = trouble.answer
        if answer is not None and answer.foreign:
            return CallError(LED_AWAY, detail=detail, code="page_elsewhere")
        if answer is not None and answer.status in SENTENCES and not answer.elsewhere:
            return CallError(SENTENCES[answer.status], detail=detail, code=CODES[answer.status])
        return CallError("The recorder could not join the call in time.", detail=detail, code="join_timeout")

    def _console_words(self) -> str:
        errors = self.console.errors
        return f"; last console errors: {' | '.join(list(errors)[-3:])}" if errors else ""
