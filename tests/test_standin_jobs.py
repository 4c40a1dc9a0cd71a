"""The stand-in's bot routes: the name of a recording, the state machine of a job, the save."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.botapi import file_name
from recorder_fsm.standin.calls import START_TIMED_OUT
from recorder_fsm.standin.state import Job

PLUGIN = "/plugins/com.mattermost.calls"
SUCCESS = {"message": "success", "status_code": 200}


def job_of(standin: StandIn, ids: CallIds) -> Job:
    job = standin.state.find_job(ids.recording_id)
    assert job is not None
    return job


async def report(bot_client: aiohttp.ClientSession, ids: CallIds, **body: Any) -> tuple[int, str]:
    """Post a status and return the reply's code and message."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    reply = await bot_client.post(url, json={"JobType": "recording", "Status": "started", "omitempty": "", **body})
    return reply.status, (await reply.json(content_type=None))["message"]


async def save(bot_client: aiohttp.ClientSession, ids: CallIds, **body: Any) -> tuple[int, str]:
    """Save a recording and return the reply's code and message."""
    fields = {"PostID": ids.post_id, "FileIDs": ["f" * 26], "JobID": ids.recording_id, **body}
    reply = await bot_client.post(f"{PLUGIN}/bot/calls/{ids.call_id}/recordings", json=fields)
    return reply.status, (await reply.json(content_type=None))["message"]


async def test_filename_follows_the_plugins_rule(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The reply has one key, with the call's plain name and a UTC stamp."""
    reply = await bot_client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/filename")
    body = await reply.json()
    assert list(body) == ["filename"]
    assert re.fullmatch(r"Call_Town_Square_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", body["filename"])


async def test_filename_knob_replaces_the_name(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A knob gives any name, an empty one too."""
    for name in ("a b/c:ü", ""):
        standin.state.knobs.filename = name
        reply = await bot_client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/filename")
        assert await reply.json() == {"filename": name}


def test_long_call_name_is_truncated_to_24_characters() -> None:
    """An ellipsis ends a truncated name, and becomes an underscore like all that is not plain."""
    assert file_name("x" * 30).startswith("Call_" + "x" * 23 + "__")
    assert file_name("Ünï 山").startswith("Call__n____")


async def test_success_arrives_as_plain_text(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A success is the plugin's JSON under the content type text/plain."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    reply = await bot_client.post(url, json={"JobType": "recording", "Status": "started"})
    assert (reply.status, reply.content_type) == (200, "text/plain")
    assert await reply.json(content_type=None) == SUCCESS


async def test_job_starts_once(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The first `started` stamps the job; a second one is refused and changes no stamp."""
    assert await report(bot_client, ids) == (200, "success")
    job = job_of(standin, ids)
    stamp = job.start_at
    assert stamp >= job.init_at > 0
    assert await report(bot_client, ids) == (400, "job has already started")
    assert (job.start_at, job.end_at) == (stamp, 0)


@pytest.mark.parametrize("first", [None, "started"])
async def test_failed_ends_a_job_at_any_time(
    first: str | None, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """`failed` is taken before and during a recording, keeps its text, and ends the job."""
    if first:
        await report(bot_client, ids)
    assert await report(bot_client, ids, Status="failed", omitempty="no display") == (200, "success")
    job = job_of(standin, ids)
    assert job.err == "no display"
    assert job.end_at > 0
    assert await report(bot_client, ids) == (400, "no job ongoing")


async def test_status_is_refused_in_the_plugins_words(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Each state that cannot take a status names itself as the plugin does."""
    assert await report(bot_client, ids, JobType="dance") == (400, "invalid job type")
    assert await report(bot_client, ids, Status="paused") == (400, "unsupported status type")
    newer = standin.create_job(ids.call_id)
    assert await report(bot_client, ids) == (400, "invalid job ID")
    standin.stop_recording(newer.recording_id)
    assert await report(bot_client, newer) == (400, "no job ongoing")
    standin.end_call(ids.call_id)
    assert await report(bot_client, newer) == (400, "no call ongoing")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Status": 1}', b'{"x": "' + b"x" * (1024 * 1024) + b'"}'])
async def test_undecodable_status_is_refused(body: bytes, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """What is no JSON object, has a wrong type or is longer than 1 MiB cannot be decoded."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    reply = await bot_client.post(url, data=body)
    assert reply.status == 400
    assert (await reply.json(content_type=None))["message"].startswith("failed to decode request body: ")


@pytest.mark.parametrize("key", ["omitempty", "OmitEmpty", "OMITEMPTY"])
async def test_error_text_is_read_from_omitempty(
    key: str, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The error travels under `omitempty` in any letter case; keys that look right are ignored."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    body = {"jobtype": "recording", "STATUS": "failed", key: "told", "Error": "not told", "err": "not told"}
    assert (await bot_client.post(url, json=body)).status == 200
    assert job_of(standin, ids).err == "told"


async def test_snake_case_keys_are_ignored(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """`job_type` and `post_id` are no keys of the plugin."""
    url = f"{PLUGIN}/bot/calls/{ids.call_id}/jobs/{ids.recording_id}/status"
    reply = await bot_client.post(url, json={"job_type": "recording", "status": "started"})
    assert (await reply.json(content_type=None))["message"] == "invalid job type"
    assert await save(bot_client, ids, PostID="", post_id=ids.post_id) == (400, "PostID should not be empty")


async def test_job_fails_when_nothing_started_in_time(tmp_path: Path) -> None:
    """A job without a recorder ends with the plugin's text; a started one is left alone."""
    async with StandIn(data_dir=tmp_path, knobs={"start_limit_s": 0.01}) as standin:
        late = standin.create_call()
        started = standin.create_call()
        standin.calls.start(job_of(standin, started))
        await standin.wait_for(lambda: job_of(standin, late).end_at)
        assert job_of(standin, late).err == START_TIMED_OUT
        assert job_of(standin, started).end_at == 0


async def test_save_appends_a_post_every_time(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The same save twice makes two posts, after the job's end too; the call post names the last."""
    standin.stop_recording(ids.recording_id)
    assert await save(bot_client, ids) == (200, "success")
    assert await save(bot_client, ids) == (200, "success")
    posts = standin.state.posts
    assert [post.recording_id for post in posts] == [ids.recording_id] * 2
    call_post = await (await bot_client.get(f"/api/v4/posts/{ids.post_id}")).json()
    assert call_post["props"]["recordings"][ids.recording_id] == {"file_id": "f" * 26, "post_id": posts[1].id}


async def test_save_takes_keys_in_any_case_and_only_the_first_file(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Go matches keys whatever their case; further file ids are ignored."""
    body = {"postid": ids.post_id, "FILEIDS": ["f" * 26, "g" * 26], "jobId": ids.recording_id}
    assert (await bot_client.post(f"{PLUGIN}/bot/calls/{ids.call_id}/recordings", json=body)).status == 200
    assert standin.state.posts[0].file_id == "f" * 26


@pytest.mark.parametrize(
    ("field", "value", "code", "text"),
    [
        ("PostID", "", 400, "PostID should not be empty"),
        ("FileIDs", [], 400, "invalid FileIDs length"),
        ("JobID", "", 400, "JobID should not be empty"),
        ("PostID", "p" * 26, 500, "failed to get call post: resource not found"),
    ],
)
async def test_save_refuses_in_the_plugins_words(
    field: str, value: Any, code: int, text: str, standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Each missing field has its own text, and nothing is posted."""
    assert await save(bot_client, ids, **{field: value}) == (code, text)
    assert standin.state.posts == []


async def test_new_call_post_has_an_empty_recording(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The call post lists a job from its start, with nothing in it."""
    post = await (await bot_client.get(f"/api/v4/posts/{ids.post_id}")).json()
    assert post["props"]["recordings"] == {ids.recording_id: {}}


async def test_ended_job_that_is_kept_says_that_it_has_ended(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Plugins that keep their jobs have a text of their own, and still take `failed`."""
    standin.state.knobs.keeps_ended_jobs = True
    standin.stop_recording(ids.recording_id)
    assert await report(bot_client, ids) == (400, "job has ended")
    assert await report(bot_client, ids, Status="failed") == (200, "success")


async def test_thread_has_the_calls_post_and_all_below_it(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """As Mattermost lists it: ids in order, posts by id; the recording's post names its job."""
    assert (await save(bot_client, ids))[0] == 200
    await bot_client.post(
        "/api/v4/posts", json={"channel_id": ids.call_id, "root_id": ids.post_id, "message": "No audio."}
    )
    thread = await (await bot_client.get(f"/api/v4/posts/{ids.post_id}/thread")).json()
    call, recording, text = (thread["posts"][one] for one in thread["order"])
    assert call["id"] == ids.post_id
    assert recording["props"]["recording_id"] == ids.recording_id
    assert text["message"] == "No audio."
    assert (await bot_client.get(f"/api/v4/posts/{'x' * 26}/thread")).status == 404
