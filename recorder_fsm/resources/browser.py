"""The browser: Chromium with the call page in it, our own child on a pipe.

`call_page` says what the page does. Chromium runs in a fresh profile, in kiosk mode, with its sandbox unless root asks
for development mode. The page outlives Playwright's driver: all that a recording needs goes over our own session
(`browser.tab`). `Browser.connect` lets a driver in, to load the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
from loguru import logger

from recorder_fsm.browser.certificates import trust_in_chromium
from recorder_fsm.browser.console import listen_to_console
from recorder_fsm.browser.devtools import DevTools, Message, Session
from recorder_fsm.browser.few import FewWarnings
from recorder_fsm.browser.launch_options import launch_failure
from recorder_fsm.browser.profile import PROFILE, prepare
from recorder_fsm.browser.questions import decide, with_desktop
from recorder_fsm.browser.shown_page import ShownPage
from recorder_fsm.browser.subject import Subject
from recorder_fsm.browser.tab import ChromiumTab, listen_to_hook, run_hook
from recorder_fsm.browser.traffic import Traffic
from recorder_fsm.errors import BrowserError, ProgramError, RecorderError
from recorder_fsm.system.clock import running_timeout, running_wait
from recorder_fsm.system.last_words import BUS
from recorder_fsm.system.process import ChildProcess, describe_exit, find_program

if TYPE_CHECKING:
    from playwright.async_api import Page, Playwright  # takes a while, and Chromium starts meanwhile

    from recorder_fsm.browser.bridge import Bridge

LAUNCHER = Path(__file__).parent.parent / "browser" / "launchers" / "chromium"
HOOKS = Path(__file__).parent.parent / "browser"
PEOPLE_HOOK = "people_hook.js"
BINDING = "__recorderFsmTell"

LAUNCH_LIMIT_S = 15.0
CONNECT_LIMIT_S = 10.0
CLOSE_LIMIT_S = 3.0
"""How long Chromium may take to close; it is killed then."""

STRANGER_S = 0.5
"""How long a window that the page opened may stay; it covers the call meanwhile."""

PIPE_ARGS = ["--remote-debugging-pipe", "about:blank"]


@attrs.frozen
class Launch:
    """How Chromium is to be started. `on_people` hears who talks (`people_hook.js`); None: nobody listens.

    `frame_rate`: of the recording; None: the page draws as often as it can.
    """

    args: list[str]
    env: Mapping[str, str]
    runtime: Path
    sandbox: bool
    width: int
    height: int
    subject: Subject
    ca_file: Path | None = None
    on_people: Callable[[object, object], None] | None = None
    frame_rate: int | None = None


class Browser:
    """Holds Chromium with one page; ready when the page can be told where to go; ends by closing, or is killed.

    `look_at_fault` is called with the page when the browser is stopped for a fault, while the page is still there;
    `note` with what a person should know of the recording.
    """

    def __init__(
        self,
        launch: Launch,
        look_at_fault: Callable[[ShownPage], Awaitable[None]],
        note: Callable[[str], None],
    ) -> None:
        self._launch = launch
        self._look_at_fault = look_at_fault
        self._note = note
        self._devtools: DevTools | None = None
        self._chromium: ChildProcess | None = None
        self._bridge: Bridge | None = None
        self._stack = AsyncExitStack()
        self._gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._driver_page: Page | None = None
        self.page: ShownPage | None = None

    async def __aenter__(self) -> Self:
        launch = self._launch
        if os.geteuid() == 0 and launch.sandbox:
            raise BrowserError(
                "The recorder's browser refuses to run as root.",
                detail="Chromium's sandbox needs an ordinary user; run as one, or set DEV_MODE=true for a test",
                code="browser_root",
            )
        if launch.ca_file is not None:
            await trust_in_chromium(launch.ca_file, launch.runtime, launch.env)
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.page is not None:
                if error is not None:
                    await self._look_at_fault(self.page)
                await self.page.leave()
        finally:
            await self._end()

    async def connect(self, playwright: Playwright) -> None:
        """Let a driver in to the page; raises `BrowserError` where it cannot.

        Nothing of the recording hangs on it, and it may go at any time: only a page that is loaded needs it.
        """
        # Loaded while Chromium starts, and not before it.
        from playwright.async_api import Error  # noqa: PLC0415

        from recorder_fsm.browser.bridge import Bridge  # noqa: PLC0415

        if self._bridge is None:
            self._bridge = await self._stack.enter_async_context(Bridge(self._held))
        self._driver_page = None
        try:
            async with running_timeout(CONNECT_LIMIT_S):  # Playwright's own limit is kept by the driver
                remote = await playwright.chromium.connect_over_cdp(
                    self._bridge.address,
                    headers=self._bridge.headers,
                    no_defaults=True,  # what a page sees must not change when the driver comes or goes
                )
            self._driver_page = remote.contexts[0].pages[0]
        except (Error, IndexError, TimeoutError) as error:
            raise BrowserError(detail="the driver could not connect to Chromium", code="driver") from error

    async def restore_audio(self) -> None:
        """Bring the page's audio back after the sound server was restarted under its old address.

        A page that does not answer is for others to notice: the audio of the file is silent until it comes by itself.
        """
        if self.page is not None:
            await self.page.restore_audio()

    async def lost(self) -> RecorderError:
        """Wait until Chromium ends, its page crashes, or its page no longer answers; returns the cause."""
        if self._chromium is None or self.page is None:
            raise RuntimeError("the browser is not held")
        frozen = asyncio.create_task(self.page.frozen())
        try:
            waited: list[asyncio.Future[Any]] = [self._gone, self._chromium.exited, frozen]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._gone.done():
                return BrowserError(detail=self._gone.result(), code="page_crashed")
            if self._chromium.exited.done():
                how = describe_exit(self._chromium.exited.result())
                return BrowserError(detail=f"Chromium {how}", code="browser_ended")
            return BrowserError(detail=frozen.result(), code="page_frozen")
        finally:
            frozen.cancel()

    async def closed(self) -> RecorderError | None:
        """Wait until the page says that it is over; see `ShownPage.closed`."""
        if self.page is None:
            raise RuntimeError("the browser is not held")
        return await self.page.closed()

    @property
    def _profile(self) -> Path:
        return self._launch.runtime / PROFILE

    @property
    def _held(self) -> DevTools:
        if self._devtools is None:
            raise RuntimeError("the browser is not held")
        return self._devtools

    async def _start(self) -> None:
        launch = self._launch
        prepare(launch.runtime, launch.frame_rate)
        devtools = self._devtools = DevTools()
        theirs = await devtools.open()
        with theirs:
            self._chromium = await ChildProcess.spawn(
                "Chromium",
                [str(LAUNCHER), *self._command_line()],
                env={**with_desktop(launch.env), "RECORDER_FSM_CHROMIUM": find_program("chromium")},
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                on_line=lambda line: BUS.search(line) is not None,
            )
        ready = asyncio.ensure_future(self._prepare(devtools))
        try:
            self.page = await self._chromium.ready(ready, limit_s=LAUNCH_LIMIT_S)
        except ProgramError as error:
            if isinstance(error, BrowserError) and error.code not in ("page_gone", "page_late"):
                raise
            how = error.detail
            await running_wait({self._chromium.exited}, 1)
            if self._chromium.exited.done():  # its last words say why
                await self._chromium.drained()
                how = f"{describe_exit(self._chromium.exited.result())} while starting"
            raise launch_failure(self._chromium.words, how) from error
        finally:
            await asyncio.wait({ready})

    def _command_line(self) -> list[str]:
        sandbox = [] if self._launch.sandbox else ["--no-sandbox"]
        return [*self._launch.args, *sandbox, f"--user-data-dir={self._profile}", *PIPE_ARGS]

    async def _prepare(self, devtools: DevTools) -> ShownPage:
        root, subject = devtools.root, self._launch.subject
        target_id = await _first_page(root)
        session = await devtools.attach(target_id)
        tab = ChromiumTab(session, self._page_of_driver)
        page = subject.page(tab, self._launch.width, self._launch.height, self._note)
        page.on_people = self._launch.on_people
        listen_to_console(session, page.console.heard)
        await decide(session, root, subject.origin)
        names = subject.hooks if page.on_people is None or subject.origin is None else (PEOPLE_HOOK, *subject.hooks)
        hook = "\n".join((HOOKS / name).read_text(encoding="utf-8") for name in names)
        if subject.origin is None:
            await run_hook(session, hook)
        else:
            await listen_to_hook(
                session,
                binding=BINDING,
                hook=hook,
                frame_id=target_id,  # the main frame's, too
                origin=subject.origin,
                told=page.told,
            )
        await Traffic(root, subject.origin, target_id, tab.loading.led_away).watch()
        session.on("Inspector.targetCrashed", lambda _: self._note_gone("the page crashed"))
        session.gone.add_done_callback(lambda _: self._note_closed(root))
        await session.call("Inspector.enable")
        # A page without the keyboard's focus may rest; no window manager gives it one.
        await session.call("Emulation.setFocusEmulationEnabled", {"enabled": True})
        log = FewWarnings()
        root.on("Target.targetCreated", lambda params: _close_stranger(root, params["targetInfo"], log))
        return page

    def _page_of_driver(self) -> Page:
        if self._driver_page is None:
            raise BrowserError(detail="the browser's driver is not connected", code="driver")
        return self._driver_page

    def _note_gone(self, what: str) -> None:
        if not self._gone.done():
            self._gone.set_result(what)

    def _note_closed(self, root: Session) -> None:
        if not root.gone.done():  # else it is Chromium that ended, and its process says so
            self._note_gone("the page was closed")

    async def _end(self) -> None:
        """Close Chromium within its limit, or kill it; then nothing of it is left."""
        await self._stack.aclose()
        if self._chromium is not None and self._devtools is not None:
            with contextlib.suppress(BrowserError):
                await self._devtools.root.call("Browser.close", limit_s=CLOSE_LIMIT_S)
            await running_wait({self._chromium.exited}, CLOSE_LIMIT_S)
            if self._chromium.running:
                logger.warning("Chromium did not close within {:g} s and is killed", CLOSE_LIMIT_S)
                self._chromium.ask(signal.SIGKILL)
            await self._chromium.stop(wait_s=CLOSE_LIMIT_S)
            self._chromium = None
        if self._devtools is not None:
            self._devtools.close()


async def _first_page(root: Session) -> str:
    """Return the target of the page that Chromium opens when it starts."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def created(params: Message) -> None:
        if params["targetInfo"]["type"] == "page" and not found.done():
            found.set_result(str(params["targetInfo"]["targetId"]))

    root.on("Target.targetCreated", created)
    await root.call("Target.setDiscoverTargets", {"discover": True})
    return await found


def _close_stranger(root: Session, info: Message, log: FewWarnings) -> None:
    """Close a window that the page opened: it would cover the call."""
    if info["type"] == "page":
        log.tell("the page opened a window, which is closed")
        # Not at once: where a guest is just looking at the new window, the page that opened it would hang for ever.
        asyncio.get_running_loop().call_later(
            STRANGER_S, root.tell, "Target.closeTarget", {"targetId": info["targetId"]}
        )
