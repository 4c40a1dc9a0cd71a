"""A display, a site on the loopback, and a browser on both: what the tests of the pipe stand on."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
from aiohttp import web
from recorder_fsm.call_page import CallPage
from recorder_fsm.chromium import browser_environment, chromium_args
from recorder_fsm.display import Display
from tests.programs import ENV, HEIGHT, WIDTH

from browser import Browser, Driver, Launch
from chromium_switches import FROM_PLAYWRIGHT

PAGE = """<!doctype html><title>call</title><h1>The call</h1>
<script>window.born = Math.random(); window.ask = async () => (await fetch("/echo")).text();
window.say = (kind) => window.__recorderFsmTell(JSON.stringify({kind, detail: null, at: 1}));</script>"""
WORKER = "onmessage = () => postMessage('done'); postMessage('ready');"


@attrs.frozen
class Site:
    origin: str
    other: str


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Serve a page and its traffic on a free port of the loopback; `other` is the same under another name."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def echo(request: web.Request) -> web.Response:
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
        return web.Response(text=request.headers.get("X-Calls-Recorder", "none"), headers=headers)

    async def status(request: web.Request) -> web.Response:
        text = "words" if "words" in request.query else ""
        return web.Response(status=int(request.match_info["code"]), text=text, content_type="text/html")

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/status/403?words")

    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def worker(request: web.Request) -> web.Response:
        return web.Response(text=WORKER, content_type="text/javascript")

    app = web.Application()
    app.add_routes(
        [
            web.get("/", answer),
            web.get("/echo", echo),
            web.get("/status/{code}", status),
            web.get("/moved", moved),
            web.get("/hang", hang),
            web.get("/worker.js", worker),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        port = runner.addresses[0][1]
        yield Site(f"http://127.0.0.1:{port}", f"http://localhost:{port}")
    finally:
        await runner.cleanup()


def launch(runtime: Path, display: Display, origin: str, *extra: str) -> Launch:
    switches = [name if value is None else f"{name}={value}" for name, value in FROM_PLAYWRIGHT.items()]
    args = [*switches, *chromium_args(width=WIDTH, height=HEIGHT, secure_anyway=[], extra=extra)]
    env = browser_environment(ENV, runtime, display.env)
    (runtime / "tmp").mkdir(exist_ok=True)
    return Launch(args=args, env=env, runtime=runtime, sandbox=False, width=WIDTH, height=HEIGHT, origin=origin)


@attrs.define
class Held:
    """All of it, up; `told` is what the page said by the hook's binding."""

    site: Site
    display: Display
    driver: Driver | None
    browser: Browser
    runtime: Path
    told: list[str]

    @property
    def page(self) -> CallPage:
        assert self.browser.page is not None
        return self.browser.page

    async def evaluate(self, expression: str, limit_s: float = 5) -> object:
        async with asyncio.timeout(limit_s):
            return await self.page._tab.evaluate(expression)

    async def load(self, path: str = "/", limit_s: float = 10) -> int:
        """Go there, and wait until the page's scripts have run: `Tab.load` waits for the answer only."""
        status = await self.page._tab.load(self.site.origin + path, limit_s)
        await self.complete()
        return status

    async def complete(self) -> None:
        async with asyncio.timeout(5):
            while await self.evaluate("document.readyState") != "complete":
                await asyncio.sleep(0.01)

    async def until(self, condition: Callable[[], object], limit_s: float = 5) -> None:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.01)

    def kinds(self) -> list[str]:
        return [str(json.loads(one)["kind"]) for one in self.told]


@asynccontextmanager
async def held(*, with_driver: bool = True, extra: tuple[str, ...] = ()) -> AsyncIterator[Held]:
    with tempfile.TemporaryDirectory(prefix="rt-", ignore_cleanup_errors=True) as folder:
        runtime = Path(folder)
        async with site() as there, Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display:
            driver = Driver() if with_driver else None
            told: list[str] = []
            listen = CallPage.told

            def hear(page: CallPage, said: str) -> None:
                told.append(said)
                listen(page, said)

            CallPage.told = hear  # type: ignore[method-assign,assignment]
            if driver is not None:
                await driver.__aenter__()
            try:
                playwright = None if driver is None else (lambda: driver.playwright)
                async with Browser(playwright, launch(runtime, display, there.origin, *extra)) as browser:
                    yield Held(there, display, driver, browser, runtime, told)
            finally:
                CallPage.told = listen  # type: ignore[method-assign]
                if driver is not None:
                    await driver.__aexit__(None, None, None)
