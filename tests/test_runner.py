"""The runner, on fakes: every way through the tables, and everything given back on each of them."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from recorder_fsm.errors import (
    AudioError,
    BrowserError,
    CallError,
    CaptureError,
    DeadlineError,
    DisplayError,
    RecorderError,
    ServerUnavailable,
)
from recorder_fsm.machine import resources as resources_module
from recorder_fsm.machine import runner as runner_module
from recorder_fsm.machine.lifecycle import (
    RESTARTS_ALLOWED,
    STATES,
    TRANSITIONS,
    Audience,
    Budget,
    Condition,
    Event,
    Resource,
    State,
    StatePolicy,
    Transition,
)
from recorder_fsm.machine.runner import Ahead, Happened, NotAllowedError
from recorder_fsm.machine.sentences import told
from tests.fakes import FORWARD, FakeJob, entered, for_ever, left, raising, setting, waiting
from tests.test_lifecycle import EXPECTED

ALL = ["display", "audio", "browser", "driver", "capture"]
WORKING = [State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED, State.RECORDING, State.STOPPING, State.UPLOADING]
BEFORE_RECORDING = WORKING[:3]
FROM_OUTSIDE = [
    Event.STOP_REQUESTED,
    Event.CALL_ENDED,
    Event.CALL_LOST,
    Event.JOB_REFUSED,
    Event.CAPTURE_LOST,
    Event.BROWSER_LOST,
    Event.DRIVER_LOST,
    Event.DISPLAY_LOST,
    Event.AUDIO_LOST,
    Event.AUDIO_NOT_RESTORED,
    Event.DISK_LOW,
    Event.LIMIT_REACHED,
    Event.PLUGIN_GONE,
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
    monkeypatch.setattr(runner_module, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(runner_module, "CANCEL_LIMIT_S", 0.05)
    monkeypatch.setattr(runner_module, "LAST_WORDS_S", 0.05)
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
    assert (outcome.change.transition.target, outcome.fault) == (State.DONE, None)
    assert entered(fake.ledger) == ALL
    fake.assert_given_back_newest_first()
    assert fake.told == []


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
    assert outcome.change.transition.target is State.DONE
    assert fake.ledger.index("step uploading") < fake.ledger.index("audio left")
    fake.assert_given_back_newest_first()


async def test_pending_goes_straight_to_the_file(fake: FakeJob) -> None:
    """A recording that was left is finished and published with no display and no browser."""

    fake.steps.found = Event.PENDING_FOUND
    outcome = await fake.run()
    assert fake.moves == [("pending_found", "stopping"), ("file_ready", "uploading"), ("published", "done")]
    assert outcome.change.transition.target is State.DONE
    assert entered(fake.ledger) == left(fake.ledger) == []


async def test_pending_that_was_published_ends_at_once(fake: FakeJob) -> None:
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
    assert outcome.change.transition.target is (State.DONE if state is State.RECORDING else State.FAILED)
    assert outcome.fault is error
    fake.assert_given_back_newest_first()
    assert next(change.cause for change in fake.changes if change.transition.event is Event.STEP_FAILED) is error


@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_stop_in_each_state_is_orderly(fake: FakeJob, state: State) -> None:
    """A stop ends the start, ends the recording, and leaves the finishing alone."""
    if state in (State.STOPPING, State.UPLOADING):
        proceed = asyncio.Event()

        async def work(_: Ahead) -> Happened | None:
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
    assert outcome.change.transition.target is (State.FAILED if state in BEFORE_RECORDING else State.DONE)
    assert outcome.fault is None
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("state", WORKING, ids=in_state)
@pytest.mark.usefixtures("quick")
async def test_step_that_hangs_runs_into_its_deadline(state: State) -> None:
    """A hanging step is cancelled when its time is over, with a cause that names the state."""
    fake = FakeJob(limits_s={state: 0.1})
    fake.hang_in(state)
    outcome = await fake.run()
    assert ("step_failed", EXPECTED[state.value]["step_failed"]) in fake.moves
    assert isinstance(outcome.fault, DeadlineError)
    assert state.value in outcome.fault.detail
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
@pytest.mark.usefixtures("quick")
async def test_start_that_hangs_is_cut_short_and_cleans_up(resource: Resource) -> None:
    """A resource that never gets ready is cancelled at the step's deadline and tidies up by itself."""
    fake = FakeJob(limits_s=dict.fromkeys(BEFORE_RECORDING, 0.1))
    fake.resources[resource].enter = for_ever
    outcome = await fake.run()
    assert outcome.change.transition.target is State.FAILED
    assert isinstance(outcome.fault, DeadlineError)
    assert f"{resource.value} cleaned" in fake.ledger
    assert resource.value not in left(fake.ledger)
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
async def test_start_that_fails_gives_the_others_back(fake: FakeJob, resource: Resource) -> None:
    """Whichever resource fails, its error is the cause, and those that were up are given back."""
    error = DisplayError(detail="no")
    fake.resources[resource].enter = raising(error)
    outcome = await fake.run()
    assert outcome.change.transition.target is State.FAILED
    assert outcome.fault is error
    assert f"{resource.value} cleaned" in fake.ledger
    fake.assert_given_back_newest_first()
    started = {line.removesuffix(" starting") for line in fake.ledger if line.endswith(" starting")}
    ended = {line.rpartition(" ")[0] for line in fake.ledger if line.endswith((" left", " cleaned"))}
    assert started == ended


async def test_stop_while_resources_start_cleans_up_those_half_way(fake: FakeJob) -> None:
    """A stop while browser and driver start side by side: neither is up, what they stand on is, nothing stays."""
    starting = asyncio.Event()

    async def start() -> None:
        starting.set()
        await for_ever()

    fake.resources[Resource.BROWSER].enter = start
    fake.resources[Resource.DRIVER].enter = for_ever
    running = asyncio.create_task(fake.run())
    await starting.wait()
    fake.stop.request()
    outcome = await running
    assert (outcome.change.transition.event, outcome.change.transition.target) == (Event.STOP_REQUESTED, State.FAILED)
    assert left(fake.ledger) == ["audio", "display"]
    assert {"browser cleaned", "driver cleaned"} < set(fake.ledger)


# --- what happens from outside ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", FROM_OUTSIDE, ids=lambda event: event.value)
@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_interruption_is_taken_where_the_table_has_it_and_passed_over_elsewhere(
    fake: FakeJob, state: State, event: Event
) -> None:
    """Each event in each state: it cancels the step and moves on as the table says, or it changes nothing."""
    proceed = asyncio.Event()
    cancelled: list[State] = []

    async def work(_: Ahead) -> Happened | None:
        try:
            await proceed.wait()
        except asyncio.CancelledError:
            cancelled.append(state)
            raise
        return None

    def happen() -> None:
        fake.runner.report(event, BrowserError(detail="it did"))
        # Passed over or not: the step may go on when the loop has had a look at the event.
        asyncio.get_running_loop().call_later(0.02, proceed.set)

    fake.steps.script[state] = work
    outcome = await fake.run_until(state, happen)
    expected = EXPECTED[state.value].get(event.value)
    if expected is None:
        assert event.value not in [name for name, _ in fake.moves if name != FORWARD[State.RECORDING].value]
        assert cancelled == []
        assert (outcome.change.transition.target, outcome.fault) == (State.DONE, None)
    else:
        assert (event.value, expected) in fake.moves
        assert cancelled == [state]
        assert isinstance(outcome.fault, BrowserError) is (expected != "recording")
        assert outcome.change.transition.target is (State.FAILED if expected == "failed" else State.DONE)
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", [Resource.DISPLAY, Resource.BROWSER], ids=lambda resource: resource.value)
async def test_loss_that_nothing_overcomes_ends_the_recording_and_publishes_it(
    fake: FakeJob, resource: Resource
) -> None:
    """Its watch reports the event with the cause, people are told once, and the file is published."""
    cause = CaptureError(detail="it died")
    fake.hang_in(State.RECORDING)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[resource].lose(cause))
    assert fake.moves[3][1] == "stopping"
    assert fake.changes[3].cause is cause
    assert outcome.change.transition.target is State.DONE
    assert outcome.fault is cause
    assert [audience for audience, _ in fake.told] == [Audience.CALL]


@pytest.mark.parametrize("resource", [Resource.DISPLAY, Resource.BROWSER], ids=lambda resource: resource.value)
async def test_resources_are_left_for_the_fault_that_ended_the_recording(fake: FakeJob, resource: Resource) -> None:
    """Each sees the error of its context, so that the browser can look at what happened."""
    cause = CaptureError(detail="it died")
    fake.hang_in(State.RECORDING)
    await fake.run_until(State.RECORDING, lambda: fake.resources[resource].lose(cause))
    held = [fake.resources[one] for one in STATES[State.RECORDING].holds]
    assert [one.left_for for one in held] == [[cause]] * len(held)


async def test_resources_of_a_job_that_is_refused_are_left_for_no_fault(fake: FakeJob) -> None:
    """Nobody is told of it, so there is nothing to look at."""
    fake.hang_in(State.RECORDING)
    await fake.run_until(State.RECORDING, lambda: fake.runner.report(Event.JOB_REFUSED, CallError(detail="over")))
    assert [one.left_for for one in fake.resources.values()] == [[None]] * len(Resource)


async def test_step_sees_what_is_held_and_how_long_it_has(fake: FakeJob) -> None:
    """Both are the runner's own: the resources that it started, and the nearer of limit and budget."""
    seen: list[tuple[bool, float]] = []

    async def look(ahead: Ahead) -> Happened | None:
        seen.append((Resource.BROWSER in ahead.resources, ahead.time_left_s()))
        return None

    fake.steps.script[State.DISPLAY_UP] = look
    fake.left_s[Budget.START] = 7.0
    await fake.run()
    assert seen == [(True, 7.0)]


# --- restarts -----------------------------------------------------------------------------------------------------

RESTARTED = [Resource.CAPTURE, Resource.AUDIO]
HELD = [one for one in ALL if one != "driver"]
"""By a recording."""
restarted = pytest.mark.parametrize("resource", RESTARTED, ids=lambda resource: resource.value)


@restarted
async def test_loss_that_a_restart_overcomes_costs_nothing_else(fake: FakeJob, resource: Resource) -> None:
    """That resource alone is stopped and started, those on it follow, the step goes on, nobody is told."""
    fake.hang_in(State.RECORDING, times=1)
    cause = CaptureError(detail="it died")
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[resource].lose(cause))
    name = resource.value
    assert fake.resources[resource].left_for[0] is cause
    begin = fake.ledger.index(f"{name} left")
    done = fake.ledger.index("step recording", begin)
    lines = fake.ledger[begin:done]
    assert lines[:3] == [f"{name} left", f"{name} starting", f"{name} entered"]
    assert lines[3:] == [f"{one} follows" for one in HELD if one != name]
    assert fake.moves[3][1] == "recording"
    assert (outcome.change.transition.target, outcome.fault, fake.told) == (State.DONE, None, [])
    assert left(fake.ledger[done:]) == HELD[::-1]


async def test_restarted_resource_is_watched_again(fake: FakeJob) -> None:
    """It may die again and again, up to the number that is allowed; then the recording ends."""
    fake.hang_in(State.RECORDING)
    capture = fake.resources[Resource.CAPTURE]

    async def die_soon() -> None:
        asyncio.get_running_loop().call_soon(lambda: capture.lose(CaptureError(detail="again")))

    def lose() -> None:
        capture.enter = die_soon
        capture.lose(CaptureError(detail="first"))

    outcome = await fake.run_until(State.RECORDING, lose)
    assert fake.moves.count(("capture_lost", "recording")) == RESTARTS_ALLOWED
    assert fake.moves.count(("capture_lost", "stopping")) == 1
    assert isinstance(outcome.fault, CaptureError)


async def test_restart_that_fails_is_an_event_of_its_own(fake: FakeJob) -> None:
    """Audio that cannot be restored: the recording goes on without, and the thread is told so."""
    fake.hang_in(State.RECORDING, times=1)

    def lose() -> None:
        fake.resources[Resource.AUDIO].enter = raising(AudioError(detail="no"))
        fake.resources[Resource.AUDIO].lose(AudioError(detail="killed"))

    outcome = await fake.run_until(State.RECORDING, lose)
    assert fake.moves[3:5] == [("audio_lost", "recording"), ("audio_not_restored", "recording")]
    assert [audience for audience, _ in fake.told] == [Audience.THREAD]
    assert outcome.change.transition.target is State.DONE
    assert left(fake.ledger).count("capture") == 1


@pytest.mark.usefixtures("quick")
async def test_restart_that_hangs_fails_after_its_limit(fake: FakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled, cleans up after itself, and counts as failed."""
    monkeypatch.setattr(resources_module, "RESTART_LIMIT_S", 0.05)
    fake.hang_in(State.RECORDING, times=1)

    def lose() -> None:
        fake.resources[Resource.AUDIO].enter = for_ever
        fake.resources[Resource.AUDIO].lose(AudioError(detail="killed"))

    await fake.run_until(State.RECORDING, lose)
    assert fake.moves[4] == ("audio_not_restored", "recording")
    assert fake.ledger.count("audio cleaned") == 1
    cause = fake.changes[4].cause
    assert isinstance(cause, DeadlineError)
    assert cause.sentence == "The recorder's audio could not be restarted."
    assert (cause.code, "0.05 s" in cause.detail) == ("audio_restart", True)


async def test_stop_during_a_restart_is_not_kept_waiting(fake: FakeJob) -> None:
    """The restart is cancelled and cleans up, and the recording is finished."""
    fake.hang_in(State.RECORDING)
    restarting = asyncio.Event()

    async def hang() -> None:
        restarting.set()
        await for_ever()

    def lose() -> None:
        fake.resources[Resource.CAPTURE].enter = hang
        fake.resources[Resource.CAPTURE].lose(CaptureError())

    running = asyncio.create_task(fake.run_until(State.RECORDING, lose))
    async with asyncio.timeout(5):
        await restarting.wait()
        fake.stop.request()
        outcome = await running
    assert outcome.change.transition.target is State.DONE
    assert fake.ledger.count("capture cleaned") == 1


async def test_restart_that_another_interrupts_is_done_after_all(fake: FakeJob) -> None:
    """The audio server starts again when the encoder dies as well: in the end both are up."""
    fake.hang_in(State.RECORDING, times=1)
    restarting = asyncio.Event()
    audio, capture = fake.resources[Resource.AUDIO], fake.resources[Resource.CAPTURE]

    async def slow_once() -> None:
        if not restarting.is_set():
            restarting.set()
            capture.lose(CaptureError())
            await for_ever()

    def lose() -> None:
        audio.enter = slow_once
        audio.lose(AudioError())

    outcome = await fake.run_until(State.RECORDING, lose)
    assert fake.moves[3:5] == [("audio_lost", "recording"), ("capture_lost", "recording")]
    assert fake.ledger.count("audio entered") == fake.ledger.count("capture entered") == 2
    assert outcome.change.transition.target is State.DONE


# --- the tables are what happens ----------------------------------------------------------------------------------


def holding(state: State, *resources: Resource) -> dict[State, StatePolicy]:
    """Return the real table of states with one entry changed."""
    return {**STATES, state: attrs.evolve(STATES[state], holds=resources)}


async def test_state_that_holds_less_starts_less() -> None:
    """The audio is taken out of `display_up`: it starts only on the way to `browser_joined`."""
    fake = FakeJob(states=holding(State.DISPLAY_UP, Resource.DISPLAY))
    outcome = await fake.run()
    assert fake.ledger.index("step display_up") < fake.ledger.index("audio starting")
    assert outcome.change.transition.target is State.DONE


async def test_state_that_holds_more_starts_more() -> None:
    """The browser is put into `display_up`: it starts there, after what it stands on."""
    fake = FakeJob(states=holding(State.DISPLAY_UP, *Resource))
    await fake.run()
    assert fake.ledger.index("capture entered") < fake.ledger.index("step display_up")
    assert fake.ledger.index("audio entered") < fake.ledger.index("browser starting")


async def test_state_that_lets_go_of_a_resource_stops_it() -> None:
    """The driver is not held by `recording`: it is stopped on the way in, and the recording goes on."""
    fake = FakeJob()
    stopped = asyncio.Event()
    fake.resources[Resource.DRIVER].leave = setting(stopped)

    async def work(_: Ahead) -> Happened | None:
        async with asyncio.timeout(5):
            await stopped.wait()
        return None

    fake.steps.script[State.RECORDING] = work
    outcome = await fake.run()
    assert fake.ledger.index("driver left") < fake.ledger.index("capture left")
    assert outcome.change.transition.target is State.DONE


async def test_end_that_holds_something_keeps_it_until_the_job_is_over() -> None:
    """The display is put into `stopping` and `uploading`: it is the last to go."""
    states = {**holding(State.STOPPING, Resource.DISPLAY), State.UPLOADING: StatePolicy(holds=(Resource.DISPLAY,))}
    fake = FakeJob(states=states)
    await fake.run()
    assert fake.ledger.index("step uploading") < fake.ledger.index("display left")


async def test_transition_that_restarts_another_resource_does_so() -> None:
    """The row of a lost capture is changed to restart the display as well."""
    table = [
        attrs.evolve(one, restarts=(Resource.DISPLAY, Resource.CAPTURE)) if Resource.CAPTURE in one.restarts else one
        for one in TRANSITIONS
    ]
    fake = FakeJob(transitions=table)
    fake.hang_in(State.RECORDING, times=1)
    await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.CAPTURE].lose(CaptureError()))
    assert fake.ledger.count("display entered") == fake.ledger.count("capture entered") == 2
    assert fake.ledger.count("browser entered") == 1


async def test_transition_without_a_restart_ends_the_recording() -> None:
    """The row that restarts a capture is taken out: its loss ends the recording, as the next row says."""
    fake = FakeJob(transitions=[one for one in TRANSITIONS if Resource.CAPTURE not in one.restarts])
    fake.hang_in(State.RECORDING)
    await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.CAPTURE].lose(CaptureError()))
    assert fake.moves[3] == ("capture_lost", "stopping")
    assert fake.ledger.count("capture entered") == 1


async def test_limit_of_a_state_is_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state with a limit of its own runs into it; a budget that is used up counts where the table names it."""
    monkeypatch.setattr(runner_module, "LOOK_EVERY_S", 0.01)
    fake = FakeJob()
    fake.hang_in(State.DISPLAY_UP)
    fake.left_s[Budget.START] = 0.0
    outcome = await fake.run()
    assert isinstance(outcome.fault, DeadlineError)
    assert fake.moves[-1] == ("step_failed", "failed")


async def test_step_whose_event_the_table_does_not_have_is_a_defect(fake: FakeJob) -> None:
    """It is not passed over in silence, and all is given back."""

    async def wrong(_: Ahead) -> Happened | None:
        return Happened(Event.PUBLISHED)

    fake.steps.script[State.RECORDING] = wrong
    with pytest.raises(NotAllowedError, match="published is not allowed in recording"):
        await fake.run()
    fake.assert_given_back_newest_first()


async def test_unannounced_recording_is_not_kept(fake: FakeJob) -> None:
    """The outcome says that what was captured may go."""
    fake.announced = False
    fake.hang_in(State.RECORDING)
    outcome = await fake.run_until(State.RECORDING, fake.stop.request)
    assert (outcome.change.transition.target, outcome.change.transition.keeps) == (State.FAILED, False)


async def test_loss_while_the_others_still_start_is_not_forgotten(fake: FakeJob) -> None:
    """The display dies while the step that raised it still works: the job fails for that reason."""
    cause = DisplayError(detail="Xvfb was killed")
    fake.hang_in(State.INIT)
    outcome = await fake.run_until(State.INIT, lambda: fake.resources[Resource.DISPLAY].lose(cause))
    assert fake.moves == [("display_lost", "failed")]
    assert outcome.fault is cause
    fake.assert_given_back_newest_first()


async def test_loss_explains_a_failed_step_better_than_the_step_does(fake: FakeJob) -> None:
    """Where the browser dies and the step fails of it in the same moment, the browser's death is the cause."""
    cause = BrowserError(detail="Chromium ended")

    async def fail(_: Ahead) -> Happened | None:
        fake.runner.report(Event.BROWSER_LOST, cause)
        raise CallError(detail="the page has gone")

    fake.steps.script[State.DISPLAY_UP] = fail
    outcome = await fake.run()
    assert outcome.change.transition.event is Event.BROWSER_LOST
    assert outcome.fault is cause


async def test_capture_that_ends_because_it_is_stopped_is_no_loss(fake: FakeJob) -> None:
    """A watch that fires while its resource is being left changes nothing."""
    capture = fake.resources[Resource.CAPTURE]

    async def end() -> None:
        capture.lose(CaptureError(detail="ffmpeg ended"))

    capture.leave = end
    outcome = await fake.run()
    assert (outcome.change.transition.target, outcome.fault) == (State.DONE, None)


# --- stop signals -------------------------------------------------------------------------------------------------


async def test_stop_noted_before_the_loop_begins_holds_nothing(fake: FakeJob) -> None:
    """A signal from the first milliseconds of the process ends the job before anything is up, and is told."""
    fake.stop.request()
    fake.resources[Resource.DISPLAY].enter = for_ever
    outcome = await fake.run()
    assert fake.moves == [("stop_requested", "failed")]
    assert outcome.fault is None
    assert [sentence for _, sentence in fake.told] == ["The recorder was stopped before the recording began."]
    fake.assert_given_back_newest_first()


async def test_second_and_third_stop_are_absorbed(fake: FakeJob) -> None:
    """However often one asks, there is one orderly stop."""
    fake.hang_in(State.RECORDING)

    async def finish(_: Ahead) -> Happened | None:
        fake.stop.request()
        fake.runner.report(Event.STOP_REQUESTED)
        await asyncio.sleep(0)
        return None

    fake.steps.script[State.STOPPING] = fake.steps.script[State.UPLOADING] = finish

    def stop_thrice() -> None:
        for _ in range(3):
            fake.stop.request()

    outcome = await fake.run_until(State.RECORDING, stop_thrice)
    assert [event for event, _ in fake.moves].count("stop_requested") == 1
    assert outcome.change.transition.target is State.DONE


@pytest.mark.parametrize("state", [State.STOPPING, State.UPLOADING], ids=in_state)
@pytest.mark.usefixtures("quick")
async def test_stop_while_finishing_counts_only_by_the_deadline(fake: FakeJob, state: State) -> None:
    """The stop does not cancel the step, but the nearer deadline that it brings is noticed while the step runs."""
    fake.hang_in(state)

    def stop() -> None:
        fake.stop.request()
        fake.left_s[Budget.GRACE] = 0.0

    outcome = await fake.run_until(state, stop)
    assert ("step_failed", "failed") in fake.moves
    assert "stop_requested" not in [event for event, _ in fake.moves]
    assert isinstance(outcome.fault, DeadlineError)


# --- what a step may raise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", WORKING, ids=in_state)
async def test_defect_of_ours_still_ends_in_order(fake: FakeJob, state: State) -> None:
    """An exception that nobody expected is a failed step like any other: all is given back, the cause is named."""
    fake.fail_in(state, KeyError("page"))
    outcome = await fake.run()
    assert ("step_failed", EXPECTED[state.value]["step_failed"]) in fake.moves
    assert outcome.fault is not None
    assert type(outcome.fault) is RecorderError
    assert "KeyError: 'page'" in outcome.fault.detail
    fake.assert_given_back_newest_first()


async def test_first_fault_stays_the_cause_of_a_job_that_recovers(fake: FakeJob) -> None:
    """The report must say why a recording ended early, though finishing and uploading went well after that."""
    cause = CaptureError(detail="ffmpeg was killed")
    fake.hang_in(State.RECORDING)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.BROWSER].lose(cause))
    assert (outcome.change.transition.event, outcome.fault) == (Event.PUBLISHED, cause)


async def test_later_fault_is_the_cause_of_a_job_that_fails(fake: FakeJob) -> None:
    """Where the upload fails as well, that is why the file is kept."""
    failure = ServerUnavailable(detail="502")
    fake.hang_in(State.RECORDING)
    fake.fail_in(State.UPLOADING, failure)
    outcome = await fake.run_until(State.RECORDING, lambda: fake.resources[Resource.BROWSER].lose(CaptureError()))
    assert outcome.fault is failure


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
    assert outcome.change.transition.target is State.DONE
    fake.assert_given_back_newest_first()


@pytest.mark.parametrize("resource", Resource, ids=lambda resource: resource.value)
@pytest.mark.usefixtures("quick")
async def test_release_that_hangs_is_given_up(fake: FakeJob, resource: Resource) -> None:
    """A resource that does not end is left alone after its limit; the others follow."""
    fake.resources[resource].leave = for_ever
    outcome = await fake.run()
    assert outcome.change.transition.target is State.DONE
    fake.assert_given_back_newest_first()


@pytest.mark.usefixtures("quick")
async def test_start_that_will_not_be_cancelled_is_given_back_when_it_comes() -> None:
    """A step that cleans up for longer than the loop waits does not hold the job, nor may it keep what it acquires."""
    ready = asyncio.Event()

    async def stubborn() -> None:
        while not ready.is_set():
            try:
                await ready.wait()
            except asyncio.CancelledError:
                continue

    fake = FakeJob(limits_s={State.DISPLAY_UP: 0.05})
    given_back = asyncio.Event()
    fake.resources[Resource.BROWSER].enter = stubborn
    fake.resources[Resource.BROWSER].leave = setting(given_back)
    outcome = await fake.run()
    assert outcome.change.transition.target is State.FAILED
    assert left(fake.ledger) == ["driver", "audio", "display"]
    ready.set()
    async with asyncio.timeout(5):
        await given_back.wait()


async def test_cancelled_job_gives_everything_back(fake: FakeJob) -> None:
    """Even a job that is cancelled from outside, which only a defect does, leaves nothing running."""
    fake.hang_in(State.RECORDING)
    running = asyncio.create_task(fake.runner.run())
    await fake.steps.reached[State.RECORDING].wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert entered(fake.ledger) == ALL
    fake.assert_given_back_newest_first()


# --- what people are told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transition",
    [one for one in TRANSITIONS if one.event in FROM_OUTSIDE and not one.restarts],
    ids=lambda one: f"{one.source.value}-{one.event.value}-{one.target.value}",
)
async def test_people_are_told_once_where_the_table_says_so_and_never_else(transition: Transition) -> None:
    """One sentence, without what is for engineers alone."""
    # Without the restarts of the same event: the second of two rows is meant.
    fake = FakeJob(transitions=[one for one in TRANSITIONS if not one.restarts])
    fake.announced = transition.when is not Condition.UNANNOUNCED
    fake.hang_in(transition.source, times=1)
    error = CallError("It broke.", detail=SECRET, code=SECRET)
    await fake.run_until(transition.source, lambda: fake.runner.report(transition.event, error))
    assert (transition.event.value, transition.target.value) in fake.moves
    expected = [] if transition.tells is Audience.NOBODY else [(transition.tells, told(transition, "It broke."))]
    assert fake.told == expected
    assert all(SECRET not in sentence for _, sentence in fake.told)


async def test_unexpected_error_is_not_told_in_its_own_words(fake: FakeJob) -> None:
    """An exception's text may hold anything: people read the general sentence."""
    fake.fail_in(State.DISPLAY_UP, ValueError(SECRET))
    await fake.run()
    assert [sentence for _, sentence in fake.told] == ["The recorder failed."]


async def test_telling_waits_for_nothing_and_is_waited_for(fake: FakeJob) -> None:
    """The release does not wait until the call has been told, but the job does not end before."""
    given_back = asyncio.Event()
    fake.resources[Resource.DISPLAY].leave = setting(given_back)

    async def tell_slowly() -> None:
        await given_back.wait()
        for _ in range(50):
            await asyncio.sleep(0)

    fake.telling = tell_slowly
    fake.fail_in(State.DISPLAY_UP, CallError())
    await fake.run()
    assert fake.ledger[-1] == "told"
    assert fake.ledger.index("display left") < fake.ledger.index("told")


async def reaching_its_limit(_: Ahead) -> Happened:
    return Happened(Event.LIMIT_REACHED)


async def test_plugin_is_told_when_the_call_has_been_left(fake: FakeJob) -> None:
    """A healthy plugin has seen the recorder leave by then, and refuses the word; beside it, the file is finished."""
    leaving = asyncio.Event()
    fake.resources[Resource.BROWSER].leave = waiting(leaving)
    fake.steps.script[State.RECORDING] = reaching_its_limit

    async def upload(_: Ahead) -> None:
        assert fake.told == []
        leaving.set()

    fake.steps.script[State.UPLOADING] = upload
    await fake.run()
    assert fake.told == [(Audience.PLUGIN, "")]
    assert fake.ledger.index("display left") < fake.ledger.index("told")


async def test_plugin_that_cannot_be_told_costs_nothing(fake: FakeJob, quick: None) -> None:
    """The job is published and over, though the word has not arrived; it is given up then."""
    given_up = asyncio.Event()

    async def never() -> None:
        try:
            await for_ever()
        finally:
            given_up.set()

    fake.telling = never
    fake.steps.script[State.RECORDING] = reaching_its_limit
    outcome = await fake.run()
    assert outcome.change.transition.target is State.DONE
    assert fake.told == [(Audience.PLUGIN, "")]
    assert given_up.is_set()


async def test_telling_that_fails_harms_nothing(fake: FakeJob) -> None:
    """A defect in telling costs neither the file nor the cleanup."""
    fake.telling = raising(ValueError("no"))
    fake.fail_in(State.RECORDING, CallError())
    outcome = await fake.run()
    assert outcome.change.transition.target is State.DONE
    fake.assert_given_back_newest_first()
