"""Nothing that Chromium could ask a person lies over the call: every pixel of the display stays the page's.

A real Chromium on a real display, in a page of one colour: whatever is put over it changes pixels. Frames are grabbed
all the time; each case is looked at while it happens. Most need a gesture of a person, which DevTools can play.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import pytest_asyncio
from aiohttp import web

from recorder_fsm.resources.browser import Launch
from tests import browser_stage
from tests.browser_stage import Held, held
from tests.programs import ENV, HEIGHT, WIDTH, soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREEN = bytes((0, 204, 0))
PAGE = """<!doctype html><title>green</title><link rel=icon href=data:,>
<style>html { background: #0c0; height: 100%; overflow: hidden } body > * { position: fixed; left: 100vw }</style>
<a id=file download=x.txt href="data:text/plain,hi"></a><input type=file id=chooser><iframe name=inner></iframe>
<form id=login action=/call method=post><input name=u autocomplete=username value=me>
<input type=password name=p autocomplete=current-password value=secret12345></form>"""
ASKS = """<script>navigator.geolocation.getCurrentPosition(() => {}, () => {}); alert('hi'); print();
    location = 'tel:123'</script>"""
"""What a frame of another site, in a process of its own, may do."""
NAME = "chat.example.test"
RATE = 15
WATCHED = 4
"""Frames that each case is watched for; what comes later is seen in the next case's, or at the end."""
WATCHED_AT_THE_END = 22

PERMISSIONS = {
    "position": "navigator.geolocation.getCurrentPosition(() => {}, () => {})",
    "MIDI": "navigator.requestMIDIAccess({sysex: true})",
    "clipboard": "navigator.clipboard.readText()",
    "screens": "getScreenDetails()",
    "fonts": "queryLocalFonts()",
    "idleness": "IdleDetector.requestPermission()",
    "camera": "navigator.mediaDevices.getUserMedia({video: true})",
    "camera that moves": "navigator.mediaDevices.getUserMedia({video: {pan: true, tilt: true}})",
    "screen": "navigator.mediaDevices.getDisplayMedia()",
    "storage": "document.requestStorageAccess()",
    "persistence": "navigator.storage.persist()",
    "wake lock": "navigator.wakeLock.request()",
    "notifications": "window.Notification?.requestPermission()",
    "a frame's position": "inner.eval('navigator.geolocation.getCurrentPosition(() => {}, () => {})')",
}
DEVICES = {
    "USB": "navigator.usb.requestDevice({filters: []})",
    "HID": "navigator.hid.requestDevice({filters: []})",
    "serial": "navigator.serial.requestPort()",
    "Bluetooth": "navigator.bluetooth?.requestDevice({acceptAllDevices: true})",
    "file": "chooser.showPicker()",
    "file to open": "showOpenFilePicker()",
    "file to save": "showSaveFilePicker()",
    "directory": "showDirectoryPicker()",
}
DIALOGS = {
    "alert": "alert('hi')",
    "confirm": "confirm('hi')",
    "prompt": "prompt('hi')",
    "a frame's alert": "inner.alert('hi')",
    "print": "print()",
    "a frame's print": "inner.print()",
    "download": "file.click()",
    "three downloads": "for (let i = 0; i < 3; i++) file.click()",
    "window": "window.open('/call')",
    "a frame's window": "inner.open('/call', 'x', 'width=200,height=200')",
    "pointer lock": "document.documentElement.requestPointerLock()",
    "full screen": "document.documentElement.requestFullscreen()",
    "picture in picture": "documentPictureInPicture.requestWindow()",
    "title": "document.title = 'A long title '.repeat(50)",
    "context menu": "document.body.dispatchEvent(new MouseEvent('contextmenu', {bubbles: true}))",
    "payment": """new PaymentRequest([{supportedMethods: 'https://pay.example/'}],
        {total: {label: 'x', amount: {currency: 'USD', value: '1'}}}).show()""",
    "key": "navigator.credentials.get({publicKey: {challenge: new Uint8Array(16)}})",
    "password to keep": "navigator.credentials.store(new PasswordCredential({id: 'u', password: 'p'}))",
    "wallet": "navigator.credentials.get({digital: {requests: [{protocol: 'openid4vp', data: {}}]}})",
    "colour from the screen": "new EyeDropper().open()",
    "sharing": "navigator.share?.({title: 'x', url: '/'})",
    "translation": """document.documentElement.lang = 'de';
        document.body.insertAdjacentHTML('beforeend', '<p>' + 'Das ist ein langer deutscher Text. '.repeat(50))""",
}
OTHER_PROGRAMS = {
    "protocol handler": "navigator.registerProtocolHandler('web+x', '/?x=%s')",
    "mail handler": "navigator.registerProtocolHandler('mailto', '/?x=%s')",
    "mattermost:": "location = 'mattermost://chat.example.com/x'",
    "mailto:": "location = 'mailto:a@b.example'",
    "tel: in a frame": "inner.location = 'tel:123'",
    "a link to a program": "const away = document.createElement('a'); away.href = 'zoommtg://x'; away.click()",
    "another site's frame": "inner.location = other + '/asks'",
    "name and password": "inner.location = '/private'",
    "name and password of a request": "fetch('/private')",
    "name and password of a socket": "new WebSocket(`ws://${location.host}/private`)",
}
WARNINGS = (
    # What Chromium says in bars and bubbles by itself: switches that weaken it (`launch_named` has one), an old build.
    "--ignore-certificate-errors",
    "--simulate-outdated-no-au=01 Jan 2000",
    "--check-for-update-interval=1",
)


class Screen:
    """What the display shows, grabbed all the time: frames in RGB."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._came = asyncio.Condition()
        self._count = 0
        self.last: deque[bytes] = deque(maxlen=1)
        self.covered: list[int] = []
        """The numbers of frames that are not of the page's colour alone."""

    async def read(self) -> None:
        while True:
            frame = await self._stream.readexactly(WIDTH * HEIGHT * 3)
            async with self._came:
                self.last.append(frame)
                if frame != GREEN * (WIDTH * HEIGHT):
                    self.covered.append(self._count)
                self._count += 1
                self._came.notify_all()

    async def frames(self, number: int) -> int:
        """Wait for so many frames more; returns how many of them something lay over."""
        async with asyncio.timeout(20), self._came:
            begun = self._count
            await self._came.wait_for(lambda: self._count >= begun + number)
            return len([one for one in self.covered if one >= begun])

    async def clear(self) -> None:
        """Wait until only the page is seen."""
        while await self.frames(2):
            pass


def launch_named(
    launch: Callable[..., Launch],
    name: str,
    runtime: Path,
    origin: str,
    *env: dict[str, str],
    extra: list[str],
    **asked: Any,
) -> Launch:
    """Launch for the same site under a name, which over http counts as secure by a switch only."""
    named = origin.replace("127.0.0.1", name)
    rules = [f"--host-resolver-rules=MAP {name} 127.0.0.1", f"--unsafely-treat-insecure-origin-as-secure={named}"]
    return launch(runtime, named, *env, extra=[*extra, *rules], **asked)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Held]:
    named = partial(launch_named, browser_stage.launch, "localhost")  # security keys want a name
    async with contextlib.AsyncExitStack() as stack:
        with mock.patch.object(browser_stage, "launch", named):
            all_of_it = await stack.enter_async_context(held(*WARNINGS))
        site = all_of_it.site
        site.origin, site.other = site.other, site.origin

        async def page() -> web.StreamResponse:
            return web.Response(text=PAGE, content_type="text/html")

        async def private() -> web.StreamResponse:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

        async def asks() -> web.StreamResponse:
            return web.Response(text=ASKS, content_type="text/html")

        all_of_it.site.pages.update({"/call": page, "/private": private, "/asks": asks})
        yield all_of_it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def screen(it: Held) -> AsyncIterator[Screen]:
    command = ["-f", "x11grab", "-draw_mouse", "0", "-framerate", str(RATE), "-video_size", f"{WIDTH}x{HEIGHT}"]
    out = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    grabber = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", *command, "-i", it.display.env["DISPLAY"], *out),
        env={**ENV, **it.display.env},
        stdout=asyncio.subprocess.PIPE,
        limit=4 * WIDTH * HEIGHT * 3,
    )
    assert grabber.stdout is not None
    there = Screen(grabber.stdout)
    reading = asyncio.create_task(there.read())
    yield there
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError):
        await reading
    grabber.kill()
    await grabber.wait()


async def do(it: Held, script: str, *, gesture: bool = True) -> None:
    """Run a script as if a person had just clicked; what becomes of it does not matter."""
    guarded = f"(async () => {{ try {{ await ({{}}, eval({script!r})) }} catch {{}} }})(); 1"
    await it.session.call("Runtime.evaluate", {"expression": guarded, "userGesture": gesture})


@pytest.mark.parametrize("kind", ["PERMISSIONS", "DEVICES", "DIALOGS", "OTHER_PROGRAMS"])
async def test_nothing_lies_over_the_call(it: Held, screen: Screen, kind: str) -> None:
    """Whatever the page asks for, with a person's gesture: no pixel changes, and the page stays and answers."""
    await it.load("/call")
    await it.evaluate(f"window.other = '{it.site.other}'")
    await screen.clear()
    before = len(screen.covered)
    covered = []
    for name, script in globals()[kind].items():
        await do(it, script)
        if await screen.frames(WATCHED):
            covered.append(name)
    await screen.frames(WATCHED_AT_THE_END)
    assert covered == []
    assert "/asks" in it.site.asked or kind != "OTHER_PROGRAMS"
    assert len(screen.covered) == before
    assert await it.evaluate("location.pathname") == "/call"


async def test_watching_sees_what_lies_over_the_page(it: Held, screen: Screen) -> None:
    """A box of Chromium's that is let through changes pixels: else the tests above could not fail."""
    await it.load("/call")
    await screen.clear()
    await it.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"left: 9px; top: 9px\">.</p>')")
    assert await screen.frames(WATCHED)


async def test_answers_are_those_of_somebody_who_declines(it: Held) -> None:
    """But for the microphone; and none waits for ever."""
    await it.load("/call")
    states = await soon(
        it.evaluate("""(async () => {
        const state = async (name) => (await navigator.permissions.query({name})).state;
        const names = ["microphone", "geolocation", "midi", "clipboard-read", "local-fonts", "window-management"];
        return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await state(name)])));
    })()""")
    )
    assert isinstance(states, dict)
    assert states.pop("microphone") == "granted"
    assert "granted" not in states.values()
    assert await soon(it.evaluate("[confirm('?'), prompt('?'), alert('!') ?? null, print() ?? null]")) == [
        False, None, None, None,
    ]  # fmt: skip
    refused = "new Promise((done) => navigator.geolocation.getCurrentPosition(done, (error) => done(error.code)))"
    assert await soon(it.evaluate(refused)) == 1
    tracks = "navigator.mediaDevices.getUserMedia({audio: true}).then((stream) => stream.getAudioTracks().length)"
    assert await soon(it.evaluate(tracks)) == 1


@pytest.mark.parametrize("named", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["secure", "http"])
async def test_media_server_at_a_private_address_is_reached_without_a_question(
    monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """The site has a public address, the media server a private one: Chromium would ask, and wait for the answer.

    Also where the site is a name over http, which counts as secure by a switch only.
    """
    if named:
        monkeypatch.setattr(browser_stage, "launch", partial(launch_named, browser_stage.launch, NAME))
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == "/socket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("socket")
            await socket.close()
            return socket
        return web.Response(text="fetch", headers={"Access-Control-Allow-Origin": "*"})

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    private = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with held("--ip-address-space-overrides={site}=public") as it:
            await it.tab.load(f"{it.site.origin.replace('127.0.0.1', NAME) if named else it.site.origin}/", 10)
            await it.complete()
            assert await soon(it.evaluate(f"fetch('http://{private}/fetch').then((it) => it.text())")) == "fetch"
            heard = f"""new Promise((done) => {{
                new WebSocket('ws://{private}/socket').onmessage = (event) => done(event.data); }})"""
            assert await soon(it.evaluate(heard)) == "socket"
        assert asked == ["/fetch", "/socket"]
    finally:
        await runner.cleanup()
