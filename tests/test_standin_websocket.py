"""The stand-in's websocket: login, join and its refusals, the events of a call, leaving and coming back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from tests.standin_page import CALLS, SOCKET, Page, job_of, log_in


async def test_challenge_is_answered_and_greeted(client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A right token gets OK for its sequence number, then hello with sequence 0 and a connection id."""
    socket = await client.ws_connect(SOCKET)
    await socket.send_json({"seq": 1, "action": "authentication_challenge", "data": {"token": ids.token}})
    assert await socket.receive_json() == {"status": "OK", "seq_reply": 1}
    hello = await socket.receive_json()
    assert (hello["event"], hello["seq"]) == ("hello", 0)
    assert len(hello["data"]["connection_id"]) == 26


async def test_header_token_needs_no_challenge(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A token in the handshake's headers greets at once."""
    socket = await bot_client.ws_connect(SOCKET)
    assert (await socket.receive_json(timeout=5))["event"] == "hello"


@pytest.mark.parametrize(
    "message",
    [
        {"seq": 1, "action": "authentication_challenge", "data": {"token": "x" * 26}},
        {"seq": 1, "action": "ping"},
    ],
)
async def test_wrong_login_is_refused_and_closed(message: dict[str, Any], client: aiohttp.ClientSession) -> None:
    """A wrong token, or anything before the challenge, ends the connection."""
    socket = await client.ws_connect(SOCKET)
    await socket.send_json(message)
    assert (await socket.receive_json(timeout=5))["status"] == "FAIL"
    assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


async def test_ping_is_answered(page: Page) -> None:
    """The page's keep-alive gets a pong with its number; what is no JSON is passed over."""
    await page.socket.send_str("{")
    await page.socket.send_json({"action": "ping", "seq": 7})
    assert await page.hear() == {"status": "OK", "data": {"text": "pong"}, "seq_reply": 7}


async def test_join_is_acknowledged_with_the_connection(
    standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The joining page, and nobody else, hears its own connection id; the join is in the state."""
    page = await log_in(client, ids.token)
    reply = await page.join(ids)
    assert (reply["event"], reply["data"]) == (f"{CALLS}join", {"connID": page.connection_id})
    assert standin.state.joins == [
        {"call_id": ids.call_id, "recording_id": ids.recording_id, "user": "bot", "refusal": ""}
    ]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        ("start", "job not in progress or already started"),
        ("replace", "job not in progress or already started"),
        ("stop", "no job in progress"),
        ("end", "no job in progress"),
    ],
)
async def test_join_is_refused_in_the_plugins_words(
    spoil: str, text: str, standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A started, replaced or finished job cannot be joined."""
    match spoil:
        case "start":
            standin.calls.start(job_of(standin, ids))
        case "replace":
            standin.create_job(ids.call_id)
        case "stop":
            standin.stop_recording(ids.recording_id)
        case _:
            standin.end_call(ids.call_id)
    page = await log_in(client, ids.token)
    reply = await page.join(ids)
    assert (reply["event"], reply["data"]) == (f"{CALLS}error", {"connID": page.connection_id, "data": text})


async def test_scene_can_refuse_the_join(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """The page fault `join_refused` is played by the server too, with its own text if it has one."""
    ids = standin.create_call(scene={"page_faults": {"join_refused": "not today"}})
    page = await log_in(client, ids.token)
    assert (await page.join(ids))["data"]["data"] == "not today"


async def test_person_may_look_at_a_viewable_call_only(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """An empty token is a person; a call that is not viewable refuses people, and no person counts as the bot."""
    hidden, seen = standin.create_call(viewable=False), standin.create_call()
    page = await log_in(client, "")
    assert (await page.join(hidden))["event"] == f"{CALLS}error"
    assert (await page.join(seen))["event"] == f"{CALLS}join"
    assert job_of(standin, seen).bot_connection_id == ""


async def test_host_stop_is_told_to_every_bot_connection(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """`job_stop` names the job and reaches a listener that joined nothing; the job has ended by then."""
    listener = await log_in(client, ids.token)
    standin.stop_recording(ids.recording_id)
    for one in (page, listener):
        assert await one.hear_event(f"{CALLS}job_stop") == {"job_id": ids.recording_id}
    assert job_of(standin, ids).end_at > 0


async def test_call_end_reaches_its_own_call_only(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """Another call's page hears nothing of the end of this one."""
    other_ids = standin.create_call()
    other = await log_in(client, other_ids.token)
    await other.join(other_ids)
    standin.end_call(ids.call_id)
    assert await page.hear_event(f"{CALLS}call_end") == {"channelID": ids.call_id}
    await other.socket.send_json({"action": "ping", "seq": 9})
    assert (await other.hear()).get("seq_reply") == 9


async def test_job_state_is_told_at_each_turn(standin: StandIn, page: Page, ids: CallIds) -> None:
    """Start and failure are sent as `call_job_state` with their stamps and text."""
    job = job_of(standin, ids)
    standin.calls.start(job)
    started = await page.hear_event(f"{CALLS}call_job_state")
    standin.calls.fail(job, "no sound")
    failed = await page.hear_event(f"{CALLS}call_job_state")
    assert started["callID"] == ids.call_id
    assert started["jobState"] == {
        "type": "recording",
        "init_at": job.init_at,
        "start_at": job.start_at,
        "end_at": 0,
        "err": "",
    }
    assert (failed["jobState"]["end_at"], failed["jobState"]["err"]) == (job.end_at, "no sound")


async def test_leaving_ends_the_job_without_an_error(standin: StandIn, page: Page, ids: CallIds) -> None:
    """When the bot leaves, its job is over; the call goes on while people are in it."""
    await page.socket.send_json({"action": f"{CALLS}leave", "seq": 3})
    await standin.wait_for(lambda: job_of(standin, ids).end_at)
    assert job_of(standin, ids).err == ""
    assert standin.state.calls[ids.call_id].end_at == 0


async def test_everyone_leaves_then_the_bot_ends_the_call(standin: StandIn, page: Page, ids: CallIds) -> None:
    """The last person's leaving sends `job_stop`; job and call end when the bot follows."""
    standin.everyone_leaves(ids.call_id)
    assert await page.hear_event(f"{CALLS}job_stop") == {"job_id": ids.recording_id}
    assert job_of(standin, ids).end_at == 0
    await page.socket.send_json({"action": f"{CALLS}leave", "seq": 3})
    await standin.wait_for(lambda: standin.state.calls[ids.call_id].end_at)
    assert job_of(standin, ids).end_at > 0


async def test_lost_page_ends_the_job_after_the_grace(standin: StandIn, page: Page, ids: CallIds) -> None:
    """A socket that is lost and does not come back counts as leaving."""
    standin.state.knobs.leave_grace_s = 0.01
    await page.socket.close()
    await standin.wait_for(lambda: job_of(standin, ids).end_at)
    assert page.connection_id not in standin.hub.connections


async def test_returning_page_keeps_its_connection_and_hears_what_it_missed(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """With its connection id and sequence number a page continues: missed events first, then hello."""
    assert standin.drop_websockets(ids.call_id) == 1
    await standin.wait_for(lambda: not standin.hub.connections[page.connection_id].open)
    standin.page_command(ids.call_id, "flood_console", lines=3)
    socket = await client.ws_connect(f"{SOCKET}?connection_id={page.connection_id}&sequence_number=3")
    await socket.send_json({"seq": 1, "action": "authentication_challenge", "data": {"token": ids.token}})
    assert await socket.receive_json(timeout=5) == {"status": "OK", "seq_reply": 1}
    missed, hello = await socket.receive_json(timeout=5), await socket.receive_json(timeout=5)
    assert (missed["event"], missed["data"]) == ("standin_command", {"command": "flood_console", "lines": 3})
    assert (missed["seq"], hello["event"], hello["seq"]) == (3, "hello", 4)
    assert hello["data"]["connection_id"] == page.connection_id
    assert job_of(standin, ids).end_at == 0


async def test_page_command_reaches_the_recorders_page_only(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """A person who looks at the call is not made to crash."""
    person = await log_in(client, "")
    await person.join(ids)
    assert standin.page_command(ids.call_id, "close_error", reason="rtc peer error") == 1
    assert await page.hear_event("standin_command") == {"command": "close_error", "reason": "rtc peer error"}
    await person.socket.send_json({"action": "ping", "seq": 9})
    assert (await person.hear()).get("seq_reply") == 9


async def test_shutdown_says_goodbye(tmp_path: Path) -> None:
    """The end of the server closes its websockets with 1001, without waiting for the pages."""
    async with aiohttp.ClientSession() as session:
        async with StandIn(data_dir=tmp_path) as standin:
            socket = await session.ws_connect(standin.url + SOCKET)
            challenge = {"token": standin.state.bot_token}
            await socket.send_json({"seq": 1, "action": "authentication_challenge", "data": challenge})
            await socket.receive_json(timeout=5)
            await socket.receive_json(timeout=5)
        message = await socket.receive(timeout=5)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
