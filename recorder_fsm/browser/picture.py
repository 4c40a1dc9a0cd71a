"""Whether people will see the call page in the recording: it fills the picture, and it draws something."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from recorder_fsm.browser.extra_switches import MOST_SCALE
from recorder_fsm.errors import BrowserError
from recorder_fsm.system.clock import Stopwatch, running_timeout

FITS_LIMIT_S = 3.0
"""How long a window may take to get the size that it was told."""
FITS_POLL_S = 0.1
ANSWER_LIMIT_S = 2.0
PLACE = """[innerWidth, innerHeight, screenX, screenY].map((length) => Math.round(length * devicePixelRatio))"""
"""In pixels of the display, which are not those of a page that was enlarged."""
LIT = 14
LIT_SHARE = 0.01
"""A page is lit where twice as many pixels as the grabber's measure of black forgives (`media.pixels`) are lighter."""
COUNT_LIT = """(async (picture) => {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const {data} = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  let lit = 0;
  for (let at = 0; at < data.length; at += 4) lit += Math.max(data[at], data[at + 1], data[at + 2]) > %d;
  return (4 * lit) / data.length;
})("%s")"""


class Drawn(Protocol):
    """What is asked of a page. Both raise `BrowserError` where it has gone."""

    async def evaluate(self, expression: str) -> Any: ...

    async def screenshot(self) -> str:
        """Return what the page draws, whatever becomes of it on a display: a PNG in base64."""


def fits(seen: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Tell whether a page of that size leaves no edge of the picture free.

    Where it was enlarged, it may be larger than the picture by a part of one of its own pixels.
    """
    return all(0 <= is_ - should < MOST_SCALE for is_, should in zip(seen, wanted, strict=True))


async def wait_until_it_fits(page: Drawn, wanted: tuple[int, int]) -> None:
    """Wait until the page has the size and the place of the picture; raises `BrowserError` where it does not get them.

    A page that does not answer is for others to notice.
    """
    waited = Stopwatch()
    while True:
        try:
            async with running_timeout(ANSWER_LIMIT_S):
                width, height, left, top = map(int, await page.evaluate(PLACE))
        except (TimeoutError, BrowserError, TypeError, ValueError):
            return
        if fits((width, height), wanted) and (left, top) == (0, 0):
            return
        if waited.elapsed_s() > FITS_LIMIT_S:
            raise BrowserError(
                "The recorder's browser does not fill the picture.",
                detail=f"the page is {width}x{height} at {left},{top}, the picture {wanted[0]}x{wanted[1]}; "
                "EXTRA_CHROMIUM_ARGS or an addition to the browser may be why",
                code="page_size",
            )
        await asyncio.sleep(FITS_POLL_S)


async def is_lit(page: Drawn) -> bool:
    """Tell whether the page draws what is not black. False where it does not answer: then nobody can say so."""
    try:
        async with running_timeout(ANSWER_LIMIT_S):
            share = await page.evaluate(COUNT_LIT % (LIT, await page.screenshot()))
    except (TimeoutError, BrowserError):
        return False
    return isinstance(share, int | float) and share > LIT_SHARE
