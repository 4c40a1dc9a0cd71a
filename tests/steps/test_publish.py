"""The step of `uploading`: upload, measure, post, remove; what an earlier start did of it; how long it tries."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.errors import AccessRefused, DirectoryError, RecordingError, ServerUnavailable
from recorder_fsm.machine.lifecycle import Event, State
from recorder_fsm.mattermost.posting import Evidence
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.steps.context import GRACE_RESERVE_S
from recorder_fsm.steps.publish import STALL_S
from recorder_fsm.system import clock as clock_module
from tests.steps.job import ANNOUNCED, NAME, NAMED, Fact, StepJob


async def finished(job: StepJob, *facts: Fact) -> None:
    """Bring a pending recording to its finished file."""
    job.earlier(NAMED, ANNOUNCED, *facts)
    job.file(f"{NAME}.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND
    assert await job.take(State.STOPPING) is Event.FILE_READY


async def test_recording_is_uploaded_measured_and_posted(job: StepJob) -> None:
    """In this order; then the file is removed, and journal and report say why."""
    job.bot.size = len("video")
    await finished(job)
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.bot.asked == ["posted None", f"upload {NAME}.mp4 video", "size file-1", "save file-1"]
    assert job.recordings == []
    assert job.context.kept is None
    memory = job.journal.remembered()
    assert (memory.session_id, memory.session_file_id) == ("session-1", "file-1")
    assert (memory.file_id, memory.saved) == ("file-1", True)
    assert job.report()["published"] == {"file_id": "file-1", "size_bytes": len("video")}


async def test_nothing_is_published_without_a_finished_file(job: StepJob) -> None:
    """A defect of ours must not become an empty post."""
    with pytest.raises(RecordingError):
        await job.take(State.UPLOADING)
    assert job.bot.asked == []


@pytest.mark.parametrize("looks", [1, 2])
async def test_recording_that_another_took_over_is_left_to_it(job: StepJob, looks: int) -> None:
    """Asked before anything is sent, and again before the post: nothing is posted, nothing removed."""
    await finished(job)

    async def taken() -> None:
        nonlocal looks
        looks -= 1
        if looks <= 0:
            raise DirectoryError(code="lease_lost")

    job.context.still_ours = taken
    with pytest.raises(DirectoryError):
        await job.take(State.UPLOADING)
    assert not any(asked.startswith("save") for asked in job.bot.asked)
    assert job.recordings == [f"{NAME}.mp4"]


@pytest.mark.parametrize("file_id", ["file-0", ""])
async def test_upload_that_was_begun_goes_on(job: StepJob, file_id: str) -> None:
    """With the upload session of the earlier start, and the id that its file will have."""
    details: dict[str, object] = {"id": "session-0", "file_id": file_id} if file_id else {"id": "session-0"}
    await finished(job, ("upload_session", details))
    await job.take(State.UPLOADING)
    assert job.bot.begun == Begun("session-0", file_id)


async def test_upload_that_was_complete_is_not_repeated(job: StepJob) -> None:
    """Only the post is missing."""
    await finished(job, ("uploaded", {"file_id": "file-0"}))
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.bot.asked == ["posted file-0", "size file-0", "save file-0"]


async def test_recording_that_was_posted_is_not_posted_twice(job: StepJob) -> None:
    """The earlier start died between the post and its note."""
    job.bot.evidence = Evidence(True, "file-0")
    await finished(job, ("uploaded", {"file_id": "file-0"}))
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.bot.asked == ["posted file-0"]
    assert job.journal.remembered().saved
    assert job.recordings == []


async def test_recording_that_was_posted_is_not_uploaded_where_the_journal_is_lost(job: StepJob) -> None:
    """The thread shows it, and its file is as large as ours."""
    job.bot.evidence, job.bot.size = Evidence(True, "file-0"), len("video")
    await finished(job)
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.bot.asked == ["posted None", "size file-0"]
    assert job.report()["published"]["file_id"] == "file-0"


async def test_file_that_is_not_the_posted_one_is_kept(job: StepJob) -> None:
    """A post with a file of another size is no reason to remove ours."""
    job.bot.evidence, job.bot.size = Evidence(True, "file-0"), 1
    await finished(job)
    with pytest.raises(RecordingError, match="not complete"):
        await job.take(State.UPLOADING)
    assert job.recordings == [f"{NAME}.mp4"]


async def test_post_that_nobody_can_tell_of_is_asked_for_once_more(job: StepJob) -> None:
    """The earlier start may have asked for it; the bot is told so."""
    job.bot.evidence = Evidence(None)
    await finished(job, ("uploaded", {"file_id": "file-0"}))
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.bot.asked == ["posted file-0", "size file-0", "save file-0 again"]


async def test_recording_of_this_process_is_not_looked_for(job: StepJob) -> None:
    """Nobody but this process can have asked for its post."""
    job.context.name = NAME
    job.segment()
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert not any(asked.startswith("posted") for asked in job.bot.asked)


async def test_file_of_another_size_is_not_posted_and_uploaded_anew_next_time(tmp_path: Path) -> None:
    """Not called success, not deleted, and not stuck for ever with the wrong upload."""
    first = StepJob(tmp_path)
    first.bot.size = 1
    await finished(first)
    with pytest.raises(RecordingError) as caught:
        await first.take(State.UPLOADING)
    assert caught.value.code == "size_differs"
    assert not any(asked.startswith("save") for asked in first.bot.asked)
    assert first.recordings == [f"{NAME}.mp4"]
    second = StepJob(tmp_path)
    assert second.journal.remembered().session_id is None
    await second.take(State.INIT)
    await second.take(State.STOPPING)
    assert await second.take(State.UPLOADING) is Event.PUBLISHED
    assert f"upload {NAME}.mp4 video" in second.bot.asked


async def test_size_that_cannot_be_read_is_no_reason_not_to_post(job: StepJob) -> None:
    """The upload itself was accepted."""
    job.bot.size = None
    await finished(job)
    assert await job.take(State.UPLOADING) is Event.PUBLISHED


async def test_failed_upload_keeps_the_file(job: StepJob) -> None:
    """For the next start."""
    job.bot.upload_error = AccessRefused(status=401)
    await finished(job)
    with pytest.raises(AccessRefused):
        await job.take(State.UPLOADING)
    assert job.context.kept == job.path / f"{NAME}.mp4"
    assert not job.journal.remembered().saved


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time for which the recorder ran, in seconds; what a test adds, it ran."""
    now = [1000.0]
    monkeypatch.setattr(clock_module, "now_s", lambda: now[0])
    monkeypatch.setattr(clock_module, "LATE_S", math.inf)
    return now


async def test_upload_does_not_count_a_time_in_which_the_recorder_stood_still(
    job: StepJob, ran: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of standstill is no hour without progress: the next failure is worth another try."""
    monkeypatch.setattr(clock_module, "LATE_S", 1.0)
    left: list[float] = []

    def upload(_: object) -> None:
        ran[0] += 3600
        left.append(job.bot.time_left())

    await finished(job)
    job.bot.uploading = upload
    await job.take(State.UPLOADING)
    assert left == [pytest.approx(STALL_S - 1)]


async def test_upload_of_a_long_recording_has_all_its_time(job: StepJob, ran: list[float]) -> None:
    """The hour before its begin was the recording, and no hour without progress."""
    await finished(job)
    assert job.context
    ran[0] += 3600
    left: list[float] = []
    job.bot.uploading = lambda _: left.append(job.bot.time_left())
    await job.take(State.UPLOADING)
    assert left == [pytest.approx(STALL_S)]


async def test_upload_gives_up_when_nothing_advances_and_not_while_it_does(job: StepJob, ran: list[float]) -> None:
    """Its time follows the progress, not the total."""
    left: list[float] = []

    def upload(on_progress: Callable[[int, int], None]) -> None:
        for _ in range(5):
            ran[0] += STALL_S - 1
            left.append(job.bot.time_left())
            on_progress(1, 2)
        ran[0] += STALL_S + 1
        left.append(job.bot.time_left())

    job.bot.uploading = upload
    job.bot.upload_error = ServerUnavailable()
    await finished(job)
    with pytest.raises(ServerUnavailable):
        await job.take(State.UPLOADING)
    assert left == pytest.approx([1, 1, 1, 1, 1, -1])


async def test_grace_after_a_stop_signal_bounds_the_upload(tmp_path: Path, clock: list[float]) -> None:
    """The launcher kills after STOP_GRACE_SECONDS, so it ends before, whatever advances."""
    job = StepJob(tmp_path, STOP_GRACE_SECONDS="100")
    await finished(job)
    left: list[float] = []

    def upload(on_progress: Callable[[int, int], None]) -> None:
        job.stop.request()
        for passed_s in (0, 80, 15):
            clock[0] += passed_s
            on_progress(1, 2)
            left.append(job.bot.time_left())

    job.bot.uploading = upload
    job.bot.upload_error = ServerUnavailable()
    with pytest.raises(ServerUnavailable):
        await job.take(State.UPLOADING)
    whole = 100 - GRACE_RESERVE_S
    assert left == pytest.approx([whole, whole - 80, whole - 95])
    assert left[-1] < 0
