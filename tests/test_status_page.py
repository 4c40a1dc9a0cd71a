"""The live page in a real browser: what a person sees of a job that a script moves."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PIL import Image
from playwright.async_api import Page, ViewportSize, async_playwright, expect

from recorder_fsm.errors import CallError, CaptureError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.storage.samples import Sample
from tests.status_stage import Shown, shown

pytestmark = pytest.mark.e2e

SHARE = "bar => bar.offsetWidth / bar.parentNode.offsetWidth"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&"
WIDE = ViewportSize(width=1280, height=900)
NARROW = ViewportSize(width=360, height=740)


@asynccontextmanager
async def opened(stage: Shown, *, dark: bool = False) -> AsyncIterator[Page]:
    """Open the page; nothing may be printed to its console but that the recorder does not answer."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = await browser.new_page(viewport=WIDE, color_scheme="dark" if dark else "light")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.set_default_timeout(20_000)
        await page.goto(stage.url)
        yield page
        assert [one for one in said if "Failed to load resource" not in one] == []
        await browser.close()


def picture() -> bytes:
    """Return a JPEG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (320, 180), (200, 40, 40)).save(file, "JPEG")
    return file.getvalue()


async def test_page_follows_a_job_to_its_end() -> None:  # noqa: PLR0915 - one browser for all that it shows
    """Lit state, way, events, causes, level, restarts, gaps, upload, picture; then the end.

    Whatever a call is named, a page says or a program prints is shown as the text that it is.
    """
    expect.set_options(timeout=20_000)
    async with shown(name=HOSTILE, WIDTH="1280", HEIGHT="720") as stage:
        stage.picture = picture()
        async with opened(stage) as page:
            lit = page.locator(".wide .state.now")
            await expect(lit).to_have_attribute("data-state", "init")
            await expect(page.locator("#name")).to_have_text(HOSTILE)

            segment = stage.records()
            stage.moves(Event.CAPTURE_LOST, cause=CaptureError(detail=HOSTILE, code="capture_ended"))
            stage.job.context.timeline.stopped(segment)
            stage.captures()
            stage.job.context.report.note(HOSTILE)
            stage.job.context.report.samples.add(
                Sample(1.0, cpu={"encoder": 0.25}, memory_bytes={"encoder": 50_000_000}, free_bytes=20_000_000_000)
            )
            await expect(lit).to_have_attribute("data-state", "recording")
            await expect(page.locator("#state")).to_have_text("recording")
            taken = page.locator(".wide .arrow.taken")
            await expect(taken).to_have_count(4)
            await expect(page.locator('.wide .arrow.taken[data-from="recording"][data-to="recording"]')).to_have_count(
                1
            )
            first = page.locator("#events li").first
            await expect(first).to_contain_text("capture_lost")
            await expect(first).to_contain_text("restarting the capture")
            await expect(first).to_contain_text(HOSTILE)
            await expect(page.locator("#events li")).to_have_count(4)
            await expect(page.locator("#notes li")).to_have_text(HOSTILE)
            await expect(page.locator("#level")).to_have_text("-23 dBFS")
            async with asyncio.timeout(20):  # it glides there
                while await page.locator("#meter-bar").evaluate(SHARE) <= 0.4:
                    await page.evaluate("() => new Promise(requestAnimationFrame)")
            await expect(page.locator("#restarts")).to_have_text("capture 1")
            await expect(page.locator("#gaps")).to_contain_text("1 (")
            await expect(page.locator("#programs")).to_contain_text("encoder25 %50.0 MB")
            await expect(page.locator("#disk")).to_have_text("20.0 GB")
            await expect(page.locator("#problem")).to_be_hidden()
            await expect(page.locator("#live")).to_have_text("The job is now in the state recording.")
            thumbnail = page.locator("#thumbnail")
            await expect(thumbnail).to_be_visible()
            assert await thumbnail.evaluate("image => image.naturalWidth") == 320
            assert await page.evaluate("document.querySelectorAll('#events img, #events script').length") == 0
            for size in (NARROW, WIDE):
                await page.set_viewport_size(size)
                assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), size
                assert await page.locator(".state.now:visible").count() == 1

            stage.moves(Event.CALL_LOST, cause=CallError(detail="the network went away", code="call_lost"))
            await expect(page.locator("#problem")).to_contain_text("What was recorded until then is published.")
            stage.moves(Event.FILE_READY)
            stage.job.context.report.uploading(25_000_000, 100_000_000)
            await expect(lit).to_have_attribute("data-state", "uploading")
            await expect(page.locator("#upload")).to_have_text("25 % of 100 MB")
            assert await page.locator("#upload-bar").evaluate("bar => bar.value") == 0.25

            stage.moves(Event.PUBLISHED)
            await stage.server.stop()
            await expect(page.locator("#connection")).to_have_text(
                "The recorder has ended: done. This is the last it said."
            )
            await expect(lit).to_have_attribute("data-state", "done")


@pytest.mark.rest
async def test_page_says_that_the_recorder_is_gone_and_comes_back_by_itself() -> None:
    """A recorder that was killed said no end; the next one at that address is shown without a reload."""
    expect.set_options(timeout=20_000)
    async with shown() as first:
        port = first.server.port
        async with opened(first, dark=True) as page:
            await expect(page.locator(".wide .state.now")).to_have_attribute("data-state", "init")
            await first.dies()
            await expect(page.locator("#connection")).to_contain_text("The recorder is gone, or hangs")
            async with shown(f"127.0.0.1:{port}") as second:
                second.moves(Event.DISPLAY_READY)
                await expect(page.locator(".wide .state.now")).to_have_attribute("data-state", "display_up")
                await expect(page.locator("#connection")).to_be_hidden()
