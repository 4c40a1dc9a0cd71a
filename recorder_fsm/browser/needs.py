"""What the call page needs of its browser: a tab, and what that is loading."""

from __future__ import annotations

from typing import Any, Protocol

from recorder_fsm.browser.page_answer import Answer


class Loading(Protocol):
    """What the page is still loading, and what failed: see `browser.loading`."""

    trouble: str
    moves: int
    led_to: str

    @property
    def pending(self) -> bool: ...

    def end(self) -> None: ...


class Tab(Protocol):
    """What a page needs of its browser. Each raises `BrowserError` where the browser or the page has gone."""

    @property
    def loading(self) -> Loading: ...

    async def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript by the DevTools protocol itself, which the page's CSP does not hinder."""

    async def screenshot(self) -> str:
        """Return what the page draws, whatever becomes of it on a display: a PNG in base64."""

    async def load(self, url: str, limit_s: float) -> Answer:
        """Go to a new document at `url`: the server is asked, whatever is shown now."""
