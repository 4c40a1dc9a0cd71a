"""Whether the page fills the picture and draws something: what is asked of it, and what is said of the answers."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from recorder_fsm.browser import picture
from recorder_fsm.browser.picture import fits, is_lit, wait_until_it_fits
from recorder_fsm.errors import BrowserError
from tests.browser_stage import held
from tests.programs import HEIGHT, WIDTH

SIZE = (1280, 720)


class FakePage:
    """Answers as told, the last answer for ever; one that is an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def evaluate(self, _: str) -> Any:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def screenshot(self) -> str:
        return ""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "FITS_LIMIT_S", 0.05)
    monkeypatch.setattr(picture, "FITS_POLL_S", 0)


@pytest.mark.parametrize(
    ("seen", "does"),
    [
        (SIZE, True),
        ((1279, 720), False),
        ((1280, 719), False),
        ((1281, 721), True),
        ((1284, 720), False),
        ((1, 1), False),
    ],
)
def test_page_fits_where_no_edge_is_free(seen: tuple[int, int], does: bool) -> None:
    """One that was enlarged may be larger by a part of one of its pixels; more would be cut off."""
    assert fits(seen, SIZE) is does


@pytest.mark.parametrize("place", [[1280, 664, 0, 0], [640, 480, 0, 0], [2560, 1440, 0, 0], [1280, 720, 50, 50]])
async def test_page_that_does_not_fill_the_picture_is_a_fault(place: list[int]) -> None:
    """Too small, too large, or elsewhere; the cause has the numbers."""
    with pytest.raises(BrowserError) as caught:
        await wait_until_it_fits(FakePage(place), SIZE)
    assert caught.value.code == "page_size"
    assert f"{place[0]}x{place[1]} at {place[2]},{place[3]}, the picture 1280x720" in caught.value.detail


@pytest.mark.parametrize("last", [[1280, 720, 0, 0], None, [1, 2], ["a", 0, 0, 0], TimeoutError(), BrowserError()])
async def test_window_may_take_its_time_and_a_page_that_says_nothing_is_no_fault(last: Any) -> None:
    """A page that does not answer is for others to notice."""
    await wait_until_it_fits(FakePage([1, 1, 0, 0], [640, 480, 0, 0], last), SIZE)


@pytest.mark.parametrize("answer", [None, "lit", BrowserError(), TimeoutError()])
async def test_page_that_says_nothing_is_not_called_lit(answer: Any) -> None:
    """A start must not end for that."""
    assert not await is_lit(FakePage(answer))


def _box(width: int, height: int, colour: str) -> str:
    return f"<div style='width: {width}px; height: {height}px; background: {colour}'></div>"


PAGES = {
    "white": ("background: #fff", "", True),
    "the call page's grey": ("background: #1e1e1e", "", True),
    "black": ("background: #000", "", False),
    "black with a dot": ("background: #000", _box(9, 9, "red"), False),
    "black with a tile": ("background: #000", _box(160, 90, "#222"), True),
}


async def test_chromium_says_what_its_page_draws() -> None:
    """Whatever the display shows of it; and a page of a recorder's browser fills the picture."""

    async def answer(text: str) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html")

    async with held() as up:
        for name, (style, body, lit) in PAGES.items():
            up.site.pages[f"/{name}"] = partial(answer, f"<!doctype html><body style='{style}'>{body}")
            await up.load(f"/{quote(name)}")
            assert await is_lit(up.tab) is lit, name
        await wait_until_it_fits(up.tab, (WIDTH, HEIGHT))
        with pytest.raises(BrowserError):
            await wait_until_it_fits(up.tab, (WIDTH + 1, HEIGHT))
