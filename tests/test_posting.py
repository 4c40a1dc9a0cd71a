"""One recording, one post: what bears witness of a post, and when the plugin is asked for it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from recorder_fsm.errors import AccessRefused, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.posting import PATIENT_LOOKS
from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.state import StoredFile
from tests.answers import FOREIGN, OWN, own, some
from tests.test_mattermost import QUICK, bot_for, plenty

FILE = "f" * 26
UNREADABLE: list[dict[str, Any]] = [
    {"route": route, "kind": "status", "times": 0, **OWN["403, JSON"]} for route in ("thread", "post", "file_info")
]


@pytest.fixture
def bot(standin: StandIn, ids: CallIds) -> Iterator[CallsBot]:
    made = bot_for(standin.url, ids)
    path = standin.data_dir / "files" / FILE
    path.write_bytes(b"x")
    standin.state.files[FILE] = StoredFile(FILE, "Call.mp4", 1, ids.call_id, "video/mp4", path)
    yield made
    made.close()


def posts_and_saves(standin: StandIn) -> tuple[int, int]:
    return len(standin.state.posts), len(standin.requests("save"))


FAILED_AFTER_THE_POST: dict[str, dict[str, Any]] = {
    "reply lost": {"kind": "drop_reply"},
    "500 of the plugin": {"kind": "post_only"},
    "500 of a proxy": {"kind": "spoil_reply", "status": 500},
    "504": {"kind": "spoil_reply", "status": 504, "body": "<html>"},
    "200 of a portal": {"kind": "spoil_reply", "status": 200, "body": "<html>"},
    "404": {"kind": "spoil_reply", "status": 404},
}


@pytest.mark.parametrize("witness", ["thread", "post or file", "file"])
@pytest.mark.parametrize("name", FAILED_AFTER_THE_POST)
async def test_save_that_failed_after_its_post_is_not_repeated(
    standin: StandIn, bot: CallsBot, name: str, witness: str
) -> None:
    """The post itself is the evidence; where the thread may not be read, the file knows its post (U8)."""
    standin.set_faults(
        {"route": "save", "times": 0, **FAILED_AFTER_THE_POST[name]},
        *UNREADABLE[: {"thread": 0, "post or file": 1, "file": 2}[witness]],
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 502, "body": "<html>"},
        {"kind": "status", **own(500, "failed to create post: no")},
        {"kind": "status", **own(500, "failed to lock call: timeout")},
        {"kind": "status", "status": 200, "body": "<html>log in"},
        *({"kind": "status", **fault} for fault in FOREIGN.values()),
    ],
)
async def test_save_that_made_no_post_is_repeated(standin: StandIn, bot: CallsBot, fault: dict[str, Any]) -> None:
    """After a look that finds none; nobody but the plugin can refuse it (U8, U9)."""
    standin.set_faults({"route": "save", "times": 2, **fault})
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 3)
    assert len(standin.requests("thread")) >= 2


async def test_post_that_shows_late_is_waited_for(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """A replica, or a plugin that waits for its lock, shows the post a few looks after the lost reply."""
    thread = {"order": [ids.post_id], "posts": {ids.post_id: {"id": ids.post_id, "props": {}}}}
    standin.set_faults(
        {"route": "save", "kind": "drop_reply"},
        {"route": "thread", "kind": "status", "times": QUICK.post_looks - 1, "status": 200, "body": json.dumps(thread)},
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 1)


TROUBLE: dict[str, dict[str, Any]] = {
    "502": {"kind": "status", "status": 502},
    "reset": {"kind": "reset"},
    "429": {"kind": "status", "status": 429},
    "a proxy's 404": {"kind": "status", "status": 404},
    "200 of a portal": {"kind": "status", "status": 200, "body": "<html>"},
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_look_that_fails_is_repeated_before_the_save_is(standin: StandIn, bot: CallsBot, name: str) -> None:
    """Trouble on the way to the evidence is no evidence."""
    standin.set_faults(
        {"route": "save", "kind": "drop_reply"},
        *({"route": route, "times": 3, **TROUBLE[name]} for route in ("thread", "post", "file_info")),
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 1)


async def test_look_that_only_fails_is_passed_over(standin: StandIn, bot: CallsBot) -> None:
    """A thread that can never be read is no reason to publish nothing: the file says that it has no post."""
    standin.set_faults(
        {"route": "save", "kind": "reset"}, {"route": "thread", "kind": "status", "status": 502, "times": 0}
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 2)
    assert len(standin.requests("thread")) >= PATIENT_LOOKS


@pytest.mark.parametrize("done", [True, False], ids=["posted", "not posted"])
async def test_long_outage_in_the_middle_of_the_save_is_outwaited(standin: StandIn, bot: CallsBot, done: bool) -> None:
    """While nobody answers, nothing is known, and nothing is asked for twice."""
    standin.set_faults(
        {"route": "save", "kind": "drop_reply" if done else "reset"},
        {"route": "any", "kind": "status", "status": 502, "times": 60},
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 1 if done else 2)


async def test_save_is_repeated_blindly_once(standin: StandIn, bot: CallsBot) -> None:
    """Where nothing may be read, a lost reply is worth one more post, and not ten."""
    standin.set_faults({"route": "save", "kind": "reset"}, *UNREADABLE)
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 2)
    standin.set_faults({"route": "save", "kind": "drop_reply", "times": 0}, *UNREADABLE)
    with pytest.raises(RequestRejected, match="Nothing tells whether") as caught:
        await bot.save(FILE, plenty)
    assert caught.value.code == "post_unknown"
    assert posts_and_saves(standin) == (3, 4)


async def test_save_that_the_plugin_denies_is_repeated_though_nothing_may_be_read(
    standin: StandIn, bot: CallsBot
) -> None:
    """`failed to create post` is no doubt."""
    standin.set_faults(
        {"route": "save", "kind": "status", "times": 5, **own(500, "failed to create post: no")}, *UNREADABLE
    )
    await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (1, 6)


async def test_earlier_save_counts_as_the_first(standin: StandIn, bot: CallsBot) -> None:
    """A restart that cannot tell asks once, and does not repeat that."""
    standin.set_faults({"route": "save", "kind": "drop_reply"}, *UNREADABLE)
    with pytest.raises(RequestRejected, match="Nothing tells whether"):
        await bot.save(FILE, plenty, may_be_posted=True)
    assert posts_and_saves(standin) == (1, 1)


@pytest.mark.parametrize(("name", "error"), [("401", AccessRefused), ("403", AccessRefused), ("400", RequestRejected)])
async def test_save_that_the_plugin_refuses_is_tried_once(
    standin: StandIn, bot: CallsBot, name: str, error: type[MattermostError]
) -> None:
    """A refusal of its own is not repeated (U9)."""
    standin.set_faults({"route": "save", "kind": "status", "times": 0, **OWN[name]})
    with pytest.raises(error):
        await bot.save(FILE, plenty)
    assert posts_and_saves(standin) == (0, 1)


async def test_posted_tells_yes_no_and_unknown(standin: StandIn, bot: CallsBot) -> None:
    """A restart can ask whether its recording is already shown, and in which file."""
    assert (await bot.posted(None, plenty)).shown is False
    assert (await bot.posted(FILE, plenty)).shown is False
    await bot.save(FILE, plenty)
    for file_id in (None, FILE):
        evidence = await bot.posted(file_id, plenty)
        assert (evidence.shown, evidence.file_id) == (True, FILE)
    standin.set_faults(UNREADABLE[0])
    assert (await bot.posted(None, plenty)).shown is True  # the call's post
    standin.set_faults(*UNREADABLE[:2])
    assert (await bot.posted(FILE, plenty)).shown is True  # the file
    assert (await bot.posted(None, plenty)).shown is None
    standin.set_faults(*UNREADABLE)
    assert (await bot.posted(FILE, plenty)).shown is None


async def test_posted_outwaits_trouble(standin: StandIn, bot: CallsBot) -> None:
    """Killed after the post, then one bad answer to the look: no reason for a second post."""
    await bot.save(FILE, plenty)
    standin.set_faults({"route": "any", "kind": "status", "status": 502, "times": 70})
    assert (await bot.posted(FILE, plenty)).shown is True
    standin.set_faults({"route": "any", "kind": "status", "status": 502, "times": 0})
    with pytest.raises(ServerUnavailable):
        await bot.posted(FILE, some(2))


async def test_post_of_another_recording_is_none(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """A call may have been recorded before."""
    before = bot_for(standin.url, ids)
    await before.save(FILE, plenty)
    before.close()
    newer = bot_for(standin.url, standin.create_job(ids.call_id))
    assert (await newer.posted(None, plenty)).shown is False
    newer.close()


@pytest.mark.parametrize("body", ["[]", "{}", '{"posts": [1]}', '{"posts": {"a": {"props": 7}, "b": null}}'])
async def test_thread_that_is_none_proves_nothing(standin: StandIn, bot: CallsBot, body: str) -> None:
    """Whatever stands in an answer, it is read without harm."""
    standin.set_faults({"route": "thread", "kind": "status", "status": 200, "body": body})
    assert (await bot.posted(None, plenty)).shown in (None, False)
