"""The step of `recording`: who is told, what ends it, what it finds, and that it goes on after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from recorder_fsm.browser.shown_page import PageSigns
from recorder_fsm.errors import AccessRefused, CallError, DirectoryError, DisplayError, JobOver
from recorder_fsm.machine.lifecycle import Event, State
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.steps import plugin_watch, record
from recorder_fsm.steps.context import STOP_TAKES_S
from recorder_fsm.steps.quality import BLACK_AFTER_S, UNSEEN
from tests.fakes import for_ever
from tests.steps.job import Announce, StepJob, refused, started_at_once

LIMIT_S = 100


@pytest.fixture(autouse=True)
def _rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round takes no time of ours; `run_on` adds the second that it stands for."""
    monkeypatch.setattr(record, "CHECK_EVERY_S", 0)


@pytest.fixture
async def job(tmp_path: Path, recorded: list[float]) -> StepJob:
    """A job that records, has room, and ends after LIMIT_S seconds by the clock of the recording."""
    job = StepJob(tmp_path, MAX_DURATION_SECONDS=str(LIMIT_S))
    job.segment(ended=False)
    run_on(job, recorded)
    return job


def run_on(job: StepJob, recorded: list[float], *, free: int = 2**40, step_s: float = 1.0) -> list[float]:
    """Let each look at the disk take a second of the recording; returns the times of these looks."""
    looks: list[float] = []

    def free_bytes() -> int:
        looks.append(job.context.timeline.elapsed_s)
        recorded[0] += step_s
        return free

    job.directory.free_bytes = free_bytes  # type: ignore[method-assign]
    return looks


# --- started ------------------------------------------------------------------------------------------------------


async def test_started_is_announced_in_the_journal_before_it_may_leave(job: StepJob) -> None:
    """A process that is killed in the middle of the request leaves a recording that people may know of."""
    remembered = []

    async def starting(announce: Announce) -> None:
        announce(Notice.GIVEN)
        remembered.append(job.journal.remembered().announced)

    job.bot.starting = starting
    await job.take(State.RECORDING)
    assert remembered == [True]
    assert job.context.announced


async def test_started_and_its_lag_are_in_the_report(job: StepJob) -> None:
    """How long after the begin of the process, and of the file."""
    await job.take(State.RECORDING)
    report = job.report()
    assert report["started_after_s"] >= 0
    assert report["started_lag_s"] == 0.0


@pytest.mark.parametrize(
    ("heard", "event"),
    [(Notice.NONE, Event.JOB_REFUSED), (Notice.DOUBTED, Event.CALL_ENDED), (Notice.GIVEN, Event.CALL_ENDED)],
)
async def test_job_that_is_over_ends_the_recording(job: StepJob, heard: Notice, event: Event) -> None:
    """Refused where no try can have arrived, ended where people may have seen that they are recorded."""
    job.bot.starting = refused(JobOver(detail="no job ongoing"), heard=heard)
    happened = await job.happens(State.RECORDING)
    assert happened.event is event
    assert isinstance(happened.cause, JobOver)
    assert job.context.notice is heard
    assert job.journal.remembered().announced is (heard is not Notice.NONE)


async def test_refusal_that_cannot_heal_fails_the_step(job: StepJob) -> None:
    """An expired token is not the end of a job, and no success."""
    job.bot.starting = refused(AccessRefused(status=401))
    with pytest.raises(AccessRefused):
        await job.take(State.RECORDING)
    assert not job.context.announced


async def test_busy_server_does_not_cost_the_recording(job: StepJob) -> None:
    """`started` is tried beside the recording, which ends by itself; the try is given up then."""
    given_up = asyncio.Event()

    async def starting(announce: Announce) -> None:
        announce(Notice.GIVEN)
        try:
            await for_ever()
        finally:
            given_up.set()

    job.bot.starting = starting
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert given_up.is_set()
    assert "started_after_s" not in job.report()


@pytest.mark.parametrize(("said", "known"), [(Notice.DOUBTED, Notice.GIVEN), (Notice.NONE, Notice.NONE)])
async def test_page_is_a_witness_of_what_people_were_told(job: StepJob, said: Notice, known: Notice) -> None:
    """Whatever became of the replies; but a notice from before the first try is that of another recording."""

    async def starting(announce: Announce) -> None:
        announce(said)
        job.page.notice_given.set()
        await for_ever()

    job.bot.starting = starting
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert job.context.notice is known
    assert job.journal.remembered().doubted is False


async def test_restart_of_a_resource_does_not_report_started_twice(job: StepJob) -> None:
    """The step is run again, with `started` behind it."""
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert job.bot.asked == ["started"]


async def test_restart_of_a_resource_goes_on_reporting(job: StepJob) -> None:
    """Where the restart came before an answer."""

    async def hanging(announce: Announce) -> None:
        announce(Notice.GIVEN)
        await for_ever()

    job.bot.starting = hanging
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    job.bot.starting = started_at_once
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert job.bot.asked == ["started", "started"]
    assert "started_after_s" in job.report()


async def test_try_that_a_restart_interrupted_may_have_been_heard(job: StepJob, recorded: list[float]) -> None:
    """People may have seen its notice: the refusal of a later try is the end of a call, and what is captured stays."""

    async def hanging(announce: Announce) -> None:
        announce(Notice.GIVEN)
        await for_ever()

    job.bot.starting = hanging
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    job.bot.starting = refused(JobOver(detail="no job ongoing"))
    recorded[0] -= LIMIT_S  # not over yet
    assert await job.take(State.RECORDING) is Event.CALL_ENDED
    assert job.journal.remembered().announced


# --- what ends it -------------------------------------------------------------------------------------------------


async def test_own_limit_ends_the_recording(job: StepJob, recorded: list[float]) -> None:
    """MAX_DURATION_SECONDS counts what is recorded, and not a second less."""
    looks = run_on(job, recorded)
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert job.context.timeline.elapsed_s == LIMIT_S
    assert looks[-1] == LIMIT_S - 1


async def test_disk_that_fills_ends_the_recording_with_a_cause(job: StepJob, recorded: list[float]) -> None:
    """While there is room to finish: below MIN_FREE_BYTES."""
    run_on(job, recorded, free=job.context.settings.min_free_bytes - 1)
    happened = await job.happens(State.RECORDING)
    assert happened.event is Event.DISK_LOW
    assert isinstance(happened.cause, DirectoryError)
    assert happened.cause.code == "disk_full"
    assert str(job.context.settings.min_free_bytes) in happened.cause.detail


async def test_disk_with_just_enough_room_does_not(job: StepJob, recorded: list[float]) -> None:
    """MIN_FREE_BYTES is what must be free."""
    run_on(job, recorded, free=job.context.settings.min_free_bytes)
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED


@pytest.mark.parametrize(("missing", "event"), [(1, Event.DISK_LOW), (0, Event.LIMIT_REACHED)])
async def test_recording_of_a_high_rate_needs_more_room(
    job: StepJob, recorded: list[float], missing: int, event: Event
) -> None:
    """What is written while it stops must fit as well: STOP_TAKES_S seconds at the rate of this recording."""
    recorded[0] += LIMIT_S / 2
    rate = 10 * job.context.settings.min_free_bytes
    job.context.timeline.segments[0].progress.size_bytes = rate * LIMIT_S // 2
    run_on(job, recorded, free=int(rate * STOP_TAKES_S) - missing, step_s=LIMIT_S)
    assert await job.take(State.RECORDING) is event


# --- what it finds ------------------------------------------------------------------------------------------------


async def test_progress_is_logged_every_second_round(job: StepJob, log: list[str]) -> None:
    """With what all encoders together have written."""
    job.context.timeline.segments[0].progress.frames = 7
    await job.take(State.RECORDING)
    lines = [line for line in log if "DEBUG recorded" in line]
    assert len(lines) == LIMIT_S // record.PROGRESS_LOG_EVERY
    assert "7 frames" in lines[0]


async def test_black_video_is_noted_and_ends_nothing(job: StepJob, log: list[str]) -> None:
    """Once, when it has lasted, with its time, for whoever looks at the recording later; the page is black, too."""
    job.page.lit = False
    job.context.timeline.segments[0].progress.black = True
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    (note,) = job.report()["notes"]
    assert note.endswith("s: the video is black")
    assert BLACK_AFTER_S <= float(note.split()[1]) <= BLACK_AFTER_S + 2 * record.MONITOR_EVERY
    assert "WARNING the video is black" in log


async def test_picture_that_does_not_arrive_is_told_once_and_ends_nothing(job: StepJob) -> None:
    """The page draws, and the video is black: people are told, and the voices are recorded on."""
    job.context.timeline.segments[0].progress.black = True
    happened = await job.happens(State.RECORDING)
    assert happened.event is Event.PICTURE_LOST
    assert isinstance(happened.cause, DisplayError)
    assert happened.cause.code == "picture_black"
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    (note,) = job.report()["notes"]
    assert note.endswith(UNSEEN)
    assert job.bot.asked.count("started") == 1


async def test_black_segment_that_was_replaced_is_not_what_is_seen(job: StepJob) -> None:
    """Only the newest encoder says what the video shows now."""
    job.context.timeline.segments[0].progress.black = True
    job.segment(ended=False)
    await job.take(State.RECORDING)
    assert job.report()["notes"] == []


async def test_voices_that_are_not_recorded_are_noted(job: StepJob, recorded: list[float]) -> None:
    """The page receives them and the encoder hears nothing."""

    async def speaking() -> PageSigns:
        return PageSigns(recorded[0] * 0.01, 0, 0)

    job.page.signs = speaking  # type: ignore[method-assign]
    await job.take(State.RECORDING)
    (note,) = job.report()["notes"]
    assert note.endswith("the page receives voices, but the recording is silent")


# --- a plugin that has gone ---------------------------------------------------------------------------------------


async def test_plugin_that_is_gone_ends_the_recording_of_an_empty_room(
    job: StepJob, recorded: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is heard or seen, and its routes stay off."""
    monkeypatch.setattr(plugin_watch, "ASK_EVERY_S", 0)
    monkeypatch.setattr(plugin_watch, "GONE_AFTER_S", 0)
    job.bot.plugin_off = True
    happened = await job.happens(State.RECORDING)
    assert happened.event is Event.PLUGIN_GONE
    assert isinstance(happened.cause, CallError)
    assert happened.cause.code == "plugin_gone"


@pytest.mark.parametrize("signs", [None, "packets"])
async def test_plugin_is_not_asked_while_people_are_there_or_nothing_is_known(
    job: StepJob, recorded: list[float], monkeypatch: pytest.MonkeyPatch, signs: str | None
) -> None:
    """People who talk are recorded, whatever the plugin does."""
    monkeypatch.setattr(plugin_watch, "ASK_EVERY_S", 0)
    job.bot.plugin_off = True

    async def look() -> PageSigns | None:
        return PageSigns(0.0, int(recorded[0]), 0) if signs else None

    job.page.signs = look  # type: ignore[method-assign]
    assert await job.take(State.RECORDING) is Event.LIMIT_REACHED
    assert "plugin" not in job.bot.asked
