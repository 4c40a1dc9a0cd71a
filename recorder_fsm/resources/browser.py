"""The browser: Playwright's driver, and a Chromium with the call page in it.

`Driver` and `Browser` own two processes; `call_page` says what the page in them does. Chromium runs in a fresh profile,
in kiosk mode, with its sandbox unless root asks for development mode.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
from loguru import logger
from playwright.async_api import BrowserContext, Error, Page, Playwright, async_playwright

from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.browser.certificates import trust_in_chromium
from recorder_fsm.browser.launch_options import launch_failure
from recorder_fsm.browser.tab import ChromiumTab, send_header_to
from recorder_fsm.errors import BrowserError, ProgramError, RecorderError
from recorder_fsm.system.process import find_descendant, find_program, kill, reap_session, wait_for_exit

ROOM = Path(__file__).parent.parent / "browser"
LAUNCHERS = ROOM / "launchers"
HOOK = ROOM / "page_hook.js"
BINDING = "__recorderFsmTell"

DRIVER_LIMIT_S = 15.0
LAUNCH_LIMIT_S = 15.0
CLOSE_LIMIT_S = 3.0
"""How long Chromium may take to close; it is killed then."""


def driver_environment() -> dict[str, str]:
    """Return what the driver needs to be started through our launcher, so that it dies with us (see `launchers/`)."""
    spec = importlib.util.find_spec("playwright")
    if spec is None or spec.origin is None:
        raise ProgramError("Playwright is missing on the recorder's machine.", code="program_missing")
    return {
        "RECORDER_FSM_NODE": str(Path(spec.origin).parent / "driver" / "node"),
        "PLAYWRIGHT_NODEJS_PATH": str(LAUNCHERS / "driver"),
    }


class Driver:
    """Holds Playwright's driver; ready when it answers; ends when it is told to, or is killed."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._pid: int | None = None

    @property
    def playwright(self) -> Playwright:
        if self._playwright is None:
            raise RuntimeError("the driver is not held")
        return self._playwright

    async def __aenter__(self) -> Self:
        manager = async_playwright()
        try:
            async with asyncio.timeout(DRIVER_LIMIT_S):
                self._playwright = await manager.start()
        except Exception as error:  # Playwright raises a plain Exception where its driver dies
            raise BrowserError(detail=f"the browser's driver did not start: {error}", code="driver") from error
        finally:
            self._pid = find_descendant(lambda words: "run-driver" in words)
            if self._playwright is None:
                kill(self._pid)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self.playwright.stop()
        except (TimeoutError, Error) as failure:
            logger.warning("the browser's driver did not stop by itself: {}", type(failure).__name__)
        finally:
            kill(self._pid)

    async def lost(self) -> RecorderError:
        """Wait until the driver ends by itself; returns the cause."""
        if self._pid is None:
            raise RuntimeError("the driver is not held")
        await wait_for_exit(self._pid)
        return BrowserError(detail="the browser's driver ended", code="driver")


@attrs.frozen
class Launch:
    """How Chromium is to be started."""

    args: list[str]
    env: Mapping[str, str]
    runtime: Path
    sandbox: bool
    width: int
    height: int
    origin: str
    ca_file: Path | None = None


class Browser:
    """Holds Chromium with one page; ready when the page can be told where to go; ends by closing, or is killed."""

    def __init__(
        self,
        driver: Driver,
        launch: Launch,
        before_leaving: Callable[[CallPage], Awaitable[None]] | None = None,
    ) -> None:
        self._driver = driver
        self._launch = launch
        self._before_leaving = before_leaving
        self._context: BrowserContext | None = None
        self._pid: int | None = None
        self._gone: asyncio.Future[str] | None = None
        self.page: CallPage | None = None

    async def __aenter__(self) -> Self:
        launch = self._launch
        if os.geteuid() == 0 and launch.sandbox:
            raise BrowserError(
                "The recorder's browser refuses to run as root.",
                detail="Chromium's sandbox needs an ordinary user; run as one, or set DEV_MODE=true for a test",
                code="browser_root",
            )
        self._gone = asyncio.get_running_loop().create_future()
        profile = launch.runtime / "profile"
        if launch.ca_file is not None:
            await trust_in_chromium(launch.ca_file, launch.runtime, launch.env)
        try:
            async with asyncio.timeout(LAUNCH_LIMIT_S + CLOSE_LIMIT_S):
                self._context = await self._driver.playwright.chromium.launch_persistent_context(
                    profile,
                    executable_path=LAUNCHERS / "chromium",
                    env={**launch.env, "RECORDER_FSM_CHROMIUM": find_program("chromium")},
                    headless=False,
                    # launch() and new_page() would open a second, ordinary window under --kiosk.
                    no_viewport=True,
                    # Playwright's own default is no sandbox, silently.
                    chromium_sandbox=launch.sandbox,
                    args=launch.args,
                    # The "controlled by automated software" bar takes rows of the picture.
                    ignore_default_args=["--enable-automation"],
                    # A signal to us is ours to handle: the browser closes after the capture.
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                    accept_downloads=False,
                    timeout=LAUNCH_LIMIT_S * 1000,  # its report of this has Chromium's last words, ours would not
                )
                self._pid = find_descendant(
                    lambda words: f"--user-data-dir={profile}" in words and not any("--type=" in w for w in words)
                )
                self.page = await self._prepare(self._context)
        except BaseException as error:
            self._pid = self._pid or find_descendant(lambda words: f"--user-data-dir={profile}" in words)
            await self._end()
            if isinstance(error, TimeoutError):
                raise BrowserError(detail=f"Chromium was not ready within {LAUNCH_LIMIT_S:g} s") from error
            if isinstance(error, Error):
                raise launch_failure(error.message) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.page is not None:
                if self._before_leaving is not None and error is not None:
                    await self._before_leaving(self.page)
                await self.page.leave()
        finally:
            await self._end()

    async def lost(self) -> RecorderError:
        """Wait until Chromium ends, its page crashes, or its page no longer answers; returns the cause."""
        if self._gone is None or self._pid is None or self.page is None:
            raise RuntimeError("the browser is not held")
        process = asyncio.create_task(wait_for_exit(self._pid))
        frozen = asyncio.create_task(self.page.frozen())
        try:
            waited: list[asyncio.Future[Any]] = [self._gone, process, frozen]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._gone.done():
                what, code = self._gone.result(), "page_crashed"
            elif process.done():
                what, code = "Chromium ended", "browser_ended"
            else:
                what, code = frozen.result(), "page_frozen"
            return BrowserError(detail=what, code=code)
        finally:
            process.cancel()
            frozen.cancel()

    async def restore_audio(self) -> None:
        """Bring the page's audio back after the audio server was restarted under its old address."""

    async def reconnect(self) -> None:
        """Reach the page again through a driver that was restarted."""

    async def closed(self) -> RecorderError | None:
        """Wait until the page's client closes; see `CallPage.closed`."""
        if self.page is None:
            raise RuntimeError("the browser is not held")
        return await self.page.closed()

    async def _prepare(self, context: BrowserContext) -> CallPage:
        page = context.pages[0]
        session = await context.new_cdp_session(page)
        call_page = CallPage(ChromiumTab(page, session), self._launch.width, self._launch.height)
        await context.expose_binding(BINDING, lambda _source, told: call_page.told(str(told)))
        await context.add_init_script(path=HOOK)
        await send_header_to(self._launch.origin, session)
        page.on("console", lambda message: call_page.console(message.type, message.text))
        page.on("pageerror", lambda error: call_page.console("error", str(error)))
        page.on("crash", lambda _: self._note_gone("the page crashed"))
        context.on("close", lambda _: self._note_gone("Chromium closed"))
        context.on("page", _close_stranger)
        return call_page

    def _note_gone(self, what: str) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(what)

    async def _end(self) -> None:
        if self._context is not None:
            try:
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._context.close()
            except (TimeoutError, Error):
                logger.warning("Chromium did not close within {:g} s and is killed", CLOSE_LIMIT_S)
            self._context = None
        if self._pid is not None:
            await reap_session(self._pid)


def _close_stranger(page: Page) -> None:
    """Close a window that the page opened: it would cover the call."""
    logger.warning("the page opened a window, which is closed")
    task = asyncio.create_task(page.close())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
