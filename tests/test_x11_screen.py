"""A display seen from a client: a fetch says when the last of what it brought was drawn, whatever came in between."""

from __future__ import annotations

import ctypes
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from xcffib.damage import NotifyEvent

from recorder_fsm.media.x11_screen import PIXEL_BYTES, Screen
from recorder_fsm.resources.display import Display
from tests.painter import Painter
from tests.programs import ENV, HEIGHT, WIDTH, until

WHITE, GREY = 0xFFFFFF, 0x808080
CLOCK_S = 0.002
"""Two clocks that count milliseconds."""


@pytest.fixture
async def display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Display]:
    async with Display(width=WIDTH, height=HEIGHT, runtime=tmp_path, env=ENV) as held:
        monkeypatch.setenv("XAUTHORITY", held.env["XAUTHORITY"])
        yield held


@pytest.fixture
def painter(display: Display) -> Painter:
    return Painter(display.env["DISPLAY"])


@pytest.fixture
def screen(display: Display) -> Screen:
    """What it showed at first has been fetched."""
    made = Screen(display.env["DISPLAY"], WIDTH, HEIGHT)
    made.fetch()
    return made


def grey(screen: Screen, line: int) -> int:
    """Return the first pixel of a line, which is grey."""
    return ctypes.string_at(screen.address + line * WIDTH * PIXEL_BYTES, 1)[0]


async def test_drawing_that_comes_just_before_the_fetch_makes_its_picture_later(
    screen: Screen, painter: Painter
) -> None:
    """Between the decision and the fetch a busy machine may stop a grabber for long."""
    first_s = painter.fill(WHITE)
    await until(screen.changed)
    assert screen.drawn_s <= first_s + CLOCK_S
    await until(lambda: painter.fill(WHITE) > first_s + 0.1)
    last_s = painter.fill(GREY)
    got = screen.fetch()
    assert grey(screen, 0) == grey(screen, HEIGHT - 1) == GREY & 0xFF
    assert first_s + 0.1 - CLOCK_S < got.drawn_s <= last_s + CLOCK_S
    assert not screen.changed(), "it is fetched once"


async def test_drawing_elsewhere_just_before_the_fetch_is_left_to_the_next_one(
    screen: Screen, painter: Painter
) -> None:
    """Only the lines that were known to have changed are fetched."""
    painter.fill(WHITE, (0, 0, WIDTH, 10))
    await until(screen.changed)
    painter.fill(GREY, (0, HEIGHT - 10, WIDTH, 10))
    got = screen.fetch()
    assert (got.top, got.bottom, grey(screen, 0)) == (0, 10, WHITE & 0xFF)
    assert screen.changed()
    again = screen.fetch()
    assert (again.top, again.bottom, grey(screen, HEIGHT - 1)) == (HEIGHT - 10, HEIGHT, GREY & 0xFF)


async def test_drawing_behind_the_answer_does_not_make_its_picture_later(
    screen: Screen, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that stops the grabber there, too: the picture does not show it, and the next one has to."""
    first_s = painter.fill(WHITE)
    await until(screen.changed)
    told, painted_s = screen._drawings, 0.0

    def paint_first() -> Iterator[NotifyEvent]:
        nonlocal painted_s
        while painted_s <= first_s + 0.1:
            painted_s = painter.fill(GREY)
        return told()

    with monkeypatch.context() as patch:
        patch.setattr(screen, "_drawings", paint_first)
        got = screen.fetch()
    assert (grey(screen, 0), got.drawn_s <= first_s + CLOCK_S) == (WHITE & 0xFF, True)
    assert screen.changed()
    assert first_s + CLOCK_S < screen.fetch().drawn_s <= painted_s + CLOCK_S
    assert grey(screen, 0) == GREY & 0xFF
