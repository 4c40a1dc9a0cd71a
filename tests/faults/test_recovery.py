"""Recovery: the next start of a job, and `recorder-fsm recover`, finish what an earlier start left."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.harness.recorder_process import orphans, recorder
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.pending import (
    FINISHED,
    NAME,
    Clip,
    delivered,
    kept,
    leave,
    nothing_runs,
    posted_once,
    recovering,
    restarted,
    standing,
    stands,
)
from tests.faults.scene import Row, published, recording

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
MIB = 2**20


def cut_in_half(folder: Path) -> None:
    journal = folder / "journal.jsonl"
    text = journal.read_text()
    journal.write_text(text + '{"at": "2026-01-02T03:')


def remove(folder: Path) -> None:
    (folder / "journal.jsonl").unlink()


def fill_with_rubbish(folder: Path) -> None:
    (folder / "journal.jsonl").write_bytes(bytes(range(256)) * 20 + b'\n[1]\n{"fact": 7}\nnull\n{"fact": "moved"}\n')


JOURNALS = {"cut in half": cut_in_half, "missing": remove, "rubbish": fill_with_rubbish}


@pytest.mark.parametrize("name", JOURNALS)
async def test_restart_needs_no_whole_journal(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """The segment is what counts; a journal that cannot be read costs nothing."""
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    JOURNALS[name](folder)
    async with restarted(row("S10", f"journal {name}"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "pending_found"


@pytest.mark.parametrize("name", JOURNALS)
async def test_restart_takes_a_finished_file_whatever_the_journal_says(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """A finished file without its segment is published under its own name."""
    folder = leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED, name=None)
    JOURNALS[name](folder)
    async with restarted(row("S10", f"finished file, no segment, journal {name}"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "pending_found"
    assert [file.name for file in standin.state.files.values()] == [f"{NAME}.mp4"]


async def test_restart_appends_to_log_and_journal(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """What the first start wrote down is still there after the second."""
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    (folder / "recorder.log").write_text("a line of the first start\n")
    before = (folder / "journal.jsonl").read_text()
    async with restarted(row("S10", "log and journal of the first start"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "pending_found"
    assert (folder / "recorder.log").read_text().startswith("a line of the first start\n")
    assert fault.run.journal.startswith(before)
    assert [report.status for report in standin.state.statuses] == []


async def test_half_rewritten_file_is_written_anew(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A copy that was never completed is not taken for the recording."""
    files = {"live.mp4": small_clip.live.read_bytes(), f"{NAME}.mp4.part": small_clip.bytes[:50_000]}
    leave(data, ids, standin.url, files)
    async with restarted(row("S10", "half of the rewritten file"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "pending_found"


async def test_empty_segment_is_no_recording(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """A job that was killed before its first fragment is recorded anew, as long as the plugin lets it."""
    made = row("S10", "segment of no bytes")
    leave(data, ids, standin.url, {"live.mp4": b""})
    async with restarted(made, standin, ids, data) as fault:
        await fault.run.recorded(3)
        standin.stop_recording(ids.recording_id)
        await fault.ends(0)
        published(standin, ids)
        made.noticed, made.published = "recorded anew", f"{fault.run.report['file']['duration_s']:.1f} s"


async def test_empty_segment_is_nothing_to_recover(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """`recover` records nothing, and has nothing to do here."""
    made = row("S10", "`recover` with a segment of no bytes")
    leave(data, ids, standin.url, {"live.mp4": b""})
    async with recovering(standin, ids, data, str(data)) as run:
        made.exit_code = await run.exit_code()
        assert made.exit_code == 0, run.text
        assert "nothing is left to recover" in run.text
    made.noticed, made.published = "nothing to do", "nothing"


async def test_capture_nobody_knew_of_is_not_published(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A start that was killed before `started` left nothing that anybody agreed to: it is recorded anew."""
    made = row("S10", "segment of a job that nobody knew of")
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    journal = folder / "journal.jsonl"
    journal.write_text("".join(line for line in journal.open() if '"announced"' not in line))
    async with restarted(made, standin, ids, data) as fault:
        await fault.run.recorded(3)
        standin.stop_recording(ids.recording_id)
        await fault.ends(0)
        assert published(standin, ids).stat().st_size != small_clip.final.stat().st_size
        made.noticed, made.published = "recorded anew", f"{fault.run.report['file']['duration_s']:.1f} s"


@pytest.mark.parametrize("command", ["start", "recover"])
async def test_directory_of_a_living_recorder_is_not_touched(
    standin: StandIn, data: Path, row: MakeRow, command: str
) -> None:
    """A second recorder of the same job does no harm: no post, no `failed`, no other file; the first goes on."""
    made = row("S10", f"a second process ({command}) while the first records")
    async with recording(made, standin, data, seconds=3) as first:
        ids = first.run.ids
        if command == "start":
            async with recorder(standin, ids, data) as second:
                made.exit_code = await second.exit_code()
                assert "already working" in second.text
        else:
            async with recovering(standin, ids, data, str(data)) as second:
                made.exit_code = await second.exit_code()
        assert made.exit_code == 1, second.text
        assert [report.status for report in standin.state.statuses] == ["started"]
        await first.run.recorded(6)
        standin.stop_recording(ids.recording_id)
        await first.ends(0)
        published(standin, ids)
        assert first.run.report["file"]["duration_s"] >= 5
        made.noticed, made.published = "directory_busy", f"{first.run.report['file']['duration_s']:.1f} s"


async def test_token_that_expired_keeps_the_file(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """With a token that is not taken any more the file stays; a new token publishes it."""
    made = row("U9", "token expired since; then `recover` with a new one")
    leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    async with restarted(made, standin, ids, data, AUTH_TOKEN="x" * 26) as fault:
        assert "access to Mattermost has ended" in await kept(fault)
        assert len(standin.requests("upload_create")) == 1
    async with recovering(standin, ids, data, str(data)) as run:
        assert await run.exit_code() == 0, run.text
    posted_once(standin, ids, small_clip)
    made.published = "kept, then all of it"


async def test_upload_continues_at_the_offset_of_the_server(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """A recorder killed in the middle of its upload: the next start sends only what the server has not."""
    made = row("U5", "recorder killed in the middle of a part, started again")
    standing(standin)
    leave(data, ids, standin.url, {f"{NAME}.mp4": large_clip.bytes}, *FINISHED)
    async with restarted(Row("", ""), standin, ids, data) as fault:
        await stands(standin)
        fault.run.process.kill()
        await fault.run.process.wait()
    standin.set_faults()
    await standin.wait_for(lambda: not any(one.busy for one in standin.state.sessions.values()), 20)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, large_clip)
        made.noticed = "pending_found"
    (session,) = standin.state.sessions.values()
    assert session.bytes_received == large_clip.final.stat().st_size


async def test_uploaded_but_not_saved_is_saved_once(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A recorder killed between upload and post: one post, and no second upload."""
    made = row("U8", "killed after the upload, before the post; started again")
    standin.set_faults({"route": "save", "kind": "hang"})
    leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED)
    async with restarted(Row("", ""), standin, ids, data) as fault:
        await standin.wait_for(lambda: standin.requests("save"), 20)
        fault.run.process.kill()
        await fault.run.process.wait()
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        made.noticed = "pending_found"
    assert len(standin.requests("upload_create")) == 1


async def test_saved_but_not_known_is_not_saved_twice(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A recorder killed before it heard that its post exists: the next start looks, and makes no second one."""
    made = row("U8", "killed after the post, before its reply; started again")
    standin.set_faults({"route": "save", "kind": "drop_reply"}, {"route": "thread", "kind": "hang", "skip": 1})
    leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED)
    async with restarted(Row("", ""), standin, ids, data) as fault:
        await standin.wait_for(lambda: len(standin.requests("thread")) == 2, 20)
        assert len(standin.state.posts) == 1
        fault.run.process.kill()
        await fault.run.process.wait()
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        assert "had published the recording already" in fault.run.text
        made.noticed = "pending_found"
    assert len(standin.requests("upload_create")) == 1


async def test_saved_recording_is_only_removed(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A file that was published and not yet removed is removed, without a request that changes anything."""
    made = row("S10", "killed after publishing, before removing the file")
    done = [{"fact": "upload_session", "id": "s" * 26}, {"fact": "uploaded", "file_id": "f" * 26}, {"fact": "saved"}]
    leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED, *done)
    async with restarted(made, standin, ids, data) as fault:
        await fault.ends(0)
        assert list(fault.run.job_dir.glob("*.mp4*")) == []
    assert [entry for entry in standin.state.log if entry.method == "POST"] == []
    made.noticed, made.published = "pending_published", "before"


async def test_odd_file_name_is_recovered(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A name with blanks, quotes, a percent sign and an emoji is no trouble."""
    name = "Größe %20 'x' \"y\" $(touch z) 🎥 -rf"
    leave(data, ids, standin.url, {f"{name}.mp4": small_clip.bytes}, *FINISHED, name=name)
    async with restarted(row("S10", "a file name of odd characters"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "pending_found"
    assert [file.name for file in standin.state.files.values()] == [f"{name}.mp4"]


async def test_recover_says_what_it_did_for_each(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """One that cannot be published does not keep another from it; both are said, and the code is 1."""
    made = row("S10", "`recover`: two pending recordings, one of rubbish")
    other = standin.create_call()
    leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    leave(data, other, standin.url, {"live.mp4": b"rubbish" * 1000})
    (data / "lost+found").mkdir()
    async with recovering(standin, ids, data) as run:  # DATA_DIR names the directory
        made.exit_code = await run.exit_code()
        assert made.exit_code == 1, run.text
        said = {line["message"].split(":")[0]: line["message"] for line in run.lines if line["level"] == "RAW"}
    assert "published" in said[ids.recording_id]
    assert "kept" in said[other.recording_id]
    posted_once(standin, ids, small_clip)
    assert (data / other.recording_id / "live.mp4").exists()
    assert [report.status for report in standin.state.statuses] == []
    made.noticed, made.published, made.left = "said for each", "one of two", int(not nothing_runs(data))
    assert made.left == 0


@pytest.mark.parametrize("missing", ["AUTH_TOKEN", "CALL_ID"])
async def test_recover_says_what_it_lacks(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, missing: str
) -> None:
    """What neither the environment nor the journal says is named; the file stays."""
    made = row("S10", f"`recover` without {missing}")
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    if missing == "CALL_ID":
        remove(folder)
    emptied: dict[str, Any] = {"AUTH_TOKEN": ""} if missing == "AUTH_TOKEN" else {}
    async with recovering(standin, ids, data, str(data), **emptied) as run:
        made.exit_code = await run.exit_code()
        assert made.exit_code == 1, run.text
        assert missing in run.text
    assert (folder / "live.mp4").exists()
    made.noticed, made.published = "said", "kept"


async def test_recover_without_anything_says_so(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """No pending recording is no fault; a person reads how much was looked at before they delete the volume."""
    made = row("S10", "`recover` with nothing there")
    (data / "lost+found").mkdir(mode=0o000)
    (data / ("a" * 26)).mkdir()
    async with recovering(standin, ids, data, str(data)) as run:
        made.exit_code = await run.exit_code()
        assert made.exit_code == 0, run.text
        assert "2 directories were looked at, nothing is left to recover" in run.text
    made.noticed, made.published = "nothing to do", "nothing"


@pytest.mark.parametrize("place", ["nowhere", "file"])
async def test_recover_of_no_directory_is_a_fault(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, place: str
) -> None:
    """A wrong path must not read like an empty volume."""
    made = row("S10", f"`recover` of a path that is {'a file' if place == 'file' else 'not there'}")
    (data / "file").write_text("")
    async with recovering(standin, ids, data, DATA_DIR=str(data / place)) as run:
        made.exit_code = await run.exit_code()
        assert made.exit_code == 1, run.text
        assert f"{data / place}: {'Not a directory' if place == 'file' else 'No such file or directory'}" in run.text
        assert "nothing is left" not in run.text
    made.noticed, made.published = "said", "nothing"


# --- what belongs to somebody else ------------------------------------------------------------------------------------

OTHER = 65534
"""Whoever runs the recorder here: neither root nor the owner of what was left."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A volume that everybody may look into, and nobody but root may write."""
    with tempfile.TemporaryDirectory(prefix="volume-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


def of_root(folder: Path, mode: int, **files: int) -> Path:
    """Give the directory and its files those permissions, by name without extension (all others 0644)."""
    for file in folder.iterdir():
        file.chmod(files.get(file.stem, 0o644))
    folder.chmod(mode)
    return folder


UNREADABLE = {"the volume": 0o755, "the directory": 0o700, "names alone": 0o744, "the recording": 0o755}


@needs_root
@pytest.mark.parametrize("what", UNREADABLE)
async def test_recover_says_what_it_may_not_read(
    standin: StandIn, ids: CallIds, shared: Path, row: MakeRow, small_clip: Clip, what: str
) -> None:
    """What belongs to another user is not taken for nothing: it is named with its cure, and the code is 1."""
    made = row("S10", f"`recover` may not read {what}")
    folder = leave(shared, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    of_root(folder, UNREADABLE[what], live=0o600 if what == "the recording" else 0o644)
    if what == "the volume":
        shared.chmod(0o700)
    async with recovering(standin, ids, shared, user=OTHER, HOME="/") as run:
        made.exit_code = await run.exit_code()
    assert made.exit_code == 1, run.text
    assert "belongs to user 0" in run.text
    assert f"chown -R {OTHER}" in run.text
    assert "nothing is left" not in run.text
    assert (folder / "live.mp4").exists()
    assert standin.state.posts == []
    made.noticed, made.published = "said", "kept"


@needs_root
@pytest.mark.parametrize("foreign", ["recorder", "journal", "report"])
async def test_foreign_file_keeps_no_recording_from_being_published(
    standin: StandIn, ids: CallIds, shared: Path, row: MakeRow, small_clip: Clip, foreign: str
) -> None:
    """A log, journal or report of another user in a directory of our own: the recording counts."""
    made = row("S10", f"the {'log' if foreign == 'recorder' else foreign} belongs to another user")
    folder = leave(shared, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    for name in ("recorder.log", "report.json"):
        (folder / name).write_text("")
    of_root(folder, 0o755, **{foreign: 0o600})
    for path in (folder, folder / "live.mp4"):
        os.chown(path, OTHER, OTHER)
    async with restarted(made, standin, ids, shared, user=OTHER, HOME="/") as fault:
        made.exit_code = await fault.run.exit_code()
        assert made.exit_code == 0, fault.run.text
        posted_once(standin, ids, small_clip)
        assert list(folder.glob("*.mp4*")) == []
    made.noticed, made.published, made.left = "pending_found", "all of it, once", int(not nothing_runs(shared))
    assert made.left == 0


@needs_root
@pytest.mark.parametrize("files", ["a segment", "two segments", "a finished file"])
async def test_recording_in_a_directory_that_cannot_be_written_is_published_once(
    standin: StandIn, ids: CallIds, shared: Path, row: MakeRow, small_clip: Clip, files: str
) -> None:
    """It cannot be removed or noted there: that is said, and a second look finds the post."""
    made = row("S10", f"`recover`, twice, of {files} in a directory that cannot be written")
    live = small_clip.live.read_bytes()
    left = {
        "a segment": {"live.mp4": live},
        "two segments": {"live.mp4": live, "live-2.mp4": live},
        "a finished file": {f"{NAME}.mp4": small_clip.bytes},
    }[files]
    folder = of_root(leave(shared, ids, standin.url, left), 0o755)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for _ in range(2):
        async with recovering(standin, ids, shared, user=OTHER, HOME="/") as run:
            made.exit_code = await run.exit_code()
            assert made.exit_code == 0, run.text
            assert "could not be removed" in run.text
    path = published(standin, ids)
    if files != "two segments":
        assert path.read_bytes() == small_clip.bytes
    assert [file.name for file in standin.state.files.values()][-1] == f"{NAME}.mp4"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    made.noticed, made.published, made.left = "said", "all of it, once", int(not nothing_runs(shared))
    assert made.left == 0


@needs_root
async def test_directory_that_is_taken_away_keeps_its_recording(standin: StandIn, shared: Path, row: MakeRow) -> None:
    """An operator closes the volume while it is recorded on: what cannot be looked at counts as kept."""
    made = row("S10", "the volume is closed to the recorder while it records; then opened, and `recover`")
    ids = standin.create_call(scene={"mode": "pattern"})
    shared.chmod(0o777)
    async with recorder(standin, ids, shared, user=OTHER, HOME=str(shared), DEV_MODE="false") as run:
        await run.recorded(4)
        runtime = run.runtime
        shared.chmod(0o700)
        run.signal(signal.SIGTERM)
        made.exit_code = await run.exit_code()
        assert made.exit_code == 1, run.text
    assert standin.state.posts == []
    shared.chmod(0o755)
    async with recovering(standin, ids, shared, user=OTHER, HOME=str(shared)) as again:
        assert await again.exit_code() == 0, again.text
    published(standin, ids)
    made.noticed, made.published, made.left = "said", "kept, then all of it", len(orphans(runtime))
    assert made.left == 0


@needs_root
async def test_directory_that_cannot_be_written_holds_no_new_recording(
    standin: StandIn, ids: CallIds, shared: Path, row: MakeRow
) -> None:
    """With nothing to publish there, the job does not begin: the call is told, and the code is 1."""
    made = row("S10", "a directory of another user, with nothing in it")
    folder = shared / ids.recording_id
    folder.mkdir(mode=0o755)
    async with restarted(made, standin, ids, shared, user=OTHER, HOME="/") as fault:
        made.exit_code = await fault.run.exit_code()
        assert made.exit_code == 1, fault.run.text
        assert "data directory" in fault.told()
        fault.nothing_published()
    made.noticed, made.left = "directory", int(not nothing_runs(shared))
    assert made.left == 0


async def test_journal_of_a_real_job_is_as_these_tests_have_it(standin: StandIn, data: Path) -> None:
    """What a real recorder writes down has every fact and key that the prepared ones have."""
    async with recording(Row("", ""), standin, data, seconds=2) as fault:
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        real = keys(fault.run.journal)
    other = standin.create_call()
    session = {"fact": "upload_session", "id": "", "file_id": ""}
    done = [session, {"fact": "uploaded", "file_id": ""}, {"fact": "saved"}]
    ours = keys((leave(data, other, standin.url, {}, *FINISHED, *done) / "journal.jsonl").read_text())
    assert {fact: real[fact] for fact in ours} == ours


def keys(journal: str) -> dict[str, set[str]]:
    facts = [json.loads(line) for line in journal.splitlines()]
    return {fact["fact"]: set(fact) for fact in facts}
