"""What the steps share: the budgets of time, the name of the file, the announcement, what is discarded."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from recorder_fsm.machine.lifecycle import START_BUDGET_S
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.steps.context import GRACE_RESERVE_S
from tests.steps.job import NAME, NAMED, RECORDING_ID, StepJob


async def test_start_budget_counts_from_the_begin_of_the_process(job: StepJob, clock: list[float]) -> None:
    """One budget for all that comes before the recording: the plugin gives up at 60 s."""
    assert job.context.start_left_s() == pytest.approx(START_BUDGET_S)
    clock[0] += START_BUDGET_S - 1
    assert job.context.start_left_s() == pytest.approx(1)
    clock[0] += 2
    assert job.context.start_left_s() == pytest.approx(-1)


async def test_grace_has_no_end_without_a_stop_signal(job: StepJob, clock: list[float]) -> None:
    """Three hours of recording are nothing special."""
    clock[0] += 3 * 3600
    assert job.context.grace_left_s() == math.inf


async def test_grace_counts_from_the_first_stop_signal(tmp_path: Path, clock: list[float]) -> None:
    """With a reserve for leaving in order."""
    job = StepJob(tmp_path, STOP_GRACE_SECONDS="100")
    job.stop.request()
    assert job.context.grace_left_s() == pytest.approx(100 - GRACE_RESERVE_S)
    clock[0] += 80
    job.stop.request()
    assert job.context.grace_left_s() == pytest.approx(20 - GRACE_RESERVE_S)
    clock[0] += 20
    assert job.context.grace_left_s() < 0


async def test_file_has_the_name_of_the_call_or_the_id_of_the_recording(job: StepJob) -> None:
    """Until the name is known, or where it is one of a segment, the id."""
    assert job.context.final.name == f"{RECORDING_ID}.mp4"
    for name, expected in [(NAME, NAME), ("live", RECORDING_ID), ("live-17", RECORDING_ID), ("live-x", "live-x")]:
        job.context.name = name
        assert job.context.final == job.path / f"{expected}.mp4"


async def test_name_of_an_earlier_start_is_known_at_once(job: StepJob) -> None:
    """Nobody is asked for it again."""
    job.earlier(NAMED)
    assert job.context.name == NAME


async def test_announcement_is_noted_when_it_changes_and_only_then(job: StepJob) -> None:
    """Each try announces, and a hundred tries are two facts."""
    none, doubted, given = Notice
    for notice in (none, given, given, none, none, given, doubted, doubted, given):
        job.context.announce(notice)
        memory = job.journal.remembered()
        assert job.context.announced is memory.announced is (notice is not none)
        assert memory.doubted is (notice is doubted)
    noted = [fact["notice"] for fact in job.journal.facts() if fact["fact"] == "announced"]
    assert noted == ["given", "none", "given", "doubted", "given"]


async def test_recording_begins_with_the_first_try_that_may_be_heard(job: StepJob, recorded: list[float]) -> None:
    """Not with one that cannot have been, and not again with a later one; the next start knows it, too."""
    job.segment(ended=False)
    for notice, passes_s in ((Notice.GIVEN, 1.0), (Notice.NONE, 2.0), (Notice.GIVEN, 4.0), (Notice.DOUBTED, 8.0)):
        job.context.announce(notice)
        recorded[0] += passes_s
    job.context.announce(Notice.GIVEN)
    assert job.context.timeline.head_s == job.journal.remembered().head_s == 3.0
    assert job.context.timeline.elapsed_s == 12.0


async def test_discard_removes_what_this_process_captured_and_nothing_else(job: StepJob) -> None:
    """A file of an earlier start is not ours to throw away; one that is gone already is fine."""
    other = job.file("Call_Other.mp4")
    earlier = job.file("live-7.mp4")
    job.context.discard()
    assert job.recordings == ["Call_Other.mp4", "live-7.mp4"]
    segments = [job.segment(), job.segment()]
    segments[0].path.unlink()
    job.context.discard()
    assert not segments[1].path.exists()
    assert other.exists()
    assert earlier.exists()


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc/outside", "..", ".", "a\x00b", "-rf", "n" * 300, "live", "\ud800"]
)
async def test_name_in_a_journal_that_was_tampered_with_leads_nowhere_else(job: StepJob, name: str) -> None:
    """The finished file is one of the job's directory, whatever was written there."""
    job.earlier(("named", {"name": name.replace("\ud800", "?")}))
    path = job.path / "journal.jsonl"
    path.write_text(path.read_text().replace("?", r"\ud800"))
    final = job.context.final
    assert final.parent == job.path
    final.write_text("video")
    assert job.recordings == [final.name]
    assert final not in job.directory.segments()
