"""The pipe to Chromium, the bridge in it, and a page that outlives its driver: real Chromium under a real Xvfb."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import browser as browser_module
import psutil
import pytest
from browser import Browser
from devtools import DevTools, Session
from lab_stage import Held, held, launch, site
from playwright.async_api import Error
from recorder_fsm.display import Display
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from recorder_fsm.errors import BrowserError
from tests.programs import ENV, HEIGHT, WIDTH

TOKEN = "the-token-of-the-job"
driver_or_not = pytest.mark.parametrize("with_driver", [True, False], ids=["driver", "alone"])


def chromiums(marker: Path | str) -> list[psutil.Process]:
    """Return the living processes of the Chromium whose files are below `marker`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "chrom" in words and str(marker) in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def kill_driver(it: Held) -> None:
    """Kill the driver and wait until it is cleaned up behind."""
    assert it.driver is not None
    assert it.driver._pid is not None
    assert it.browser._bridge is not None
    os.kill(it.driver._pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await it.driver.lost()
        await it.browser._bridge.vacant.wait()


def renderers(it: Held) -> list[int]:
    """Return the renderers that show no part of the browser's own window: that of the page, and spare ones."""
    return [
        process.pid
        for process in chromiums(it.runtime)
        if "--type=renderer" in process.cmdline() and "--top-chrome-webui" not in process.cmdline()
    ]


# --- a page that outlives its driver ------------------------------------------------------------------------------


async def test_page_outlives_its_driver_twice() -> None:
    """It is asked, it fetches with the recorder's header, and it is heard, with no driver; then the next one comes."""
    async with held() as it:
        assert await it.load() == 200
        born = await it.evaluate("born")
        for number in (1, 2):
            await kill_driver(it)
            assert await it.evaluate("born") == born
            assert await it.evaluate("ask()") == "true"
            await it.evaluate(f"say('alone {number}')")
            await it.until(lambda number=number: f"alone {number}" in it.kinds())  # type: ignore[misc]
            with pytest.raises(BrowserError):
                await it.load()  # says so; a call page is loaded again
            assert it.driver is not None
            await it.driver.restart()
            await it.browser.reconnect()
            assert it.browser._driver_page is not None
            assert await it.browser._driver_page.evaluate("born") == born
            assert await it.evaluate("ask()") == "true"
            await it.evaluate(f"say('together {number}')")
            await it.until(lambda number=number: f"together {number}" in it.kinds())  # type: ignore[misc]
        assert not it.browser._gone.done()
        assert await it.load("/status/404?words") == 404
        assert it.kinds().count("together 2") == 1


async def test_worker_does_not_wait_for_a_driver_that_hangs() -> None:
    """Playwright would stop each new worker until it has looked at it; the bridge does not let it."""
    async with held() as it:
        await it.load()
        assert it.driver is not None
        assert it.driver._pid is not None
        os.kill(it.driver._pid, signal.SIGSTOP)
        await it.evaluate("""(() => {
            window.heard = []; window.worker = new Worker("/worker.js");
            worker.onmessage = (event) => heard.push(event.data); })()""")
        async with asyncio.timeout(5):
            while await it.evaluate("heard.join()") != "ready":
                await asyncio.sleep(0.05)


async def test_driver_that_hangs_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not answer the bridge's pings; the next one can come in."""
    monkeypatch.setattr(sys.modules["bridge"], "PING_EVERY_S", 0.2)
    monkeypatch.setattr(sys.modules["bridge"], "PING_LIMIT_S", 0.5)
    async with held() as it:
        await it.load()
        assert it.driver is not None
        assert it.driver._pid is not None
        assert it.browser._bridge is not None
        os.kill(it.driver._pid, signal.SIGSTOP)
        async with asyncio.timeout(10):
            await it.browser._bridge.vacant.wait()
            await it.driver.restart()
            await it.browser.reconnect()
        assert await it.load() == 200


async def test_own_interception_does_not_hang_on_a_driver_that_hangs() -> None:
    """A stopped driver: the page's requests are ours to continue."""
    async with held() as it:
        await it.load()
        assert it.driver is not None
        assert it.driver._pid is not None
        os.kill(it.driver._pid, signal.SIGSTOP)
        assert await it.evaluate("ask()") == "true"
        await it.evaluate("say('stopped')")
        await it.until(lambda: "stopped" in it.kinds())
        os.kill(it.driver._pid, signal.SIGCONT)


async def test_requests_that_a_dead_guest_paused_go_on() -> None:
    """All of a guest ends with it, also an interception of its own (here as `page.route` of Playwright makes it)."""
    async with held() as it:
        await it.load()
        assert it.browser._driver_page is not None
        await it.browser._driver_page.route("**/echo", lambda _route: None)  # takes it, and never answers
        waiting = asyncio.create_task(it.evaluate("ask()", 10))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await kill_driver(it)
        assert await waiting == "true"
        assert await it.evaluate("ask()") == "true"


async def test_picture_and_page_do_not_change_when_a_driver_comes_or_goes() -> None:
    """Size, focus, media and every pixel of the display stay as they are."""
    look = """[innerWidth, innerHeight, outerWidth, outerHeight, screen.width, devicePixelRatio, document.hasFocus(),
        document.visibilityState, matchMedia("(prefers-color-scheme: dark)").matches, navigator.userAgent,
        matchMedia("(prefers-reduced-motion: reduce)").matches, navigator.webdriver].join()"""
    async with held() as it:
        await it.load()
        await asyncio.sleep(0.5)
        seen, pictures = [], []
        for turn in range(3):
            if turn == 1:
                await kill_driver(it)
            if turn == 2:
                assert it.driver is not None
                await it.driver.restart()
                await it.browser.reconnect()
            await asyncio.sleep(0.3)
            seen.append(await it.evaluate(look))
            assert await it.display.photograph(it.runtime / f"{turn}.png")
            pictures.append((it.runtime / f"{turn}.png").read_bytes())
        assert len(set(seen)) == 1, seen
        assert str(seen[0]).startswith(f"{WIDTH},{HEIGHT},{WIDTH},{HEIGHT},")
        assert len(set(pictures)) == 1


async def test_driver_that_hangs_or_dies_at_work_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright's own limits are kept by the driver, so they end with it."""
    monkeypatch.setattr(browser_module, "CONNECT_LIMIT_S", 3.0)
    monkeypatch.setattr(sys.modules["tab"], "DRIVER_ANSWER_S", 0.3)
    async with held() as it:
        await it.load()
        assert it.driver is not None
        assert it.driver._pid is not None
        loading = asyncio.create_task(it.load("/hang"))
        await asyncio.sleep(0.3)
        await kill_driver(it)
        with pytest.raises(BrowserError):
            await loading
        await it.driver.restart()
        await it.browser.reconnect()
        os.kill(it.driver._pid, signal.SIGSTOP)
        with pytest.raises(BrowserError, match="does not answer"):
            await it.load(limit_s=0.2)
        await it.driver.restart()
        os.kill(it.driver._pid, signal.SIGSTOP)
        with pytest.raises(BrowserError, match="could not connect"):
            await it.browser.reconnect()
        await it.driver.restart()
        await it.browser.reconnect()
        assert await it.load() == 200


# --- crashes and ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["killed", "crashed"])
@pytest.mark.parametrize("drivers", ["connected", "dead", "none"])
async def test_crash_of_the_page_is_noticed(how: str, drivers: str) -> None:
    """With a driver, after its death, and where there never was one."""
    async with held(with_driver=drivers != "none") as it:
        await it.load()
        if drivers == "dead":
            await kill_driver(it)
        lost = asyncio.create_task(it.browser.lost())
        if how == "killed":
            for pid in renderers(it):
                os.kill(pid, signal.SIGKILL)
        else:
            it.page._tab._session.tell("Page.crash")  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            cause = await lost
        assert (cause.code, cause.detail) == ("page_crashed", "the page crashed")


@driver_or_not
async def test_end_of_chromium_is_noticed(with_driver: bool) -> None:
    """As an end of Chromium, not of the page."""
    async with held(with_driver=with_driver) as it:
        await it.load()
        lost = asyncio.create_task(it.browser.lost())
        await asyncio.sleep(0)
        assert it.browser._chromium is not None
        os.kill(it.browser._chromium.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            cause = await lost
        assert (cause.code, cause.detail) == ("browser_ended", "Chromium was killed by SIGKILL")
        with pytest.raises(BrowserError) as caught:
            await it.evaluate("1")
        assert caught.value.code == "page_gone"


async def test_page_that_is_closed_is_noticed() -> None:
    async with held() as it:
        await it.load()
        lost = asyncio.create_task(it.browser.lost())
        assert it.browser._driver_page is not None
        await it.browser._driver_page.close()
        async with asyncio.timeout(5):
            assert (await lost).detail == "the page was closed"


@driver_or_not
async def test_nothing_is_left_after_closing(with_driver: bool) -> None:
    """Neither a process nor a warning, in good time."""
    async with held(with_driver=with_driver) as it:
        await it.load()
        assert len(chromiums(it.runtime)) > 3
        started = time.monotonic()
    assert time.monotonic() - started < 5
    await gone(it.runtime)


async def test_chromium_that_hangs_is_killed(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_module, "CLOSE_LIMIT_S", 0.3)
    async with held() as it:
        await it.load()
        assert it.browser._chromium is not None
        os.kill(it.browser._chromium.pid, signal.SIGSTOP)
    assert any("did not close within" in line for line in log)
    await gone(it.runtime)


async def test_beforeunload_does_not_keep_chromium_open(log: list[str]) -> None:
    async with held(with_driver=False) as it:
        await it.load()
        await it.evaluate("onbeforeunload = (event) => event.preventDefault()")
    assert not any("did not close within" in line for line in log)


@pytest.mark.parametrize("with_driver", ["driver", "alone"])
async def test_nothing_is_left_when_we_are_killed(with_driver: str) -> None:
    """The recorder is SIGKILLed: no Chromium, no crash handler, no driver stays."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, with_driver, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        runtime = (await child.stdout.readline()).decode().strip()
    family = psutil.Process(child.pid).children(recursive=True)
    assert len(chromiums(runtime)) > 3
    child.kill()
    await child.wait()
    await gone(runtime)
    await asyncio.sleep(0.5)
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    shutil.rmtree(runtime, ignore_errors=True)


async def test_chromium_exits_when_its_pipe_is_closed() -> None:
    """Without any signal: the second net below `--pdeathsig`."""
    async with held(with_driver=False) as it:
        assert it.browser._devtools is not None
        assert it.browser._chromium is not None
        it.browser._devtools.close()
        async with asyncio.timeout(5):
            assert await it.browser._chromium.wait() == 0


async def gone(marker: Path | str) -> None:
    async with asyncio.timeout(5):
        while chromiums(marker):
            await asyncio.sleep(0.02)


# --- who may speak with it ----------------------------------------------------------------------------------------


async def test_bridge_refuses_who_does_not_know_the_secret_or_is_a_page() -> None:
    async with held() as it:
        bridge = it.browser._bridge
        assert bridge is not None
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer ö"},
            bridge.headers | {"Origin": it.site.origin},
        ):
            with pytest.raises(InvalidStatus) as caught:
                async with connect(bridge.address, additional_headers=headers, proxy=None):
                    pass
            assert caught.value.response.status_code == 403
        assert await it.load() == 200  # the guest who is there is not disturbed


async def test_second_guest_waits_for_its_turn_and_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with held() as it:
        bridge = it.browser._bridge
        assert bridge is not None
        monkeypatch.setattr(sys.modules["bridge"], "PLACE_LIMIT_S", 0.2)
        async with connect(bridge.address, additional_headers=bridge.headers, proxy=None) as second:
            await second.send('{"id": 1, "method": "Browser.getVersion"}')
            with pytest.raises(Exception, match="another guest"):
                await second.recv()
        await kill_driver(it)
        async with connect(bridge.address, additional_headers=bridge.headers, proxy=None) as second:
            await second.send('{"id": 1, "method": "Browser.getVersion"}')
            answer = json.loads(await second.recv())
        assert answer["id"] == 1
        assert "sessionId" not in answer


@driver_or_not
async def test_no_port_is_opened_and_the_token_is_in_no_command_line(with_driver: bool) -> None:
    """Chromium listens nowhere; of us only the bridge does, on the loopback."""
    async with held(with_driver=with_driver) as it:
        await it.load(f"/#{TOKEN}")
        assert TOKEN in str(await it.evaluate("location.href"))
        processes = [*chromiums(it.runtime), *psutil.Process().children(recursive=True)]
        listening = [
            (process.name(), one.laddr)
            for process in set(processes)
            for one in process.net_connections()
            if one.status == psutil.CONN_LISTEN and process.name() != "Xvfb"
        ]
        assert listening == []
        ours = {one.laddr for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN}
        assert {address.ip for address in ours} == {"127.0.0.1"}
        assert len(ours) == (2 if with_driver else 1)  # the site of the test, and the bridge
        for process in processes:
            assert TOKEN not in " ".join(process.cmdline())
            assert TOKEN not in " ".join(process.environ().values())


@driver_or_not
async def test_only_the_call_page_itself_is_heard(with_driver: bool, log: list[str]) -> None:
    """Frames of the same process have the binding too; a page of another origin has it in the main frame."""
    async with held(with_driver=with_driver) as it:
        await it.load()
        for source in (f'src="{it.site.origin}/"', f'src="{it.site.other}/"', 'srcdoc="<p>hi"'):
            await it.evaluate(f"""new Promise((done) => {{
                document.body.insertAdjacentHTML('beforeend', '<iframe {source}></iframe>');
                document.body.lastElementChild.onload = done; }})""")
        await it.evaluate("for (const frame of [frames[0], frames[2]]) frame.eval('__recorderFsmTell(`[]`)')")
        await it.evaluate("say('main')")
        await it.until(lambda: it.kinds() == ["main"])
        assert len([line for line in log if "is not the call page" in line]) == 2
        await it.page._tab.load(it.site.other, 5)
        await it.complete()
        await it.evaluate("say('elsewhere')")
        await asyncio.sleep(0.3)
        assert it.kinds() == ["main"]
        await it.load()
        await it.evaluate("say('back')")
        await it.until(lambda: it.kinds() == ["main", "back"])


@driver_or_not
async def test_header_goes_to_the_site_only(with_driver: bool) -> None:
    async with held(with_driver=with_driver) as it:
        await it.load()
        assert await it.evaluate("ask()") == "true"
        assert await it.evaluate(f"fetch('{it.site.other}/echo').then((answer) => answer.text())") == "none"


# --- what may cover the call or be forgotten ----------------------------------------------------------------------


@pytest.mark.parametrize("drivers", ["connected", "dead", "none"])
async def test_dialogs_and_windows_are_closed(drivers: str, log: list[str]) -> None:
    async with held(with_driver=drivers != "none") as it:
        await it.load()
        if drivers == "dead":
            await kill_driver(it)
        assert await it.evaluate("confirm('Really?')") is False
        assert it.browser._devtools is not None
        session = it.page._tab._session  # type: ignore[attr-defined]

        await session.call("Runtime.evaluate", {"expression": "open('/'); 1", "userGesture": True})
        await it.until(lambda: any("opened a window" in line for line in log))
        await asyncio.sleep(browser_module.STRANGER_S + 0.3)
        targets = await it.browser._devtools.root.call("Target.getTargets")
        assert len([one for one in targets["targetInfos"] if one["type"] == "page"]) == 1
        assert await it.evaluate("1") == 1


@pytest.mark.parametrize("drivers", ["connected", "dead", "none"])
async def test_console_and_errors_are_heard(drivers: str, log: list[str]) -> None:
    async with held(with_driver=drivers != "none") as it:
        await it.load()
        if drivers == "dead":
            await kill_driver(it)
        await it.evaluate("console.warn('look', 7, {a: 1}, null, NaN); setTimeout(() => { throw new Error('oops') })")
        await it.until(lambda: it.page.errors)
        assert "DEBUG console warning: look 7 Object None NaN" in log
        assert "Error: oops" in it.page.errors[0]


@driver_or_not
@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/status/404?words", 404), ("/status/404", 404), ("/status/500", 500), ("/moved", 403)],
)
async def test_status_of_a_page_is_told(with_driver: bool, path: str, status: int) -> None:
    """Over our own session as by Playwright, also where Chromium shows an error page of its own."""
    async with held(with_driver=with_driver) as it:
        assert await it.load(path) == status
        assert await it.evaluate("typeof __recorderFsm") == "object"


@driver_or_not
async def test_page_that_does_not_come_is_an_error(with_driver: bool) -> None:
    async with held(with_driver=with_driver) as it:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(BrowserError, match="ERR_CONNECTION_REFUSED") as caught:
                await it.page._tab.load(f"http://127.0.0.1:{closed.getsockname()[1]}/#{TOKEN}", 5)
        assert TOKEN not in str(caught.value)
        with pytest.raises(BrowserError) as caught:
            await it.load(f"/hang#{TOKEN}", 0.5)
        assert TOKEN not in str(caught.value)
        assert await it.load() == 200


async def test_launch_that_fails_says_why() -> None:
    """Chromium's own words are the cause."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        runtime = Path(folder)
        async with site() as there, Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display:
            how = launch(runtime, display, there.origin)
            how.env["DISPLAY"] = ":9999"  # type: ignore[index]
            with pytest.raises(BrowserError, match=r"Missing X server|cannot open display|ozone"):
                async with Browser(None, how):
                    pass
        await gone(runtime)


async def test_large_messages_pass_both_ways() -> None:
    """Tens of megabytes in one message, through pipe and bridge."""
    async with held() as it:
        await it.load()
        assert it.browser._driver_page is not None
        size = 20_000_000
        assert len(await it.browser._driver_page.evaluate(f"'x'.repeat({size})")) == size
        assert len(str(await it.evaluate(f"'y'.repeat({size})", 20))) == size
        assert await it.browser._driver_page.evaluate("(text) => text.length", "z" * size) == size


async def test_driver_that_closes_politely_leaves_the_page() -> None:
    """Playwright's `browser.close()` on a connection only ends the connection."""
    async with held() as it:
        await it.load()
        assert it.browser._driver_page is not None
        remote = it.browser._driver_page.context.browser
        assert remote is not None
        await remote.close()
        with pytest.raises(Error):
            await it.browser._driver_page.title()
        assert await it.evaluate("ask()") == "true"
        assert it.browser._bridge is not None
        async with asyncio.timeout(5):
            await it.browser._bridge.vacant.wait()
        await it.browser.reconnect()
        assert await it.browser._driver_page.title() == "call"


# --- the pipe by itself -------------------------------------------------------------------------------------------


class Wire:
    """The other end of the pipe, in the test's hands."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def asked(self) -> dict[str, object]:
        return dict(json.loads((await self.reader.readuntil(b"\0"))[:-1]))

    def say(self, *messages: object) -> None:
        self.writer.write(b"".join(json.dumps(one).encode() + b"\0" for one in messages))


@pytest.fixture
async def devtools() -> AsyncIterator[DevTools]:
    tools = DevTools()
    yield tools
    tools.close()


@pytest.fixture
async def wire(devtools: DevTools) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_unix_connection(sock=await devtools.open())
    yield Wire(reader, writer)
    writer.close()


async def test_messages_may_come_in_any_pieces(devtools: DevTools, wire: Wire) -> None:
    got: list[object] = []
    devtools.root.on("a", got.append)
    raw = b"".join(json.dumps({"method": "a", "params": {"n": n}}).encode() + b"\0" for n in range(4))
    for size in (1, 7, 1000):
        got.clear()
        for start in range(0, len(raw), size):
            wire.writer.write(raw[start : start + size])
            await wire.writer.drain()
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert got == [{"n": n} for n in range(4)]


async def test_refused_late_and_orphaned_calls_are_errors(devtools: DevTools, wire: Wire) -> None:
    refused = asyncio.create_task(devtools.root.call("A.refused", {"secret": TOKEN}))
    number = (await wire.asked())["id"]
    wire.say({"id": number, "error": {"code": -32000, "message": "no"}}, {"id": 99, "result": {}})
    with pytest.raises(BrowserError, match=r"A\.refused: no") as caught:
        await refused
    assert (caught.value.code, TOKEN in str(caught.value)) == ("page", False)
    with pytest.raises(BrowserError, match=r"no answer within 0\.01 s") as caught:
        await devtools.root.call("A.late", limit_s=0.01)
    assert caught.value.code == "page_late"
    wire.say({"id": (await wire.asked())["id"], "result": {}})  # too late; does no harm
    orphaned = asyncio.create_task(devtools.root.call("A.orphaned"))
    await wire.asked()
    wire.writer.close()
    with pytest.raises(BrowserError) as caught:
        await orphaned
    assert caught.value.code == "page_gone"
    with pytest.raises(BrowserError):
        await devtools.root.call("A.after")
    devtools.root.tell("A.after")


async def attached(devtools: DevTools, wire: Wire, name: str) -> Session:
    task = asyncio.create_task(devtools.attach("target"))
    wire.say({"id": (await wire.asked())["id"], "result": {"sessionId": name}})
    return await task


async def test_session_that_is_detached_ends_its_calls_only(devtools: DevTools, wire: Wire) -> None:
    one, two = await attached(devtools, wire, "one"), await attached(devtools, wire, "two")
    first, second = asyncio.create_task(one.call("A.a")), asyncio.create_task(two.call("A.b"))
    asked = [await wire.asked(), await wire.asked()]
    assert [message["sessionId"] for message in asked] == ["one", "two"]
    wire.say({"method": "Target.detachedFromTarget", "params": {"sessionId": "one"}})
    with pytest.raises(BrowserError):
        await first
    assert one.gone.done()
    wire.say({"id": asked[1]["id"], "sessionId": "two", "result": {"x": 1}})
    assert await second == {"x": 1}


async def test_what_is_not_understood_does_no_harm(devtools: DevTools, wire: Wire, log: list[str]) -> None:
    got: list[object] = []
    devtools.root.on("a", lambda params: params["missing"])
    devtools.root.on("a", got.append)
    wire.writer.write(b"no json\0\0[1]\0" + b"7\0")
    wire.say({"method": "a"}, {"method": "b"}, {"id": 5, "sessionId": "unknown"})
    await asyncio.sleep(0.05)
    assert got == [{}]
    assert any("is no message" in line for line in log)
    assert any("was not understood: a" in line for line in log)


async def test_message_without_an_end_closes_the_pipe(
    devtools: DevTools, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["devtools"], "MESSAGE_LIMIT_BYTES", 100_000)
    wire.writer.write(b"x" * 400_000)
    async with asyncio.timeout(5):
        await devtools.root.gone


async def _stay(with_driver: bool) -> None:
    async with held(with_driver=with_driver) as it:
        await it.load()
        print(it.runtime, flush=True)  # noqa: T201
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(_stay(sys.argv[1] == "driver"))
