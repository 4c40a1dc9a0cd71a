"""A page that is recorded: what holds of any, a call's or another.

Each kind says itself when it is there (`join`), what it tells (`signs`, `closed`) and how it is left. None knows
Playwright: it is given a `Tab`.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Callable
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.browser import picture
from recorder_fsm.browser.console import Console
from recorder_fsm.browser.needs import Tab
from recorder_fsm.errors import BrowserError, RecorderError
from recorder_fsm.system.clock import running_timeout

POLL_S = 2.0
FROZEN_LIMIT_S = 12.0
"""A busy page answers late; one that has not answered for this long is taken for dead."""
RESTORE_LIMIT_S = 5.0


@attrs.frozen
class PageSigns:
    """What a page has received and done so far: audio energy, packets of audio and video, changes of its document."""

    energy: float
    packets: int
    changes: int


class ShownPage(abc.ABC):
    """One page in the one tab. `note` is for the job's report; `notice_given`: people were told of the recording."""

    def __init__(self, tab: Tab, width: int, height: int, note: Callable[[str], None]) -> None:
        self._tab = tab
        self._size = (width, height)
        self._note = note
        self._joined = asyncio.Event()
        self.notice_given = asyncio.Event()
        self.on_people: Callable[[object, object], None] | None = None
        """Is told who joins, leaves, talks and shares a screen, and when that was said (milliseconds since 1970)."""
        self.console = Console()

    @abc.abstractmethod
    async def join(self, url: str, limit_s: float) -> None:
        """Load the page and wait until it shows what is to be recorded; raises `CallError`."""

    @abc.abstractmethod
    async def closed(self) -> RecorderError | None:
        """Wait until the page says that it is over; returns None for an end that was asked for, else the reason."""

    @abc.abstractmethod
    async def signs(self) -> PageSigns | None:
        """Return what the page has received and done since it joined; None where it does not say."""

    @abc.abstractmethod
    async def leave(self) -> None:
        """Leave in order, where that means anything; takes two seconds at most."""

    @abc.abstractmethod
    def told(self, message: str) -> None:
        """Take what a hook in the page says."""

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

    async def fill_picture(self) -> None:
        """Wait until the page fills the picture; raises `BrowserError` where it does not."""
        await picture.wait_until_it_fits(self._tab, self._size)

    async def is_lit(self) -> bool:
        """Tell whether the page draws what is not black, whatever becomes of it on the display."""
        return await picture.is_lit(self._tab)

    async def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the page; raises `BrowserError` where it has gone."""
        return await self._tab.evaluate(expression)

    async def restore_audio(self) -> None:
        """Have the page play into the sound server again, which was restarted; see `audio_hook.js`."""
        try:
            async with running_timeout(RESTORE_LIMIT_S):
                restored = await self._tab.evaluate("window.__recorderFsmAudio?.restore()")
        except (TimeoutError, BrowserError) as error:
            logger.warning("the page's audio could not be restored: {}", str(error) or "no answer")
            return
        logger.info("the page's audio was restored: {}", restored)
