"""The stand-in's faults: each kind does what it says, as often as it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.knobs import Fault, KnobError, Knobs

PLUGIN = "/plugins/com.mattermost.calls"


def filename_url(ids: CallIds) -> str:
    return f"{PLUGIN}/bot/calls/{ids.call_id}/filename"


async def start_job(bot_client: aiohttp.ClientSession, ids: CallIds) -> aiohttp.ClientResponse:
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    return await bot_client.post(url, json={"JobType": "recording", "Status": "started"})


async def upload_url(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds, size: int = 10) -> str:
    """Open an upload session without the 5 MiB rule and return its address."""
    standin.state.knobs.five_mib_rule = False
    body = {"channel_id": ids.call_id, "filename": "a.mp4", "file_size": size}
    reply = await bot_client.post(f"{PLUGIN}/bot/uploads", json=body)
    return f"{PLUGIN}/bot/uploads/{(await reply.json())['id']}"


async def offset(bot_client: aiohttp.ClientSession, url: str) -> int:
    value: int = (await (await bot_client.get(url)).json())["file_offset"]
    return value


async def test_status_replies_without_doing(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The ordered reply comes instead of the deed, once; then all is as before."""
    standin.set_faults({"route": "status", "kind": "status", "status": 502, "body": "<h1>Bad Gateway</h1>"})
    reply = await start_job(bot_client, ids)
    assert (reply.status, reply.content_type, await reply.text()) == (502, "text/html", "<h1>Bad Gateway</h1>")
    assert standin.state.statuses == []
    assert (await start_job(bot_client, ids)).status == 200


async def test_fault_skips_then_strikes_then_ends(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """`skip` lets requests pass, `times` ends the fault, `times` 0 never does."""

    async def statuses(count: int) -> list[int]:
        return [(await bot_client.get(filename_url(ids))).status for _ in range(count)]

    standin.set_faults({"route": "filename", "kind": "status", "status": 503, "skip": 1, "times": 2})
    assert await statuses(5) == [200, 503, 503, 200, 200]
    standin.set_faults({"route": "filename", "kind": "status", "status": 503, "times": 0})
    assert await statuses(4) == [503] * 4


async def test_faults_of_one_route_strike_one_after_the_other(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Each fault counts for itself; the first that is not used up is played."""
    standin.set_faults(
        {"route": "filename", "kind": "status", "status": 500}, {"route": "any", "kind": "status", "status": 501}
    )
    assert [(await bot_client.get(filename_url(ids))).status for _ in range(3)] == [500, 501, 200]


async def test_any_spares_the_standins_own_routes(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A fault on every route leaves the controls in reach."""
    standin.set_faults({"route": "any", "kind": "status", "status": 503, "times": 0})
    assert (await bot_client.get("/standin/state")).status == 200
    assert (await bot_client.get(f"{PLUGIN}/standalone/recording.html")).status == 503
    assert (await bot_client.get("/api/v4/config/client?format=old")).status == 503


async def test_reset_closes_before_doing(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The client sees a reset, the job nothing, the log a dropped request."""
    standin.set_faults({"route": "status", "kind": "reset"})
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await start_job(bot_client, ids)
    assert standin.state.statuses == []
    assert standin.requests("status")[0].status == "dropped"


async def test_dropped_reply_is_done_all_the_same(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The deed is done, the answer is lost, and a retry meets what was done."""
    standin.set_faults({"route": "status", "kind": "drop_reply"})
    with pytest.raises(aiohttp.ClientError):
        await start_job(bot_client, ids)
    assert [one.reply for one in standin.state.statuses] == [200]
    assert "already started" in await (await start_job(bot_client, ids)).text()
    assert [entry.status for entry in standin.requests("status")] == ["dropped", 400]


async def test_lost_final_reply_loses_the_file_id(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """An upload whose last reply is lost is complete, and its session is gone."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "drop_reply"})
    with pytest.raises(aiohttp.ClientError):
        await bot_client.post(url, data=b"helloworld")
    assert (await bot_client.get(url)).status == 404
    assert [one.size for one in standin.state.files.values()] == [10]


async def test_hang_never_replies_and_ends_with_the_server(tmp_path: Path) -> None:
    """A hanging request outlasts its client's policy, but not the server."""
    async with aiohttp.ClientSession() as client:
        async with StandIn(data_dir=tmp_path) as standin:
            standin.set_faults({"route": "page", "kind": "hang"})
            url = f"{standin.url}{PLUGIN}/standalone/recording.html"
            hanging = asyncio.create_task(client.get(url, headers={"X-Calls-Recorder": "true"}))
            await standin.wait_for(lambda: standin.requests("page"))
            await client.get(f"{standin.url}/standin/state")
            assert not hanging.done()
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(hanging, 5)


async def test_slow_waits_and_then_does(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A slow route answers rightly, not before its delay."""
    standin.set_faults({"route": "filename", "kind": "slow", "delay_s": 0.2})
    reply = await bot_client.get(filename_url(ids))
    assert reply.status == 200
    elapsed_s = standin.requests("filename")[0].elapsed_s
    assert elapsed_s is not None
    assert elapsed_s >= 0.2


async def test_slow_reader_takes_bytes_at_its_rate(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Ten bytes at fifty a second take a fifth of a second, and all arrive."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": 50})
    reply = await bot_client.post(url, data=b"helloworld")
    elapsed_s = standin.requests("upload_data")[0].elapsed_s
    assert (reply.status, elapsed_s is not None and elapsed_s >= 0.19) == (200, True)


async def test_cut_keeps_the_bytes_before_it(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The connection is reset at the ordered byte; what came before it stays and is continued."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "cut_at", "at_byte": 7})
    with pytest.raises(aiohttp.ClientError):
        await bot_client.post(url, data=b"helloworld")
    assert await offset(bot_client, url) == 7
    info = await (await bot_client.post(url, data=b"rld")).json()
    assert standin.uploaded(info["id"]).read_bytes() == b"helloworld"


async def test_no_progress_replies_204_and_stores_nothing(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The part is read and forgotten."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "no_progress"})
    assert (await bot_client.post(url, data=b"hello")).status == 204
    assert await offset(bot_client, url) == 0


async def test_busy_refuses_a_part(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The reply is that of a concurrent upload, and nothing is stored."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "busy"})
    reply = await bot_client.post(url, data=b"hello")
    assert (reply.status, "more than one request" in await reply.text()) == (400, True)
    assert await offset(bot_client, url) == 0


async def test_stale_offset_is_the_one_before_the_last_part(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A stale read forgets one part, once."""
    url = await upload_url(standin, bot_client, ids)
    for part in (b"he", b"llo"):
        await bot_client.post(url, data=part)
    standin.set_faults({"route": "upload_get", "kind": "stale_offset"})
    assert [await offset(bot_client, url) for _ in range(2)] == [2, 5]


async def test_lied_offset_is_the_ordered_byte(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The session can claim any offset."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_get", "kind": "lie_offset", "at_byte": 99})
    assert [await offset(bot_client, url) for _ in range(2)] == [99, 0]


async def test_redirect_points_elsewhere(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """302 with the ordered location."""
    standin.set_faults({"route": "filename", "kind": "redirect", "location": "http://elsewhere.test/"})
    reply = await bot_client.get(filename_url(ids), allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (302, "http://elsewhere.test/")


async def test_endless_body_goes_on(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The body has no length and gives as much as is read of it."""
    standin.set_faults({"route": "config", "kind": "endless", "content_type": "application/json"})
    reply = await bot_client.get("/api/v4/config/client?format=old")
    assert (reply.content_type, reply.content_length) == ("application/json", None)
    assert len(await reply.content.readexactly(100_000)) == 100_000
    reply.close()


async def test_above_bytes_strikes_longer_bodies_only(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A proxy's limit refuses a part over it, and a chunked one, and lets a shorter one through."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 413, "above_bytes": 4, "times": 0})

    async def chunked() -> AsyncIterator[bytes]:
        yield b"x"

    assert (await bot_client.post(url, data=b"hello")).status == 413
    assert (await bot_client.post(url, data=chunked())).status == 413
    assert (await bot_client.post(url, data=b"hell")).status == 204
    assert await offset(bot_client, url) == 4


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "hang"},
        {"route": "page"},
        {"route": "pages", "kind": "hang"},
        {"route": "page", "kind": "hangs"},
        {"route": "page", "kind": "hang", "time": 1},
        {"route": "save", "kind": "cut_at"},
    ],
)
def test_fault_that_could_not_strike_is_refused(bad: dict[str, Any]) -> None:
    """A misspelt or impossible fault is an error, and no fault that silently never comes."""
    with pytest.raises(KnobError):
        Fault.from_json(bad)


def test_knobs_come_back_as_they_were_given() -> None:
    """Knobs survive the way through JSON, and refuse a key that is none."""
    raw = {"max_file_size": 5, "filename": "x", "faults": [{"route": "any", "kind": "reset", "skip": 2}]}
    knobs = Knobs.from_json(raw)
    assert Knobs.from_json(knobs.to_json()) == knobs
    assert (knobs.max_file_size, knobs.faults[0].skip) == (5, 2)
    with pytest.raises(KnobError, match="max_size"):
        Knobs.from_json({"max_size": 5})


async def test_spoilt_reply_comes_after_the_deed(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """What was asked is done, and somebody else answers."""
    standin.set_faults({"route": "status", "kind": "spoil_reply", "status": 504, "body": "<html>"})
    reply = await start_job(bot_client, ids)
    assert (reply.status, await reply.text()) == (504, "<html>")
    assert [one.reply for one in standin.state.statuses] == [200]


async def test_part_that_ends_early_is_answered_as_one_that_ended(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A FIN in mid-body: 204 and the offset says how far; under 5 MiB of a first part it is 400 and nothing stays."""
    url = await upload_url(standin, bot_client, ids)
    standin.set_faults({"route": "upload_data", "kind": "ends_at", "at_byte": 7, "times": 2})
    assert (await bot_client.post(url, data=b"helloworld")).status == 204
    assert await offset(bot_client, url) == 7
    standin.state.knobs.five_mib_rule = True
    body = {"channel_id": ids.call_id, "filename": "a.mp4", "file_size": 10}
    first = (await (await bot_client.post(f"{PLUGIN}/bot/uploads", json=body)).json())["id"]
    refused = await bot_client.post(f"{PLUGIN}/bot/uploads/{first}", data=b"helloworld")
    assert (refused.status, "First part" in await refused.text()) == (400, True)
    assert await offset(bot_client, f"{PLUGIN}/bot/uploads/{first}") == 0


async def test_post_alone_is_made_before_the_save_fails(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The plugin posts first and updates the call's post then: that may fail, and the post stays."""
    standin.set_faults({"route": "save", "kind": "post_only"})
    body = {"PostID": ids.post_id, "FileIDs": ["f" * 26], "JobID": ids.recording_id}
    reply = await bot_client.post(f"{PLUGIN}/bot/calls/{ids.call_id}/recordings", json=body)
    assert (reply.status, "failed to update call thread" in await reply.text()) == (500, True)
    assert [post.recording_id for post in standin.state.posts] == [ids.recording_id]
    call_post = await (await bot_client.get(f"/api/v4/posts/{ids.post_id}")).json()
    assert call_post["props"]["recordings"] == {ids.recording_id: {}}


async def test_fault_of_the_plugin_spares_the_servers_own_routes(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """`plugin` is every route of the plugin, and none of Mattermost's."""
    standin.set_faults({"route": "plugin", "kind": "status", "status": 503, "times": 0})
    assert (await bot_client.get(filename_url(ids))).status == 503
    assert (await bot_client.get(f"{PLUGIN}/version")).status == 503
    assert (await bot_client.get(f"/api/v4/posts/{ids.post_id}")).status == 200


async def test_crashed_plugin_comes_back_as_it_was(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Its routes answer Mattermost's plain 404 for a while; the token and the sessions live on (contract 6.13)."""
    url = await upload_url(standin, bot_client, ids)
    assert (await bot_client.post(url, data=b"hello")).status == 204
    action = {"action": "crash_plugin", "seconds": 0.2}
    assert (await bot_client.post("/standin/control", json=action)).status == 200
    reply = await bot_client.get(url)
    assert (reply.status, await reply.text(), reply.content_type) == (404, "404 page not found\n", "text/plain")
    assert (await bot_client.get("/api/v4/config/client?format=old")).status == 200
    await standin.wait_for(lambda: not standin.state.plugin_off)
    assert await offset(bot_client, url) == 5
