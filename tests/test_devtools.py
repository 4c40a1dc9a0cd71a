"""The pipe to Chromium, the bridge in it, and a page that outlives its driver: real Chromium under a real Xvfb.

Tests that harm their browser have one of their own and come first: a process has one driver at a time, and cannot tell
two apart. All others share one, `it`. Each finds its page loaded and its driver connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Error, Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from recorder_fsm.browser import bridge as bridge_module
from recorder_fsm.browser import devtools as devtools_module
from recorder_fsm.browser import tab as tab_module
from recorder_fsm.browser.devtools import DevTools, Session
from recorder_fsm.errors import AudioError, BrowserError
from recorder_fsm.resources import browser as browser_module
from recorder_fsm.resources.browser import Browser
from recorder_fsm.resources.display import Display
from tests.browser_stage import TONES_HZ, Held, eventually, held, launch, no_look, no_note, site
from tests.faults.traces import holding
from tests.programs import ENV, HEIGHT, WIDTH, child, soon, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "the-token-of-the-job"
RATE_HZ = 48_000
WINDOW_BYTES = 2 * RATE_HZ // 10
driver_or_dead = pytest.mark.parametrize("with_driver", [True, False], ids=["connected", "dead"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Held]:
    async with held() as all_of_it:
        yield all_of_it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Held) -> Held:
    if not shared.driver_lives:
        await shared.bring_driver()
    await shared.load()
    shared.told.clear()
    shared.page.console.errors.clear()
    return shared


def chromiums(marker: Path | str) -> list[psutil.Process]:
    """Return the living processes of the Chromium whose files are below `marker`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "chrom" in words and str(marker) in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def renderers(it: Held) -> list[int]:
    """Return the renderers that show no part of the browser's own window: that of the page, and spare ones."""
    return [
        process.pid
        for process in chromiums(it.runtime)
        if "--type=renderer" in process.cmdline() and "--top-chrome-webui" not in process.cmdline()
    ]


async def gone(marker: Path | str) -> None:
    await until(lambda: not chromiums(marker), 10)


# --- crashes and ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["killed", "crashed"])
@driver_or_dead
async def test_crash_of_the_page_is_noticed(how: str, with_driver: bool) -> None:
    """With a driver, and after its death."""
    async with held() as it:
        await it.load()
        if not with_driver:
            await it.kill_driver()
        lost = asyncio.create_task(it.browser.lost())
        if how == "killed":
            for pid in renderers(it):
                os.kill(pid, signal.SIGKILL)
        else:
            it.session.tell("Page.crash")
        async with asyncio.timeout(10):
            cause = await lost
        assert (cause.code, cause.detail) == ("page_crashed", "the page crashed")


async def test_end_of_chromium_is_noticed() -> None:
    """As an end of Chromium, not of the page."""
    async with held() as it:
        await it.load()
        lost = asyncio.create_task(it.browser.lost())
        await asyncio.sleep(0)
        os.kill(it.chromium.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            cause = await lost
        assert (cause.code, cause.detail) == ("browser_ended", "Chromium was killed by SIGKILL")
        with pytest.raises(BrowserError) as caught:
            await it.evaluate("1")
        assert caught.value.code == "page_gone"


async def test_chromium_writes_no_token_not_even_when_it_crashes() -> None:
    """Not into its session, its history, its statistics; and no dump of its memory."""
    async with held() as it:
        await it.load(f"/#{TOKEN}")
        assert holding(str(it.runtime), TOKEN) == []
        lost = asyncio.create_task(it.browser.lost())
        await asyncio.sleep(0)
        os.kill(it.chromium.pid, signal.SIGSEGV)
        async with asyncio.timeout(10):
            assert (await lost).code == "browser_ended"
        await gone(it.runtime)
        assert [*it.runtime.rglob("*.dmp")] == []
        assert holding(str(it.runtime), TOKEN) == []


async def test_page_that_is_closed_is_noticed() -> None:
    """Chromium may live on with another window: the call has gone."""
    async with held() as it:
        await it.load()
        lost = asyncio.create_task(it.browser.lost())
        await it.driver_page.close()
        async with asyncio.timeout(10):
            assert (await lost).detail == "the page was closed"


async def test_nothing_is_left_after_closing(log: list[str]) -> None:
    """Neither a process nor a warning, in good time, also where the page would rather not be left."""
    async with held() as it:
        await it.load()
        await it.evaluate("onbeforeunload = (event) => event.preventDefault()")
        assert len(chromiums(it.runtime)) > 3
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert not any("did not close within" in line for line in log)
    await gone(it.runtime)


async def test_chromium_that_hangs_is_killed(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not close within its limit; that is logged, and nothing of it stays."""
    monkeypatch.setattr(browser_module, "CLOSE_LIMIT_S", 0.3)
    async with held() as it:
        await it.load()
        os.kill(it.chromium.pid, signal.SIGSTOP)
    assert any("did not close within" in line for line in log)
    await gone(it.runtime)


async def test_nothing_is_left_when_we_are_killed() -> None:
    """The recorder is SIGKILLed: no Chromium, no crash handler, no driver stays."""
    recorder = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.test_devtools", stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    assert recorder.stdout is not None
    async with asyncio.timeout(30):
        runtime = (await recorder.stdout.readline()).decode().strip()
    family = psutil.Process(recorder.pid).children(recursive=True)
    assert len(chromiums(runtime)) > 3
    assert any("run-driver" in process.cmdline() for process in family)
    recorder.kill()
    await recorder.wait()
    await gone(runtime)
    await until(lambda: not any(lives(process) for process in family), 10)
    shutil.rmtree(runtime, ignore_errors=True)


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


async def test_chromium_exits_when_its_pipe_is_closed() -> None:
    """Without any signal: the second net below `--pdeathsig`."""
    async with held() as it:
        it.devtools.close()
        async with asyncio.timeout(10):
            assert await it.chromium.wait() == 0


async def test_launch_that_fails_says_why() -> None:
    """Chromium's own words are the cause."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        runtime = Path(folder)
        async with site() as there, Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display:
            how = launch(runtime, there.origin, display.env, {"DISPLAY": ":9999"})
            with pytest.raises(BrowserError, match=r"Missing X server|cannot open display|ozone"):
                await Browser(how, no_look, no_note).__aenter__()
        await gone(runtime)


async def test_driver_that_hangs_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not answer the bridge's pings; the next one can come in."""
    monkeypatch.setattr(bridge_module, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(bridge_module, "PING_LIMIT_S", 0.5)
    async with held() as it:
        await it.load()
        with it.driver_stopped():
            async with asyncio.timeout(10):
                await it.bridge.vacant.wait()
                await it.bring_driver()
        assert await it.load() == 200


async def test_driver_is_not_shown_out_because_we_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer to a ping waited in the socket while nobody read it."""
    monkeypatch.setattr(bridge_module, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(bridge_module, "PING_LIMIT_S", 0.5)
    async with held() as it:
        await it.load()
        stopped = contextlib.ExitStack()
        stopped.enter_context(it.driver_stopped())
        await asyncio.sleep(0.2)  # a ping is on its way
        threading.Timer(0.5, stopped.close).start()
        time.sleep(1.5)  # noqa: ASYNC251 - as SIGSTOP does to us
        assert not it.bridge.vacant.is_set()
        assert await it.load() == 200


# --- a page that outlives its driver ------------------------------------------------------------------------------


async def test_chromium_draws_no_page_but_the_one_that_is_recorded(it: Held) -> None:
    """Chromium's own windows are pages, too, each in a renderer that costs memory and a start."""
    found = await it.devtools.root.call("Target.getTargets", {"filter": [{}]})
    drawn = [about["url"] for about in found["targetInfos"] if about["type"] in ("page", "browser_ui", "webview")]
    assert len(drawn) == 1, drawn


async def test_page_outlives_its_driver_twice(it: Held) -> None:
    """It is asked, it fetches with the recorder's header, and it is heard, with no driver; then the next one comes."""
    born = await it.evaluate("born")
    for number in (1, 2):
        it.told.clear()
        await it.kill_driver()
        assert await it.evaluate("born") == born
        assert await it.evaluate("ask()") == "true"
        await it.evaluate(f"say('alone {number}')")
        await it.hear(f"alone {number}")
        with pytest.raises(BrowserError):
            await it.load()  # says so; a call page is loaded again
        await it.bring_driver()
        assert await it.driver_page.evaluate("born") == born
        assert await it.evaluate("ask()") == "true"
        await it.evaluate(f"say('together {number}')")
        await it.hear(f"alone {number}", f"together {number}")
    assert not it.browser._gone.done()
    assert await it.load("/status/404?words") == 404
    assert it.kinds() == ["alone 2", "together 2"]


async def test_worker_does_not_wait_for_a_driver_that_hangs(it: Held) -> None:
    """Playwright would stop each new worker until it has looked at it; the bridge does not let it."""
    with it.driver_stopped():
        heard = await it.evaluate("""new Promise((done) => {
            window.worker = new Worker("/worker.js"); worker.onmessage = (event) => done(event.data); })""")
    assert heard == "ready"


async def test_interception_does_not_hang_on_a_driver_that_hangs(it: Held) -> None:
    """A stopped driver: the page's requests are ours to continue."""
    with it.driver_stopped():
        assert await it.evaluate("ask()") == "true"
        await it.evaluate("say('stopped')")
        await it.hear("stopped")


async def test_requests_that_a_dead_guest_paused_go_on(it: Held) -> None:
    """All of a guest ends with it, also an interception of its own (here as `page.route` of Playwright makes it)."""
    paused = asyncio.Event()

    def keep(_: Route) -> None:
        paused.set()  # and never answer

    await it.driver_page.route("**/echo", keep)
    waiting = asyncio.create_task(it.evaluate("ask()", 10))
    await soon(paused.wait())
    assert not waiting.done()
    await it.kill_driver()
    assert await waiting == "true"
    assert await it.evaluate("ask()") == "true"


async def test_frame_and_page_do_not_change_when_a_driver_comes_or_goes(it: Held) -> None:
    """Size, focus, media and every pixel of the display stay as they are."""
    look = """[innerWidth, innerHeight, outerWidth, outerHeight, screen.width, devicePixelRatio, document.hasFocus(),
        document.visibilityState, matchMedia("(prefers-color-scheme: dark)").matches, navigator.userAgent,
        matchMedia("(prefers-reduced-motion: reduce)").matches, navigator.webdriver].join()"""

    async def screenshot() -> bytes:
        await it.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        target = it.runtime / "now.png"
        assert await it.display.photograph(target)
        return target.read_bytes()

    async def is_still() -> bool:
        return await screenshot() == await screenshot()

    await eventually(is_still)
    seen, shown = await it.evaluate(look), await screenshot()
    assert str(seen).startswith(f"{WIDTH},{HEIGHT},{WIDTH},{HEIGHT},")
    await it.kill_driver()
    assert (await it.evaluate(look), await screenshot() == shown) == (seen, True)
    await it.bring_driver()
    assert (await it.evaluate(look), await screenshot() == shown) == (seen, True)
    await it.evaluate("document.body.style.background = 'black'")
    assert await screenshot() != shown


async def test_driver_that_hangs_or_dies_at_work_is_an_error_in_time(it: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright's own limits are kept by the driver, so they end with it."""
    monkeypatch.setattr(browser_module, "CONNECT_LIMIT_S", 1.0)
    monkeypatch.setattr(tab_module, "DRIVER_ANSWER_S", 0.3)
    it.site.waiting.clear()
    loading = asyncio.create_task(it.load("/hang"))
    await soon(it.site.waiting.wait())
    await it.kill_driver()
    with pytest.raises(BrowserError):
        await loading
    monkeypatch.setattr(browser_module, "CONNECT_LIMIT_S", 10.0)
    await it.bring_driver()
    with it.driver_stopped():
        with pytest.raises(BrowserError, match="does not answer"):
            await it.load(limit_s=0.2)
        it.driver_lives = False
        await it.restart_driver()
    monkeypatch.setattr(browser_module, "CONNECT_LIMIT_S", 1.0)
    with it.driver_stopped():
        with pytest.raises(BrowserError, match="could not connect"):
            await it.browser.connect(it.driver.playwright)
        monkeypatch.setattr(browser_module, "CONNECT_LIMIT_S", 10.0)
        await it.bring_driver()
    assert await it.load() == 200


# --- who may speak with it ----------------------------------------------------------------------------------------


async def test_bridge_refuses_who_does_not_know_the_secret_or_is_a_page(it: Held) -> None:
    """A page of any site could reach the port; it can set no header, but has an origin."""
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer ö"},
        it.bridge.headers | {"Origin": it.site.origin},
    ):
        with pytest.raises(InvalidStatus) as caught:
            async with connect(it.bridge.address, additional_headers=headers, proxy=None):
                pass
        assert caught.value.response.status_code == 403
    assert await it.load() == 200  # the guest who is there is not disturbed


async def test_second_guest_waits_for_its_turn_and_is_sent_away(it: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """One guest at a time; it knows its session of the browser as the browser itself."""
    monkeypatch.setattr(bridge_module, "PLACE_LIMIT_S", 0.2)
    async with connect(it.bridge.address, additional_headers=it.bridge.headers, proxy=None) as second:
        await second.send('{"id": 1, "method": "Browser.getVersion"}')
        with pytest.raises(ConnectionClosed, match="another guest"):
            await second.recv()
    await it.kill_driver()
    async with connect(it.bridge.address, additional_headers=it.bridge.headers, proxy=None) as second:
        await second.send('{"id": 1, "method": "Browser.getVersion"}')
        answer = json.loads(await second.recv())
    assert answer["id"] == 1
    assert "Chrome" in answer["result"]["product"]
    assert "sessionId" not in answer
    await soon(it.bridge.vacant.wait())


async def test_no_port_is_opened_and_the_token_is_in_no_command_line(it: Held) -> None:
    """Chromium listens nowhere; of us only the bridge does, on the loopback."""
    await it.load(f"/#{TOKEN}")
    assert TOKEN in str(await it.evaluate("location.href"))
    processes = {*chromiums(it.runtime), *psutil.Process().children(recursive=True)}
    listening = [
        (process.name(), one.laddr)
        for process in processes
        for one in process.net_connections()
        if one.status == psutil.CONN_LISTEN and process.name() != "Xvfb"
    ]
    assert listening == []
    ours = {one.laddr for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert {address.ip for address in ours} == {"127.0.0.1"}
    assert len(ours) == 2  # the site of the test, and the bridge
    for process in processes:
        assert TOKEN not in " ".join(process.cmdline())
        assert TOKEN not in " ".join(process.environ().values())


async def test_only_the_call_page_itself_is_heard(it: Held, log: list[str]) -> None:
    """Frames of the same process have the binding too. More in `test_traffic`."""

    def strangers() -> int:
        return len([line for line in log if "is not the call page" in line])

    for source in (f'src="{it.site.origin}/"', f'src="{it.site.other}/"', 'srcdoc="<p>hi"'):
        await it.evaluate(f"""new Promise((done) => {{
            document.body.insertAdjacentHTML('beforeend', '<iframe {source}></iframe>');
            document.body.lastElementChild.onload = done; }})""")
    await it.evaluate("for (const frame of [frames[0], frames[2]]) frame.eval('__recorderFsmTell(`[]`)')")
    await it.evaluate("say('main')")
    await it.hear("main")
    assert strangers() == 2
    await it.load()
    await it.evaluate("say('back')")
    await it.hear("main", "back")


async def test_header_goes_to_the_site_only(it: Held) -> None:
    """Contract 3.1: other servers need not know that somebody records."""
    assert await it.evaluate("ask()") == "true"
    assert await it.evaluate(f"fetch('{it.site.other}/echo').then((answer) => answer.text())") == "none"


# --- what may cover the call or be forgotten ----------------------------------------------------------------------


@driver_or_dead
async def test_dialogs_and_windows_are_closed(it: Held, with_driver: bool, log: list[str]) -> None:
    """Both would cover the call, and a dialog stops the page until somebody answers."""
    if not with_driver:
        await it.kill_driver()

    async def pages() -> int:
        targets = await it.devtools.root.call("Target.getTargets")
        return len([one for one in targets["targetInfos"] if one["type"] == "page"])

    async def is_alone() -> bool:
        return await pages() == 1

    assert await it.evaluate("confirm('Really?')") is False
    link = "const link = document.createElement('a'); [link.href, link.target] = ['/', '_blank']; link.click(); 1"
    await it.session.call("Runtime.evaluate", {"expression": link, "userGesture": True})
    await until(lambda: any("opened a window" in line for line in log), 10)
    assert await pages() == 2
    await eventually(is_alone)
    assert await it.evaluate("1") == 1


@driver_or_dead
async def test_console_and_errors_are_heard(it: Held, with_driver: bool, log: list[str]) -> None:
    """For the log and for causes, each value in words."""
    if not with_driver:
        await it.kill_driver()
    await it.evaluate("console.warn('look', 7, {a: 1}, null, NaN); setTimeout(() => { throw new Error('oops') })")
    await until(lambda: it.page.console.errors, 10)
    assert "DEBUG console warning: look 7 Object None NaN" in log
    assert "Error: oops" in it.page.console.errors[0]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/?again", 200), ("/status/404?words", 404), ("/status/404", 404), ("/status/500", 500), ("/moved", 403)],
)
async def test_status_of_a_page_is_told(it: Held, path: str, status: int) -> None:
    """Also where Chromium shows an error page of its own; our hook runs in each of them."""
    assert await it.load(path) == status
    assert await it.evaluate("typeof __recorderFsm") == "object"


async def test_page_that_does_not_come_is_an_error(it: Held) -> None:
    """Its words have no token, and the next page comes."""

    async def circle() -> web.StreamResponse:
        raise web.HTTPFound("/circle")

    it.site.pages["/circle"] = circle
    with pytest.raises(BrowserError, match="ERR_TOO_MANY_REDIRECTS") as caught:
        await it.tab.load(f"{it.site.origin}/circle#{TOKEN}", 5)
    assert TOKEN not in str(caught.value)
    with pytest.raises(BrowserError) as caught:
        await it.load(f"/hang#{TOKEN}", 0.5)
    assert TOKEN not in str(caught.value)
    assert await it.load() == 200


async def test_large_messages_pass_both_ways(it: Held) -> None:
    """Megabytes in one message, through pipe and bridge."""
    size = 5_000_000
    assert len(await it.driver_page.evaluate(f"'x'.repeat({size})")) == size
    assert len(str(await it.evaluate(f"'y'.repeat({size})", 20))) == size
    assert await it.driver_page.evaluate("(text) => text.length", "z" * size) == size


async def test_driver_that_closes_politely_leaves_the_page(it: Held) -> None:
    """Playwright's `browser.close()` on a connection only ends the connection."""
    remote = it.driver_page.context.browser
    assert remote is not None
    await remote.close()
    with pytest.raises(Error):
        await it.driver_page.title()
    assert await it.evaluate("ask()") == "true"
    await soon(it.bridge.vacant.wait())
    await it.browser.connect(it.driver.playwright)
    assert await it.driver_page.title() == "call"


# --- audio --------------------------------------------------------------------------------------------------------


async def hear_tones(it: Held, limit_s: float) -> None:
    """Listen at the sound server's monitor until both tones of the page are heard at once."""
    command = ["parec", "--raw", "--format=s16le", f"--rate={RATE_HZ}", "--channels=1", "--latency-msec=20"]
    listener = await asyncio.create_subprocess_exec(
        *command, "-d", it.audio.monitor, env={**ENV, **it.audio.env}, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert listener.stdout is not None
        async with asyncio.timeout(limit_s):
            levels = [0.0]
            while min(levels) < 0.05:
                samples = array("h", await listener.stdout.readexactly(WINDOW_BYTES))
                levels = [level_of(hertz, samples) for hertz in TONES_HZ]
    finally:
        listener.kill()
        await listener.wait()


def level_of(hertz: int, samples: array[int]) -> float:
    """Return the amplitude of one tone, 1 for full scale: Goertzel's algorithm."""
    turn = 2 * math.cos(2 * math.pi * hertz / RATE_HZ)
    one = two = 0.0
    for sample in samples:
        one, two = sample + turn * one - two, one
    power = one * one + two * two - turn * one * two
    return math.sqrt(max(0.0, power)) * 2 / len(samples) / 32768


async def test_page_is_heard_again_after_a_restart_of_the_sound_server(it: Held) -> None:
    """A voice and an AudioContext, which are silent for ever without the hook: Chromium does nothing by itself."""
    assert await it.load("/audio") == 200
    await hear_tones(it, 10)
    server = child("pulseaudio", str(it.runtime))
    lost = asyncio.create_task(it.audio.lost())
    await asyncio.sleep(0)
    server.send_signal(signal.SIGKILL)
    cause = await soon(lost)
    assert isinstance(cause, AudioError)
    await it.audio.__aexit__(AudioError, cause, None)
    await it.audio.__aenter__()
    await it.browser.restore_audio()
    await hear_tones(it, 10)


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


@pytest_asyncio.fixture(loop_scope="module")
async def devtools() -> AsyncIterator[DevTools]:
    tools = DevTools()
    yield tools
    tools.close()


@pytest_asyncio.fixture(loop_scope="module")
async def wire(devtools: DevTools) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_unix_connection(sock=await devtools.open())
    yield Wire(reader, writer)
    writer.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_messages_may_come_in_any_pieces(devtools: DevTools, wire: Wire, size: int) -> None:
    """A pipe knows no messages: only the NUL between them says where one ends."""
    got: list[object] = []
    devtools.root.on("a", got.append)
    raw = b"".join(json.dumps({"method": "a", "params": {"n": n}}).encode() + b"\0" for n in range(4))
    for start in range(0, len(raw), size):
        wire.writer.write(raw[start : start + size])
        await wire.writer.drain()
        await asyncio.sleep(0)
    await until(lambda: len(got) >= 4)
    assert got == [{"n": n} for n in range(4)]


async def test_refused_late_and_orphaned_calls_are_errors(devtools: DevTools, wire: Wire) -> None:
    """Each with a code of its own; their texts have the method, never what was sent."""
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
    """A crashed page is one session of many: what waits for the others goes on."""
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
    """Nonsense on the pipe and a listener that raises are logged; the next listener hears."""
    got: list[object] = []
    devtools.root.on("a", lambda params: params["missing"])
    devtools.root.on("a", got.append)
    wire.writer.write(b"no json\0\0[1]\0" + b"7\0")
    wire.say({"method": "a"}, {"method": "b"}, {"id": 5, "sessionId": "unknown"})
    await until(lambda: got)
    assert got == [{}]
    assert any("is no message" in line for line in log)
    assert any("was not understood: a" in line for line in log)


async def test_message_without_an_end_closes_the_pipe(
    devtools: DevTools, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page must not fill our memory."""
    monkeypatch.setattr(devtools_module, "MESSAGE_LIMIT_BYTES", 100_000)
    wire.writer.write(b"x" * 400_000)
    async with asyncio.timeout(5):
        await devtools.root.gone


async def _stay() -> None:
    async with held() as it:
        await it.load()
        print(it.runtime, flush=True)  # noqa: T201 - for the test that kills us
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_stay())
