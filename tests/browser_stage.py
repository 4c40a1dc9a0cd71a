"""A display, a sound server, a site on the loopback, and a browser on all of them: what browser tests stand on."""

from __future__ import annotations

import asyncio
import functools
import json
import operator
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar
from unittest import mock

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler
from playwright.async_api import Page

from recorder_fsm.browser import call_page
from recorder_fsm.browser.bridge import Bridge
from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.browser.devtools import DevTools, Session
from recorder_fsm.browser.launch_options import chromium_args, private_environment
from recorder_fsm.browser.shown_page import ShownPage
from recorder_fsm.browser.subject import OF_A_CALL, OF_ANY_PAGE, Subject
from recorder_fsm.browser.tab import ChromiumTab
from recorder_fsm.browser.web_page import WebPage
from recorder_fsm.errors import BrowserError
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.browser import Browser, Launch
from recorder_fsm.resources.display import Display
from recorder_fsm.resources.driver import Driver
from recorder_fsm.system.process import ChildProcess
from tests.programs import ENV, HEIGHT, WIDTH, until

PAGE = """<!doctype html><title>call</title><h1>The call</h1>
<script>window.born = Math.random(); window.ask = async () => (await fetch("/echo")).text();
window.say = (kind) => window.__recorderFsmTell(JSON.stringify({kind, detail: null, at: 1}));</script>"""
WORKER = "postMessage('ready');"
TONES_HZ = (440, 1000)
"""What the page with audio plays: an AudioContext by itself, and an element with a stream."""
T = TypeVar("T")
AUDIO_PAGE = f"""<!doctype html><title>audio</title><audio id="voice"></audio><script>
const tone = (context, hertz, target) => {{
  const oscillator = new OscillatorNode(context, {{frequency: hertz}}), gain = new GainNode(context, {{gain: 0.2}});
  oscillator.connect(gain).connect(target);
  oscillator.start();
}};
const bare = new AudioContext();
tone(bare, {TONES_HZ[0]}, bare.destination);
// A voice as in a call, which does not depend on a sound server: another context, over a peer connection.
const source = new AudioContext({{sinkId: {{type: "none"}}}}), stream = source.createMediaStreamDestination();
tone(source, {TONES_HZ[1]}, stream);
const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
near.onicecandidate = (event) => far.addIceCandidate(event.candidate);
far.onicecandidate = (event) => near.addIceCandidate(event.candidate);
far.ontrack = (event) => {{ voice.srcObject = new MediaStream([event.track]); voice.play(); }};
near.addTrack(stream.stream.getAudioTracks()[0], stream.stream);
(async () => {{
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
}})();
</script>"""


@attrs.define
class Site:
    """A page and its traffic on the loopback; `other` is the same server under another name, another origin."""

    origin: str
    other: str
    waiting: asyncio.Event
    """Set when somebody waits for `/hang`, which never answers."""
    asked: list[str] = attrs.Factory(list)
    """The paths that were asked for, in order."""
    pages: dict[str, Callable[[], Awaitable[web.StreamResponse]]] = attrs.Factory(dict)
    """What a test lets the site answer, by path."""


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    waiting = asyncio.Event()
    there = Site("", "", waiting)

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != "/favicon.ico":
            there.asked.append(request.path)
        if made := there.pages.get(request.path):
            return await made()
        return await handler(request)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=AUDIO_PAGE if request.path == "/audio" else PAGE, content_type="text/html")

    async def echo(request: web.Request) -> web.Response:
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        return web.Response(text=request.headers.get("X-Calls-Recorder", "none"), headers=headers)

    async def status(request: web.Request) -> web.Response:
        text = "words" if "words" in request.query else ""
        return web.Response(status=int(request.match_info["code"]), text=text, content_type="text/html")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/status/403?words")

    async def hang(_: web.Request) -> web.Response:
        waiting.set()
        await asyncio.Event().wait()
        return web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(status=404, headers={"Content-Type": "text/plain"})
        await reply.prepare(request)
        await reply.write(b"404 page not found " * 1000)
        await asyncio.Event().wait()
        return reply

    async def worker(_: web.Request) -> web.Response:
        return web.Response(text=WORKER, content_type="text/javascript")

    app = web.Application(middlewares=[note])
    app.add_routes(
        [
            web.get("/", answer),
            web.get("/audio", answer),
            web.get("/echo", echo),
            web.get("/status/{code}", status),
            web.get("/moved", moved),
            web.get("/hang", hang),
            web.get("/endless", endless),
            web.get("/worker.js", worker),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        port = runner.addresses[0][1]
        there.origin, there.other = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        yield there
    finally:
        await runner.cleanup()


def launch(
    runtime: Path,
    origin: str | None,
    *env: dict[str, str],
    extra: Sequence[str] = (),
    microphone: bool = True,
    frame_rate: int | None = None,
) -> Launch:
    """Return how Chromium starts for the call page of a site, or, without one, for any page."""
    (runtime / "tmp").mkdir(exist_ok=True)
    return Launch(
        args=chromium_args(width=WIDTH, height=HEIGHT, secure_anyway=[], extra=extra, microphone=microphone),
        env=functools.reduce(operator.or_, env, {**ENV, **private_environment(runtime)}),
        runtime=runtime,
        sandbox=False,  # the tests may run as root
        width=WIDTH,
        height=HEIGHT,
        subject=Subject(
            url="about:blank",
            shown="a page",
            origin=origin,
            hooks=OF_A_CALL if origin else OF_ANY_PAGE,
            secure_anyway=(),
            page=CallPage if origin else WebPage,
        ),
        frame_rate=frame_rate,
    )


async def no_look(_: ShownPage) -> None:
    """Nobody looks at a fault."""


def no_note(_: str) -> None:
    """Nobody reads notes."""


@attrs.define
class Held:
    """All of it, up; `told` is what the page said by the hook's binding."""

    site: Site
    display: Display
    audio: AudioServer
    driver: Driver
    browser: Browser
    runtime: Path
    told: list[str]
    driver_lives: bool = True

    @property
    def page(self) -> CallPage:
        page = _there(self.browser.page)
        assert isinstance(page, CallPage)
        return page

    @property
    def shown(self) -> ShownPage:
        return _there(self.browser.page)

    @property
    def tab(self) -> ChromiumTab:
        tab = self.shown._tab
        assert isinstance(tab, ChromiumTab)
        return tab

    @property
    def session(self) -> Session:
        return self.tab._session

    @property
    def bridge(self) -> Bridge:
        return _there(self.browser._bridge)

    @property
    def devtools(self) -> DevTools:
        return _there(self.browser._devtools)

    @property
    def chromium(self) -> ChildProcess:
        return _there(self.browser._chromium)

    @property
    def driver_pid(self) -> int:
        return _there(self.driver._process).pid

    @property
    def driver_page(self) -> Page:
        return _there(self.browser._driver_page)

    async def evaluate(self, expression: str, limit_s: float = 10) -> object:
        async with asyncio.timeout(limit_s):
            return await self.tab.evaluate(expression)

    async def load(self, path: str = "/", limit_s: float = 10) -> int:
        """Go there, and wait until the page's scripts have run: `Tab.load` waits for the answer only."""
        answer = await self.tab.load(self.site.origin + path, limit_s)
        await self.complete()
        return answer.status

    async def complete(self) -> None:
        async def is_complete() -> bool:
            return await self.evaluate("document.readyState") == "complete"

        await eventually(is_complete)

    async def kill_driver(self) -> None:
        """Kill the driver and wait until it is cleaned up behind."""
        self.driver_lives = False
        os.kill(self.driver_pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            await self.driver.lost()
            await self.bridge.vacant.wait()

    async def restart_driver(self) -> None:
        """Enter the driver again, as the machine does after a fault; it is not connected yet."""
        error = BrowserError(code="driver")
        await self.driver.__aexit__(BrowserError, error, None)
        await self.driver.__aenter__()

    async def bring_driver(self) -> None:
        await self.restart_driver()
        await self.browser.connect(self.driver.playwright)
        self.driver_lives = True

    @contextmanager
    def driver_stopped(self) -> Iterator[None]:
        """Let the driver hang; where it is still there afterwards, it goes on."""
        pid = self.driver_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if self.driver._process is not None and self.driver._process.pid == pid:
                os.kill(pid, signal.SIGCONT)

    def kinds(self) -> list[str]:
        return [str(json.loads(one)["kind"]) for one in self.told]

    async def hear(self, *kinds: str) -> None:
        """Wait until the page has said exactly this."""
        await until(lambda: self.kinds() == list(kinds), 10)


def _there(value: T | None) -> T:
    assert value is not None
    return value


async def eventually(condition: Callable[[], Awaitable[object]], limit_s: float = 10.0) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110 - a page and a pipe tell nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def held(*switches: str, foreign: bool = False, frame_rate: int | None = None) -> AsyncIterator[Held]:
    """Start all of it in a short path: a Unix socket's is limited to 107 bytes. `switches`: `{site}` is its address.

    `foreign`: as for a page that is no call's.
    """
    told: list[str] = []
    listen = CallPage.told

    def hear(page: CallPage, message: str) -> None:
        told.append(message)
        listen(page, message)

    with (
        tempfile.TemporaryDirectory(prefix="rt-", ignore_cleanup_errors=True) as folder,
        mock.patch.object(CallPage, "told", hear),
        mock.patch.object(call_page, "LEAVE_LIMIT_S", 0.3),  # a page that crashed is asked to leave, too
        mock.patch.dict(os.environ),
    ):
        runtime = Path(folder)
        async with (
            site() as there,
            Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display,
            AudioServer(runtime=runtime, env=ENV) as audio,
            Driver(private_environment(runtime), os.environ.update) as driver,
        ):
            extra = [one.format(site=there.origin.removeprefix("http://")) for one in switches]
            origin = None if foreign else there.origin
            how = launch(
                runtime, origin, display.env, audio.env, extra=extra, microphone=not foreign, frame_rate=frame_rate
            )
            async with Browser(how, no_look, no_note) as browser:
                await browser.connect(driver.playwright)
                yield Held(there, display, audio, driver, browser, runtime, told)
