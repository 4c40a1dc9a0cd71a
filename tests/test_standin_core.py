"""The stand-in's core API and what a call page fetches before it joins: configuration, posts, files, users."""

from __future__ import annotations

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.scene import PEOPLE, initials

PLUGIN = "/plugins/com.mattermost.calls"


async def uploaded(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds, content: bytes) -> str:
    """Upload a small file and return its id."""
    body = {"channel_id": ids.call_id, "filename": "a.mp4", "file_size": len(content)}
    session = await (await bot_client.post(f"{PLUGIN}/bot/uploads", json=body)).json()
    file_id: str = (await (await bot_client.post(f"{PLUGIN}/bot/uploads/{session['id']}", data=content)).json())["id"]
    return file_id


async def test_client_config_tells_the_limit_as_text(standin: StandIn, bot_client: aiohttp.ClientSession) -> None:
    """MaxFileSize is a string, and only for those who have a session."""
    standin.state.knobs.max_file_size = 12345
    url = "/api/v4/config/client?format=old"
    assert (await (await bot_client.get(url)).json())["MaxFileSize"] == "12345"
    stranger = await bot_client.get(url, headers={"Authorization": ""})
    assert stranger.status == 200
    assert "MaxFileSize" not in await stranger.json()


async def test_client_config_knows_the_old_format_only(bot_client: aiohttp.ClientSession) -> None:
    """Without `format=old` the request is refused."""
    assert (await bot_client.get("/api/v4/config/client")).status == 400


async def test_recording_post_carries_its_file(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """The post of a save hangs under the call's post, with the file and the recording's id."""
    file_id = await uploaded(standin, bot_client, ids, b"hello")
    body = {"PostID": ids.post_id, "FileIDs": [file_id], "JobID": ids.recording_id}
    await bot_client.post(f"{PLUGIN}/bot/calls/{ids.call_id}/recordings", json=body)
    post = await (await bot_client.get(f"/api/v4/posts/{standin.state.posts[0].id}")).json()
    assert (post["root_id"], post["type"]) == (ids.post_id, "custom_calls_recording")
    assert post["file_ids"] == [file_id]
    assert post["props"] == {"recording_id": ids.recording_id, "call_post_id": ids.post_id}


@pytest.mark.parametrize("url", ["/api/v4/posts/{}", "/api/v4/files/{}", "/api/v4/files/{}/info"])
async def test_unknown_post_or_file_is_not_found(url: str, bot_client: aiohttp.ClientSession) -> None:
    """An id that nobody made is 404."""
    assert (await bot_client.get(url.format("n" * 26))).status == 404


async def test_file_is_given_whole_and_in_ranges(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A player may ask for any bytes; type and size are the file's; a range beyond it is refused."""
    url = f"/api/v4/files/{await uploaded(standin, bot_client, ids, b'helloworld')}"
    whole = await bot_client.get(url)
    assert (whole.status, whole.content_type, await whole.read()) == (200, "video/mp4", b"helloworld")
    part = await bot_client.get(url, headers={"Range": "bytes=5-7"})
    assert (part.status, part.headers["Content-Range"], await part.read()) == (206, "bytes 5-7/10", b"wor")
    tail = await bot_client.get(url, headers={"Range": "bytes=-3"})
    assert await tail.read() == b"rld"
    assert (await bot_client.get(url, headers={"Range": "bytes=20-"})).status == 416


async def test_file_info_has_the_size(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A careful recorder can compare the server's size with its own."""
    file_id = await uploaded(standin, bot_client, ids, b"helloworld")
    info = await (await bot_client.get(f"/api/v4/files/{file_id}/info")).json()
    assert (info["id"], info["size"], info["extension"]) == (file_id, 10, "mp4")


async def test_users_are_found_by_ids(bot_client: aiohttp.ClientSession) -> None:
    """Known people come back in the order asked for, unknown ones not at all; no list is refused."""
    wanted = [PEOPLE[1]["id"], "n" * 26, PEOPLE[0]["id"]]
    users = await (await bot_client.post("/api/v4/users/ids", json=wanted)).json()
    assert [user["nickname"] for user in users] == [PEOPLE[1]["name"], PEOPLE[0]["name"]]
    assert (await bot_client.post("/api/v4/users/ids", json={})).status == 400


async def test_plugin_answers_what_a_page_fetches(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Version, configuration, activity and TURN credentials are there; the call is active until it ends."""
    assert "version" in await (await bot_client.get(f"{PLUGIN}/version")).json()
    assert "ICEServersConfigs" in await (await bot_client.get(f"{PLUGIN}/config")).json()
    assert await (await bot_client.get(f"{PLUGIN}/turn-credentials")).json() == []
    active = f"{PLUGIN}/calls/{ids.call_id}/active"
    assert await (await bot_client.get(active)).json() == {"active": True}
    standin.end_call(ids.call_id)
    assert await (await bot_client.get(active)).json() == {"active": False}
    assert (await bot_client.get(active, headers={"Authorization": ""})).status == 401


async def test_channel_is_known_by_its_call(bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The channel of a call has its name; an unknown one is 404, which fails the page's prefetch."""
    channel = await (await bot_client.get(f"{PLUGIN}/bot/channels/{ids.call_id}")).json()
    assert (channel["id"], channel["display_name"]) == (ids.call_id, "Town Square")
    assert (await bot_client.get(f"{PLUGIN}/bot/channels/{'n' * 26}")).status == 404


async def test_avatars_differ_by_person(bot_client: aiohttp.ClientSession) -> None:
    """Each person has a picture with initials on a colour of their own."""
    pictures = []
    for person in PEOPLE:
        reply = await bot_client.get(f"{PLUGIN}/bot/users/{person['id']}/image")
        assert reply.content_type == "image/svg+xml"
        picture = await reply.text()
        assert f">{initials(person['name'])}<" in picture
        pictures.append(picture.split('fill="')[1].split('"')[0])
    assert len(set(pictures)) == len(PEOPLE)


def test_initials_pass_over_what_is_no_letter() -> None:
    """An emoji is no initial, a hyphen parts a name, and a name of signs alone still gives one."""
    assert [initials(name) for name in ("Ana-María Ø", "Otto 🦦", "山田 健二", "🦦")] == ["AM", "O", "山健", "🦦"]


async def test_post_of_the_bot_hangs_in_the_thread(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """201 with the post, which people find in the control state."""
    body = {"channel_id": ids.call_id, "root_id": ids.post_id, "message": "The recording goes on without audio."}
    reply = await bot_client.post("/api/v4/posts", json=body)
    assert reply.status == 201
    made = await reply.json()
    assert {key: made[key] for key in body} == body
    state = await (await bot_client.get("/standin/state")).json()
    assert state["thread_posts"] == [made]
    assert standin.state.posts == []


async def test_post_needs_no_thread(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """One without a root stands in the channel."""
    reply = await bot_client.post("/api/v4/posts", json={"channel_id": ids.call_id, "message": "x"})
    assert reply.status == 201
    assert [post.root_id for post in standin.state.thread_posts] == [""]


@pytest.mark.parametrize(
    "change",
    [{"message": ""}, {"channel_id": "n" * 26}, {"channel_id": ""}, {"root_id": "n" * 26}],
    ids=["no message", "unknown channel", "no channel", "unknown thread"],
)
async def test_post_that_says_nothing_or_goes_nowhere_is_refused(
    standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds, change: dict[str, str]
) -> None:
    """400, or 403 where it is no channel of the user's, and nothing is posted."""
    body = {"channel_id": ids.call_id, "root_id": ids.post_id, "message": "x", **change}
    reply = await bot_client.post("/api/v4/posts", json=body)
    assert reply.status == (403 if "channel_id" in change else 400)
    assert standin.state.thread_posts == []


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null"])
async def test_post_that_is_no_object_is_refused(
    standin: StandIn, bot_client: aiohttp.ClientSession, data: bytes
) -> None:
    """As one that says nothing."""
    assert (await bot_client.post("/api/v4/posts", data=data)).status == 400
    assert standin.state.thread_posts == []


async def test_post_of_a_stranger_is_refused(standin: StandIn, bot_client: aiohttp.ClientSession, ids: CallIds) -> None:
    """401 without a session of the server's."""
    body = {"channel_id": ids.call_id, "message": "x"}
    for token in ("", "BEARER " + "x" * 26):
        reply = await bot_client.post("/api/v4/posts", json=body, headers={"Authorization": token})
        assert reply.status == 401
    assert standin.state.thread_posts == []
