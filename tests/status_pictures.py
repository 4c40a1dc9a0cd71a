"""The pictures of the status page in the documents: `python -m tests.status_pictures` takes them anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
from playwright.async_api import async_playwright

from recorder_fsm.errors import CaptureError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.storage.samples import Sample
from tests.programs import ask
from tests.status_stage import Shown, shown

IMAGES = Path(__file__).parent.parent / "docs/images"
PICTURES = (("status-page.png", 1180, 900, "light"), ("status-page-phone.png", 390, 800, "dark"))
MIB = 1024 * 1024
USED = {
    "recorder": (0.03, 52), "browser": (0.42, 391), "display": (0.05, 48), "audio": (0.02, 21), "grabber": (0.06, 58),
    "encoder": (0.21, 142),
}  # fmt: skip


async def scene(stage: Shown) -> None:
    """A call of twenty minutes, in which an encoder was killed."""
    demo = await ask(
        *("ffmpeg", "-v", "error", "-i", str(IMAGES / "demo.png"), "-vf", "scale=320:-2", "-c:v", "mjpeg"),
        *("-f", "image2pipe", "pipe:1"),
        env={},
    )
    stage.picture = demo.stdout
    context, board = stage.job.context, stage.board
    context.began -= 1309
    board.began_at_s -= 1309
    first = stage.records()
    context.timeline._origin_s -= 1234
    context.timeline.stopped(first)
    stage.moves(
        Event.CAPTURE_LOST, cause=CaptureError(detail="the encoder was killed by SIGKILL", code="capture_ended")
    )
    context.timeline._origin_s -= 1.2
    second = stage.captures()
    context.timeline._origin_s -= 61
    second.progress.frames, second.progress.size_bytes, second.progress.heard_s = 14210, 96 * MIB, 903
    second.progress.position_s = 3600.0
    events = board.events
    for number, at_s in enumerate((0.9, 2.6, 3.4, 1243.0)):
        events[number] = attrs.evolve(events[number], at_s=at_s)
    board._entered -= 1305
    context.report.samples.add(
        Sample(
            1300.0,
            cpu={part: cpu for part, (cpu, _) in USED.items()},
            memory_bytes={part: size * MIB for part, (_, size) in USED.items()},
            free_bytes=18_400_000_000,
        )
    )


async def main() -> None:
    """Take all pictures."""
    async with async_playwright() as playwright, shown(name="Call_Town_Square", WIDTH="1280", HEIGHT="720") as stage:
        await scene(stage)
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, width, height, scheme in PICTURES:
            page = await browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
                reduced_motion="reduce",
            )
            await page.goto(stage.url)
            await page.locator(".state.now:visible").wait_for()
            await page.locator("#thumbnail:visible").wait_for()
            await page.screenshot(path=IMAGES / name, full_page=width > 640)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
