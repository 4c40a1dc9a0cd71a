"""A file and its post by Mattermost's own API: what the server has afterwards, and what is said when it refuses."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from recorder_fsm.errors import MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.channel import ChannelBot
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.standin import CallIds, StandIn
from tests.answers import some
from tests.post_job import QUICK, channel_bot, core, poster, posts_with_files

SIZE = 100_000


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(data_dir=tmp_path / "server", knobs={"five_mib_rule": False}) as server:
        yield server


@pytest.fixture
async def bot(standin: StandIn, ids: CallIds) -> AsyncIterator[ChannelBot]:
    made = channel_bot(standin, poster(standin, ids))
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "whatever.part"
    path.write_bytes(random.Random(1).randbytes(SIZE))  # noqa: S311
    return path


def calls_bot(standin: StandIn, ids: CallIds) -> CallsBot:
    return CallsBot(
        site_url=standin.url,
        token=ids.token,
        call_id=ids.call_id,
        post_id=ids.post_id,
        recording_id=ids.recording_id,
        timing=QUICK,
    )


def plenty() -> float:
    return 60.0


async def upload(bot: ChannelBot, file: Path, begun: Begun | None = None, sessions: list[str] | None = None) -> str:
    return await bot.upload(
        file,
        "Call (part 1 of 2).mp4",
        begun=begun,
        on_session=lambda one: sessions.append(one.session_id) if sessions is not None else None,
        time_left=some(40),
        on_progress=lambda done, total: None,
    )


async def post(bot: ChannelBot, file_id: str, *, may_be_posted: bool = False) -> str:
    return await bot.post(file_id, "Recording `Call`.", "0-30", some(40), may_be_posted=may_be_posted)


async def test_file_arrives_whole_and_its_post_shows_it(
    standin: StandIn, ids: CallIds, bot: ChannelBot, file: Path
) -> None:
    """In the thread, under the name that it shall have; an ordinary token and none of the plugin's routes."""
    file_id = await upload(bot, file)
    post_id = await post(bot, file_id)
    ((made, stored),) = posts_with_files(standin)
    assert (made.id, made.channel_id, made.root_id) == (post_id, ids.call_id, ids.post_id)
    assert (stored.name, stored.post_id) == ("Call (part 1 of 2).mp4", post_id)
    assert hashlib.sha256(stored.path.read_bytes()).digest() == hashlib.sha256(file.read_bytes()).digest()
    assert not [entry.path for entry in standin.requests() if "/plugins/" in entry.path]
    assert await bot.stored_size(file_id) == SIZE


async def test_post_without_a_thread_stands_in_the_channel(standin: StandIn, ids: CallIds, file: Path) -> None:
    """POST_ID may be empty."""
    bot = channel_bot(standin, poster(standin, ids), in_thread=False)
    post_id = await post(bot, await upload(bot, file))
    ((made, _),) = posts_with_files(standin)
    assert made.root_id == ""
    assert [(one.part, one.post_id) for one in await bot.found(plenty)] == [("0-30", post_id)]
    bot.close()


@pytest.mark.parametrize("at_byte", [0, 1, 9000])
@pytest.mark.parametrize("skip", [0, 3])
async def test_cut_upload_goes_on_at_the_offset_of_the_server(
    standin: StandIn, bot: ChannelBot, file: Path, at_byte: int, skip: int
) -> None:
    """No stored byte is sent again."""
    standin.set_faults({"route": "core_upload_data", "kind": "cut_at", "at_byte": at_byte, "skip": skip})
    file_id = await upload(bot, file)
    assert standin.uploaded(file_id).read_bytes() == file.read_bytes()
    (session,) = standin.state.sessions.values()
    assert session.bytes_received == SIZE


async def test_upload_of_an_earlier_start_goes_on(standin: StandIn, bot: ChannelBot, file: Path) -> None:
    """Only what is missing is sent."""
    sessions: list[str] = []
    standin.set_faults({"route": "core_upload_data", "kind": "status", "skip": 2, "times": 0, "status": 503})
    with pytest.raises(ServerUnavailable):
        await upload(bot, file, sessions=sessions)
    received = standin.state.sessions[sessions[0]].file_offset
    assert received == 2 * 16 * 1024
    standin.set_faults()
    assert standin.uploaded(await upload(bot, file, Begun(sessions[0]))).read_bytes() == file.read_bytes()
    assert len(standin.state.sessions) == 1


async def test_upload_of_another_user_is_begun_anew(
    standin: StandIn, bot: ChannelBot, file: Path, ids: CallIds
) -> None:
    """The token may be another bot's since: its sessions are its own."""
    sessions: list[str] = []
    other = channel_bot(standin, attrs.evolve(ids, token=standin.state.person_token))
    standin.set_faults({"route": "core_upload_data", "kind": "status", "skip": 2, "times": 0, "status": 503})
    with pytest.raises(ServerUnavailable):
        await upload(other, file, sessions=sessions)
    other.close()
    standin.set_faults(
        {"route": "core_upload_get", "kind": "status", **core(403, "api.upload.get_upload.forbidden.app_error")}
    )
    assert standin.uploaded(await upload(bot, file, Begun(sessions[0]))).read_bytes() == file.read_bytes()
    assert len(standin.state.sessions) == 2


@pytest.mark.parametrize(
    "fault",
    [{"kind": "reset"}, {"kind": "status", "status": 502}, {"kind": "status", "status": 429}, {"kind": "busy"}],
    ids=["reset", "502", "429", "busy"],
)
async def test_trouble_is_outwaited(standin: StandIn, bot: ChannelBot, file: Path, fault: dict[str, Any]) -> None:
    """On each route of an upload."""
    routes = ["core_upload_data"] if fault["kind"] == "busy" else ["core_upload_create", "core_upload_data"]
    standin.set_faults(*({"route": route, "times": 2, **fault} for route in routes))
    assert standin.uploaded(await upload(bot, file)).read_bytes() == file.read_bytes()


LOST: dict[str, dict[str, Any]] = {
    "reply lost": {"kind": "drop_reply"},
    "500 of a proxy": {"kind": "spoil_reply", "status": 500},
    "200 of a portal": {"kind": "spoil_reply", "status": 200, "body": "<html>"},
    "not made": {"kind": "status", "status": 502},
    "not reached": {"kind": "reset"},
}


@pytest.mark.parametrize("name", LOST)
async def test_post_whose_reply_is_lost_is_there_once(standin: StandIn, bot: ChannelBot, file: Path, name: str) -> None:
    """The file knows its post; where there is none, it is asked for again."""
    file_id = await upload(bot, file)
    standin.set_faults({"route": "create_post", "times": 2, **LOST[name]})
    post_id = await post(bot, file_id)
    ((made, _),) = posts_with_files(standin)
    assert made.id == post_id


async def test_repeated_post_is_known_to_the_server(standin: StandIn, bot: ChannelBot, file: Path) -> None:
    """Where the file cannot be looked up, the server's own memory of the request keeps a second post away."""
    file_id = await upload(bot, file)
    standin.set_faults(
        {"route": "create_post", "kind": "drop_reply"},
        {"route": "file_info", "kind": "status", "times": 0, **core(404, "app.file_info.get.app_error")},
    )
    post_id = await post(bot, file_id)
    ((made, _),) = posts_with_files(standin)
    assert made.id == post_id


async def test_post_of_an_earlier_start_is_not_repeated(standin: StandIn, bot: ChannelBot, file: Path) -> None:
    """It died before it could write that down."""
    file_id = await upload(bot, file)
    first = await post(bot, file_id)
    standin.state.thread_posts[0].pending_post_id = ""
    asked = len(standin.requests("create_post"))
    assert await post(bot, file_id, may_be_posted=True) == first
    assert len(standin.requests("create_post")) == asked


async def test_post_that_comes_without_its_file_is_no_success(standin: StandIn, bot: ChannelBot, file: Path) -> None:
    """Mattermost leaves out a file that is not the user's, and says nothing."""
    file_id = await upload(bot, file)
    standin.state.files[file_id].user_id = "somebody"
    with pytest.raises(RequestRejected, match="without the recording's file") as caught:
        await post(bot, file_id)
    assert caught.value.code == "post_without_file"


def knobs(**values: Any) -> Callable[[StandIn], None]:
    def turn(standin: StandIn) -> None:
        standin.state.knobs = standin.state.knobs.patched(values)

    return turn


REFUSED: dict[str, tuple[Callable[[StandIn], None], str, str]] = {
    "not a member": (knobs(forbidden=["upload_file", "create_post", "member"]), "not_a_member", "add @poster-of"),
    "may not upload": (knobs(forbidden=["upload_file"]), "may_not_upload", "the permission upload_file"),
    "may not post": (knobs(forbidden=["create_post"]), "may_not_post", "the permission create_post"),
    "guest": (knobs(forbidden=["upload_file"], guest=True), "may_not_upload", "is a guest"),
    "archived": (knobs(archived=True), "channel_archived", "unarchive it"),
    "no attachments": (knobs(attachments=False), "attachments_off", "EnableFileAttachments"),
    "too large": (knobs(max_file_size=SIZE - 1), "file_too_large", "MaxFileSize"),
    "thread gone": (knobs(thread_deleted=True), "thread_gone", "POST_ID must be"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusal_says_its_cause_and_its_cure(standin: StandIn, bot: ChannelBot, file: Path, name: str) -> None:
    """One sentence for people, what to do for an administrator, a stable code; nothing is tried again or posted."""
    turn, code, cure = REFUSED[name]
    turn(standin)
    with pytest.raises(MattermostError) as caught:
        await post(bot, await upload(bot, file))
    assert caught.value.code == code
    assert cure in caught.value.detail
    assert caught.value.sentence.endswith(".")
    assert standin.state.poster_token not in str(caught.value)
    assert standin.state.thread_posts == []
    assert len(standin.requests("core_upload_create")) <= 2


@pytest.mark.parametrize(
    ("token", "channel", "code"),
    [("x" * 26, "", "token_refused"), ("", "c" * 26, "channel_unknown")],
    ids=["token", "channel"],
)
async def test_wrong_token_or_channel_is_told_from_a_missing_permission(
    standin: StandIn, ids: CallIds, file: Path, token: str, channel: str, code: str
) -> None:
    """Mattermost answers a channel that is none with the same 403."""
    wrong = attrs.evolve(
        poster(standin, ids), token=token or standin.state.poster_token, call_id=channel or ids.call_id
    )
    bot = channel_bot(standin, wrong)
    for ask in (upload(bot, file), bot.check(5)):
        with pytest.raises(MattermostError) as caught:
            await ask
        assert caught.value.code == code
    bot.close()


async def test_limit_of_requests_is_named_when_time_is_over(standin: StandIn, bot: ChannelBot, file: Path) -> None:
    """It is waited for as long as there is time."""
    standin.set_faults({"route": "core_upload_create", "kind": "status", "status": 429, "times": 0})
    with pytest.raises(ServerUnavailable) as caught:
        await bot.upload(
            file, "x", begun=None, on_session=lambda _: None, time_left=some(3), on_progress=lambda *_: None
        )
    assert caught.value.code == "rate_limited"
    assert "RateLimitSettings" in caught.value.detail


CHECKED = ("not a member", "archived", "no attachments", "thread gone")


@pytest.mark.parametrize("name", CHECKED)
async def test_check_finds_before_the_recording_what_would_be_in_the_way(
    standin: StandIn, bot: ChannelBot, name: str
) -> None:
    """Nobody should find out after an hour."""
    turn, code, _ = REFUSED[name]
    await bot.check(5)
    turn(standin)
    with pytest.raises(MattermostError) as caught:
        await bot.check(5)
    assert caught.value.code == code
    assert standin.requests("core_upload_create") == []


@pytest.mark.parametrize("fault", [{"kind": "hang"}, {"kind": "status", "status": 503}, {"kind": "reset"}])
async def test_check_of_a_server_that_is_away_is_no_obstacle(
    standin: StandIn, bot: ChannelBot, fault: dict[str, Any], log: list[str]
) -> None:
    """It may be back when the recording is over."""
    standin.set_faults({"route": "any", "times": 0, **fault})
    await bot.check(0.5)
    assert any("not known yet" in line for line in log)


async def test_posts_of_another_recording_are_none(standin: StandIn, ids: CallIds, bot: ChannelBot, file: Path) -> None:
    """A thread may have many."""
    await post(bot, await upload(bot, file))
    newer = channel_bot(standin, poster(standin, standin.create_job(ids.call_id)))
    assert await newer.found(plenty) == []
    assert len(await bot.found(plenty)) == 1
    newer.close()


@pytest.mark.parametrize("by_plugin", [True, False], ids=["Calls bot", "ordinary bot"])
@pytest.mark.parametrize("in_thread", [True, False], ids=["thread", "channel"])
async def test_failure_is_posted_once_where_the_recording_would_be(
    standin: StandIn, ids: CallIds, by_plugin: bool, in_thread: bool
) -> None:
    """A start after the one that failed fails as well; POST_ID may be empty for both."""
    whose = attrs.evolve(ids if by_plugin else poster(standin, ids), post_id=ids.post_id if in_thread else "")
    user, other = calls_bot if by_plugin else channel_bot, standin.create_job(ids.call_id).recording_id
    bot, another = (user(standin, attrs.evolve(whose, recording_id=one)) for one in (ids.recording_id, other))
    for _ in range(2):
        assert await bot.post_failure("No disk.\nAsk for one.", 5)
    (made,) = standin.state.thread_posts
    assert (made.channel_id, made.root_id) == (ids.call_id, whose.post_id)
    assert made.props == {"recording_failure": ids.recording_id}
    assert await another.post_failure("No disk.", 5)
    assert len(standin.state.thread_posts) == 2
    bot.close()
    another.close()


async def test_line_of_a_recording_that_goes_on_stands_beside_it(
    standin: StandIn, ids: CallIds, bot: ChannelBot
) -> None:
    """One clean line, without the token; tried once, and no job ends for it."""
    assert await bot.post_in_thread(f"No audio\n{standin.state.poster_token} " + "x" * 500, 5)
    (made,) = standin.state.thread_posts
    assert (made.channel_id, made.root_id, len(made.message)) == (ids.call_id, ids.post_id, 200)
    assert made.message.startswith("No audio *** xxx")
    standin.set_faults({"route": "create_post", "kind": "drop_reply", "times": 0})
    asked = len(standin.requests())
    assert await bot.post_in_thread("No audio.", 5) is False
    assert len(standin.requests()) == asked + 1


async def test_post_of_a_file_is_known(bot: ChannelBot, file: Path) -> None:
    """None before there is one, and for a file that is none."""
    file_id = await upload(bot, file)
    assert await bot.post_of(file_id) is None
    post_id = await post(bot, file_id)
    assert (await bot.post_of(file_id), await bot.post_of("x" * 26)) == (post_id, None)
