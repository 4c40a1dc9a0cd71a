"""The loop, on fakes: every way through the table, and everything given back on each of them."""

from __future__ import annotations

import asyncio

import pytest

from recorder_fsm.errors import (
    BrowserError,
    CallError,
    CaptureError,
    DeadlineError,
    DisplayError,
    JobOver,
    RecorderError,
    ServerUnavailable,
)
from recorder_fsm.machine import resources as resources_module
from recorder_fsm.machine import runner as job_module
from recorder_fsm.machine.lifecycle import TRANSITIONS, Event, Resource, Row, State
from recorder_fsm.machine.resources import ResourceStack
from recorder_fsm.machine.runner import KEPT, TOLD, told_in_call
from tests.fakes import FakeJob, entered, for_ever, left, raising, setting, waiting
from tests.test_lifecycle import EXPECTED

ALL = ["display", "sound", "driver", "browser", "capture"]
WORKING = [State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED, State.RECORDING, State.STOPPING, State.UPLOADING]
BEFORE_RECORDING = WORKING[:3]
FROM_OUTSIDE = [
    Event.STOP_REQUESTED,
    Event.CALL_ENDED,
    Event.CALL_LOST,
    Event.JOB_REFUSED,
    Event.CAPTURE_LOST,
    Event.BROWSER_LOST,
    Event.DISPLAY_LOST,
    Event.AUDIO_LOST,
    Event.DISK_LOW,
    Event.LIMIT_REACHED,
]
SECRET = "do-not-tell-this"


def in_state(state: State) -> str:
    return state.value


@pytest.fixture
async def fake() -> FakeJob:
    return FakeJob()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loop's own limits pass at once."""
    monkeypatch.setattr(job_module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(job_module, "CANCEL_LIMIT_S", 0.05)
    monkeypatch.setattr(resources_module, "RELEASE_LIMIT_S", 0.05)


async def settled() -> None:
    """Let tasks that have been cancelled see it."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- the usual way ------------------------------------------------------------------------------------------------


async def test_job_that_fares_well_walks_the_table_to_done(fake: FakeJob) -> None:
    """All six steps are taken in order, everything is given back newest first, nobody is told anything."""
    outcome = await fake.run()
    assert [line for line in fake.ledger if line.startswith("step")] == [f"step {state.value}" for state in WORKING]
    assert [target for _, target in fake.moves] == [
        *("display_up", "browser_joined", "recording", "stopping", "uploading", "done"),
    ]
    assert (outcome.row.target, outcome.cause) == (State.DONE, None)
    assert entered(fake.ledger) == ALL
    fake.assert_given_back_newest_first()
    assert fake.steps.told == []


async def test_job_leaves_no_task_behind(fake: FakeJob) -> None:
    """Watches, signals and releases have ended when the job has."""
    await fake.run()
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_failed_job_leaves_no_task_behind(fake: FakeJob) -> None:
    """The same after a failure in the middle of the start."""
    fake.resources[Resource.BROWSER].enter = raising(BrowserError())
    await fake.run()
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_resources_are_held_from_their_step_to_the_stop_and_no_longer(fake: FakeJob) -> None:
    """The capture is left before the file is finished, and nothing is acquired before its step."""
    await fake.run()
    assert fake.ledger.index("step init") < fake.ledger.index("display starting")
    assert fake.ledger.index("step display_up") < fake.ledger.index("browser starting")
    assert fake.ledger.index("step browser_joined") < fake.ledger.index("capture starting")
    assert fake.ledger.index("step recording") < fake.ledger.index("capture left")


async def test_file_is_finished_while_the_browser_still_closes(fake: FakeJob) -> None:
    """Finishing and uploading wait for no release: here the browser does not end before the upload has begun."""
    closing = fake.steps.reached[State.UPLOADING]
    fake.resources[Resource.BROWSER].leave = waiting(closing)
    outcome = await fake.run()
    assert outcome.row.target is State.DONE
    assert fake.ledger.index("step uploading") < fake.ledger.index("driver left")
    fake.assert_given_back_newest_first()


async def test_leftover_goes_straight_to_the_file(fake: FakeJob) -> None:
    """A recording that was left is finished and published with no display and no browser."""

    fake.steps.found = Event.PENDING_FOUND
    outcome = await fake.run()
    assert fake.moves == [("pending_found", "stopping"), ("file_ready", "uploading"), ("published", "done")]
    assert outcome.row.target is State.DONE
    assert entered(fake.ledger) == left(fake.ledger) == []


async def test_leftover_that_was_published_ends_at_once(fake: FakeJob) -> None:
    """There is nothing left to do for it."""
    fake.steps.found = Event.PENDING_PUBLISHED
    await fake.run()
    assert fake.moves == [("pending_published", "done")]


# --- failure, stop and hang in each state -------------------------------------------------------------------------


@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_failed_step_leads_to_the_end_with_its_cause(fake: FakeJob, state: State) -> None:
    """Before the recording and after it the job fails; in it, what was recorded is published. Nothing stays held."""
    error = CallError(detail="the page said no")
    fake.fail_in(state, error)
    outcome = await fake.run()
    assert ("step_failed", EXPECTED[state.value]["step_failed"]) in fake.moves
    assert outcome.row.target is (State.DONE if state is State.RECORDING else State.FAILED)
    assert outcome.cause is error
    fake.assert_given_back_newest_first()
    assert next(change.cause for change in fake.changes if change.row.event is Event.STEP_FAILED) == str(error)


@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_stop_in_each_state_is_orderly(fake: FakeJob, state: State) -> None:
    """A stop ends the start, ends the recording, and leaves the finishing alone."""
    if state in (State.STOPPING, State.UPLOADING):
        proceed = asyncio.Event()

        async def work(_: ResourceStack) -> Event | None:
            await proceed.wait()
            return None

        fake.steps.script[state] = work

        def stop() -> None:
            fake.stop.request()
            asyncio.get_running_loop().call_later(0.05, proceed.set)
    else:
        fake.hang_in(state)
        stop = fake.stop.request
    outcome = await fake.run_until(state, stop)
    expected = EXPECTED[state.value].get("stop_requested")
    assert [target for event, target in fake.moves if event == "stop_requested"] == ([expected] if expected else [])
    assert outcome.row.target is (State.FAILED if state in BEFORE_RECORDING else State.DONE)
    assert outcome.cause is None
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("state", WORKING, ids=in_state)
@pytest.mark.usefixtures("quick")
async def test_step_that_hangs_runs_into_its_deadline(fake: FakeJob, state: State) -> None:
    """A hanging step is cancelled when its time is over, with a cause that names the state."""
    fake.hang_in(state)
    fake.steps.limit_s[state] = 0.1
    outcome = await fake.run()
    assert ("step_failed", EXPECTED[state.value]["step_failed"]) in fake.moves
    assert isinstance(outcome.cause, DeadlineError)
    assert state.value in outcome.cause.detail
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
@pytest.mark.usefixtures("quick")
async def test_bring_up_that_hangs_is_cut_short_and_cleans_up(fake: FakeJob, resource: Resource) -> None:
    """A resource that never gets ready is cancelled at the step's deadline and tidies up by itself."""
    fake.resources[resource].enter = for_ever
    for state in BEFORE_RECORDING:
        fake.steps.limit_s[state] = 0.1
    outcome = await fake.run()
    assert outcome.row.target is State.FAILED
    assert isinstance(outcome.cause, DeadlineError)
    assert f"{resource.value} cleaned" in fake.ledger
    assert resource.value not in left(fake.ledger)
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
async def test_bring_up_that_fails_gives_the_others_back(fake: FakeJob, resource: Resource) -> None:
    """Whichever resource fails, its error is the cause, and those that were up are given back."""
    error = DisplayError(detail="no")
    fake.resources[resource].enter = raising(error)
    outcome = await fake.run()
    assert outcome.row.target is State.FAILED
    assert outcome.cause is error
    assert f"{resource.value} cleaned" in fake.ledger
    fake.assert_given_back_newest_first()
    started = {line.removesuffix(" starting") for line in fake.ledger if line.endswith(" starting")}
    ended = {line.rpartition(" ")[0] for line in fake.ledger if line.endswith((" left", " cleaned"))}
    assert started == ended


async def test_stop_while_resources_start_cleans_up_those_half_way(fake: FakeJob) -> None:
    """A stop while display, sound and driver start side by side: one is up, two are not, nothing stays."""
    starting = asyncio.Event()

    async def start() -> None:
        starting.set()
        await for_ever()

    fake.resources[Resource.AUDIO].enter = start
    fake.resources[Resource.DRIVER].enter = for_ever
    running = asyncio.create_task(fake.run())
    await starting.wait()
    fake.stop.request()
    outcome = await running
    assert (outcome.row.event, outcome.row.target) == (Event.STOP_REQUESTED, State.FAILED)
    assert left(fake.ledger) == ["display"]
    assert {"sound cleaned", "driver cleaned"} < set(fake.ledger)


# --- what happens from outside ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", FROM_OUTSIDE, ids=lambda event: event.value)
@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_interruption_is_taken_where_the_table_has_it_and_passed_over_elsewhere(
    fake: FakeJob, state: State, event: Event
) -> None:
    """Each event in each state: it cancels the step and moves on as the table says, or it changes nothing."""
    proceed = asyncio.Event()
    cancelled: list[State] = []

    async def work(_: ResourceStack) -> Event | None:
        try:
            await proceed.wait()
        except asyncio.CancelledError:
            cancelled.append(state)
            raise
        return None

    def happen() -> None:
        fake.job.happened(event, BrowserError(detail="it did"))
        # Passed over or not: the step may go on when the loop has had a look at the event.
        asyncio.get_running_loop().call_later(0.02, proceed.set)

    fake.steps.script[state] = work
    outcome = await fake.run_until(state, happen)
    expected = EXPECTED[state.value].get(event.value)
    if expected is None:
        assert event.value not in [name for name, _ in fake.moves if name != "limit_reached"]
        assert cancelled == []
        assert (outcome.row.target, outcome.cause) == (State.DONE, None)
    else:
        assert (event.value, expected) in fake.moves
        assert cancelled == [state]
        assert isinstance(outcome.cause, BrowserError)
        assert outcome.row.target is (State.FAILED if expected == "failed" else State.DONE)
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
async def test_loss_of_a_resource_ends_the_recording_and_publishes_it(fake: FakeJob, resource: Resource) -> None:
    """Whichever resource dies, its watch feeds the event with the cause, and the file is published."""
    cause = CaptureError(detail="it died")
    fake.hang_in(State.RECORDING)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[resource].lose(cause))
    assert fake.moves[3][1] == "stopping"
    assert fake.changes[3].cause == str(cause)
    assert outcome.row.target is State.DONE
    assert outcome.cause is cause
    assert len(fake.steps.told) == 1


async def test_loss_while_the_others_still_start_is_not_forgotten(fake: FakeJob) -> None:
    """The display dies while the step that raised it still works: the job fails for that reason."""
    cause = DisplayError(detail="Xvfb was killed")
    fake.hang_in(State.INIT)
    outcome = await fake.run_until(State.INIT, lambda: fake.resources[Resource.DISPLAY].lose(cause))
    assert fake.moves == [("display_lost", "failed")]
    assert outcome.cause is cause
    fake.assert_given_back_newest_first()


async def test_loss_explains_a_failed_step_better_than_the_step_does(fake: FakeJob) -> None:
    """Where the browser dies and the step fails of it in the same moment, the browser's death is the cause."""
    cause = BrowserError(detail="Chromium ended")

    async def fail(_: ResourceStack) -> Event | None:
        fake.job.happened(Event.BROWSER_LOST, cause)
        raise CallError(detail="the page has gone")

    fake.steps.script[State.DISPLAY_UP] = fail
    outcome = await fake.run()
    assert outcome.row.event is Event.BROWSER_LOST
    assert outcome.cause is cause


async def test_capture_that_ends_because_it_is_stopped_is_no_loss(fake: FakeJob) -> None:
    """A watch that fires while its resource is being left changes nothing."""
    capture = fake.resources[Resource.CAPTURE]

    async def end() -> None:
        capture.lose(CaptureError(detail="ffmpeg ended"))

    capture.leave = end
    outcome = await fake.run()
    assert (outcome.row.target, outcome.cause) == (State.DONE, None)


# --- stop signals -------------------------------------------------------------------------------------------------


async def test_stop_noted_before_the_loop_begins_holds_nothing(fake: FakeJob) -> None:
    """A signal from the first milliseconds of the process ends the job before anything is up, and is told."""
    fake.stop.request()
    fake.resources[Resource.DISPLAY].enter = for_ever
    outcome = await fake.run()
    assert fake.moves == [("stop_requested", "failed")]
    assert outcome.cause is None
    assert fake.steps.told == [TOLD[Event.STOP_REQUESTED]]
    fake.assert_given_back_newest_first()


async def test_second_and_third_stop_are_absorbed(fake: FakeJob) -> None:
    """However often one asks, there is one orderly stop."""
    fake.hang_in(State.RECORDING)

    async def finish(_: ResourceStack) -> Event | None:
        fake.stop.request()
        fake.job.happened(Event.STOP_REQUESTED)
        await asyncio.sleep(0)
        return None

    fake.steps.script[State.STOPPING] = fake.steps.script[State.UPLOADING] = finish

    def stop_thrice() -> None:
        for _ in range(3):
            fake.stop.request()

    outcome = await fake.run_until(State.RECORDING, stop_thrice)
    assert [event for event, _ in fake.moves].count("stop_requested") == 1
    assert outcome.row.target is State.DONE


@pytest.mark.parametrize("state", [State.STOPPING, State.UPLOADING], ids=in_state)
@pytest.mark.usefixtures("quick")
async def test_stop_while_finishing_counts_only_by_the_deadline(fake: FakeJob, state: State) -> None:
    """The stop does not cancel the step, but the nearer deadline that it brings is noticed while the step runs."""
    fake.hang_in(state)

    def stop() -> None:
        fake.stop.request()
        fake.steps.limit_s[state] = 0.1

    outcome = await fake.run_until(state, stop)
    assert ("step_failed", "failed") in fake.moves
    assert "stop_requested" not in [event for event, _ in fake.moves]
    assert isinstance(outcome.cause, DeadlineError)


# --- what a step may raise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.BROWSER_JOINED, "job_refused"),
        (State.RECORDING, "job_refused"),
        (State.INIT, "step_failed"),
        (State.DISPLAY_UP, "step_failed"),
        (State.STOPPING, "step_failed"),
        (State.UPLOADING, "step_failed"),
    ],
)
async def test_job_that_the_plugin_ended_is_refused(fake: FakeJob, state: State, event: str) -> None:
    """A job that nobody knew of ends quietly; elsewhere it is a failed step."""
    error = JobOver(detail="no job ongoing")
    fake.fail_in(state, error)
    outcome = await fake.run()
    assert (event, "failed") in fake.moves
    assert outcome.cause is error
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_defect_of_ours_still_ends_in_order(fake: FakeJob, state: State) -> None:
    """An exception that nobody expected is a failed step like any other: all is given back, the cause is named."""
    fake.fail_in(state, KeyError("page"))
    outcome = await fake.run()
    assert ("step_failed", EXPECTED[state.value]["step_failed"]) in fake.moves
    assert outcome.cause is not None
    assert type(outcome.cause) is RecorderError
    assert "KeyError: 'page'" in outcome.cause.detail
    fake.assert_given_back_newest_first()


async def test_first_fault_stays_the_cause_of_a_job_that_recovers(fake: FakeJob) -> None:
    """The report must say why a recording ended early, though finishing and uploading went well after that."""
    cause = CaptureError(detail="ffmpeg was killed")
    fake.hang_in(State.RECORDING)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.CAPTURE].lose(cause))
    assert (outcome.row.event, outcome.cause) == (Event.PUBLISHED, cause)


async def test_later_fault_is_the_cause_of_a_job_that_fails(fake: FakeJob) -> None:
    """Where the upload fails as well, that is why the file is kept."""
    failure = ServerUnavailable(detail="502")
    fake.hang_in(State.RECORDING)
    fake.fail_in(State.UPLOADING, failure)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.CAPTURE].lose(CaptureError()))
    assert outcome.cause is failure


# --- giving back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
@pytest.mark.parametrize(
    "failure", [OSError("no"), RecorderError(), asyncio.CancelledError()], ids=lambda error: type(error).__name__
)
async def test_release_that_raises_does_not_keep_the_others(
    fake: FakeJob, resource: Resource, failure: BaseException
) -> None:
    """The other resources are still given back, and the recording is published."""
    fake.resources[resource].leave = raising(failure)
    outcome = await fake.run()
    assert outcome.row.target is State.DONE
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
@pytest.mark.usefixtures("quick")
async def test_release_that_hangs_is_given_up(fake: FakeJob, resource: Resource) -> None:
    """A resource that does not end is left alone after its limit; the others follow."""
    fake.resources[resource].leave = for_ever
    outcome = await fake.run()
    assert outcome.row.target is State.DONE
    fake.assert_given_back_newest_first()


@pytest.mark.usefixtures("quick")
async def test_bring_up_that_will_not_be_cancelled_is_given_back_when_it_comes(fake: FakeJob) -> None:
    """A step that cleans up for longer than the loop waits does not hold the job, nor may it keep what it acquires."""
    ready = asyncio.Event()

    async def stubborn() -> None:
        while not ready.is_set():
            try:
                await ready.wait()
            except asyncio.CancelledError:
                continue

    given_back = asyncio.Event()
    fake.resources[Resource.BROWSER].enter = stubborn
    fake.resources[Resource.BROWSER].leave = setting(given_back)
    fake.steps.limit_s[State.DISPLAY_UP] = 0.05
    outcome = await fake.run()
    assert outcome.row.target is State.FAILED
    assert left(fake.ledger) == ["driver", "sound", "display"]
    ready.set()
    async with asyncio.timeout(5):
        await given_back.wait()


async def test_cancelled_job_gives_everything_back(fake: FakeJob) -> None:
    """Even a job that is cancelled from outside, which only a defect does, leaves nothing running."""
    fake.hang_in(State.RECORDING)
    running = asyncio.create_task(fake.job.run())
    await fake.steps.reached[State.RECORDING].wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert entered(fake.ledger) == ALL
    fake.assert_given_back_newest_first()


# --- what people are told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row", [row for row in TRANSITIONS if row.event in FROM_OUTSIDE], ids=lambda r: f"{r.source.value}-{r.event.value}"
)
async def test_people_are_told_once_for_rows_that_tell_and_never_else(fake: FakeJob, row: Row) -> None:
    """One sentence where the table says so, without what is for engineers alone."""
    fake.hang_in(row.source)
    error = CallError("It broke.", detail=SECRET, code=SECRET)
    await fake.run_until(row.source, lambda: fake.job.happened(row.event, error))
    assert (row.event.value, row.target.value) in fake.moves
    expected = f"It broke. {KEPT}" if row.target is State.STOPPING else "It broke."
    assert fake.steps.told == ([expected] if row.tells else [])


@pytest.mark.parametrize(
    "row", [row for row in TRANSITIONS if row.tells], ids=lambda r: f"{r.source.value}-{r.event.value}"
)
def test_sentence_is_plain_for_every_row_that_tells(row: Row) -> None:
    """With or without a cause it is a whole sentence, without detail, code or names of our own."""
    for cause in (None, RecorderError(detail=SECRET, code=SECRET), DeadlineError(detail=SECRET)):
        sentence = told_in_call(row, cause)
        assert sentence
        assert sentence.endswith(".")
        assert SECRET not in sentence
        assert row.event.value not in sentence
        assert (KEPT in sentence) is (row.target is State.STOPPING)


async def test_unexpected_error_is_not_told_in_its_own_words(fake: FakeJob) -> None:
    """An exception's text may hold anything: people read the general sentence."""
    fake.fail_in(State.DISPLAY_UP, ValueError(SECRET))
    await fake.run()
    assert fake.steps.told == ["The recorder failed."]


async def test_telling_waits_for_nothing_and_is_waited_for(fake: FakeJob) -> None:
    """The release does not wait until the call has been told, but the job does not end before."""
    given_back = asyncio.Event()
    fake.resources[Resource.DISPLAY].leave = setting(given_back)
    fake.steps.telling = waiting(given_back)
    fake.fail_in(State.DISPLAY_UP, CallError())
    await fake.run()
    assert fake.ledger[-1] == "told"
    assert fake.ledger.index("display left") < fake.ledger.index("told")


async def test_telling_that_fails_harms_nothing(fake: FakeJob) -> None:
    """A defect in telling costs neither the file nor the cleanup."""
    fake.steps.telling = raising(ValueError("no"))
    fake.fail_in(State.RECORDING, CallError())
    outcome = await fake.run()
    assert outcome.row.target is State.DONE
    fake.assert_given_back_newest_first()


async def test_listener_is_told_the_cause_in_words(fake: FakeJob) -> None:
    """The log and the journal get sentence and detail; a move without a fault gets an empty cause."""
    fake.fail_in(State.DISPLAY_UP, CallError("It broke.", detail="HTTP 403"))
    await fake.run()
    assert [change.cause for change in fake.changes] == ["", "It broke. (HTTP 403)"]
