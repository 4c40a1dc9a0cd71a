"""The pictures in the documents, all made anew: `make pictures`, or some of them by name.

    python -m docsite.pictures [NAME...]

Takes about a minute: a demo is recorded once, and whatever shows a recording is made of it.
"""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path

import attrs
from PIL import Image
from playwright.async_api import Page, async_playwright
from rich.console import Console
from rich.text import Text

from bench.harness.left_jobs import RECORDING, meeting
from recorder_fsm.report_page.evidence import read_evidence
from recorder_fsm.report_page.page import render
from recorder_fsm.standin.server import StandIn
from tests import status_pictures

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
WORK = ROOT / "build" / "pictures"
RECORDER = (sys.executable, "-m", "recorder_fsm")
COLUMNS = 100
COLOURS = 256
"""Of a palette: a screenshot has few colours, and the repository keeps every picture for ever."""
FRAME_AT_S = 6.0
TERMINAL = (
    '<html><body style="margin:0;background:#16181d"><pre style="margin:0;padding:18px 22px;display:inline-block;'
    "color:#d7dae0;font:15px/1.17 'DejaVu Sans Mono',monospace\">{code}</pre></body></html>"
)


@cache
def demo() -> tuple[Path, str]:
    """Record the demo once; returns where its files lie, and what a terminal showed of it."""
    shutil.rmtree(WORK, ignore_errors=True)
    shown = in_a_terminal("demo", "--seconds", "12", "--no-share", "--out", str(WORK.relative_to(ROOT)))
    return WORK, shown


def in_a_terminal(*arguments: str, fit: bool = True) -> str:
    """Run a command of ours on a terminal of `COLUMNS`; returns what it wrote, with its colours.

    `fit`: it must end with 0; what judges (1: something is bad) may say so.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    with subprocess.Popen(
        [*RECORDER, *arguments], cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as program:
        os.close(theirs)
        written = bytearray()
        try:
            while part := os.read(ours, 65536):
                written += part
        except OSError:  # the last program has closed the terminal
            pass
    os.close(ours)
    if program.returncode not in ((0,) if fit else (0, 1)):
        raise SystemExit(f"{' '.join(arguments)} ended with {program.returncode}: {written.decode(errors='replace')}")
    return written.decode(errors="replace")


async def demo_frame(_page: Page) -> bytes:
    """Return a frame of the recording of five people."""
    folder = demo()[0]
    video = next(folder.glob("*.mp4"))
    command = ("-loglevel", "error", "-ss", str(FRAME_AT_S), "-i", str(video), "-frames:v", "1", "-c:v", "png")
    program = await asyncio.create_subprocess_exec(
        "ffmpeg", *command, "-f", "image2pipe", "-", stdout=asyncio.subprocess.PIPE
    )
    return (await program.communicate())[0]


async def demo_terminal(page: Page) -> bytes:
    """Return what the demo says when it is over."""
    return await terminal(page, demo()[1])


async def explain_terminal(page: Page) -> bytes:
    """Return an entry of the error catalogue, as a terminal shows it."""
    return await terminal(page, in_a_terminal("explain", "sandbox_refused"))


async def doctor_terminal(page: Page) -> bytes:
    """Return what the doctor says of this machine."""
    return await terminal(page, in_a_terminal("doctor", fit=False))


async def standin_page(page: Page) -> bytes:
    """Return the channel page of the stand-in, with a recording in its thread."""
    data = WORK.with_name("pictures-standin")
    shutil.rmtree(data, ignore_errors=True)
    async with StandIn(data_dir=data) as standin:
        await page.set_viewport_size({"width": 1100, "height": 700})
        await page.goto(standin.url)
        await page.wait_for_load_state("networkidle")
        return await page.screenshot()


async def report_page(page: Page) -> bytes:
    """Return the begin of the page about a job whose recording is kept."""
    folder = WORK.with_name("pictures-report")
    shutil.rmtree(folder, ignore_errors=True)
    made = meeting(folder / "data" / RECORDING, kept=True)
    found = attrs.evolve(read_evidence(made), folder=Path("/data") / RECORDING)  # as in the image
    (made / "report.html").write_text(render(found), encoding="utf-8")
    await page.set_viewport_size({"width": 1100, "height": 1130})
    await page.goto((made / "report.html").as_uri())
    return await page.screenshot()


async def terminal(page: Page, written: str) -> bytes:
    """Draw what a program wrote on a terminal; of a display that was drawn again and again, its last state."""
    console = Console(file=StringIO(), record=True, width=COLUMNS, force_terminal=True, color_system="truecolor")
    for line in last_state(written):
        console.print(Text.from_ansi(line))
    code = console.export_html(inline_styles=True, code_format="{code}")
    await page.set_content(TERMINAL.format(code=code.strip("\n")))
    return await page.locator("pre").screenshot()


def last_state(written: str) -> list[str]:
    """Return the lines as they stand at the end: a display that moves up (CSI A) writes over what was there."""
    lines: list[str] = []
    row = 0
    for part in written.replace("\r\n", "\n").split("\n"):
        text = part
        while (up := text.find("\x1b[1A")) >= 0:
            row = max(0, row - 1)
            text = text[:up] + text[up + 4 :]
        text = text.rpartition("\r")[2].replace("\x1b[2K", "")
        del lines[row:]
        lines.append(text)
        row += 1
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


PICTURES: Mapping[str, Callable[[Page], Awaitable[bytes]]] = {
    "demo.png": demo_frame,
    "demo-terminal.png": demo_terminal,
    "doctor.png": doctor_terminal,
    "explain.png": explain_terminal,
    "report.png": report_page,
    "standin.png": standin_page,
}


SETS: Mapping[str, Callable[[], Awaitable[None]]] = {"status": status_pictures.main}
"""Pictures that are taken together, by whoever stages what is on them, and written where the documents have them."""


async def make(names: list[str]) -> None:
    """Make these pictures and write them where the documents have them."""
    for name in filter(SETS.__contains__, names):
        await SETS[name]()
        print(f"made the pictures of {name}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=os.geteuid() != 0
        )
        for name in filter(PICTURES.__contains__, names):
            page = await browser.new_page(device_scale_factor=1, viewport={"width": 1280, "height": 800})
            drawn = await PICTURES[name](page)
            await page.close()
            IMAGES.mkdir(exist_ok=True)
            with Image.open(BytesIO(drawn)) as image:
                image.convert("RGB").quantize(COLOURS).save(IMAGES / name, optimize=True)
            print(f"made {(IMAGES / name).relative_to(ROOT)}, {(IMAGES / name).stat().st_size // 1024} KiB")
        await browser.close()


def main() -> None:
    """Make the pictures that are named, or all."""
    known = [*PICTURES, *SETS]
    if unknown := set(sys.argv[1:]) - set(known):
        raise SystemExit(f"there is no picture {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    asyncio.run(make(sys.argv[1:] or known))


if __name__ == "__main__":
    main()
