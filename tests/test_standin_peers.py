"""The stand-in's peer connections: how long a page's link to the plugin's RTC server lives (contract 3.2, 6.13)."""

from __future__ import annotations

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.peers import CLOSED_BY_PLUGIN
from tests.standin_page import Page, log_in

Link = aiohttp.ClientWebSocketResponse


async def linked(client: aiohttp.ClientSession, session: str) -> Link:
    return await client.ws_connect("/standin/peer", params={"session": session})


@pytest.fixture
async def link(client: aiohttp.ClientSession, page: Page) -> Link:
    """The page's peer connection."""
    return await linked(client, page.connection_id)


async def refused(client: aiohttp.ClientSession, session: str) -> int:
    """Return the status by which a link is refused."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await linked(client, session)
    return caught.value.status


async def end_of(link: Link) -> tuple[aiohttp.WSMsgType, int | None]:
    return (await link.receive(timeout=5)).type, link.close_code


async def test_peer_is_closed_when_the_bot_was_away_for_too_long(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, link: Link, ids: CallIds
) -> None:
    """The plugin removes the session after its grace, and closes the connection with it; there is no way back."""
    standin.state.knobs.leave_grace_s = 0.01
    standin.drop_websockets(ids.call_id)
    assert await end_of(link) == (aiohttp.WSMsgType.CLOSE, CLOSED_BY_PLUGIN)
    assert await refused(client, page.connection_id) == 404


async def test_peer_outlives_a_websocket_that_comes_back(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, link: Link, ids: CallIds
) -> None:
    """Within the grace nothing is closed, also where the return is on a new connection; the leave closes it."""
    standin.drop_websockets(ids.call_id)
    await standin.wait_for(lambda: not standin.hub.connections[page.connection_id].open)
    again = await log_in(client, ids.token)
    await again.rejoin(ids, page)
    await standin.wait_for(lambda: page.connection_id not in standin.hub.connections)
    assert standin.peers.open == {page.connection_id}
    state = await (await client.get("/standin/state")).json()
    assert [(one["id"], one["peer"]) for one in state["connections"]] == [(again.connection_id, True)]
    await again.leave()
    assert await end_of(link) == (aiohttp.WSMsgType.CLOSE, CLOSED_BY_PLUGIN)


async def test_network_that_is_away_cuts_the_peer_and_lets_it_back(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, link: Link
) -> None:
    """A reset, refused while the network is down; afterwards the session is still there."""
    standin.drop_network(60)
    assert (await end_of(link))[1] != CLOSED_BY_PLUGIN
    with pytest.raises(aiohttp.ClientError):
        await linked(client, page.connection_id)
    standin.state.network_down_until = 0.0
    await linked(client, page.connection_id)
    assert standin.peers.open == {page.connection_id}


async def test_crash_takes_the_rtc_server_with_it(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, link: Link
) -> None:
    """Nobody says goodbye, and nobody knows the connection afterwards; the websocket is the server's, and stays."""
    body = {"action": "crash_plugin", "seconds": 0.05}
    assert (await client.post("/standin/control", json=body)).status == 200
    assert (await end_of(link))[1] != CLOSED_BY_PLUGIN
    await standin.wait_for(lambda: not standin.state.plugin_off)
    assert await refused(client, page.connection_id) == 404
    assert standin.hub.connections[page.connection_id].open


async def test_crash_beside_an_rtc_server_apart_cuts_nothing(standin: StandIn, page: Page, link: Link) -> None:
    """As with an RTC server that is a service of its own."""
    standin.crash_plugin(60, rtc=False)
    await page.socket.send_json({"action": "ping", "seq": 9})
    assert (await page.hear())["seq_reply"] == 9
    assert standin.peers.open == {page.connection_id}
    assert not link.closed


async def test_session_that_there_is_none_of_has_no_peer(
    standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Neither of a stranger nor of a page that has not joined."""
    waiting = await log_in(client, ids.token)
    assert [await refused(client, one) for one in ("", "x" * 26, waiting.connection_id)] == [404] * 3
