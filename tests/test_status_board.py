"""The board: what it takes of a job's events, when a job is healthy, and what the page is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from bench.harness.environment import TOKEN
from recorder_fsm.errors import CallError, CaptureError
from recorder_fsm.machine.lifecycle import Event, Resource, State
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.status.board import SHOWN_EVENTS, STANDS_AFTER_S
from recorder_fsm.status.page_facts import as_json, health_facts, page_facts
from tests.status_stage import ON_THE_WAY, shown

LOST = CaptureError(detail="the encoder was killed by SIGKILL", code="capture_ended")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the recording's clock; what is returned lets so many seconds pass on it."""
    now = [1000.0]
    monkeypatch.setattr("recorder_fsm.media.timeline.now_s", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


async def test_health_follows_the_job_to_its_failure() -> None:
    """It is fine on its way, and says the cause where it has failed."""
    async with shown() as stage:
        assert stage.board.health.ok
        stage.moves(Event.DISPLAY_READY)
        stage.moves(Event.STEP_FAILED, cause=CallError(detail="the page said no", code="join_refused"))
        facts = health_facts(stage.board)
        assert (facts["ok"], facts["state"], facts["code"]) == (False, "failed", "join_refused")
        assert facts["cause"] == "The recorder could not join the call."


async def test_job_that_fails_without_a_cause_is_not_healthy() -> None:
    """A stop before the recording is an end without an error, and a failure all the same."""
    async with shown() as stage:
        stage.moves(Event.STOP_REQUESTED)
        assert health_facts(stage.board)["code"] == "failed"


async def test_encoder_that_stands_is_not_healthy_until_it_is_replaced(later: Callable[[float], None]) -> None:
    """Ten seconds behind the clock count; a new encoder counts from its own begin, and a stopped one not at all."""
    async with shown() as stage:
        segment = stage.records()
        later(STANDS_AFTER_S - 1)
        assert stage.board.health.ok
        later(2)
        assert stage.board.health.code == "encoder_stands"
        stage.job.context.timeline.stopped(segment)
        assert stage.board.health.ok
        stage.captures()
        assert stage.board.health.ok
        assert stage.board.timeline.behind_s == 0


async def test_encoder_need_not_write_after_the_recording(later: Callable[[float], None]) -> None:
    """While the file is made and uploaded nobody writes frames, and that is right."""
    async with shown() as stage:
        stage.records()
        stage.moves(Event.CALL_ENDED)
        later(100)
        assert stage.board.health.ok


async def test_restarts_faults_and_gaps_are_counted(later: Callable[[float], None]) -> None:
    """A restart is counted for its resource, its cause by its code, and the gap by the clock between two captures."""
    async with shown() as stage:
        segment = stage.records()
        stage.moves(Event.CAPTURE_LOST, cause=LOST)
        stage.job.context.timeline.stopped(segment)
        later(2.5)
        stage.captures()
        assert stage.board.restarts == {Resource.CAPTURE: 1}
        assert stage.board.faults == {"capture_ended": 1}
        assert stage.board.gaps.count == 1
        assert stage.board.gaps.length_s == pytest.approx(
            2.5, abs=0.022
        )  # a segment begins at the end of audio's frame
        stage.job.context.report.gap("video", 3.0, 2.75)  # what the file has counts, once there is one
        assert stage.board.gaps.length_s == 2.75


async def test_overcome_fault_is_no_problem_and_another_one_is() -> None:
    """The page tells what went wrong, what became of the recording and what to do; not what a restart has mended."""
    async with shown() as stage:
        stage.records()
        stage.moves(Event.CAPTURE_LOST, cause=LOST)
        assert page_facts(stage.board)["problem"] is None
        stage.moves(Event.CALL_LOST, cause=CallError(detail="the network went away", code="call_lost"))
        problem = page_facts(stage.board)["problem"]
        assert problem["code"] == "call_lost"
        assert problem["detail"] == "the network went away"
        assert problem["then"] == "What was recorded until then is published."
        assert page_facts(stage.board)["ok"]
        stage.moves(Event.STEP_FAILED, cause=LOST)
        assert "recorder-fsm recover" in page_facts(stage.board)["problem"]["then"]


async def test_last_events_are_kept_with_their_causes() -> None:
    """So many and no more, the newest last, with what they restarted and who was told."""
    async with shown() as stage:
        stage.moves(*ON_THE_WAY)
        for _ in range(SHOWN_EVENTS):
            stage.moves(Event.AUDIO_LOST, cause=LOST)
        events = page_facts(stage.board)["events"]
        assert len(events) == SHOWN_EVENTS
        assert events[0]["restarts"] == ["audio"]
        assert events[-1]["cause"] == str(LOST)
        assert stage.board.taken[State.INIT, State.DISPLAY_UP] is None, "the path outlives the list"


async def test_time_in_states_adds_up() -> None:
    """Each state has its time, and all of them together are the life of the process."""
    async with shown() as stage:
        stage.moves(Event.DISPLAY_READY, Event.CALL_JOINED)
        before_s = stage.board.uptime_s
        spent = stage.board.time_in_states_s
        assert set(spent) == {State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED}
        assert before_s - 1e-6 <= sum(spent.values()) <= stage.board.uptime_s + 1e-6


async def test_facts_are_json_without_infinity_and_without_the_token() -> None:
    """Whatever a cause, a note or a name says, the token is in nothing that leaves us, and silence has a form."""
    keep_secret(TOKEN)
    async with shown(name=f"Call_{TOKEN}") as stage:
        stage.records().progress.level_dbfs = -math.inf
        stage.moves(Event.CALL_LOST, cause=CallError(detail=f"https://x.example/?token={TOKEN}", code=TOKEN))
        stage.job.context.report.note(f"the token is {TOKEN}")
        for facts in (page_facts(stage.board), health_facts(stage.board)):
            said = as_json(facts).decode()
            assert TOKEN not in said
            assert "\n" not in said
            json.loads(said, parse_constant=pytest.fail)
