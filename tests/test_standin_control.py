"""The stand-in's controls: calls, actions, knobs, scene, the log, the dropped network, reset."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.calls import DEMO_CALL_ID
from recorder_fsm.standin.control import is_loopback
from recorder_fsm.standin.knobs import KnobError
from recorder_fsm.standin.server import read_knobs

PLUGIN = "/plugins/com.mattermost.calls"


async def act(bot_client: aiohttp.ClientSession, **body: Any) -> int:
    """Do a control action and return how much it reached."""
    reply = await bot_client.post("/standin/control", json=body)
    assert reply.status == 200, await reply.text()
    reached: int = (await reply.json())["reached"]
    return reached


async def scene(bot_client: aiohttp.ClientSession, call_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await (await bot_client.get("/standin/scene", params={"call_id": call_id})).json()
    return found


async def joined(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> aiohttp.ClientWebSocketResponse:
    """Join a call as its recorder's page."""
    socket = await bot_client.ws_connect("/api/v4/websocket")
    data = {"channelID": ids.call_id, "jobID": ids.recording_id}
    await socket.send_json({"action": "custom_com.mattermost.calls_join", "seq": 1, "data": data})
    await standin.wait_for(lambda: standin.hub.in_call(ids.call_id))
    return socket


async def test_calls_are_created_over_http(bot_client: aiohttp.ClientSession) -> None:
    """A new call comes with all a recorder needs; `call_id` makes a newer job in the same call."""
    reply = await bot_client.post("/standin/calls", json={"name": "Stand-up", "scene": {"share": True}})
    ids = await reply.json()
    assert reply.status == 201
    assert set(ids) == {"call_id", "post_id", "recording_id", "token"}
    assert (await bot_client.get(f"{PLUGIN}/bot/calls/{ids['call_id']}/filename")).status == 200
    again = await (await bot_client.post("/standin/calls", json={"call_id": ids["call_id"]})).json()
    assert (again["call_id"], again["recording_id"] != ids["recording_id"]) == (ids["call_id"], True)
    assert (await bot_client.post("/standin/calls", json={"call_id": "n" * 26})).status == 404
    assert (await bot_client.post("/standin/calls", json={"scene": 1})).status == 400


async def test_demo_call_is_there_from_the_start(bot_client: aiohttp.ClientSession) -> None:
    """The state names a call with fixed ids whose token opens the door."""
    demo = (await (await bot_client.get("/standin/state")).json())["demo"]
    assert demo["call_id"] == DEMO_CALL_ID
    reply = await bot_client.get(
        f"{PLUGIN}/bot/calls/{DEMO_CALL_ID}/filename", headers={"Authorization": f"Bearer {demo['token']}"}
    )
    assert reply.status == 200


@pytest.mark.parametrize("action", ["end_call", "stop_recording", "everyone_leaves"])
async def test_action_reaches_one_call_or_all(action: str, standin: StandIn, bot_client: aiohttp.ClientSession) -> None:
    """With a call id one call is reached, without one all that go on, the demo call among them."""
    first, _ = standin.create_call(), standin.create_call()
    assert await act(bot_client, action=action, call_id=first.call_id) == 1
    left_to_reach = {"end_call": 2, "stop_recording": 2, "everyone_leaves": 3}[action]
    assert await act(bot_client, action=action) == left_to_reach


async def test_stop_recording_ends_the_job_but_not_the_call(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A host's stop over HTTP is seen in the state."""
    await act(bot_client, action="stop_recording", call_id=ids.call_id)
    state = await (await bot_client.get("/standin/state")).json()
    call = next(one for one in state["calls"] if one["id"] == ids.call_id)
    assert call["end_at"] == 0
    assert call["jobs"][0]["end_at"] > 0


async def test_page_action_sends_its_command(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The page that joined hears the command with its arguments."""
    socket = await joined(standin, bot_client, ids)
    assert await act(bot_client, action="page", command="close_error", reason="rtc peer error") == 1
    messages = [await socket.receive_json(timeout=5) for _ in range(4)]
    assert messages[-1]["event"] == "standin_command"
    assert messages[-1]["data"] == {"command": "close_error", "reason": "rtc peer error"}


async def test_websocket_drop_resets_the_page(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The page's socket is lost without a goodbye, its place in the call is kept."""
    socket = await joined(standin, bot_client, ids)
    assert await act(bot_client, action="ws_drop", call_id=ids.call_id) == 1
    while (message := await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is not aiohttp.WSMsgType.CLOSE
    assert len(standin.hub.in_call(ids.call_id)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "dance"}, 400),
        ({"action": "page"}, 400),
        ({"action": "drop_network"}, 400),
        ({"action": "drop_network", "seconds": 0}, 400),
        ({"action": "end_call", "call_id": "n" * 26}, 404),
        ([], 400),
    ],
)
async def test_senseless_action_is_refused(body: Any, status: int, bot_client: aiohttp.ClientSession) -> None:
    """An action that cannot be done is an error, and not a success that did nothing."""
    assert (await bot_client.post("/standin/control", json=body)).status == status


async def test_dropped_network_cuts_and_refuses_all_but_the_controls(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Open sockets are reset and requests too, for the time ordered; the controls answer throughout."""
    socket = await joined(standin, bot_client, ids)
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/filename"
    assert await act(bot_client, action="drop_network", seconds=60) >= 1
    while (message := await socket.receive(timeout=5)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is not aiohttp.WSMsgType.CLOSE
    with pytest.raises(aiohttp.ClientError):
        await bot_client.get(url)
    assert (await (await bot_client.get("/standin/state")).json())["network_down"] is True
    assert standin.requests("filename")[-1].status == "dropped"
    standin.state.network_down_until = 0.0
    assert (await bot_client.get(url)).status == 200


async def test_dropped_network_returns_by_itself(standin: StandIn, bot_client: aiohttp.ClientSession) -> None:
    """After its seconds the network is back."""
    standin.drop_network(0.05)
    with pytest.raises(aiohttp.ClientError):
        await bot_client.get("/api/v4/config/client?format=old")
    await standin.wait_for(lambda: not standin.state.network_down)
    assert (await bot_client.get("/api/v4/config/client?format=old")).status == 200


async def test_knobs_are_replaced_and_patched(bot_client: aiohttp.ClientSession) -> None:
    """PUT puts the others back to their defaults, PATCH leaves them."""
    await bot_client.put("/standin/knobs", json={"max_file_size": 7, "filename": "x"})
    patched = await (await bot_client.patch("/standin/knobs", json={"filename": "y"})).json()
    assert (patched["max_file_size"], patched["filename"]) == (7, "y")
    put = await (await bot_client.put("/standin/knobs", json={"filename": "z"})).json()
    assert (put["max_file_size"], put["filename"]) == (100 * 1024 * 1024, "z")
    assert await (await bot_client.get("/standin/knobs")).json() == put


async def test_bad_knobs_are_refused_and_change_nothing(bot_client: aiohttp.ClientSession) -> None:
    """The reply names what is wrong; the knobs stay."""
    before = await (await bot_client.get("/standin/knobs")).json()
    reply = await bot_client.patch(
        "/standin/knobs", json={"filename": "x", "faults": [{"route": "moon", "kind": "hang"}]}
    )
    assert reply.status == 400
    assert "moon" in await reply.text()
    assert await (await bot_client.get("/standin/knobs")).json() == before


async def test_fault_in_the_knobs_strikes_and_is_counted(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A fault set over HTTP is played, and the knobs tell how often."""
    fault = {"route": "filename", "kind": "status", "status": 503, "times": 2}
    await bot_client.patch("/standin/knobs", json={"faults": [fault]})
    assert (await bot_client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/filename")).status == 503
    assert (await (await bot_client.get("/standin/knobs")).json())["faults"][0]["used"] == 1


def test_knobs_file_is_read_or_refused(tmp_path: Path) -> None:
    """A file of knobs is JSON with known keys, and anything else is an error that says so."""
    path = tmp_path / "knobs.json"
    path.write_text(json.dumps({"max_file_size": 9}))
    assert read_knobs(path).max_file_size == 9
    path.write_text("{")
    with pytest.raises(KnobError, match=r"knobs\.json is not JSON"):
        read_knobs(path)


async def test_scene_is_layered(standin: StandIn, bot_client: aiohttp.ClientSession) -> None:
    """A call's own scene goes before the knobs', these before the default; page faults are merged."""
    standin.state.knobs.scene = {"mode": "pattern", "v2": True, "page_faults": {"slow_ms": 5}}
    ids = standin.create_call(scene={"mode": "call", "share": True, "page_faults": {"never_connect": True}})
    drawn = await scene(bot_client, ids.call_id)
    assert (drawn["mode"], drawn["share"], drawn["v2"], drawn["rtc"]) == ("call", True, True, False)
    assert drawn["page_faults"] == {"slow_ms": 5, "never_connect": True}
    assert (drawn["film"], drawn["cameras"]) == ("document", False)
    assert len(drawn["participants"]) == 5
    assert (await scene(bot_client, ""))["mode"] == "pattern"


async def test_empty_call_has_no_participants(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """When everyone has left, nobody is drawn."""
    standin.everyone_leaves(ids.call_id)
    assert (await scene(bot_client, ids.call_id))["participants"] == []


async def test_log_keeps_order_and_hides_the_token(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Requests are in order with status, headers and JSON body; the token is nowhere in it."""
    await bot_client.get(f"{PLUGIN}/version", headers={"Authorization": ""}, params={"access_token": ids.token})
    await bot_client.post(f"{PLUGIN}/bot/uploads", json={"filename": ids.token}, headers={"X-Calls-Recorder": "true"})
    reply = await bot_client.get("/standin/log")
    first, second = await reply.json()
    assert ids.token not in await reply.text()
    assert (first["method"], first["path"], first["query"]) == ("GET", f"{PLUGIN}/version", "access_token=***")
    assert first["auth"] == {"kind": "query", "right": True, "user": "bot"}
    assert (second["route"], second["status"], second["body"]) == ("upload_create", 400, '{"filename": "***"}')
    assert second["headers"]["X-Calls-Recorder"] == "true"
    assert second["auth"]["kind"] == "bearer"
    assert len(await (await bot_client.get("/standin/log?route=version")).json()) == 1


async def test_log_keeps_every_header(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A test reads what was sent, credentials included; over HTTP these are hidden, whether they were right or not."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/filename"
    sent = {"x-calls-recorder": "true", "If-None-Match": "", "Cookie": f"MMAUTHTOKEN={'c' * 26}; theme=dark"}
    await bot_client.get(url, headers={**sent, "Authorization": f"Token {'x' * 26}", "X-Odd": f"a {ids.token} b"})
    await bot_client.get(f"{url}?access_token={'q' * 26}&a=b")
    wrong, right = standin.requests("filename")
    assert wrong.headers["Authorization"] == f"Token {'x' * 26}"
    assert right.headers["Authorization"] == f"BEARER {ids.token}"
    assert (wrong.headers["X-Calls-Recorder"], wrong.headers["If-None-Match"]) == ("true", "")
    assert {"Host", "Accept", "Accept-Encoding", "User-Agent"} <= set(wrong.headers)
    reply = await bot_client.get("/standin/log?route=filename")
    assert not [secret for secret in (ids.token, "x" * 26, "c" * 26, "q" * 26) if secret in await reply.text()]
    first, second = await reply.json()
    assert (first["headers"]["Authorization"], second["headers"]["Authorization"]) == ("Token ***", "BEARER ***")
    assert first["headers"]["Cookie"] == "MMAUTHTOKEN=***; theme=***"
    assert (first["headers"]["X-Odd"], second["query"]) == ("a *** b", "access_token=***&a=b")


async def test_wrong_token_is_logged_as_wrong(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The log says how a request tried to authenticate and that it failed."""
    await bot_client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/filename", headers={"Authorization": f"Token {'x' * 26}"})
    entry = standin.requests("filename")[0]
    assert (entry.auth, entry.status) == ({"kind": "token", "right": False, "user": None}, 401)


async def test_reset_forgets_all_but_the_tokens(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Calls, log and knobs go back to the start; the bot stays logged in."""
    socket = await joined(standin, bot_client, ids)
    standin.state.knobs.filename = "x"
    await bot_client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/filename")
    assert (await bot_client.post("/standin/reset")).status == 200
    state = await (await bot_client.get("/standin/state")).json()
    assert [call["id"] for call in state["calls"]] == [DEMO_CALL_ID]
    assert (state["posts"], state["connections"], state["upload_sessions_created"]) == ([], [], 0)
    assert standin.state.log == []
    assert standin.state.knobs.to_json()["filename"] is None
    assert (await bot_client.get(f"{PLUGIN}/bot/calls/{DEMO_CALL_ID}/filename")).status == 200
    await socket.close()


@pytest.mark.parametrize(
    ("address", "ours"), [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("172.17.0.1", False), (None, False)]
)
def test_only_this_machine_is_loopback(address: str | None, ours: bool) -> None:
    """The controls ask the peer's address, and no address is a stranger's."""
    assert is_loopback(address) is ours


async def test_other_sites_may_not_change_anything(standin: StandIn, bot_client: aiohttp.ClientSession) -> None:
    """A page of another origin cannot use a visitor's browser to steer the server."""
    foreign, own = {"Origin": "http://elsewhere.test"}, {"Origin": standin.url}
    assert (await bot_client.post("/standin/reset", headers=foreign)).status == 403
    assert (await bot_client.post("/standin/reset", headers=own)).status == 200


async def test_wait_wakes_on_a_change_or_gives_up(standin: StandIn, ids: CallIds) -> None:
    """A waiting test goes on with the value when the state changes, and fails by its own limit."""
    waiting = asyncio.create_task(
        standin.wait_for(lambda: standin.state.posts or standin.state.calls[ids.call_id].end_at)
    )
    standin.end_call(ids.call_id)
    assert await waiting == standin.state.calls[ids.call_id].end_at
    with pytest.raises(TimeoutError):
        await standin.wait_for(lambda: False, limit_s=0.01)
