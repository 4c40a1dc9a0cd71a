"""The stand-in's call page in a real Chromium, in troubles that the real one was seen in (contract 3.2, 6.13)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from recorder_fsm.standin.scene import RTC_CHROMIUM_ARG as CHROMIUM_ARG
from recorder_fsm.standin.server import StandIn
from tests.test_pages import ARGS, LIMIT_S, CallPage, Opener

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

GIVES_UP_MS = 15_000
SLOW_MACHINE_MS = 10_000
NO_NETWORK = f"no network for a peer connection: where there is only the loopback, Chromium wants {CHROMIUM_ARG}"
# Keeps the page's peer connections where a test can ask them.
KEEP_PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...how) { super(...how); window.peers.push(this); }
};
window.received = async () => {
  const reports = await window.peers.at(-1).getStats();
  const received = [...reports.values()].filter(({ type }) => type === "inbound-rtp");
  return received.reduce((sum, one) => sum + one.packetsReceived, 0);
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def opener(browser: Browser, tmp_path: Path) -> AsyncIterator[Opener]:
    async with StandIn(data_dir=tmp_path) as standin:
        opened = Opener(standin, browser)
        yield opened
        await opened.close()


async def comes(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(LIMIT_S):
        while not await condition():  # noqa: ASYNC110 - a page tells nobody
            await asyncio.sleep(0.05)


async def moves(call: CallPage) -> None:
    """Wait until the page receives something."""
    before = await call.page.evaluate("received()")

    async def more() -> bool:
        return bool(await call.page.evaluate("received()") > before)

    await comes(more)


async def stands_still(call: CallPage) -> None:
    """Wait until nothing is received between two looks."""
    seen = [-1]

    async def same() -> bool:
        seen.append(await call.page.evaluate("new Promise((done) => setTimeout(done, 400)).then(received)"))
        return bool(seen[-1] == seen[-2])

    await comes(same)


async def test_page_of_a_bot_that_the_plugin_gave_up_ends(opener: Opener) -> None:
    """Its websocket was away for longer than the plugin waits: that closes the peer connection, and the page ends.

    The websocket may come back later, and would be refused in silence.
    """
    standin = opener.standin
    call = await opener.call()
    await call.connected()
    standin.state.knobs.leave_grace_s = 0.3
    standin.set_faults({"route": "websocket", "kind": "status", "status": 503, "times": 0})
    standin.drop_websockets(call.ids.call_id)
    assert (await call.turn("close"))["argument"] == "rtc peer close"
    job = standin.state.find_job(call.ids.recording_id)
    assert job is not None
    assert (job.end_at > 0, job.err) == (True, "")


async def test_short_outage_freezes_the_page_and_lets_it_go_on(opener: Opener) -> None:
    """Nothing is received while the network is away, and all of it afterwards; the host's stop is heard."""
    standin = opener.standin
    standin.state.knobs.leave_grace_s = 60.0
    call = await opener.call(rtc=True, share=True, script=KEEP_PEERS)
    await call.connected()
    await moves(call)
    standin.drop_network(60)
    await stands_still(call)
    assert await call.page.evaluate("[callsClient.connected, callsClient.closed]") == [True, False]
    standin.state.network_down_until = 0.0
    await moves(call)
    await standin.wait_for(lambda: any(one.open for one in standin.hub.in_call(call.ids.call_id)))
    standin.stop_recording(call.ids.recording_id)
    assert (await call.turn("close"))["argument"] is None


@pytest.mark.parametrize("how", ["network", "crash"])
async def test_page_whose_peer_does_not_come_back_gives_up(opener: Opener, how: str) -> None:
    """After the 15 s of a peer connection, not before: where the network is away, and where the RTC server is gone."""
    standin = opener.standin
    call = await opener.call(clock=True)
    await call.connected()
    if how == "network":
        standin.drop_network(60)
    else:
        standin.crash_plugin(0.01)
    await standin.wait_for(lambda: not standin.peers.open)
    await call.said("/standin/peer")  # Chromium's own word for a try that failed
    await call.page.clock.fast_forward(GIVES_UP_MS - SLOW_MACHINE_MS)
    assert call.turns.empty()
    await call.page.clock.fast_forward(SLOW_MACHINE_MS)
    assert (await call.turn("close"))["argument"] == "rtc peer close"


async def test_late_map_leaves_the_screen_away(opener: Opener) -> None:
    """The page says so once, its player stays empty, and the track is there, alive and named as a screen's."""
    call = await opener.call(rtc=True, share=True, page_faults={"late_map_s": 0.2}, script=KEEP_PEERS)
    await call.connected()
    await call.said("unexpected video track type")
    await call.page.evaluate("new Promise((done) => setTimeout(done, 500))")
    assert await call.page.evaluate("document.getElementById('screen-player').srcObject") is None
    tracks = await call.page.evaluate("""peers[1].getReceivers().map(({ track }) => track)
        .filter(({ kind }) => kind === 'video')
        .map(({ id, readyState, muted }) => [id.slice(0, 7), readyState, muted])""")
    assert tracks == [["screen_", "live", False]]


@pytest.mark.parametrize(("wanted", "lines"), [({}, 80), ({"join_lines": 0}, 0), ({"join_lines": 300}, 300)])
async def test_page_says_a_lot_while_it_joins(opener: Opener, wanted: dict[str, int], lines: int) -> None:
    """Some eighty lines of the real page's kinds, the secrets of its session descriptions among them."""
    call = await opener.call(page_faults=wanted)
    await call.connected()
    await call.page.evaluate("console.debug('that was all')")
    await call.said("that was all")
    said = [line for line in call.console if line.startswith("calls:")]
    assert len(said) == lines
    assert sum("ice-pwd:" in line for line in said) == (6 if lines else 0)


ON_LOOPBACK = """
import asyncio, fcntl, pathlib, socket, struct, sys
from playwright.async_api import async_playwright
from recorder_fsm.standin.scene import RTC_CHROMIUM_ARG as CHROMIUM_ARG
from recorder_fsm.standin.server import StandIn
from tests.test_pages import ARGS, Opener

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))

async def main():
    async with StandIn(data_dir=pathlib.Path(sys.argv[1])) as standin, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*ARGS, *sys.argv[2:]])
        person = await browser.new_page()
        await person.goto(f"{standin.url}/standin/pages/recording.html?rtc=1")
        call = await Opener(standin, browser).call(rtc=True, share=True)
        await call.turn("assigned")
        turn = await asyncio.wait_for(call.turns.get(), 30)
        print(turn["turn"], turn["argument"])
        outcome = await person.wait_for_selector(".over, audio", state="attached", timeout=20_000)
        print(await outcome.inner_text() or "heard")
        await browser.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("switches", "says"),
    [
        ((CHROMIUM_ARG,), ["connect None", "heard"]),
        ((), [f"close {NO_NETWORK}", f"The call cannot be shown: {NO_NETWORK}."]),
    ],
    ids=["with the switch", "without"],
)
async def test_peer_connection_works_where_there_is_only_the_loopback(
    tmp_path: Path, switches: tuple[str, ...], says: list[str]
) -> None:
    """Chromium leaves the loopback out of its candidates unless it is told not to; a page without any says why."""
    command = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if await (await asyncio.create_subprocess_exec(*command, "true", stderr=asyncio.subprocess.DEVNULL)).wait():
        pytest.skip("no network namespace can be made here")
    child = await asyncio.create_subprocess_exec(
        *(*command, sys.executable, "-c", ON_LOOPBACK, str(tmp_path), *switches),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, errors = await asyncio.wait_for(child.communicate(), 90)
    assert told.decode().splitlines() == says, errors.decode()
