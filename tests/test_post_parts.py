"""A recording above MaxFileSize, posted in parts: what the server has, in which order, and what a restart adds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import launched
from recorder_fsm.errors import MattermostError, RecordingError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.media.movie import read_movie
from recorder_fsm.media.split import cut, plan
from recorder_fsm.standin import CallIds, StandIn
from tests.faults.pending import FINISHED, leave
from tests.post_job import NAME, PostJob, core, names, poster, posts_with_files
from tests.test_join import look
from tests.test_split import FRAMES, recording, samples

THREE = [f"{NAME} (part {number} of 3).mp4" for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def movie() -> Iterator[Path]:
    """A finished recording of the pattern."""
    with tempfile.TemporaryDirectory() as folder:
        yield recording(Path(folder)).path


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with StandIn(data_dir=tmp_path / "server", knobs={"five_mib_rule": False}) as server:
        yield server


@pytest.fixture
def mine(standin: StandIn, ids: CallIds) -> CallIds:
    return poster(standin, ids)


@pytest.fixture
def third(standin: StandIn, movie: Path) -> int:
    """A MaxFileSize that makes three parts."""
    standin.state.knobs.max_file_size = movie.stat().st_size * 45 // 100
    return standin.state.knobs.max_file_size


def arrived(standin: StandIn) -> list[bytes]:
    """Return the hashes of the files in the channel, in the order of their posts."""
    return [hashlib.sha256(stored.path.read_bytes()).digest() for _, stored in posts_with_files(standin)]


def expected(movie: Path, limit: int, folder: Path) -> list[bytes]:
    """Return the hashes of the parts that a recording must be cut into."""
    whole, hashes = read_movie(movie), []
    for part in plan(whole, limit):
        cut(whole, part.first, part.end, folder / "expected")
        hashes.append(hashlib.sha256((folder / "expected").read_bytes()).digest())
    return hashes


async def test_file_that_fits_is_posted_as_it_is(standin: StandIn, mine: CallIds, data: Path, movie: Path) -> None:
    """Byte by byte, once, with a short text; then nothing of it is left here."""
    job = PostJob(standin, mine, data, movie)
    assert await job.publish() is Event.PUBLISHED
    ((post, stored),) = posts_with_files(standin)
    assert stored.path.read_bytes() == movie.read_bytes()
    assert stored.name == f"{NAME}.mp4"
    assert post.message == f"Recording `{NAME}`, 0:04 long."
    assert job.left == ["journal.jsonl"]
    assert job.journal.remembered().saved


async def test_file_above_the_limit_is_posted_in_parts_that_fit(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int
) -> None:
    """In order, each playing by itself; together every frame once, and nothing of them is left here."""
    job = PostJob(standin, mine, data, movie)
    assert await job.publish() is Event.PUBLISHED
    found = posts_with_files(standin)
    assert names(found) == THREE
    assert all(stored.size <= third for _, stored in found)
    assert [number for _, stored in found for _, number in look(stored.path).frames] == list(range(FRAMES))
    texts = [post.message.partition("part ")[2] for post, _ in found]
    assert texts[0].startswith("1 of 3: 0:00 to ")
    assert texts[2].endswith("to 0:04.")
    assert job.left == ["journal.jsonl"]
    published = report_of(job)["published"]
    assert [one["post_id"] for one in published["parts"]] == [post.id for post, _ in found]
    assert published["size_bytes"] == sum(stored.size for _, stored in found)


def report_of(job: PostJob) -> dict[str, Any]:
    job.report.write(job.path / "report.json", exit_code=0, state="done", cause=None)
    report: dict[str, Any] = json.loads((job.path / "report.json").read_text())
    return report


FAILS: dict[str, dict[str, Any]] = {
    "before part 2 is uploaded": {"route": "core_upload_create", "skip": 1, **core(403, "api.context.permissions")},
    "in the upload of part 2": {"route": "core_upload_data", "skip": 4, **core(400, "app.upload.other")},
    "before part 2 is posted": {"route": "create_post", "skip": 1, **core(403, "api.context.permissions")},
    "before part 3 is posted": {"route": "create_post", "skip": 2, **core(403, "api.context.permissions")},
}


@pytest.mark.parametrize("name", FAILS)
async def test_restart_posts_what_is_missing(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path, name: str
) -> None:
    """And nothing twice, wherever the start before it ended; meanwhile the recording itself is kept."""
    standin.set_faults({"kind": "status", "times": 0, **FAILS[name]})
    first = PostJob(standin, mine, data, movie)
    with pytest.raises(MattermostError):
        await first.publish()
    assert first.file.read_bytes() == movie.read_bytes()
    assert "upload.part" not in first.left
    standin.set_faults()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)


async def test_restart_without_its_journal_finds_its_posts(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path
) -> None:
    """The posts say which frames they hold."""
    standin.set_faults({"kind": "status", "times": 0, **FAILS["before part 3 is posted"]})
    first = PostJob(standin, mine, data, movie)
    with pytest.raises(MattermostError):
        await first.publish()
    first.journal._path.unlink()
    standin.set_faults()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)
    first.journal._path.unlink()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    assert len(posts_with_files(standin)) == 3


async def test_limit_that_is_lowered_meanwhile_leaves_what_is_posted(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int
) -> None:
    """The rest becomes smaller parts, also where the limit was not known at first; each frame is there once."""
    standin.set_faults({"kind": "status", "times": 0, **FAILS["before part 2 is posted"]})
    with pytest.raises(MattermostError):
        await PostJob(standin, mine, data, movie).publish()
    standin.state.knobs.max_file_size = third * 2 // 3
    standin.set_faults()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    found = posts_with_files(standin)
    assert len(found) > 3
    assert all(stored.size <= third * 2 // 3 for _, stored in found[1:])
    whole = samples(read_movie(movie), "video")
    assert [frame for _, stored in found for frame in samples(read_movie(stored.path), "video")] == whole


async def test_limit_that_cannot_be_read_is_learned_from_the_refusal(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path
) -> None:
    """The first look at the settings failed; the file was refused; the second look tells."""
    standin.set_faults({"route": "config", "kind": "status", "times": 2, "status": 404})
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)


async def test_limit_that_is_told_to_nobody_is_named(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int
) -> None:
    """An administrator reads which setting it is, and the recording is kept."""
    standin.set_faults({"route": "config", "kind": "status", "times": 0, "status": 404})
    job = PostJob(standin, mine, data, movie)
    with pytest.raises(MattermostError, match="kept") as caught:
        await job.publish()
    assert (caught.value.code, "MaxFileSize" in caught.value.detail) == ("file_too_large", True)
    assert job.file.exists()


async def test_limit_below_one_key_frame_distance_is_a_clear_error(
    standin: StandIn, mine: CallIds, data: Path, movie: Path
) -> None:
    """It cannot be cut smaller; nothing is posted, all is kept."""
    standin.state.knobs.max_file_size = 3000
    job = PostJob(standin, mine, data, movie)
    with pytest.raises(RecordingError, match="cannot be cut into smaller parts; it is kept") as caught:
        await job.publish()
    assert "raise MaxFileSize above 3000 bytes" in caught.value.detail
    assert (posts_with_files(standin), job.file.exists()) == ([], True)


async def test_disk_without_room_for_a_part_is_said(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part at a time needs room, and not more."""
    job = PostJob(standin, mine, data, movie)
    monkeypatch.setattr(type(job.directory), "free_bytes", lambda _: third)
    with pytest.raises(RecordingError, match="no room to cut") as caught:
        await job.publish()
    assert caught.value.code == "no_room"


async def test_file_of_another_size_is_uploaded_anew_next_time(
    standin: StandIn, mine: CallIds, data: Path, movie: Path
) -> None:
    """What a plugin of the server has changed is not called success."""
    wrong = {"body": '{"id": "x", "size": 1}', "status": 200, "content_type": "application/json"}
    standin.set_faults({"route": "file_info", "kind": "status", "times": 0, **wrong})
    with pytest.raises(RecordingError, match="not complete"):
        await PostJob(standin, mine, data, movie).publish()
    standin.set_faults()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    ((_, stored),) = posts_with_files(standin)
    assert stored.path.read_bytes() == movie.read_bytes()
    assert len(standin.state.sessions) == 2


DAMAGED: list[Any] = [
    {"parts": "nonsense"},
    {"parts": [[0, 15, 9, 0.0, 1.0], [30, 45, 9, 0.0, 1.0]]},
    {"parts": [[0, "a", 1, None, 1e999]]},
    {"parts": [[3, 120, 9, 0.0, 1.0]]},
]


@pytest.mark.parametrize("damage", DAMAGED)
async def test_damaged_plan_is_made_anew(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path, damage: Any
) -> None:
    """A journal may be damaged, or somebody's who means us harm."""
    job = PostJob(standin, mine, data, movie)
    job.journal.write("parts", **damage)
    assert await job.publish() is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)


async def test_plan_that_is_not_this_recording_s_is_forgotten(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path
) -> None:
    """Nothing that was not planned so is posted, and the next start plans anew."""
    job = PostJob(standin, mine, data, movie)
    job.journal.write("parts", parts=[[0, 7, 9, 0.0, 1.0], [7, 120, 9, 0.0, 1.0]])
    with pytest.raises(RecordingError):
        await job.publish()
    assert await PostJob(standin, mine, data, movie).publish() is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)


async def test_name_cannot_mention_anybody(standin: StandIn, mine: CallIds, data: Path, movie: Path) -> None:
    """A call may be named `@all`."""
    job = PostJob(standin, mine, data, movie)
    job.journal.write("named", name="`@all`")
    await job.publish()
    ((post, _),) = posts_with_files(standin)
    assert post.message == "Recording `'@all'`, 0:04 long."


KILLED = {
    "while part 2 is uploaded": {"route": "core_upload_data", "kind": "hang", "skip": 1},
    "while part 2 is posted": {"route": "create_post", "kind": "late_reply", "delay_s": 60, "skip": 1},
}


@pytest.mark.parametrize(("how", "name"), [("run", "while part 2 is posted"), ("recover", "while part 2 is uploaded")])
async def test_kill_between_parts_loses_and_doubles_nothing(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path, name: str, how: str
) -> None:
    """SIGKILL, then the same job again, or `recover` with the token alone: the journal knows mode and channel."""
    leave(data, mine, standin.url, {f"{NAME}.mp4": movie.read_bytes()}, *FINISHED, name=NAME)
    standin.set_faults(KILLED[name])
    page = {"PUBLISH": "post", "RECORD_URL": "https://example.com/"}
    async with launched(job_environment(standin.url, mine, data, **page), mine, data) as run:
        route = "core_upload_data" if "uploaded" in name else "create_post"
        await standin.wait_for(lambda: len(standin.requests(route)) == 2, limit_s=30)
        if "posted" in name:
            await standin.wait_for(lambda: len(posts_with_files(standin)) == 2, limit_s=30)
        run.signal(signal.SIGKILL)
        await run.exit_code()
    standin.set_faults()
    environment = job_environment(standin.url, mine, data, **(page if how == "run" else {}))
    if how == "recover":
        for variable in ("CALL_ID", "POST_ID", "RECORDING_ID"):
            del environment[variable]
    async with launched(environment, mine, data, arguments=("run",) if how == "run" else ("recover",)) as run:
        assert await run.exit_code() == 0, run.text
    assert arrived(standin) == expected(movie, third, tmp_path)
    assert names(posts_with_files(standin)) == THREE
    assert not [entry.path for entry in standin.requests() if "/plugins/" in entry.path]
    left = [path.name for path in (data / mine.recording_id).iterdir()]
    assert sorted(left) == ["recorder.log", "report.json"]


async def test_server_that_goes_away_in_the_middle_is_waited_for(
    standin: StandIn, mine: CallIds, data: Path, movie: Path, third: int, tmp_path: Path
) -> None:
    """All its connections are reset while it is away for a moment."""
    standin.set_faults({"route": "core_upload_data", "kind": "slow", "bytes_per_s": 400_000, "skip": 1})
    job = PostJob(standin, mine, data, movie)
    publishing = asyncio.create_task(job.publish())
    await standin.wait_for(lambda: len(standin.requests("core_upload_data")) == 2)
    standin.drop_network(0.3)
    assert await publishing is Event.PUBLISHED
    assert arrived(standin) == expected(movie, third, tmp_path)


async def test_offset_that_lies_is_not_believed(standin: StandIn, mine: CallIds, data: Path, movie: Path) -> None:
    """A replica tells an old offset after a cut: no byte is appended in the wrong place."""
    standin.set_faults(
        {"route": "core_upload_data", "kind": "cut_at", "at_byte": 100},
        {"route": "core_upload_get", "kind": "stale_offset"},
    )
    await PostJob(standin, mine, data, movie).publish()
    ((_, stored),) = posts_with_files(standin)
    assert stored.path.read_bytes() == movie.read_bytes()
