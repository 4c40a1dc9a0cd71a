"""The plugin of the stand-in when it is deactivated, and when a page comes back on a new connection (contract 6)."""

from __future__ import annotations

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.calls import NoSuchCallError
from tests.standin_page import CALLS, Page, job_of, log_in

BOT = "/plugins/com.mattermost.calls/bot"


async def filename(client: aiohttp.ClientSession, ids: CallIds) -> tuple[int, str, str]:
    reply = await client.get(f"{BOT}/calls/{ids.call_id}/filename", headers={"Authorization": f"Bearer {ids.token}"})
    return reply.status, reply.content_type, (await reply.text()).strip()


async def configured(client: aiohttp.ClientSession, ids: CallIds) -> bool:
    """Say whether Mattermost itself knows the token: it tells strangers no MaxFileSize."""
    url = "/api/v4/config/client?format=old"
    reply = await client.get(url, headers={"Authorization": f"Bearer {ids.token}"})
    return "MaxFileSize" in await reply.json()


# --- deactivated --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("revoke", "status"), [(False, 200), (True, 401)])
async def test_deactivated_plugin_drains_until_the_bot_has_left(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds, revoke: bool, status: int
) -> None:
    """Its routes are off at once, nobody is told to stop; when the bot has left it goes, and comes back."""
    standin.calls.start(job_of(standin, ids))
    standin.deactivate_plugin(back_after_s=0.05, revoke=revoke)
    assert await filename(client, ids) == (404, "text/plain", "404 page not found")
    with pytest.raises(NoSuchCallError):
        standin.stop_recording(ids.recording_id)
    standin.everyone_leaves(ids.call_id)
    standin.page_command(ids.call_id, "silence")
    await page.hear_event(f"{CALLS}call_job_state")
    assert (await page.hear())["event"] == "standin_command"  # and no job_stop before it
    assert standin.state.plugin_off
    assert job_of(standin, ids).end_at == 0
    assert await configured(client, ids)  # the token is good as long as it drains
    await page.leave()
    await standin.wait_for(lambda: not standin.state.plugin_off)
    assert (await filename(client, ids))[0] == status
    assert await configured(client, ids) is not revoke
    assert standin.state.calls[ids.call_id].end_at
    assert job_of(standin, ids).err == ""


async def test_deactivation_is_a_control(standin: StandIn, client: aiohttp.ClientSession, page: Page) -> None:
    """As a person would order it; a host who stops meanwhile gets Mattermost's 404."""
    body = {"action": "deactivate_plugin", "seconds": 0.05, "revoke": False}
    assert (await client.post("/standin/control", json=body)).status == 200
    assert standin.state.plugin_off
    assert (await client.post("/standin/control", json={"action": "stop_recording"})).status == 404
    await page.leave()
    await standin.wait_for(lambda: not standin.state.plugin_off)


async def test_deactivation_revokes_the_token_unless_told_not_to(
    standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """As the real plugin at the end of its draining: 401 from then on; nobody is shown the old one all the same."""
    await client.get("/api/v4/config/client", headers={"X-Odd": ids.token})
    assert (await client.post("/standin/control", json={"action": "deactivate_plugin", "seconds": 0.01})).status == 200
    await standin.wait_for(lambda: not standin.state.plugin_off)
    assert (await filename(client, ids))[0] == 401
    assert ids.token not in await (await client.get("/standin/log")).text()


# --- `failed` without a text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True])
async def test_failed_without_a_text_ends_the_job_without_an_error(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds, started: bool
) -> None:
    """200, and everybody hears of a job that has ended and has no error; a second word for it is refused."""
    if started:
        standin.calls.start(job_of(standin, ids))
        assert (await page.hear_event(f"{CALLS}call_job_state"))["jobState"]["start_at"]
    url = f"{BOT}/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    body = {"JobType": "recording", "Status": "failed", "omitempty": ""}
    headers = {"Authorization": f"Bearer {ids.token}"}
    assert (await client.post(url, json=body, headers=headers)).status == 200
    state = (await page.hear_event(f"{CALLS}call_job_state"))["jobState"]
    assert (state["err"], state["end_at"] > 0) == ("", True)
    assert (job_of(standin, ids).err, job_of(standin, ids).end_at) == ("", state["end_at"])
    assert "no job ongoing" in await (await client.post(url, json=body, headers=headers)).text()


# --- a new connection ---------------------------------------------------------------------------------------------


async def returned(standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds) -> Page:
    """Cut the page's websocket, and have it come back as the call page does."""
    standin.drop_websockets(ids.call_id)
    await standin.wait_for(lambda: not standin.hub.connections[page.connection_id].open)
    again = await log_in(client, ids.token)
    await again.rejoin(ids, page)
    await standin.wait_for(lambda: again.connection_id in {one.id for one in standin.hub.in_call(ids.call_id)})
    return again


async def test_page_on_a_new_connection_still_hears_the_host(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """It goes on with its session, and the old one is gone."""
    again = await returned(standin, client, page, ids)
    assert page.connection_id not in standin.hub.connections
    standin.stop_recording(ids.recording_id)
    assert await again.hear_event(f"{CALLS}job_stop") == {"job_id": ids.recording_id}


async def test_page_that_leaves_on_a_new_connection_does_not_end_its_job(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """As the real plugin, which compares with the id of the join; `failed` without a text ends it without an error."""
    job = job_of(standin, ids)
    standin.calls.start(job)
    again = await returned(standin, client, page, ids)
    await again.leave()
    await standin.wait_for(lambda: not standin.hub.in_call(ids.call_id))
    assert job.end_at == 0
    standin.calls.fail(job, "")
    assert (job.end_at > 0, job.err) == (True, "")


async def test_late_return_is_refused(
    standin: StandIn, client: aiohttp.ClientSession, page: Page, ids: CallIds
) -> None:
    """A session that the server has removed is gone: its page hears nothing of the call any more."""
    standin.state.knobs.leave_grace_s = 0.01
    standin.drop_websockets(ids.call_id)
    await standin.wait_for(lambda: job_of(standin, ids).end_at)
    again = await log_in(client, ids.token)
    await again.rejoin(ids, page)
    await again.socket.send_json({"action": "ping", "seq": 3})
    while (await again.hear()).get("seq_reply") != 3:
        pass
    assert standin.hub.in_call(ids.call_id) == []
