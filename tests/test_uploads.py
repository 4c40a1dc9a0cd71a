"""Uploads over HTTP against the stand-in: parts, resumption, refusals, and when to stop (contract 2.4, 2.5)."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from recorder_fsm.errors import (
    AccessRefused,
    MattermostError,
    RecordingError,
    RequestRejected,
    ServerUnavailable,
    SettingInTheWay,
)
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.part_body import Abandoned, PartBody
from recorder_fsm.mattermost.retry import LAST_S, PartSizes, RetryPolicy, RetryTiming
from recorder_fsm.mattermost.upload import Upload
from recorder_fsm.mattermost.upload_session import Begun, Session
from recorder_fsm.standin import StandIn
from recorder_fsm.standin.state import UploadSession
from tests.answers import FOREIGN, OFF, OWN, own, some

MIB = 1024 * 1024
QUICK = RetryTiming(first_wait_s=0, settle_s=0, connect_s=2, read_s=2, call_limit_s=4, watch_s=0.02)
SMALL = PartSizes(part=1000, first_part=1, smallest=100)
SIZE = 10_000


class Uploader:
    """One file, one bot, and what the upload told its caller."""

    def __init__(
        self, standin: StandIn, folder: Path, size: int, sizes: PartSizes, timing: RetryTiming = QUICK
    ) -> None:
        self.standin = standin
        self.ids = standin.create_call()
        self.bot = CallsBot(
            site_url=standin.url,
            token=self.ids.token,
            call_id=self.ids.call_id,
            post_id=self.ids.post_id,
            recording_id=self.ids.recording_id,
            timing=timing,
            sizes=sizes,
        )
        self.file = folder / "Call.mp4"
        self.file.write_bytes(random.Random(size).randbytes(size))  # noqa: S311
        self.sessions: list[str] = []
        self.file_ids: list[str] = []
        self.progress: list[tuple[int, int]] = []

    async def run(self, session_id: str = "", file_id: str = "", time_left: Callable[[], float] = lambda: 60.0) -> str:
        return await self.bot.upload(
            self.file,
            begun=Begun(session_id, file_id) if session_id else None,
            on_session=self._began,
            time_left=time_left,
            on_progress=lambda done, total: self.progress.append((done, total)),
        )

    def _began(self, begun: Begun) -> None:
        self.sessions.append(begun.session_id)
        self.file_ids.append(begun.file_id)

    def parts(self) -> list[int]:
        return [int(entry.headers.get("Content-Length", 0)) for entry in self.standin.requests("upload_data")]

    def session(self, number: int = -1) -> UploadSession:
        return self.standin.state.sessions[self.sessions[number]]

    def arrived(self, file_id: str) -> bool:
        return self.standin.uploaded(file_id).read_bytes() == self.file.read_bytes()


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(data_dir=tmp_path / "server", knobs={"five_mib_rule": False}) as server:
        yield server


@pytest.fixture
async def small(standin: StandIn, tmp_path: Path) -> AsyncIterator[Uploader]:
    """10 000 bytes in parts of 1000, the 5 MiB rule switched off."""
    uploader = Uploader(standin, tmp_path, SIZE, SMALL)
    yield uploader
    uploader.bot.close()


async def test_small_file_goes_in_one_part(standin: StandIn, tmp_path: Path) -> None:
    """A file below the first part's limit is sent whole, under its own name, for the call's channel."""
    standin.state.knobs.five_mib_rule = True
    one = Uploader(standin, tmp_path, SIZE, PartSizes())
    assert one.arrived(await one.run())
    assert one.parts() == [SIZE]
    assert (one.session().filename, one.session().channel_id) == ("Call.mp4", one.ids.call_id)
    assert one.progress[-1] == (SIZE, SIZE)
    one.bot.close()


async def test_parts_keep_to_max_file_size_and_the_first_part_rule(standin: StandIn, tmp_path: Path) -> None:
    """A file larger than MaxFileSize goes in parts that fit, the first of at least 5 MiB (U6)."""
    standin.state.knobs.five_mib_rule = True
    standin.state.knobs.max_file_size = 6 * MIB
    one = Uploader(standin, tmp_path, 13 * MIB + 7, PartSizes())
    assert one.arrived(await one.run())
    assert one.parts() == [6 * MIB, 6 * MIB, MIB + 7]
    one.bot.close()


async def test_first_part_is_never_below_its_limit(standin: StandIn, tmp_path: Path) -> None:
    """However small parts have become, the first one keeps to the server's least size."""
    one = Uploader(standin, tmp_path, 1000, PartSizes(part=100, first_part=500, smallest=50))
    assert one.arrived(await one.run())
    assert one.parts() == [500] + [100] * 5
    one.bot.close()


async def test_limit_below_the_first_part_is_tried_and_then_said(standin: StandIn, tmp_path: Path) -> None:
    """The server's answer decides; it is asked until no time is left, and then the setting is named (U6)."""
    standin.state.knobs.five_mib_rule = True
    standin.state.knobs.max_file_size = 4 * MIB
    one = Uploader(standin, tmp_path, 4 * MIB + 1, PartSizes())
    with pytest.raises(SettingInTheWay, match=r"MaxFileSize is too small .* set it to 5 MiB or more.*kept") as caught:
        await one.run(time_left=some(3))
    assert "MaxFileSize is 4194304" in caught.value.detail
    assert one.parts() == [4 * MIB] * 4
    assert len(one.sessions) == 1
    one.file.write_bytes(b"x" * 4 * MIB)
    assert one.arrived(await one.run())
    one.bot.close()


async def test_limit_that_the_server_does_not_mind_is_no_obstacle(standin: StandIn, tmp_path: Path) -> None:
    """Where small first parts are taken, a file goes in parts of MaxFileSize, as the original's does."""
    standin.state.knobs.max_file_size = MIB
    one = Uploader(standin, tmp_path, 3 * MIB + 1, PartSizes())
    assert one.arrived(await one.run())
    assert one.parts() == [MIB, MIB, MIB, 1]
    one.bot.close()


async def test_limit_that_is_raised_meanwhile_is_noticed(standin: StandIn, tmp_path: Path) -> None:
    """An administrator mends the setting while the recorder tries: the file is delivered."""
    standin.state.knobs.five_mib_rule = True
    standin.state.knobs.max_file_size = 1 * MIB
    one = Uploader(standin, tmp_path, 7 * MIB, PartSizes())
    tries = some(9)

    def left() -> float:
        if len(one.parts()) == 3:
            standin.state.knobs.max_file_size = 6 * MIB
        return tries()

    assert one.arrived(await one.run(time_left=left))
    assert one.parts() == [MIB] * 3 + [6 * MIB, MIB]
    assert len(one.sessions) == 1
    one.bot.close()


async def test_unknown_max_file_size_is_no_obstacle(standin: StandIn, small: Uploader) -> None:
    """Where MaxFileSize cannot be read, and is smaller than a part, the server's early end is followed."""
    standin.state.knobs.max_file_size = 300
    standin.set_faults({"route": "config", "kind": "status", "status": 403, "times": 0})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


@pytest.mark.parametrize("at_byte", [0, 1, 450, 999, 1000])
@pytest.mark.parametrize("skip", [0, 4, 9])
async def test_cut_connection_resumes_where_the_server_stopped(
    standin: StandIn, small: Uploader, at_byte: int, skip: int
) -> None:
    """After a cut at any byte of any part, no stored byte is sent into the file twice (U5)."""
    standin.set_faults({"route": "upload_data", "kind": "cut_at", "at_byte": at_byte, "skip": skip})
    assert small.arrived(await small.run())
    assert small.session(0).bytes_received <= SIZE
    assert len(small.sessions) == 1


async def test_earlier_session_is_continued(standin: StandIn, small: Uploader) -> None:
    """A restart with the session's id sends only what is missing."""
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 503, "skip": 4, "times": 0})
    with pytest.raises(ServerUnavailable):
        await small.run(time_left=lambda: 0.0)
    assert small.session().file_offset == 4000
    standin.set_faults()
    before = len(small.parts())
    assert small.arrived(await small.run(small.sessions[0]))
    assert sum(small.parts()[before:]) == SIZE - 4000
    assert len(small.sessions) == 1


@pytest.mark.parametrize("session_id", ["z" * 26, "../../../../etc"])
async def test_unknown_session_is_replaced(small: Uploader, session_id: str) -> None:
    """A session that the server does not know, or an id that is none, leads to a new one."""
    assert small.arrived(await small.run(session_id))
    assert len(small.sessions) == 1


async def test_session_of_another_size_is_replaced(standin: StandIn, small: Uploader) -> None:
    """A session for another number of bytes cannot be for this file."""
    other = await small.bot._routes.create("Call.mp4", SIZE + 1, "")
    assert small.arrived(await small.run(other.id))
    assert small.sessions != [other.id]


async def test_session_that_vanishes_is_replaced(standin: StandIn, small: Uploader, log: list[str]) -> None:
    """When the server forgets the session half way, the file goes into a new one (U5)."""
    standin.set_faults({"route": "upload_data", "kind": "status", "skip": 3, **OWN["404"]})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 2
    assert any("is lost" in line for line in log)


async def test_session_of_somebody_else_is_replaced(standin: StandIn, small: Uploader) -> None:
    """403 for this session alone is not taken for a missing right."""
    text = "not allowed to upload data for this session"
    standin.set_faults({"route": "upload_data", "kind": "status", **own(403, text)})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 2


async def test_sessions_are_not_replaced_for_ever(standin: StandIn, small: Uploader) -> None:
    """A server that loses every session is left after a few (U5: no endless loop)."""
    standin.set_faults({"route": "upload_data", "kind": "status", "times": 0, **OWN["404"]})
    with pytest.raises(RequestRejected, match="again and again"):
        await small.run()
    assert len(small.sessions) == QUICK.new_sessions


COMPLETED: dict[str, dict[str, Any]] = {
    "reply lost": {"kind": "drop_reply"},
    "504": {"kind": "spoil_reply", "status": 504, "body": "<html>"},
    "200 of a portal": {"kind": "spoil_reply", "status": 200, "body": "<html>"},
    "200 of another": {"kind": "spoil_reply", "status": 200, "body": '{"ok": true}'},
    "204": {"kind": "spoil_reply", "status": 204},
    "404": {"kind": "spoil_reply", "status": 404},
}


@pytest.mark.parametrize("name", COMPLETED)
async def test_file_whose_last_reply_is_lost_is_found(standin: StandIn, small: Uploader, name: str) -> None:
    """The file has an id of our own: it is complete, and one copy is on the server (U5)."""
    standin.set_faults({"route": "upload_data", "skip": 9, "times": 0, **COMPLETED[name]})
    file_id = await small.run()
    assert file_id == small.file_ids[0]
    assert small.arrived(file_id)
    assert list(standin.state.files) == [file_id]
    assert len(small.sessions) == 1


async def test_file_that_a_replica_knows_late_is_awaited(standin: StandIn, small: Uploader) -> None:
    """The look for the complete file is patient, whatever comes in its way."""
    standin.set_faults(
        {"route": "upload_data", "kind": "drop_reply", "skip": 9},
        {"route": "file_info", "kind": "status", "times": 5, **OWN["404"]},
        {"route": "file_info", "kind": "status", "times": 3, "status": 502},
    )
    assert small.arrived(await small.run())
    assert len(standin.state.files) == 1


async def test_completed_upload_of_an_earlier_process_is_found(standin: StandIn, small: Uploader) -> None:
    """Killed before the last reply: the next start has the session and the file's id, and sends nothing."""
    standin.set_faults({"route": "upload_data", "kind": "drop_reply", "skip": 9})
    with pytest.raises(ServerUnavailable):
        await small.run(time_left=lambda: 0.0)
    sent = len(small.parts())
    assert small.arrived(await small.run(small.sessions[0], small.file_ids[0]))
    assert len(small.parts()) == sent
    assert len(standin.state.files) == 1


async def test_completed_upload_of_other_bytes_is_not_taken(standin: StandIn, small: Uploader) -> None:
    """A file that an earlier process completed, and that has another size now, is sent anew."""
    first = await small.run()
    small.file.write_bytes(b"y" * (SIZE - 1))
    second = await small.run(small.sessions[0], first)
    assert first != second
    assert small.arrived(second)


async def test_file_id_that_the_server_ignores_costs_one_copy(
    standin: StandIn, small: Uploader, log: list[str]
) -> None:
    """Without it a lost last reply loses the file's id: it is sent again once, and the log tells of the orphan."""
    standin.state.knobs.own_file_ids = False
    standin.set_faults({"route": "upload_data", "kind": "drop_reply", "skip": 9})
    assert small.arrived(await small.run())
    assert small.file_ids == ["", ""]
    assert [standin.state.sessions[one].done for one in small.sessions] == [True, True]
    assert any("no post shows" in line for line in log)


async def test_second_lost_last_reply_ends_the_upload(standin: StandIn, small: Uploader) -> None:
    """Where no file can be found, a copy for each try is no way to publish one."""
    standin.state.knobs.own_file_ids = False
    small.file.write_bytes(b"x" * 1000)
    standin.set_faults({"route": "upload_data", "kind": "spoil_reply", "status": 504, "times": 0})
    with pytest.raises(RequestRejected, match="last part does not arrive; the file is kept"):
        await small.run()
    assert len(standin.state.files) == 2


async def test_session_that_may_not_choose_its_file_is_opened_without(standin: StandIn, small: Uploader) -> None:
    """A server that refuses the id in its own words is asked without it."""
    standin.set_faults({"route": "upload_create", "kind": "status", **own(400, "Invalid value for ReqFileId")})
    assert small.arrived(await small.run())
    first, second = standin.requests("upload_create")
    asked = json.loads(second.body or "")
    assert sorted(asked) == ["channel_id", "file_size", "filename"]
    assert small.file_ids == [""]
    assert first.status == 400


async def test_session_asks_for_a_file_id_of_ours(standin: StandIn, small: Uploader) -> None:
    """A fresh one for each session, as Mattermost makes its own."""
    standin.set_faults({"route": "upload_create", "kind": "drop_reply"})
    await small.run()
    asked = [json.loads(entry.body or "")["req_file_id"] for entry in standin.requests("upload_create")]
    assert len(set(asked)) == 2
    assert all(re.fullmatch("[ybndrfg8ejkmcpqxot1uwisza345h769]{26}", one) for one in asked)
    assert small.file_ids == asked[1:]


async def test_file_that_is_complete_though_its_session_lives_is_found(standin: StandIn, small: Uploader) -> None:
    """A server that died between the file and its session has both."""
    full = json.dumps({"id": "s" * 26, "file_offset": SIZE, "file_size": SIZE})
    standin.set_faults(
        {"route": "upload_data", "kind": "drop_reply", "skip": 9},
        {"route": "upload_get", "kind": "status", "status": 200, "body": full, "skip": 9, "times": 3},
    )
    assert small.arrived(await small.run())
    assert len(small.parts()) == 10


async def test_rejected_file_is_said_at_once(standin: StandIn, small: Uploader) -> None:
    """What a scanner says against the file is its cause, and no busy session (U9)."""
    standin.state.knobs.scanner = "Eicar-Test-Signature found"
    with pytest.raises(RequestRejected, match="Eicar-Test-Signature found"):
        await small.run()
    assert len(small.parts()) == 10


BUSY = {
    "in use": "UploadData: Unable to upload data from more than one request.",
    "by its id": "UploadData: app.upload.upload_data.concurrent.app_error",
    "offsets differ": "UploadData: Unable to upload data from more than one request., FileOffset mismatch",
    "in German": "UploadData: Es k\u00f6nnen keine Daten von mehr als einer Anfrage hochgeladen werden.",
    "first part": "UploadData: Failed to upload data. First part must be at least 5242880 Bytes.",
    "first part in German": "UploadData: Fehler. Der erste Teil muss mindestens 5242880 Bytes haben.",
}


@pytest.mark.parametrize("words", BUSY.values(), ids=list(BUSY))
async def test_known_words_of_a_session_that_is_in_use_are_waited_for(
    standin: StandIn, small: Uploader, words: str
) -> None:
    """In the server's own language too."""
    standin.set_faults({"route": "upload_data", "kind": "status", "times": 4, "skip": 1, **own(400, words)})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


@pytest.mark.parametrize("words", ["invalid upload type", "the file is infected", "UploadSession: upload failed"])
async def test_other_words_of_the_server_end_the_upload_at_once(standin: StandIn, small: Uploader, words: str) -> None:
    """They will not change, and they are the cause."""
    standin.set_faults({"route": "upload_data", "kind": "status", "times": 0, "skip": 1, **own(400, words)})
    with pytest.raises(RequestRejected, match=words):
        await small.run()
    assert len(small.parts()) == 2


@pytest.mark.parametrize("looks", [1, 3, QUICK.lag_looks - 1])
@pytest.mark.parametrize("skip", [0, 4, 8])
async def test_offset_that_lags_after_a_promise_is_outwaited(
    standin: StandIn, small: Uploader, looks: int, skip: int
) -> None:
    """After a 204 the offset before it is believed only when it has been told for long: no byte goes twice."""
    standin.set_faults({"route": "upload_get", "kind": "stale_offset", "times": looks, "skip": skip})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1
    assert sum(small.parts()) == SIZE


async def test_offset_that_lags_in_time_costs_no_copy(standin: StandIn, tmp_path: Path) -> None:
    """Seconds of lag after each part, with looks in between."""
    standin.state.knobs.offset_lag_s = 0.15
    one = Uploader(standin, tmp_path, 5000, SMALL, RetryTiming(first_wait_s=0, settle_s=0.03, watch_s=0.02))
    assert one.arrived(await one.run())
    assert sum(one.parts()) == 5000
    one.bot.close()


async def test_promise_that_is_denied_for_long_never_spoils_the_file(standin: StandIn, tmp_path: Path) -> None:
    """A server that lags longer than anybody waits: the file is whole, or there is none."""
    for size in (1000, 1001, 1500, 2000, 2500):
        standin.set_faults({"route": "upload_get", "kind": "stale_offset", "times": 2 * QUICK.lag_looks})
        one = Uploader(standin, tmp_path, size, SMALL)
        assert one.arrived(await one.run())
        one.bot.close()


async def test_last_part_that_is_denied_for_long_never_spoils_the_file(standin: StandIn, tmp_path: Path) -> None:
    """It ended early and the offset lags: the rest, sent again, would complete the file with wrong bytes."""
    standin.set_faults(
        {"route": "upload_data", "kind": "ends_at", "at_byte": 200, "skip": 1},
        {"route": "upload_get", "kind": "stale_offset", "skip": 1, "times": QUICK.lag_looks},
    )
    one = Uploader(standin, tmp_path, 1500, SMALL)
    assert one.arrived(await one.run())
    assert len(one.sessions) == 2
    one.bot.close()


async def test_offset_that_lags_at_a_restart_never_spoils_the_file(standin: StandIn, tmp_path: Path) -> None:
    """Nobody knows what the earlier process was promised: the rest is not sent in one part."""
    one = Uploader(standin, tmp_path, 1500, SMALL)
    standin.set_faults(
        {"route": "upload_data", "kind": "cut_at", "at_byte": 200, "skip": 1},
        {"route": "upload_get", "kind": "status", "skip": 1, "times": 0},
    )
    with pytest.raises(ServerUnavailable):
        await one.run(time_left=lambda: 0.0)
    await standin.wait_for(lambda: one.session().file_offset == 1200)
    standin.set_faults({"route": "upload_get", "kind": "stale_offset", "times": 6})
    assert one.arrived(await one.run(one.sessions[0], one.file_ids[0]))
    one.bot.close()


@pytest.mark.parametrize("at_byte", [0, 400, 1000])
async def test_part_that_ended_early_on_its_way_is_continued(standin: StandIn, small: Uploader, at_byte: int) -> None:
    """A FIN in the middle of a part is the end of the part to the server: 204, and the offset says how far."""
    standin.set_faults({"route": "upload_data", "kind": "ends_at", "at_byte": at_byte, "skip": 2})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


async def test_first_part_that_was_cut_on_its_way_is_sent_again(standin: StandIn, tmp_path: Path) -> None:
    """An RST in it leaves less than the server takes first: 400, and nothing is stored."""
    standin.state.knobs.five_mib_rule = True
    standin.set_faults({"route": "upload_data", "kind": "ends_at", "at_byte": 3_000_000, "times": 3})
    one = Uploader(standin, tmp_path, 6 * MIB, PartSizes())
    assert one.arrived(await one.run(time_left=some(5)))
    assert [entry.status for entry in standin.requests("upload_data")] == [400] * 3 + [200]
    one.bot.close()


async def test_upload_without_progress_ends(standin: StandIn, tmp_path: Path) -> None:
    """A part that is cut at its end every time is no progress, however many bytes are sent for it (U10)."""
    clock, advanced = [0.0], [0.0]

    class Virtual(RetryTiming):
        def wait_s(self, failures: int, longest_s: float | None = None) -> float:
            clock[0] += 30
            return 0.0

    def progress(_: int, __: int) -> None:
        advanced[0] = clock[0]

    one = Uploader(standin, tmp_path, SIZE, SMALL, Virtual(settle_s=0, watch_s=0.001))
    standin.set_faults({"route": "upload_data", "kind": "status", "times": 0, "skip": 2})
    with pytest.raises(ServerUnavailable):
        await one.bot.upload(
            one.file,
            begun=None,
            on_session=lambda _: None,
            time_left=lambda: advanced[0] + 1200 - clock[0],
            on_progress=progress,
        )
    assert 1200 <= clock[0] - advanced[0] <= 1230
    assert clock[0] <= 2400
    one.bot.close()


async def test_parts_that_are_not_kept_end_the_upload(standin: StandIn, small: Uploader) -> None:
    """204 again and again without a stored byte is given up; once is not (U5)."""
    standin.set_faults({"route": "upload_data", "kind": "no_progress", "skip": 2})
    assert small.arrived(await small.run())
    standin.set_faults({"route": "upload_data", "kind": "no_progress", "skip": 2, "times": 0})
    before = len(small.parts())
    with pytest.raises(RequestRejected, match="does not store"):
        await small.run()
    assert len(small.parts()) - before == 2 + QUICK.stuck_rounds
    assert not standin.state.posts


async def test_busy_session_is_waited_for(standin: StandIn, small: Uploader) -> None:
    """A session that is still being written is asked again, but not for ever."""
    standin.set_faults({"route": "upload_data", "kind": "busy", "times": 5, "skip": 1})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1
    standin.set_faults({"route": "upload_data", "kind": "busy", "times": 0})
    with pytest.raises(RequestRejected):
        await small.run()


@pytest.mark.parametrize("kind", [{"kind": "stale_offset"}, {"kind": "lie_offset", "at_byte": 700}])
@pytest.mark.parametrize("skip", [0, 1, 3])
async def test_offset_that_was_wrong_once_is_not_believed(
    standin: StandIn, small: Uploader, kind: dict[str, Any], skip: int
) -> None:
    """A stale replica's offset never puts bytes into the wrong place (U5)."""
    standin.set_faults(
        {"route": "upload_data", "kind": "cut_at", "at_byte": 500, "skip": skip},
        {"route": "upload_get", "skip": skip, **kind},
    )
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


@pytest.mark.parametrize("at_byte", [50, 9999])
async def test_offset_that_cannot_be_is_not_believed_even_twice(
    standin: StandIn, small: Uploader, at_byte: int
) -> None:
    """An offset below what is stored, or above what was sent, is asked again until it makes sense."""
    standin.set_faults(
        {"route": "upload_data", "kind": "cut_at", "at_byte": 500, "skip": 2},
        {"route": "upload_get", "kind": "lie_offset", "at_byte": at_byte, "skip": 2, "times": 2},
    )
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


async def test_offset_that_never_makes_sense_ends_the_upload(standin: StandIn, small: Uploader) -> None:
    """A server that claims bytes which it cannot have is left after a few sessions."""
    standin.set_faults({"route": "upload_get", "kind": "lie_offset", "at_byte": 9999, "times": 0})
    with pytest.raises(RequestRejected):
        await small.run()
    assert not standin.state.files


async def test_too_large_part_is_halved(standin: StandIn, small: Uploader) -> None:
    """A proxy's 413 leads to smaller parts until one fits (U6)."""
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 413, "times": 0, "above_bytes": 300})
    assert small.arrived(await small.run())
    assert small.parts()[:3] == [1000, 500, 250]
    assert max(small.parts()[3:]) <= 250
    assert len(small.sessions) == 1


async def test_413_for_every_part_is_tried_again_and_then_said(standin: StandIn, small: Uploader) -> None:
    """If not even the smallest part passes, somebody may be mending the proxy; at the end its refusal is the cause."""
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 413, "times": 0})
    with pytest.raises(SettingInTheWay, match="refuses parts of 100 bytes") as caught:
        await small.run(time_left=some(1))
    assert caught.value.status == 413
    assert small.parts() == [1000, 500, 250, 125, 100] * 2
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 413, "times": 5})
    assert small.arrived(await small.run())
    assert max(small.parts()[15:]) == 1000


async def test_413_does_not_shrink_the_first_part_below_its_limit(standin: StandIn, tmp_path: Path) -> None:
    """The first part stays at 5 MiB; the refusal is said instead of a part that the server would delete."""
    standin.state.knobs.five_mib_rule = True
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 413, "times": 0})
    one = Uploader(standin, tmp_path, 8 * MIB, PartSizes())
    with pytest.raises(SettingInTheWay, match="refuses parts of 5 MiB"):
        await one.run(time_left=some(0))
    assert one.parts() == [8 * MIB, 5 * MIB]
    one.bot.close()


async def test_repeated_cuts_make_parts_smaller_and_success_larger_again(standin: StandIn, small: Uploader) -> None:
    """A proxy that cuts instead of saying 413 is met with smaller parts, which grow back on progress."""
    standin.set_faults({"route": "upload_data", "kind": "reset", "times": 0, "above_bytes": 300})
    small.file.write_bytes(b"z" * 2000)
    assert small.arrived(await small.run())
    assert 250 in small.parts()
    standin.set_faults({"route": "upload_data", "kind": "reset", "times": 4})
    small.file.write_bytes(b"y" * SIZE)
    before = len(small.parts())
    assert small.arrived(await small.run())
    assert small.parts()[before + 4 :][:3] == [250, 500, 1000]


@pytest.mark.parametrize("route", ["upload_create", "upload_data", "upload_get"])
@pytest.mark.parametrize("name", ["401", "403", "403, JSON"])
async def test_refused_access_is_not_retried(standin: StandIn, small: Uploader, route: str, name: str) -> None:
    """The plugin's own 401 and 403 end the upload at once (U9)."""
    standin.set_faults({"route": route, "kind": "status", "times": 0, **OWN[name]})
    with pytest.raises(AccessRefused):
        await small.run()
    assert len(standin.requests(route)) == 1
    assert small.file.exists()


@pytest.mark.parametrize("route", ["upload_create", "upload_data", "upload_get"])
@pytest.mark.parametrize("name", FOREIGN)
async def test_answer_of_somebody_else_is_outwaited(standin: StandIn, small: Uploader, route: str, name: str) -> None:
    """Whatever its number, what the plugin or the server did not say may heal (U4, U5)."""
    standin.set_faults({"route": route, "kind": "status", "times": 3, **FOREIGN[name]})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


async def test_plugin_that_crashes_meanwhile_is_awaited(standin: StandIn, small: Uploader) -> None:
    """Its routes are gone for a while; the session goes on where it was (contract 6.13)."""
    standin.set_faults({"route": "plugin", "kind": "status", "times": 7, "skip": 5, **OFF})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1
    assert small.session().bytes_received == SIZE


@pytest.mark.parametrize(("name", "requests"), [("400", 2), ("404", 1), ("501", 1)])
async def test_refused_session_is_permanent(standin: StandIn, small: Uploader, name: str, requests: int) -> None:
    """A create call that the server refuses is not repeated, but for one without our file id."""
    standin.set_faults({"route": "upload_create", "kind": "status", "times": 0, **OWN[name]})
    with pytest.raises(RequestRejected):
        await small.run()
    assert len(standin.requests("upload_create")) == requests


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "status", "status": 502},
        {"kind": "status", "status": 200, "body": "<html>maintenance</html>"},
        {"kind": "reset"},
        {"kind": "drop_reply"},
    ],
)
async def test_trouble_while_opening_is_retried(standin: StandIn, small: Uploader, kind: dict[str, Any]) -> None:
    """5xx, resets and lost replies before the first byte are only trouble on the way (U4)."""
    standin.set_faults({"route": "upload_create", "times": 3, **kind})
    assert small.arrived(await small.run())
    assert len(standin.requests("upload_create")) == 4


@pytest.mark.parametrize("body", ['{"id": "../x"}', '{"id": 7, "file_offset": 0}'])
async def test_session_reply_that_is_none_is_not_worked_with(standin: StandIn, small: Uploader, body: str) -> None:
    """An answer to the create call that holds no session is not the server's."""
    standin.set_faults({"route": "upload_create", "kind": "status", "status": 200, "body": body})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 1


async def test_no_time_left_keeps_the_file(standin: StandIn, small: Uploader) -> None:
    """When the grace is over the error says that the file is kept, and it is (U10)."""
    standin.set_faults({"route": "any", "kind": "status", "status": 503, "times": 0})
    left = [5.0, 1.0, 0.0]
    with pytest.raises(ServerUnavailable, match="the file is kept"):
        await small.run(time_left=lambda: left.pop(0))
    assert left == []
    assert small.file.exists()


async def test_progress_is_not_asked_for_time(standin: StandIn, small: Uploader) -> None:
    """While every part succeeds nobody asks how much time is left (U7)."""

    def never() -> float:
        raise AssertionError("asked")

    assert small.arrived(await small.run(time_left=never))
    assert [done for done, _ in small.progress] == sorted(done for done, _ in small.progress)


async def test_progress_sets_the_waits_back(standin: StandIn, tmp_path: Path) -> None:
    """A fault after progress is waited for as briefly as the first one."""
    waits: list[int] = []

    class Counting(RetryTiming):
        def wait_s(self, failures: int, longest_s: float | None = None) -> float:
            waits.append(failures)
            return 0.0

    timing = Counting(settle_s=0)
    one = Uploader(standin, tmp_path, SIZE, SMALL, timing)
    standin.set_faults(
        {"route": "upload_data", "kind": "status", "status": 502, "times": 2},
        {"route": "upload_data", "kind": "status", "status": 502, "skip": 3, "times": 2},
    )
    assert one.arrived(await one.run())
    assert waits == [0, 1, 0, 1]
    one.bot.close()


async def test_slow_reader_is_no_fault(standin: StandIn, tmp_path: Path) -> None:
    """A server that takes the bytes slowly is waited for, in one session and without a repeated part (U7)."""
    standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": 100_000, "times": 0})
    one = Uploader(standin, tmp_path, 30_000, PartSizes(part=10_000, first_part=1))
    assert one.arrived(await one.run())
    assert one.parts() == [10_000] * 3
    one.bot.close()


async def test_part_without_a_sign_of_life_is_ended(standin: StandIn, tmp_path: Path) -> None:
    """A server that hangs during a part does not hold the upload; the part is sent again."""
    standin.set_faults({"route": "upload_data", "kind": "hang", "skip": 1})
    timing = RetryTiming(first_wait_s=0, settle_s=0, watch_s=0.02, stall_s=0.1)
    one = Uploader(standin, tmp_path, SIZE, SMALL, timing)
    assert one.arrived(await one.run())
    one.bot.close()


async def test_other_size_on_the_server_is_an_error(standin: StandIn, small: Uploader) -> None:
    """A file that is complete there with another size is not called a success (U11)."""
    body = '{"id": "' + "f" * 26 + '", "size": 9999}'
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 200, "body": body, "skip": 9})
    with pytest.raises(RecordingError, match="did not store the whole recording"):
        await small.run()
    assert small.file.exists()


async def test_completion_before_the_last_byte_is_not_believed(standin: StandIn, small: Uploader) -> None:
    """A server that is done too early has mixed something up: the file goes into a new session."""
    body = '{"id": "' + "f" * 26 + '", "size": 10000}'
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 200, "body": body, "skip": 3})
    assert small.arrived(await small.run())
    assert len(small.sessions) == 2


async def test_empty_and_missing_files_are_said_without_a_request(standin: StandIn, small: Uploader) -> None:
    """A file without bytes can never be uploaded, so the server is not asked."""
    small.file.write_bytes(b"")
    with pytest.raises(RecordingError, match="empty"):
        await small.run()
    small.file.unlink()
    with pytest.raises(RecordingError, match="could not be read"):
        await small.run()
    assert not standin.requests()


async def test_file_that_shrinks_meanwhile_is_an_error(standin: StandIn, small: Uploader) -> None:
    """A file that ends before its part does is reported, not waited for."""

    def shrink(_: Begun) -> None:
        small.file.write_bytes(b"short")

    with pytest.raises(RecordingError, match="could not be read"):
        await small.bot.upload(
            small.file,
            begun=None,
            on_session=shrink,
            time_left=lambda: 60.0,
            on_progress=lambda *_: None,
        )


async def test_cancelled_upload_returns_at_once(standin: StandIn, tmp_path: Path) -> None:
    """A cancelled upload does not wait for the part that is on its way."""
    standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": 1000, "times": 0})
    one = Uploader(standin, tmp_path, 16 * MIB, PartSizes())
    upload = asyncio.create_task(one.run())
    await standin.wait_for(lambda: one.sessions and one.session().bytes_received)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(upload, 1)
    one.bot.close()


async def test_abandoned_part_is_not_read_on(tmp_path: Path) -> None:
    """When an upload is cancelled, the thread that still sends gets no more bytes."""
    file = tmp_path / "Call.mp4"
    file.write_bytes(b"12345")
    sent: list[PartBody] = []
    sending = asyncio.Event()

    class Hanging:
        async def create(self, filename: str, size: int, file_id: str) -> Session:
            return Session("s" * 26, 0, size)

        async def look(self, session_id: str) -> Session:
            raise NotImplementedError

        async def stored(self, file_id: str) -> dict[str, Any]:
            raise NotImplementedError

        async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
            sent.append(body)
            sending.set()
            await asyncio.Event().wait()
            return None

    async def unknown() -> None:
        return None

    upload = Upload(
        Hanging(),
        file,
        max_file_size=unknown,
        on_session=lambda _: None,
        on_progress=lambda *_: None,
        time_left=lambda: 60.0,
        timing=QUICK,
        sizes=SMALL,
    )
    run = asyncio.create_task(upload.run(None))
    await asyncio.wait_for(sending.wait(), 5)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    with pytest.raises(Abandoned):
        sent[0].read(1)


def test_body_gives_its_piece_and_no_more(tmp_path: Path) -> None:
    """A part reads from its offset for its length, and counts."""
    file = tmp_path / "f"
    file.write_bytes(bytes(range(100)))
    with PartBody(file, 10, 50) as body:
        assert len(body) == 50
        assert body.read(20) == bytes(range(10, 30))
        assert b"".join(body) == bytes(range(30, 60))
        assert (body.read(), body.sent) == (b"", 50)


def test_abandoned_body_cannot_be_read(tmp_path: Path) -> None:
    """Once abandoned, a part ends the thread that reads it."""
    file = tmp_path / "f"
    file.write_bytes(b"12345")
    with PartBody(file, 0, 5) as body:
        body.read(1)
        body.abandon()
        with pytest.raises(Abandoned):
            body.read(1)


async def test_repetition_that_outlasts_its_time_says_what_went_wrong(standin: StandIn, small: Uploader) -> None:
    """Cut off by somebody else, nobody would learn why."""
    standin.set_faults(
        {"route": "upload_create", "kind": "status", "status": 503, "body": "maintenance"},
        {"route": "upload_create", "kind": "hang", "times": 0},
    )
    with pytest.raises(ServerUnavailable, match="maintenance"):
        await small.run(time_left=some(1, LAST_S + 0.2))
    assert len(standin.requests("upload_create")) == 2


async def test_repetition_that_makes_progress_gets_more_time(standin: StandIn, small: Uploader) -> None:
    """The end of its time is looked at again when it comes."""
    standin.set_faults(
        {"route": "upload_create", "kind": "status", "status": 503},
        {"route": "upload_create", "kind": "slow", "delay_s": 0.3},
    )
    assert small.arrived(await small.run(time_left=some(50, LAST_S + 0.05)))


@pytest.mark.parametrize("error", [RequestRejected, AccessRefused, MattermostError])
async def test_patience_is_only_for_what_may_heal(error: type[MattermostError]) -> None:
    """Only a server that is unavailable is worth a wait."""
    policy = RetryPolicy("test", RetryTiming(), lambda: 60.0, 30.0)
    assert policy(error()) is None
    assert policy(ValueError()) is None
    wait = policy(ServerUnavailable())
    assert wait is not None
    assert 0.25 <= wait <= 0.5
    assert RetryTiming().wait_s(100) <= 30
    assert RetryTiming().wait_s(3, 2.0) <= 2
