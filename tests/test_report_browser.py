"""The page about a job in a real Chromium: nothing is asked for, nothing sticks out, all can be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from bench.harness import left_jobs
from recorder_fsm.report_page.evidence import read_evidence
from recorder_fsm.report_page.page import render
from recorder_fsm.system.process import find_program

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("report browser")]

LOOKS: Sequence[tuple[int, Literal["light", "dark"]]] = ((1400, "light"), (390, "dark"))
LONG = "x" * 3000
LEAST_CONTRAST = 4.5
"""WCAG 2.1, 1.4.3, for text of ordinary size (AA)."""
CONTRASTS = """() => {
  const numbers = (colour) => (colour.match(/[0-9.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const luminance = ([red, green, blue]) => [red, green, blue].map((value) => value / 255)
    .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = numbers(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || element.closest("svg, script") || !element.checkVisibility()) continue;
    const shades = [numbers(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => b - a);
    const contrast = (shades[0] + 0.05) / (shades[1] + 0.05);
    if (contrast < LEAST) low.push(`${element.tagName}.${element.className}: ${contrast.toFixed(2)}`);
  }
  return low;
}""".replace("LEAST", str(LEAST_CONTRAST))


@attrs.define
class Shown:
    """A page in a browser, and what it asked for or complained about."""

    page: Page
    complaints: list[str] = attrs.Factory(list)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=find_program("chromium"), args=["--no-sandbox"])
        yield started
        await started.close()


def long_words(folder: Path) -> Path:
    """Leave a job whose every text is one long word."""
    report = {
        "recording_id": LONG, "cause": {"sentence": LONG, "detail": LONG, "code": LONG, "help": LONG},
        "notes": [LONG], "transitions": [{"after_s": 5, "event": LONG, "to": LONG, "cause": LONG, "restarts": [LONG]}],
        "settings": {LONG: LONG}, "gaps": [{"what": LONG, "at_s": 1, "length_s": 1}], "measures": {LONG: LONG},
        "samples": {"at_s": [1, 2], "cpu": {LONG: [1, 2]}, "memory_bytes": {LONG: [1e9, 2e9]}},
        "console_errors": [LONG],
    }  # fmt: skip
    return left_jobs.leave(folder, report=report, log=[LONG, left_jobs.log_line(1, "ERROR", LONG, LONG)])


JOBS: Mapping[str, Callable[[Path], Path]] = {
    "meeting": left_jobs.meeting,
    "failed at the start": left_jobs.failed_at_the_start,
    "killed": left_jobs.killed,
    "long words": long_words,
}


async def show(browser: Browser, made: Path, width: int, scheme: Literal["light", "dark"]) -> Shown:
    """Open the page of a job that left its directory at `made`."""
    target = made / "report.html"
    target.write_text(render(read_evidence(made), left_jobs.picture()), encoding="utf-8")
    shown = Shown(await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
    shown.page.on("console", lambda message: shown.complaints.append(message.text))
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.on(
        "request", lambda one: shown.complaints.append(one.url) if one.url[:5] not in ("file:", "data:") else None
    )
    await shown.page.goto(target.as_uri())
    return shown


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("kind", JOBS)
async def test_page_is_whole_at_any_width(
    browser: Browser, tmp_path: Path, kind: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Wide and narrow, light and dark: no scrolling to the side, no request, no complaint, enough contrast."""
    shown = await show(browser, JOBS[kind](tmp_path / left_jobs.RECORDING), width, scheme)
    try:
        assert await shown.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await shown.page.evaluate(CONTRASTS) == []
        assert await shown.page.evaluate("document.images[0].naturalWidth") == 64
        assert shown.complaints == []
    finally:
        await shown.page.close()


async def test_log_is_filtered_by_level_and_by_words(browser: Browser, tmp_path: Path) -> None:
    """The level by style alone, the words by the one script that the page's policy lets run."""
    shown = await show(browser, left_jobs.meeting(tmp_path / left_jobs.RECORDING), 1400, "light")
    lines = shown.page.locator(".log li").filter(visible=True)
    try:
        whole = await lines.count()
        await shown.page.check("#level-INFO")
        assert 0 < await lines.count() < whole
        await shown.page.check("#level-WARNING")
        assert await lines.count() == 1
        await shown.page.check("#level-DEBUG")
        await shown.page.fill("#words", "capture_LOST")
        assert await lines.count() == 1
        await shown.page.fill("#words", "")
        assert await lines.count() == whole
        assert shown.complaints == []
    finally:
        await shown.page.close()


async def test_printed_page_hides_nothing(browser: Browser, tmp_path: Path) -> None:
    """On paper nothing scrolls, and paper is white."""
    shown = await show(browser, left_jobs.meeting(tmp_path / left_jobs.RECORDING), 1000, "dark")
    try:
        await shown.page.emulate_media(media="print", color_scheme="dark")
        assert await shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert await shown.page.evaluate(
            "(log => log.scrollHeight <= log.clientHeight + 1)(document.querySelector('.log'))"
        )
        assert await shown.page.evaluate(CONTRASTS) == []
    finally:
        await shown.page.close()


async def test_policy_forbids_what_slips_through(browser: Browser, tmp_path: Path) -> None:
    """A script that were in the page all the same would not run, and nothing would be sent."""
    made = left_jobs.meeting(tmp_path / left_jobs.RECORDING)
    shown = await show(browser, made, 1400, "light")
    try:
        target = made / "report.html"
        evil = "<script>window.ran = 1</script><img src='http://127.0.0.1:9/x' onerror='window.ran = 2'></body>"
        target.write_text(target.read_text(encoding="utf-8").replace("</body>", evil), encoding="utf-8")
        await shown.page.goto(target.as_uri())
        assert await shown.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in line for line in shown.complaints)
    finally:
        await shown.page.close()
