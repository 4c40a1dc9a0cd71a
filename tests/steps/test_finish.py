"""The step of `stopping`: it waits for each segment, makes one file of all, and keeps what is not fit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from recorder_fsm.errors import (
    AccessRefused,
    CallLost,
    DirectoryError,
    MattermostError,
    RecordingError,
    ServerUnavailable,
)
from recorder_fsm.machine.lifecycle import Change, Event, State, Transition
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.media.join import Gap, Span
from recorder_fsm.media.people import COARSE
from recorder_fsm.steps.finish import REWRITE_RESERVE_BYTES
from tests.steps.job import ANNOUNCED, NAME, NAMED, RECORDING_ID, StepJob


async def test_file_is_finished_when_the_capture_has_ended(job: StepJob, recorded: list[float]) -> None:
    """Not before; and it is compared with the clock of the recording."""
    await job.take(State.INIT)
    segment = job.segment(ended=False)
    finishing = asyncio.create_task(job.take(State.STOPPING))
    for _ in range(5):
        await asyncio.sleep(0)
    assert job.files.finalised == []
    recorded[0] += 5.0
    job.context.timeline.stopped(segment)
    segment.ended.set()
    assert await finishing is Event.FILE_READY
    assert job.recordings == [f"{NAME}.mp4"]
    assert job.files.expected == [5.0]
    assert job.journal.remembered().capture_s == 5.0


async def test_each_segment_is_waited_for_and_all_become_one_file(job: StepJob, recorded: list[float]) -> None:
    """In the order of recording; the segments are removed when the file is fit."""
    await job.take(State.INIT)
    segments = [job.segment(f"part {number}", ended=False) for number in (1, 2)]
    recorded[0] += 8.0
    finishing = asyncio.create_task(job.take(State.STOPPING))
    for segment in reversed(segments):
        for _ in range(5):
            await asyncio.sleep(0)
        assert job.files.finalised == []
        job.context.timeline.stopped(segment)
        segment.ended.set()
    assert await finishing is Event.FILE_READY
    assert job.files.finalised == [["live.mp4", "live-2.mp4"]]
    assert (job.path / f"{NAME}.mp4").read_text() == "final part 1 + part 2"
    assert job.recordings == [f"{NAME}.mp4"]


@pytest.mark.parametrize(("events", "first", "coarse"), [(6000, "", False), (4, COARSE, True)])
async def test_timeline_says_whether_events_were_given_up(
    tmp_path: Path, recorded: list[float], events: int, first: str, coarse: bool
) -> None:
    """Not of a call of many, but of one of which some are missing."""
    job = StepJob(tmp_path, TIMELINE="files")
    await job.take(State.INIT)
    kinds = ("voice_on", "voice_off")
    lines = [json.dumps([at / 8, kinds[at % 2], "a" * 26, "a" * 26]) for at in range(events)]
    job.directory.people.write_text(first + "\n".join(lines) + "\n")
    job.segment()
    recorded[0] += 5.0
    assert await job.take(State.STOPPING) is Event.FILE_READY
    timeline = json.loads(job.directory.timeline[0].read_text())
    assert len(timeline["spans"]) > 1
    assert timeline["coarse"] is coarse


async def test_report_adds_the_segments_up_and_names_the_gaps(job: StepJob, recorded: list[float]) -> None:
    """One recording for whoever reads it: frames and bytes of all encoders, the whole length, what is missing."""
    await job.take(State.INIT)
    for _ in range(2):
        recorded[0] += 3.0
        progress = job.segment().progress
        progress.frames, progress.size_bytes = 20, 1000
    job.files.gaps = (Gap("video", 3.0, 1.25),)
    job.files.problems = ("live.mp4 was cut short",)
    await job.take(State.STOPPING)
    report = job.report()
    assert (report["capture"]["frames"], report["capture"]["size_bytes"]) == (40, 2000)
    assert report["capture"]["clock_s"] == job.files.expected[0] == 3.0
    assert report["gaps"] == [{"what": "video", "at_s": 3.0, "length_s": 1.25}]
    assert report["file"]["duration_s"] == 2.0
    assert NAME not in json.dumps(report), "the report outlives the recording"
    assert report["notes"] == ["live.mp4 was cut short", "a defect"]


@pytest.mark.parametrize(
    ("quiet_s", "heard_until_s", "left_out_s"),
    [
        (15.0, 10, 14.0),
        (15.0, 20, 9.0),  # something was heard after the last that is known to have come
        (0.0, 10, 0.0),
        (3.9, 10, 0.0),
        (15.0, 30, 0.0),
        (900.0, 0, 29.0),
    ],
)
async def test_end_in_which_nothing_came_is_left_out(
    job: StepJob, recorded: list[float], quiet_s: float, heard_until_s: int, left_out_s: float
) -> None:
    """A second after the last that came stays; nothing that was heard is cut, and a restart would cut the same."""
    job.context.announce(Notice.GIVEN)
    segment = job.segment(ended=False)
    recorded[0] += 30.0
    segment.progress.heard_until_s = heard_until_s
    job.context.timeline.stopped(segment)
    segment.ended.set()
    lost = Transition(Event.CALL_LOST, State.RECORDING, State.STOPPING)
    job.context.changed(Change(lost, CallLost(detail="rtc peer close", quiet_s=quiet_s)))
    await job.take(State.STOPPING)
    assert job.files.spans == [Span(0.0, 30.0 - left_out_s)]
    assert job.files.expected == [30.0 - left_out_s]
    assert job.journal.remembered().capture_s == 30.0 - left_out_s
    notes = [note for note in job.report()["notes"] if "left out" in note]
    assert notes == (
        [f"the last {left_out_s:.1f} s are left out: the call was lost, and nothing came"] * bool(left_out_s)
    )


async def test_segments_of_a_killed_start_become_one_file(job: StepJob) -> None:
    """Sorted by their numbers, and compared with what the journal says of the capture."""
    job.earlier(NAMED, ANNOUNCED, ("capture_ended", {"seconds": 61.5}))
    for number in (10, 2, 1):
        job.directory.segment(number).write_text(str(number))
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.files.finalised == [["live.mp4", "live-2.mp4", "live-10.mp4"]]
    assert job.files.expected == [61.5]


@pytest.mark.parametrize("how", ["copy fails", "copy is unfit"])
async def test_only_segment_is_used_where_the_copy_is_not_fit(job: StepJob, how: str) -> None:
    """Under the recording's own name."""
    job.earlier(NAMED, ANNOUNCED)
    text = "half" if how == "copy is unfit" else "video"
    job.file("live.mp4", text)
    job.files.copies = how == "copy is unfit"
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.recordings == [f"{NAME}.mp4"]
    assert (job.path / f"{NAME}.mp4").read_text() == text


async def test_file_begins_where_people_could_know_of_it(job: StepJob, recorded: list[float]) -> None:
    """What was captured before `started` left is not in it, and the clock does not count it."""
    await job.take(State.INIT)
    segment = job.segment(ended=False)
    recorded[0] += 0.75
    job.context.announce(Notice.GIVEN)
    recorded[0] += 5.0
    job.context.timeline.stopped(segment)
    segment.ended.set()
    await job.take(State.STOPPING)
    assert job.files.spans == [Span(0.75, 5.75)]
    assert job.files.expected == [5.0]
    assert job.report()["capture"]["clock_s"] == 5.0


@pytest.mark.parametrize("ended", [True, False])
async def test_next_start_knows_where_the_file_begins(job: StepJob, ended: bool) -> None:
    """From the journal, whether the earlier process was killed while it captured or later."""
    job.earlier(NAMED, ("announced", {"notice": "given", "head_s": 0.5}))
    if ended:
        job.journal.write("capture_ended", seconds=61.5, head_s=0.625)
    job.file("live.mp4")
    await job.take(State.INIT)
    await job.take(State.STOPPING)
    assert job.files.spans == [Span(0.625, 62.125) if ended else Span(0.5, None)]


async def test_rewriting_takes_no_room_that_others_need(job: StepJob) -> None:
    """The only segment is published as it is, and the report says why."""
    job.earlier(NAMED, ANNOUNCED)
    size = job.file("live.mp4").stat().st_size
    job.directory.free_bytes = lambda: size + job.context.settings.min_free_bytes + REWRITE_RESERVE_BYTES - 1  # type: ignore[method-assign]
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.files.finalised == []
    assert job.recordings == [f"{NAME}.mp4"]
    assert any("as it was captured" in note and "bytes are free" in note for note in job.report()["notes"])


async def test_segments_that_cannot_be_joined_for_lack_of_room_are_kept(job: StepJob) -> None:
    """With numbers, so that a person can make room and start the job again."""
    job.earlier(NAMED, ANNOUNCED)
    for name in ("live.mp4", "live-2.mp4"):
        job.file(name)
    job.directory.free_bytes = lambda: 2**20  # type: ignore[method-assign]
    await job.take(State.INIT)
    with pytest.raises(RecordingError, match="1048576 bytes are free") as caught:
        await job.take(State.STOPPING)
    assert caught.value.code == "no_room"
    assert job.recordings == ["live-2.mp4", "live.mp4"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_recording_that_nobody_was_told_of_is_kept_and_not_published(
    job: StepJob, recorded: list[float], restarted: bool
) -> None:
    """Whether the process that recorded it goes on, or the next one finds it: a whole file, and its cause."""
    if restarted:
        job.earlier(NAMED, ("announced", {"notice": "doubted", "head_s": 0.0}))
        job.file("live.mp4")
    await job.take(State.INIT)
    if not restarted:
        job.segment()
        job.context.announce(Notice.GIVEN)
        job.context.announce(Notice.DOUBTED)
    happened = await job.happens(State.STOPPING)
    assert happened.event is Event.NOBODY_TOLD
    assert isinstance(happened.cause, RecordingError)
    assert "recover" in happened.cause.detail
    assert job.recordings == [f"{NAME}.mp4"]


async def test_person_may_publish_what_nobody_was_told_of(tmp_path: Path) -> None:
    """`recover` is their word."""
    job = StepJob(tmp_path, recover_only=True)
    job.earlier(NAMED, ("announced", {"notice": "doubted", "head_s": 0.0}))
    job.file("live.mp4")
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY


async def test_finishing_leaves_time_to_publish(job: StepJob, clock: list[float]) -> None:
    """A launcher's grace is for both."""
    job.earlier(NAMED, ANNOUNCED)
    job.file("live.mp4")
    await job.take(State.INIT)
    job.stop.requested_at = clock[0] - 100
    await job.take(State.STOPPING)
    assert job.files.times_left == [job.context.grace_left_s()]


async def test_segments_stay_where_the_file_could_not_be_checked(job: StepJob) -> None:
    """Until it is published; the next start would make it anew."""
    job.earlier(NAMED, ANNOUNCED)
    job.file("live.mp4")
    job.files.whole = False
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.recordings == [f"{NAME}.mp4", "live.mp4"]
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert job.recordings == []


@pytest.mark.parametrize("names", [("live.mp4",), ("live.mp4", "live-2.mp4")])
async def test_unfit_recording_stays_on_the_volume(job: StepJob, names: tuple[str, ...]) -> None:
    """Not published, not deleted: a person may still save something of it."""
    job.earlier(NAMED, ANNOUNCED)
    for name in names:
        job.file(name, "bad")
    job.files.copies = False
    await job.take(State.INIT)
    with pytest.raises(RecordingError):
        await job.take(State.STOPPING)
    assert job.recordings == sorted(names)
    assert job.context.kept == job.path / "live.mp4"


async def test_finished_pending_recording_is_not_written_again(job: StepJob) -> None:
    """It is checked and published as it is."""
    job.earlier(NAMED, ANNOUNCED)
    job.file(f"{NAME}.mp4", "finished")
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.files.finalised == []
    assert (job.path / f"{NAME}.mp4").read_text() == "finished"


async def test_recording_without_a_byte_is_an_error(job: StepJob) -> None:
    """A capture that was lost before its first fragment leaves nothing to finish."""
    await job.take(State.INIT)
    job.segment("")
    with pytest.raises(RecordingError):
        await job.take(State.STOPPING)


@pytest.mark.parametrize("error", [ServerUnavailable(), AccessRefused(status=401)])
async def test_pending_recording_without_a_name_keeps_its_id(job: StepJob, error: MattermostError) -> None:
    """A server that does not answer is no reason not to finish the file."""
    job.file("live.mp4")
    job.bot.name = error
    await job.take(State.INIT)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.recordings == [f"{RECORDING_ID}.mp4"]


@pytest.mark.parametrize("name", ["live", "live-2"])
async def test_call_named_as_a_segment_is_not_written_over_itself(job: StepJob, name: str) -> None:
    """The name comes from a server; one that is a segment's would cost the recording."""
    job.bot.name = name
    await job.take(State.INIT)
    for text in ("one", "two"):
        job.segment(text)
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert job.recordings == [f"{RECORDING_ID}.mp4"]
    assert (job.path / f"{RECORDING_ID}.mp4").read_text() == "final one + two"


async def test_file_that_is_ready_is_in_the_journal(job: StepJob, tmp_path: Path) -> None:
    """With its size, for whoever looks at the volume later."""
    await job.take(State.INIT)
    job.segment()
    await job.take(State.STOPPING)
    (fact,) = [fact for fact in job.journal.facts() if fact["fact"] == "file_ready"]
    assert (fact["file"], fact["bytes"]) == (f"{NAME}.mp4", len("final video"))


async def test_segments_that_another_took_over_are_left_to_it(job: StepJob) -> None:
    """Nothing is made of them and none is removed: the other one does that."""
    job.segment()

    async def taken() -> None:
        raise DirectoryError(code="lease_lost")

    job.context.still_ours = taken
    with pytest.raises(DirectoryError):
        await job.take(State.STOPPING)
    assert (job.recordings, job.files.finalised) == (["live.mp4"], [])
