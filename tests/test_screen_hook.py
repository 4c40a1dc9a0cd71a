"""A shared screen that the page receives and does not show, in a real Chromium with the hook of the recorder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from tests.browser_stage import Held, eventually, held

pytestmark = pytest.mark.asyncio(loop_scope="module")

# A page that receives as many screens as it is told to: `share(name)` adds one, which is green.
PAGE = """<!doctype html><title>call</title><div id="place"></div><script>
const sent = {}, received = {};
const near = new RTCPeerConnection(), far = new RTCPeerConnection();
near.onicecandidate = (event) => far.addIceCandidate(event.candidate);
far.onicecandidate = (event) => near.addIceCandidate(event.candidate);
far.ontrack = ({ track }) => { received[track.id] = track; };
const agree = async () => {
  await near.setLocalDescription();
  const names = Object.entries(sent);
  const sdp = names.reduce((text, [name, one]) => text.replaceAll(one.track.id, name), near.localDescription.sdp);
  await far.setRemoteDescription({ type: "offer", sdp });
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
};
const share = async (name) => {
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  setInterval(() => { pen.fillStyle = "#0f0"; pen.fillRect(0, 0, 300, 150); }, 50);
  const track = canvas.captureStream(20).getVideoTracks()[0];
  sent[name] = { track, sender: near.addTrack(track) };
  await agree();
};
const stop = async (name, how = "stop") => {
  const { sender } = sent[name];
  if (how === "stop") near.getTransceivers().find((one) => one.sender === sender).stop();
  else near.removeTrack(sender);
  await agree();
};
const player = () => document.getElementById("screen-player");
const addPlayer = (tag = "video") => {
  const made = document.createElement(tag);
  Object.assign(made, { id: "screen-player", muted: true, autoplay: true });
  document.getElementById("place").replaceChildren(made);
};
const shown = () => player()?.srcObject?.getVideoTracks().map((track) => track.id).join() ?? "";
const colour = () => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.drawImage(player(), 0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)].join();
};
</script>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Held]:
    async with held() as all_of_it:
        yield all_of_it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Held) -> Held:
    async def page() -> web.StreamResponse:
        return web.Response(text=PAGE, content_type="text/html")

    shared.site.pages["/"] = page
    await shared.load("/")
    shared.told.clear()
    return shared


async def shows(it: Held, name: str) -> None:
    """Wait until the player has that track alone, and its picture moves."""

    async def so() -> bool:
        return await it.evaluate("shown()") == name and await it.evaluate("colour()") in ("0,255,0", "0,254,0")

    await eventually(so)


async def test_screen_that_stays_away_is_shown(it: Held) -> None:
    """Its picture is in the player, and the recorder hears of it."""
    await it.evaluate("addPlayer(); share('screen_a')")
    await shows(it, "screen_a")
    await it.hear("screen_restored")


async def test_player_that_comes_later_is_filled(it: Held) -> None:
    """The page makes it when its other half arrives."""
    await it.evaluate("share('screen_a')")
    await until_received(it, "screen_a")
    await it.evaluate("addPlayer()")
    await shows(it, "screen_a")
    await it.hear("screen_restored")


async def until_received(it: Held, name: str) -> None:
    async def so() -> object:
        return await it.evaluate(f"received['{name}']?.muted === false")

    await eventually(so)


async def a_while(it: Held) -> None:
    """Longer than the hook waits for the page."""
    await it.evaluate("new Promise((done) => setTimeout(done, 1800))")


async def test_player_that_shows_something_is_not_touched(it: Held) -> None:
    """Neither where the page shows that very screen in time, nor while it shows another one."""
    await it.evaluate("""(async () => { addPlayer(); await share('screen_a');
        player().srcObject = window.own = new MediaStream([received.screen_a]); })()""")
    await shows(it, "screen_a")
    await it.evaluate("share('screen_b')")
    await until_received(it, "screen_b")
    await a_while(it)
    assert await it.evaluate("player().srcObject === own")
    assert it.kinds() == []


@pytest.mark.parametrize("name", ["video_a", "voice_a", "a"])
async def test_other_tracks_are_no_screens(it: Held, name: str) -> None:
    """A camera must not be shown as a shared screen."""
    await it.evaluate(f"addPlayer(); share('{name}')")
    await until_received(it, name)
    await a_while(it)
    assert await it.evaluate("player().srcObject") is None
    assert it.kinds() == []


@pytest.mark.parametrize("tag", ["canvas", "div"])
async def test_player_that_is_no_video_is_left_alone(it: Held, tag: str) -> None:
    """A page of another make."""
    await it.evaluate(f"addPlayer('{tag}'); share('screen_a')")
    await until_received(it, "screen_a")
    await a_while(it)
    assert it.kinds() == []


@pytest.mark.parametrize("how", ["stop", "remove"])
async def test_stream_does_not_outlive_its_screen(it: Held, how: str) -> None:
    """The last picture of a screen that is shared no more is let go, where the page does not take the player away."""
    await it.evaluate("addPlayer(); share('screen_a')")
    await shows(it, "screen_a")
    await it.evaluate(f"stop('screen_a', '{how}')")

    async def so() -> bool:
        return await it.evaluate("player().srcObject") is None

    await eventually(so)


@pytest.mark.parametrize("how", ["stop", "remove"])
async def test_second_screen_is_shown_where_the_page_still_has_the_first(it: Held, how: str) -> None:
    """The page keeps the stream of a share that has ended, and gives it to its player again: it shows nothing."""
    await it.evaluate("""(async () => { addPlayer(); await share('screen_a');
        player().srcObject = window.own = new MediaStream([received.screen_a]); })()""")
    await shows(it, "screen_a")
    await it.evaluate(f"stop('screen_a', '{how}')")
    await it.evaluate("(async () => { addPlayer(); player().srcObject = own; await share('screen_b'); })()")
    await shows(it, "screen_b")
    await it.hear("screen_restored")


async def test_screen_that_the_page_gets_at_last_is_the_pages(it: Held) -> None:
    """Its own stream replaces ours, and is not replaced again."""
    await it.evaluate("addPlayer(); share('screen_a')")
    await shows(it, "screen_a")
    await it.evaluate("player().srcObject = window.own = new MediaStream([received.screen_a])")
    await a_while(it)
    assert await it.evaluate("player().srcObject === own")
    await it.hear("screen_restored")
