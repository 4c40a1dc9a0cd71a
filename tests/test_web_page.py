"""Any page in place of a call: when it counts as there, what it may not do, and that it is told nothing.

First with a tab without a browser, then with a real Chromium and a real site.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from recorder_fsm.browser import web_page
from recorder_fsm.browser.page_answer import Answer
from recorder_fsm.browser.shown_page import PageSigns
from recorder_fsm.browser.web_page import WebPage
from recorder_fsm.errors import BrowserError, CallError
from tests.browser_stage import Held, held
from tests.fakes import FakeTab

URL = "https://page.example/"
LOADING, LOADED, PAINTED = [False, False, False], [True, False, True], [True, True, True]


class PageTab(FakeTab):
    """A tab whose page is in each of `states` once, and then in the last."""

    def __init__(self, *states: Any) -> None:
        super().__init__()
        self.states = list(states)

    async def evaluate(self, expression: str) -> Any:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return state


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in [
        ("LOAD_LIMIT_S", 0.3),
        ("PAINT_LIMIT_S", 0.3),
        ("LOOK_EVERY_S", 0.001),
        ("PAUSES_S", (0.001,)),
    ]:
        monkeypatch.setattr(web_page, name, seconds)


def page_of(tab: FakeTab) -> tuple[WebPage, list[str]]:
    notes: list[str] = []
    return WebPage(tab, 1280, 720, notes.append), notes


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("states", "note"),
    [
        ([LOADING, LOADED, PAINTED], ""),
        ([BrowserError(), None, PAINTED], ""),
        ([[True, True, False], PAINTED], ""),
        ([LOADED], "draws nothing"),
        ([[False, True, False]], "still loading"),
    ],
    ids=["loads", "does not answer at first", "load event is handled", "stays empty", "never ends to load"],
)
async def test_page_is_there_when_it_has_loaded_and_drawn(states: list[Any], note: str) -> None:
    """One that goes on loading, or has nothing to draw, is recorded as it is, and people can read that."""
    tab = PageTab(*states)
    page, notes = page_of(tab)
    await page.join(URL, 5)
    assert tab.loaded == [URL]
    assert tab.loading.ended
    assert [note in one for one in notes] == ([True] if note else [])


@pytest.mark.usefixtures("_quick")
async def test_page_that_neither_loads_nor_draws_is_recorded_when_time_is_over() -> None:
    """Its server has answered."""
    page, notes = page_of(PageTab(LOADING))
    await page.join(URL, 0.1)
    assert len(notes) == 1


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("trouble", [503, 429, BrowserError(detail="net::ERR_CONNECTION_REFUSED"), Answer(0)])
async def test_page_that_may_heal_is_loaded_again(trouble: Any) -> None:
    """Until it is there, or time is over."""
    tab = PageTab(PAINTED)
    tab.answers = [trouble, trouble, 200]
    page, _ = page_of(tab)
    await page.join(URL, 5)
    assert len(tab.loaded) == 3
    tab = PageTab(PAINTED)
    tab.answers = [trouble]
    page, _ = page_of(tab)
    with pytest.raises(CallError, match="could not be loaded") as caught:
        await page.join(URL, 0.1)
    assert caught.value.code in ("web_page_unreachable", "web_page_refused")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_page_that_is_refused_is_refused_at_once(status: int) -> None:
    """Its server knows what it says."""
    tab = PageTab(PAINTED)
    tab.answers = [status]
    page, _ = page_of(tab)
    with pytest.raises(CallError, match=f"HTTP {status}") as caught:
        await page.join(URL, 5)
    assert (caught.value.code, len(tab.loaded)) == ("web_page_refused", 1)


async def test_page_that_leads_elsewhere_is_followed() -> None:
    """A redirect is no error of a page that has nothing to keep secret."""
    tab = PageTab(PAINTED)
    tab.answers = [Answer(200, elsewhere="/other")]
    page, _ = page_of(tab)
    await page.join(URL, 5)


async def test_page_never_says_that_it_is_over() -> None:
    """Whatever it says; and what it does is not held against the recording."""
    page, _ = page_of(PageTab(PAINTED))
    await page.join(URL, 5)
    page.told(json.dumps({"kind": "close", "detail": None}))
    done, pending = await asyncio.wait({asyncio.create_task(page.closed())}, timeout=0.05)
    assert not done
    for task in pending:
        task.cancel()
    assert await page.signs() == PageSigns(0.0, 0, 0)
    await page.leave()


# --- A real Chromium

real = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Held]:
    async with held(foreign=True) as all_of_it:
        yield all_of_it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Held) -> Held:
    shared.site.pages.clear()
    shared.site.asked.clear()
    return shared


def shows(body: str) -> Callable[[], Any]:
    async def answer() -> web.StreamResponse:
        return web.Response(text=f"<!doctype html><h1>hello</h1>{body}", content_type="text/html")

    return answer


@real
async def test_real_page_is_there_and_fills_the_picture(it: Held) -> None:
    """With the load event handled, and something drawn."""
    it.site.pages["/wall"] = shows("<script>onload = () => (window.done = true)</script>")
    await it.shown.join(f"{it.site.origin}/wall?a=1#b", 15)
    assert await it.tab.evaluate("window.done && location.hash") == "#b"
    await it.shown.fill_picture()
    assert await it.shown.is_lit()


@real
async def test_foreign_page_gets_no_header_and_no_word_of_ours(it: Held) -> None:
    """Neither the page nor what it asks for; and nothing in it speaks to the recorder."""
    await it.shown.join(f"{it.site.origin}/", 15)
    assert await it.tab.evaluate("window.ask()") == "none"
    assert await it.tab.evaluate("[typeof __recorderFsm, typeof __recorderFsmTell].join()") == "undefined,undefined"


@real
async def test_foreign_page_may_lead_to_another_site(it: Held) -> None:
    """By a redirect or by itself, as long as it is http."""

    async def away() -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{it.site.other}/wall"})

    it.site.pages.update({"/away": away, "/wall": shows("")})
    await it.shown.join(f"{it.site.origin}/away", 15)
    assert await it.tab.evaluate("location.origin") == it.site.other
    for address in ("file:///etc/passwd", "chrome://version", "data:text/html,gone"):
        await it.tab.evaluate(f"void (location.href = {json.dumps(address)})")
        assert await it.tab.evaluate("location.origin") == it.site.other


@real
async def test_foreign_page_gets_no_permission(it: Held) -> None:
    """No microphone, camera, screen, position, notification; no question stays over the page."""
    await it.shown.join(f"{it.site.other}/", 15)  # localhost: a secure context, which may ask
    asking = {
        "microphone": "navigator.mediaDevices.getUserMedia({audio: true})",
        "camera": "navigator.mediaDevices.getUserMedia({video: true})",
        "screen": "navigator.mediaDevices.getDisplayMedia({video: true})",
        "position": "new Promise((yes, no) => navigator.geolocation.getCurrentPosition(yes, no))",
        "notification": "Notification.requestPermission().then((word) => { if (word !== 'granted') throw word; })",
    }
    for what, ask in asking.items():
        async with asyncio.timeout(10):
            answer = await it.tab.evaluate(f"(async () => {ask})().then(() => 'granted', () => 'denied')")
        assert answer == "denied", what


@real
async def test_page_that_is_a_download_is_said(it: Held) -> None:
    """There is nothing to see of it."""

    async def archive() -> web.StreamResponse:
        return web.Response(body=b"PK", headers={"Content-Disposition": "attachment; filename=a.zip"})

    it.site.pages["/a.zip"] = archive
    with pytest.raises(CallError) as caught:
        await it.shown.join(f"{it.site.origin}/a.zip", 2)
    assert caught.value.code == "web_page_unreachable"
