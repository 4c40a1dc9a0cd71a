"""Any web page in place of a call: when it is there, and that it never ends by itself.

It is somebody else's. It is told nothing: no token, no header, no fragment of ours; nothing that it says is listened
to, but for the two facts of its loading. It is recorded until somebody stops the recorder, or a limit does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from loguru import logger

from recorder_fsm.browser.page_answer import Answer
from recorder_fsm.browser.shown_page import POLL_S, PageSigns, ShownPage
from recorder_fsm.errors import BrowserError, CallError, RecorderError
from recorder_fsm.plain_text import plain
from recorder_fsm.system.clock import Stopwatch, running_timeout

ANSWER_LIMIT_S = 10.0
"""How long a server may take to begin its answer before it is asked again."""
LOAD_LIMIT_S = 12.0
"""How long a page that has begun to draw may go on loading before it is recorded as it is."""
PAINT_LIMIT_S = 3.0
"""How long after its load a page may take to draw: one without any content never does, and is recorded as it is."""
LOOK_EVERY_S = 0.1
PAUSES_S = (0.5, 1.0, 2.0)
HEALING = frozenset({0, 408, 425, 429, 500, 502, 503, 504})
"""What a server answers that may do better when it is asked again; 0 for no answer."""
STATE = """[document.readyState === "complete", performance.getEntriesByType("paint").length > 0,
    performance.getEntriesByType("navigation").some((one) => one.loadEventEnd > 0)]"""


class WebPage(ShownPage):
    """One page of somebody else's, from its address on."""

    async def join(self, url: str, limit_s: float) -> None:
        """Load the page and wait until it has loaded and drawn something; raises `CallError` where it does not come.

        A page that goes on loading, or draws nothing, is recorded as it is.
        """
        trouble, answer = "it did not answer", Answer(0)
        tries = 0
        try:
            async with running_timeout(limit_s):
                while True:
                    try:
                        answer = await self._tab.load(url, min(limit_s, ANSWER_LIMIT_S))
                        trouble = f"HTTP {answer.status}"
                    except BrowserError as error:
                        trouble, answer = error.detail or error.sentence, Answer(0)
                    if 0 < answer.status < 400:
                        break
                    if answer.status not in HEALING:
                        raise _failed(trouble, answer)
                    logger.warning("the page is loaded again: {}", plain(trouble))
                    await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
                    tries += 1
                await self._settled()
        except TimeoutError as error:
            if not 0 < answer.status < 400:
                raise _failed(f"{trouble}, within {limit_s:g} s", answer) from error
            self._note_unfinished("it had not loaded when the time of the start was over")
        finally:
            self._tab.loading.end()
        self._joined.set()

    async def _settled(self) -> None:
        """Wait until the page has loaded and drawn, within the limits of both."""
        whole, since_load = Stopwatch(), Stopwatch()
        while True:
            loaded, painted = await self._state()
            if not loaded:
                since_load.restart()
            if loaded and painted:
                return
            if loaded and since_load.elapsed_s() > PAINT_LIMIT_S:
                self._note_unfinished("it draws nothing")
                return
            if painted and whole.elapsed_s() > LOAD_LIMIT_S:
                self._note_unfinished(f"it was still loading after {LOAD_LIMIT_S:g} s")
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _state(self) -> tuple[bool, bool]:
        """Return whether the page has loaded, its load event handled, and whether it has drawn."""
        try:
            async with running_timeout(POLL_S):
                value: Any = await self._tab.evaluate(STATE)
            complete, painted, handled = map(bool, value)
        except (TimeoutError, BrowserError, TypeError, ValueError):
            return False, False
        return complete and handled, painted

    def _note_unfinished(self, what: str) -> None:
        logger.warning("the page is recorded as it is: {}", what)
        self._note(f"the page was recorded as it was: {what}")

    async def closed(self) -> RecorderError | None:
        """Wait for ever: no page of somebody else's ends a recording."""
        await asyncio.Event().wait()
        return None

    async def signs(self) -> PageSigns:
        """Tell nothing that could be held against the recording: what a page does, it alone knows."""
        return PageSigns(0.0, 0, 0)

    async def leave(self) -> None:
        """Go: nobody is to be told."""
        self.console.tell_left_out()

    def told(self, message: str) -> None:
        """Hear nothing."""


def _failed(trouble: str, answer: Answer) -> CallError:
    if answer.status:
        sentence = f"The page could not be loaded: its server answered with HTTP {answer.status}."
        return CallError(sentence, detail=trouble, code="web_page_refused")
    return CallError("The page could not be loaded.", detail=trouble, code="web_page_unreachable")
