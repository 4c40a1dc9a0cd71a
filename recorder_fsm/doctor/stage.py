"""A job without a call: display, sound server and Chromium as a job has them, and a page of our own in it.

What cannot be started says why, and what stands on it is skipped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.browser.extra_switches import sift
from recorder_fsm.browser.launch_options import child_environment, chromium_args, private_environment
from recorder_fsm.browser.shown_page import ShownPage
from recorder_fsm.browser.subject import OF_A_CALL, Subject
from recorder_fsm.doctor import capture, fonts
from recorder_fsm.doctor.findings import Finding, Findings, Machine
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import BrowserError, RecorderError
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.browser import Browser, Launch
from recorder_fsm.resources.display import Display
from recorder_fsm.terminal.screen import Mark

NOWHERE = "http://127.0.0.1"
"""An origin that the page is not of: nothing that it says is listened to."""
LATE_START_S = 10.0
"""A start this slow leaves little of the time in which the plugin waits for a recording (contract 4.3)."""
STEPS = ("display", "sound server", "browser", "fonts", "capture")
CURES = {"sandbox_refused": "See the lines on the sandbox.", "program_missing": "See the lines on the programs."}

T = TypeVar("T")


class _Stage:
    """What was started so far, and what was found."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.found: list[Finding] = []

    async def start(self, name: str, resource: AbstractAsyncContextManager[T]) -> T:
        """Start a part; raises `RecorderError`, with its finding and those of the parts behind it already made."""
        began = time.monotonic()
        try:
            held = await self._stack.enter_async_context(resource)
        except RecorderError as error:
            self.failed(name, error)
            raise
        took_s = time.monotonic() - began
        mark = Mark.OK if took_s < LATE_START_S else Mark.WARNING
        cure = "" if mark is Mark.OK else "The machine is too busy, or too slow, for another job."
        self.found.append(Finding(name, mark, f"started in {took_s:.1f} s", cure, {"start_s": round(took_s, 3)}))
        return held

    def failed(self, name: str, error: RecorderError) -> None:
        """Note that a part failed, and that what stands on it is skipped."""
        cure = CURES.get(error.code) or advice(error.code)
        self.found.append(Finding(name, Mark.BAD, str(error), cure, {"code": error.code}))
        self.found += [Finding(later, Mark.SKIPPED, f"needs the {name}") for later in STEPS[STEPS.index(name) + 1 :]]


async def look(machine: Machine, *, with_capture: bool) -> Findings:
    """Start all of it, look at the fonts, record some seconds and measure them; everything is stopped again."""
    width, height = machine.wishes.capture_size
    env = {**child_environment(machine.environment), **private_environment(machine.runtime)}
    async with AsyncExitStack() as stack:
        stage = _Stage(stack)
        name = "browser"
        try:
            display = await stage.start(
                "display", Display(width=width, height=height, runtime=machine.runtime, env=env)
            )
            audio = await stage.start("sound server", AudioServer(runtime=machine.runtime, env=env))
            env = {**env, **display.env, **audio.env}
            browser = await stage.start("browser", Browser(_launch(machine, env), _no_look, _no_note))
            name = "fonts"
            page = browser.page
            if page is None:
                raise BrowserError(detail="the browser has no page")
            stage.found.append(await fonts.look(page))
            name = "capture"
            if with_capture:
                stage.found += await capture.look(machine, page, env, display.env["DISPLAY"], audio)
            else:
                stage.found.append(Finding("capture", Mark.SKIPPED, "left out by --no-capture"))
        except RecorderError as error:
            if len(stage.found) < STEPS.index(name) + 1:
                stage.failed(name, error)
        return stage.found


def _launch(machine: Machine, env: dict[str, str]) -> Launch:
    """Return how Chromium is started: as for a job, but for root, who gets a browser without its sandbox."""
    width, height = machine.wishes.capture_size
    switches, _ = sift(_switches(str(machine.wishes.values["extra_chromium_args"]).split()))
    return Launch(
        args=chromium_args(width=width, height=height, secure_anyway=[], extra=switches),
        env=env,
        runtime=machine.runtime,
        sandbox=os.geteuid() != 0,
        width=width,
        height=height,
        subject=Subject("about:blank", "a page of ours", NOWHERE, OF_A_CALL, (), CallPage),
        ca_file=machine.wishes.values["tls_ca_cert_file"],
    )


def _switches(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word.startswith("--") and len(word) > 2)


async def _no_look(_: ShownPage) -> None:
    """Keep no picture of a fault: there is no job that it could belong to."""


def _no_note(_: str) -> None:
    """Keep no notes."""
