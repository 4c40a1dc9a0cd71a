"""The stand-in's pages in a real Chromium: what a recorder may rely on, and what a person sees."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.analysis.pattern import decode
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds, Post, StoredFile, new_id
from recorder_fsm.system.process import run

pytestmark = pytest.mark.e2e

PLUGIN = "/plugins/com.mattermost.calls"
LIMIT_S = 20.0
ARGS = [
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
# Reports every turn of the client, with the flags and the view as a listener finds them.
HOOK = """
(() => {
  let held;
  const report = (turn, argument) => window.reportTurn({
    turn,
    argument: argument instanceof Error ? argument.message : argument ?? null,
    connected: held?.connected ?? null,
    closed: held?.closed ?? null,
    view: document.getElementById("calls-recording-view") !== null,
  });
  Object.defineProperty(window, "callsClient", {
    configurable: true,
    get: () => held,
    set(client) {
      held = client;
      report("assigned");
      client.on("connect", () => report("connect"));
      client.on("close", (argument) => report("close", argument));
    },
  });
  new MutationObserver(() => {
    if (held && !document.getElementById("calls-recording-view")) {
      report(Object.hasOwn(window, "callsClient") ? "unmounted" : "gone");
      held = undefined;
    }
  }).observe(document, { childList: true, subtree: true });
})();
"""


@attrs.define
class CallPage:
    """Hold one open call page: its turns so far, its console and its call."""

    page: Page
    ids: CallIds
    turns: asyncio.Queue[dict[str, Any]] = attrs.Factory(asyncio.Queue)
    console: list[str] = attrs.Factory(list)
    _line: asyncio.Event = attrs.Factory(asyncio.Event)

    def hear(self, line: str) -> None:
        """Keep a line of the console."""
        self.console.append(line)
        self._line.set()

    async def said(self, text: str) -> None:
        """Wait for a line of the console that contains `text`."""
        async with asyncio.timeout(LIMIT_S):
            while not any(text in line for line in self.console):
                self._line.clear()
                await self._line.wait()

    async def turn(self, name: str) -> dict[str, Any]:
        """Wait for the next turn, which has to be this one."""
        async with asyncio.timeout(LIMIT_S):
            turn = await self.turns.get()
        assert turn["turn"] == name, self.console
        return turn

    async def connected(self) -> None:
        """Wait until the client has joined and its flag says so."""
        await self.turn("assigned")
        await self.turn("connect")


class Opener:
    """Open call pages of one server in one browser, as a recorder opens them."""

    def __init__(self, standin: StandIn, browser: Browser) -> None:
        self.standin = standin
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def context(self, width: int = 1280, height: int = 720) -> BrowserContext:
        context = await self._browser.new_context(viewport={"width": width, "height": height})
        self._contexts.append(context)
        return context

    async def call(
        self, *, width: int = 1280, height: int = 720, script: str = "", clock: bool = False, **scene: Any
    ) -> CallPage:
        """Make a call with `scene` and open its page with the recorder's header and token.

        `script` runs before the page's own; `clock`: its timers can be made to run ahead.
        """
        context = await self.context(width, height)
        await context.set_extra_http_headers({"X-Calls-Recorder": "true"})
        page = await context.new_page()
        ids = self.standin.create_call(scene=scene)
        opened = CallPage(page, ids)
        await page.expose_function("reportTurn", opened.turns.put_nowait)
        if clock:
            await page.clock.install()
        await page.add_init_script(HOOK + script)
        page.on("console", lambda message: opened.hear(message.text))
        page.on("pageerror", lambda error: opened.hear(str(error)))
        fragment = base64.urlsafe_b64encode(json.dumps({"token": ids.token}).encode()).decode()
        query = f"call_id={ids.call_id}&job_id={ids.recording_id}"
        await page.goto(f"{self.standin.url}{PLUGIN}/standalone/recording.html?{query}#{fragment}")
        return opened

    async def look(self, query: str, *, width: int = 1280, height: int = 720) -> Page:
        """Open the call page as a person does, without a call behind it."""
        page = await (await self.context(width, height)).new_page()
        await page.goto(f"{self.standin.url}/standin/pages/recording.html?{query}")
        await page.wait_for_selector("#calls-recording-view")
        return page

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()


@pytest.fixture
async def opener(tmp_path: Path) -> AsyncIterator[Opener]:
    async with (
        StandIn(data_dir=tmp_path) as standin,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        opened = Opener(standin, browser)
        yield opened
        await opened.close()
        await browser.close()


async def test_v1_client_joins_and_leaves_in_the_contracts_order(opener: Opener) -> None:
    """Assigned, `connect` before the flag, `close` while the view still stands, then view and property are gone."""
    call = await opener.call()
    assigned = await call.turn("assigned")
    assert (assigned["connected"], assigned["closed"]) == (False, False)
    assert (await call.turn("connect"))["connected"] is False
    assert await call.page.evaluate("window.callsClient.connected") is True
    await call.page.evaluate("window.callsClient.disconnect()")
    closed = await call.turn("close")
    assert closed == {"turn": "close", "argument": None, "connected": True, "closed": True, "view": True}
    await call.turn("gone")
    assert await call.page.evaluate("document.getElementById('root').childElementCount") == 0


async def test_v1_disconnect_is_done_when_it_returns(opener: Opener) -> None:
    """The recorder reads the flags in the same expression as it asks to leave (contract 3.2)."""
    call = await opener.call()
    await call.connected()
    left = await call.page.evaluate(
        "(() => { const c = callsClient; c.disconnect(); return [c.closed, 'callsClient' in window]; })()"
    )
    assert left == [True, False]


async def test_v2_client_has_read_only_flags_and_closes_later(opener: Opener) -> None:
    """`disconnect` is a promise, the flags flip afterwards, and a cause is a number (contract 3.3)."""
    call = await opener.call(v2=True)
    await call.connected()
    asked = await call.page.evaluate("""() => {
        const client = window.callsClient;
        let refused = false;
        try { "use strict"; Object.assign(client, { connected: false }); } catch { refused = true; }
        const promise = client.disconnect(new Error("rtc peer close"));
        return [refused, promise instanceof Promise, client.closed];
    }""")
    assert asked == [True, True, False]
    closed = await call.turn("close")
    assert (closed["connected"], closed["closed"]) == (False, True)
    assert isinstance(closed["argument"], int)
    await call.turn("gone")


@pytest.mark.parametrize("v2", [False, True])
async def test_init_rejection_removes_all_without_close(opener: Opener, v2: bool) -> None:
    """The blind spot of the contract: the view and the property vanish and no `close` is heard."""
    call = await opener.call(v2=v2, page_faults={"reject_init": True})
    await call.turn("assigned")
    await call.turn("gone")
    assert call.turns.empty()


async def test_refused_join_closes_with_the_servers_words(opener: Opener) -> None:
    """What the server answers to the join is the cause of the close."""
    call = await opener.call(page_faults={"join_refused": True})
    await call.turn("assigned")
    assert (await call.turn("close"))["argument"] == "job not in progress or already started"


async def test_rtc_timeout_closes_with_its_text(opener: Opener) -> None:
    """A peer that never comes ends the client by itself."""
    call = await opener.call(page_faults={"rtc_timeout": True, "slow_ms": 200})
    await call.turn("assigned")
    assert (await call.turn("close"))["argument"] == "timed out waiting for rtc connection"


async def test_failing_microphone_is_fatal_for_v1(opener: Opener) -> None:
    """Without a device the v1 client throws for want of an `error` listener, and there is no `close`."""
    page = await (await opener.context()).new_page()
    await page.context.set_extra_http_headers({"X-Calls-Recorder": "true"})
    await page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError'))"
    )
    ids = opener.standin.create_call()
    fragment = base64.urlsafe_b64encode(json.dumps({"token": ids.token}).encode()).decode()
    query = f"call_id={ids.call_id}&job_id={ids.recording_id}"
    async with page.expect_console_message(lambda said: "init failed" in said.text):
        await page.goto(f"{opener.standin.url}{PLUGIN}/standalone/recording.html?{query}#{fragment}")
    assert await page.evaluate("'callsClient' in window") is False


@pytest.mark.parametrize("fault", ["script_error", "no_client"])
async def test_page_without_client_never_assigns_one(opener: Opener, fault: str) -> None:
    """A broken script and a failed prefetch leave no client, and say so on the console."""
    call = await opener.call(page_faults={fault: True})
    await call.said("was asked to")
    assert call.turns.empty()


async def test_first_console_line_carries_the_token(opener: Opener) -> None:
    """As the real page does: whoever copies the console has to mask it, and the ICE password."""
    call = await opener.call()
    await call.said("ice-pwd")
    assert call.ids.token in call.console[0]
    assert "a=ice-pwd:SECRETVALUE" in call.console[1]


async def test_job_stop_is_obeyed_for_the_own_job_only(opener: Opener) -> None:
    """Another recording's stop reaches every bot page and is none of our business."""
    ours, other = await opener.call(), await opener.call()
    await ours.connected()
    await other.connected()
    opener.standin.stop_recording(other.ids.recording_id)
    await other.turn("close")
    assert ours.turns.empty()
    opener.standin.stop_recording(ours.ids.recording_id)
    assert (await ours.turn("close"))["argument"] is None


async def test_call_end_closes_without_a_cause(opener: Opener) -> None:
    """The host ends the call: a clean close."""
    call = await opener.call()
    await call.connected()
    opener.standin.end_call(call.ids.call_id)
    assert (await call.turn("close"))["argument"] is None


async def test_lost_websocket_comes_back_and_still_hears_the_stop(opener: Opener) -> None:
    """A short loss changes nothing; what happens after it still arrives."""
    call = await opener.call()
    await call.connected()
    before = len(opener.standin.requests("websocket"))
    opener.standin.page_command(call.ids.call_id, "ws_loss")
    await opener.standin.wait_for(lambda: len(opener.standin.requests("websocket")) > before)
    assert await call.page.evaluate("[callsClient.connected, callsClient.closed]") == [True, False]
    opener.standin.stop_recording(call.ids.recording_id)
    await call.turn("close")


async def test_leaving_the_page_disconnects(opener: Opener) -> None:
    """Unload says goodbye to the server, so the job ends at once."""
    call = await opener.call()
    await call.connected()
    opener.standin.page_command(call.ids.call_id, "navigate_away")
    job = opener.standin.state.find_job(call.ids.recording_id)
    assert job is not None
    await opener.standin.wait_for(lambda: job.end_at, limit_s=5)


@pytest.mark.parametrize(
    ("command", "cause"), [("rtc_loss", "rtc peer close"), ("close_error", "user was removed from channel")]
)
async def test_commanded_close_gives_its_cause(opener: Opener, command: str, cause: str) -> None:
    """The page closes with the words that the real client uses."""
    call = await opener.call()
    await call.connected()
    opener.standin.page_command(call.ids.call_id, command, reason=cause)
    assert (await call.turn("close"))["argument"] == cause


async def test_crash_command_kills_the_renderer(opener: Opener) -> None:
    """The page can really take its process down."""
    call = await opener.call()
    await call.connected()
    async with asyncio.timeout(LIMIT_S), call.page.expect_event("crash"):
        opener.standin.page_command(call.ids.call_id, "crash")


async def test_hang_command_blocks_the_page(opener: Opener) -> None:
    """A hung page answers no more."""
    call = await opener.call()
    await call.connected()
    opener.standin.page_command(call.ids.call_id, "hang")
    with pytest.raises(TimeoutError):
        await answering(call.page)


@pytest.mark.parametrize("mode", ["call", "pattern"])
async def test_rtc_mode_connects_and_plays_what_it_receives(opener: Opener, mode: str) -> None:
    """Audio and shared screen come through a peer connection, and they move."""
    call = await opener.call(mode=mode, rtc=True, share=True)
    await call.connected()
    await call.page.wait_for_selector("#screen-player")
    playing = "new Promise((done) => { const v = document.querySelector('{}'); v.ontimeupdate = () => done(true); })"
    assert await call.page.evaluate(playing.replace("{}", "video#screen-player"))
    assert await call.page.evaluate(playing.replace("{}", "audio"))


@pytest.mark.parametrize("size", [(1280, 720), (1366, 768), (1921, 1079), (3840, 2160)])
@pytest.mark.parametrize("query", ["", "share=1"])
async def test_view_fills_any_size_and_cuts_nothing_off(opener: Opener, size: tuple[int, int], query: str) -> None:
    """The root is the viewport, and every tile, name and the footer lie inside it."""
    page = await opener.look(query, width=size[0], height=size[1])
    boxes = await page.evaluate("""() => ["#calls-recording-view", ".tile", ".name", "footer", "#screen-player"]
        .flatMap((what) => [...document.querySelectorAll(what)].map((found) => {
            const box = found.getBoundingClientRect();
            return [what, box.left, box.top, box.right, box.bottom];
        }))""")
    assert boxes[0] == ["#calls-recording-view", 0, 0, *size]
    assert len(boxes) > 2
    for what, left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] + 0.5, what
        assert 0 <= top < bottom <= size[1] + 0.5, what


async def test_many_participants_still_fit(opener: Opener) -> None:
    """Forty people at the smallest size: small tiles, all of them inside, and everybody has a name."""
    people = [{"id": f"person{i:020}", "name": f"Person number {i}"} for i in range(40)]
    call = await opener.call(participants=people)
    await call.connected()
    tiles = await call.page.evaluate(
        "[...document.querySelectorAll('.tile')].map((t) => t.getBoundingClientRect().toJSON())"
    )
    assert len(tiles) == 40
    assert all(tile["top"] >= 0 and tile["bottom"] <= 720 - 32 for tile in tiles)
    assert all(tile["left"] >= 0 and tile["right"] <= 1280 for tile in tiles)


async def test_names_are_text_and_never_markup(opener: Opener) -> None:
    """A name from the server cannot bring elements into the page."""
    name = "<img src=x onerror=alert(1)>"
    call = await opener.call(participants=[{"id": "somebody000000000000000000", "name": name}])
    await call.connected()
    assert await call.page.text_content(".name") == name


async def test_somebody_talks_and_the_turn_moves_on(opener: Opener) -> None:
    """The ring and the footer name the same person, and later another one."""
    page = await opener.look("")
    speaking = page.locator(".tile.speaking .name")
    first = await speaking.text_content()
    assert first
    assert await page.text_content(".talking b") == first
    await page.locator(".talking b").filter(has_not_text=first).wait_for(timeout=LIMIT_S * 1000)


async def test_voices_are_at_a_level_people_use(opener: Opener) -> None:
    """About -20 dBFS on average, peaks well below full scale, and hardly anything where the tick is."""
    page = await opener.look("mode=pattern")
    heard = await page.evaluate("""async () => {
        const { Voices } = await import("/standin/pages/voices.js");
        const context = new OfflineAudioContext(1, 48000 * 20, 48000);
        new Voices(context, context.destination, 5).schedule(20);
        const samples = (await context.startRendering()).getChannelData(0);
        const rms = Math.sqrt(samples.reduce((sum, one) => sum + one * one, 0) / samples.length);
        return { mean: 20 * Math.log10(rms), peak: samples.reduce((top, one) => Math.max(top, Math.abs(one)), 0) };
    }""")
    assert heard["mean"] == pytest.approx(-20, abs=2)
    assert heard["peak"] < 0.6


async def test_pattern_counter_advances_with_its_blocks(opener: Opener) -> None:
    """Every frame's blocks are one further, in Gray code with parity; what a person reads is one of them."""
    page = await opener.look("mode=pattern")
    frames = await page.evaluate("""() => new Promise((done) => {
        const pen = document.querySelector(".pattern-blocks").getContext("2d");
        const level = (i) => pen.getImageData(i * 32 + 16, 16, 1, 1).data[0];
        const frames = [];
        const read = () => {
            const number = document.querySelector(".pattern-number").textContent;
            frames.push([[...Array(20).keys()].map(level), Number(number.slice(6))]);
            frames.length === 30 ? done(frames) : requestAnimationFrame(read);
        };
        requestAnimationFrame(read);
    })""")
    counts = [decode(bytes(blocks)) for blocks, _ in frames]
    first = counts[0]
    assert first is not None
    assert counts == list(range(first, first + 30))
    assert frames[-1][1] in counts


async def test_pattern_corners_touch_the_corners(opener: Opener) -> None:
    """The outermost pixels have the agreed colours, also at an odd size."""
    page = await opener.look("mode=pattern", width=1367, height=769)
    shot = base64.b64encode(await page.screenshot()).decode()
    pixels = await page.evaluate(
        """async (shot) => {
        const image = await createImageBitmap(await (await fetch("data:image/png;base64," + shot)).blob());
        const pen = new OffscreenCanvas(image.width, image.height).getContext("2d");
        pen.drawImage(image, 0, 0);
        const [right, bottom] = [image.width - 1, image.height - 1];
        return [[0, 0], [right, 0], [0, bottom], [right, bottom]]
            .map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data.slice(0, 3)]);
    }""",
        shot,
    )
    assert pixels == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]


@pytest.mark.parametrize("query", ["mode=pattern", "sync=1", "sync=1&share=1"])
async def test_light_comes_on_once_a_second(opener: Opener, query: str) -> None:
    """The light turns on a second apart and stays for about a tenth."""
    page = await opener.look(query)
    spans = await page.evaluate("""() => new Promise((done) => {
        const canvas = document.querySelector(".pattern-blocks");
        const lit = () => canvas
            ? canvas.getContext("2d").getImageData(64, 128, 1, 1).data[0] > 128
            : document.querySelector(".sync-light").classList.contains("lit");
        const turns = [];
        let before = lit();
        const watch = (now) => {
            if (lit() !== before) {
                before = !before;
                turns.push([before, now]);
            }
            turns.length > 6 ? done(turns) : requestAnimationFrame(watch);
        };
        requestAnimationFrame(watch);
    })""")
    on = [at for lit, at in spans if lit]
    off = [at for lit, at in spans if not lit]
    assert on[1] - on[0] == pytest.approx(1000, abs=60)
    assert next(at for at in off if at > on[0]) - on[0] == pytest.approx(100, abs=50)


RECORDER = "print('<b>joined</b>', flush=True); import time; time.sleep(300)"


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[tuple[StandIn, Page]]:
    """A server whose recorders only say one line and wait, and its channel page."""
    async with (
        StandIn(data_dir=tmp_path, recorder_argv=(sys.executable, "-c", RECORDER)) as standin,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        page = await browser.new_page()
        await page.goto(standin.url)
        yield standin, page
        await browser.close()


async def test_channel_starts_shows_and_stops_a_recording(channel: tuple[StandIn, Page]) -> None:
    """From the empty state over a live card to the host's stop, with the recorder's words as text."""
    standin, page = channel
    await page.wait_for_selector("#empty:visible")
    await page.click("#start button")
    await page.wait_for_selector(".card[data-state=starting]")
    assert not await page.is_visible("#empty")
    recorder = next(iter(standin.launcher.recorders.values()))
    assert recorder.seconds == 30
    job = standin.state.find_job(recorder.ids.recording_id)
    assert job is not None
    standin.calls.start(job)
    await page.wait_for_selector(".card[data-state=recording]")
    await page.locator(".card pre", has_text="<b>joined</b>").wait_for(state="attached")
    await page.click(".card .stop")
    await page.wait_for_selector(".card[data-state=publishing]")
    assert job.end_at


async def test_channel_plays_and_seeks_a_posted_recording(channel: tuple[StandIn, Page], tmp_path: Path) -> None:
    """A post brings a player that knows the length and jumps to a place in the middle."""
    standin, page = channel
    video = tmp_path / "video.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=s=320x240:r=10:d=20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    made = await run("ffmpeg", ["ffmpeg", "-v", "error", *source, str(video)], env=PROGRAM_ENV, limit_s=60)
    assert made.returncode == 0, made.stderr
    ids = standin.create_call(name="<i>Lunch</i>")
    file_id = new_id()
    standin.state.files[file_id] = StoredFile(
        file_id, "Call.mp4", video.stat().st_size, ids.call_id, "video/mp4", video
    )
    standin.state.posts.append(Post(new_id(), ids.call_id, ids.post_id, ids.recording_id, file_id))
    await page.locator(".post", has_text="<i>Lunch</i>").wait_for()
    assert await page.evaluate("""() => new Promise((done) => {
        const video = document.querySelector(".post video");
        video.onseeked = () => done([Math.round(video.duration), video.currentTime]);
        const seek = () => { video.currentTime = 12; };
        video.readyState ? seek() : video.addEventListener("loadedmetadata", seek);
    })""") == [20, 12]


async def test_channel_says_when_the_server_is_gone(channel: tuple[StandIn, Page]) -> None:
    """A server that does not answer is told in words, and forgotten once it is back."""
    _, page = channel
    await page.wait_for_selector("#empty:visible")
    await page.context.set_offline(True)
    await page.locator("#trouble", has_text="The server does not answer").wait_for()
    await page.context.set_offline(False)
    await page.wait_for_selector("#trouble", state="hidden")


async def answering(page: Page) -> None:
    """Ask the page for an answer again and again; raises TimeoutError when one takes longer than 2 s."""
    while True:
        async with asyncio.timeout(2):
            await page.evaluate("1")
