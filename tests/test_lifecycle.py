"""The tables: every state against every event under every condition, and the page that shows them."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import pytest

from recorder_fsm.machine import diagram
from recorder_fsm.machine.lifecycle import (
    FINAL,
    RESTART_WINDOW_S,
    RESTARTS_ALLOWED,
    STANDS_ON,
    STATES,
    TRANSITIONS,
    Audience,
    Change,
    Condition,
    Event,
    Lifecycle,
    Resource,
    State,
    Transition,
)
from recorder_fsm.machine.sentences import told

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"

# Written from the design by hand, not derived from the table: state -> event -> where it leads. All else is refused.
STAGE_LOSSES = {"display_lost": "failed", "audio_lost": "failed"}
START_ENDS = {"stop_requested": "failed", "step_failed": "failed", **STAGE_LOSSES}
CALL_ENDS = {**START_ENDS, "browser_lost": "failed", "call_ended": "failed", "call_lost": "failed"}
EXPECTED: dict[str, dict[str, str]] = {
    "init": {
        "display_ready": "display_up",
        "pending_found": "stopping",
        "pending_published": "done",
        **START_ENDS,
    },
    "display_up": {"call_joined": "browser_joined", **CALL_ENDS, "driver_lost": "failed"},
    "browser_joined": {"capture_started": "recording", **CALL_ENDS, "capture_lost": "failed"},
    "recording": {
        "stop_requested": "stopping",
        "call_ended": "stopping",
        "plugin_gone": "stopping",
        "limit_reached": "stopping",
        "call_lost": "stopping",
        "capture_lost": "recording",
        "browser_lost": "stopping",
        "display_lost": "stopping",
        "audio_lost": "recording",
        "audio_not_restored": "recording",
        "picture_lost": "recording",
        "disk_low": "stopping",
        "step_failed": "stopping",
        "job_refused": "failed",
    },
    "stopping": {"file_ready": "uploading", "nobody_told": "failed", "step_failed": "failed"},
    "uploading": {"published": "done", "step_failed": "failed"},
    "done": {},
    "failed": {},
}
# As long as nobody can know of the recording, whatever ends it discards it; what can be restarted is.
UNANNOUNCED = {
    event: target if event in ("capture_lost", "audio_not_restored", "job_refused") else "failed"
    for event, target in EXPECTED["recording"].items()
}
# With no restart left: audio is done without.
USED_UP = {**EXPECTED["recording"], "capture_lost": "stopping"}
RESTARTED = {"capture_lost": "capture", "audio_lost": "audio"}
# The call is told of these, and of no other: a recording ended as it should, or its job is over anyway.
TOLD_CALL: dict[str, set[str]] = {
    "init": set(START_ENDS),
    "display_up": set(CALL_ENDS) | {"driver_lost"},
    "browser_joined": set(CALL_ENDS) | {"capture_lost"},
    "recording": {"call_lost", "browser_lost", "display_lost", "disk_low", "step_failed"},
    "stopping": set(),
    "uploading": set(),
}
# The way of a recording, as events: how a test brings a fresh machine into a state.
WAY: dict[State, tuple[Event, ...]] = {
    State.INIT: (),
    State.DISPLAY_UP: (Event.DISPLAY_READY,),
    State.BROWSER_JOINED: (Event.DISPLAY_READY, Event.CALL_JOINED),
    State.RECORDING: (Event.DISPLAY_READY, Event.CALL_JOINED, Event.CAPTURE_STARTED),
    State.STOPPING: (Event.PENDING_FOUND,),
    State.UPLOADING: (Event.PENDING_FOUND, Event.FILE_READY),
    State.DONE: (Event.PENDING_PUBLISHED,),
    State.FAILED: (Event.STEP_FAILED,),
}
WORKING = [state for state in State if state not in FINAL]


def lifecycle_in(state: State, *, announced: bool = True) -> Lifecycle:
    lifecycle = Lifecycle(lambda: announced)
    for event in WAY[state]:
        lifecycle.fire(event)
    assert lifecycle.state is state
    return lifecycle


def with_no_restart_left(lifecycle: Lifecycle) -> Lifecycle:
    for event in (Event.CAPTURE_LOST, Event.AUDIO_LOST):
        for _ in range(RESTARTS_ALLOWED):
            assert (change := lifecycle.fire(event))
            assert change.transition.restarts
    return lifecycle


def assert_leads(lifecycle: Lifecycle, event: Event, expected: str | None) -> None:
    """The machine makes the expected change and announces it once, or refuses and changes nothing."""
    state, changes = lifecycle.state, list[Change]()
    lifecycle.listen(changes.append)
    cause = ValueError("why")
    change = lifecycle.fire(event, cause)
    if expected is None:
        assert (change, changes, lifecycle.state) == (None, [], state)
        return
    assert change is not None
    assert changes == [change]
    assert lifecycle.state is State(expected)
    transition = change.transition
    assert (transition.source, transition.event, transition.target) == (state, event, State(expected))
    assert change.cause is cause


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_event_in_each_state_leads_where_it_should_or_is_refused(state: State, event: Event) -> None:
    """The machine agrees with the table written here, for all pairs."""
    assert_leads(lifecycle_in(state), event, EXPECTED[state.value].get(event.value))


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
def test_unannounced_recording_ends_in_failed(event: Event) -> None:
    """Before `started` can have left us, whatever ends a recording discards it."""
    assert_leads(lifecycle_in(State.RECORDING, announced=False), event, UNANNOUNCED.get(event.value))


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
def test_recording_ends_when_its_restarts_are_used_up(event: Event) -> None:
    """A resource that dies again and again is no longer restarted; audio alone is done without."""
    assert_leads(with_no_restart_left(lifecycle_in(State.RECORDING)), event, USED_UP.get(event.value))


@pytest.mark.parametrize(("event", "resource"), RESTARTED.items())
def test_what_can_be_overcome_restarts_its_resource_and_nobody_is_told(event: str, resource: str) -> None:
    """The recording goes on; people in the call are not told that it failed."""
    change = lifecycle_in(State.RECORDING).fire(Event(event))
    assert change is not None
    assert [one.value for one in change.transition.restarts] == [resource]
    assert change.transition.tells is Audience.NOBODY
    assert change.transition.keeps


def test_restarts_are_allowed_again_after_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meeting of hours may need more restarts than a minute may."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lifecycle = with_no_restart_left(lifecycle_in(State.RECORDING))
    now += RESTART_WINDOW_S + 1
    change = lifecycle.fire(Event.CAPTURE_LOST)
    assert change is not None
    assert change.transition.restarts == (Resource.CAPTURE,)


def test_restarts_of_one_resource_leave_those_of_another() -> None:
    """Each resource has its own number."""
    lifecycle = lifecycle_in(State.RECORDING)
    for _ in range(RESTARTS_ALLOWED):
        lifecycle.fire(Event.AUDIO_LOST)
    change = lifecycle.fire(Event.CAPTURE_LOST)
    assert change is not None
    assert change.transition.restarts == (Resource.CAPTURE,)


@pytest.mark.parametrize("state", [State.DONE, State.FAILED], ids=lambda state: state.value)
def test_library_itself_lets_nothing_out_of_a_final_state(state: State) -> None:
    """`transitions` decides: asked directly, it refuses every event and leaves the state alone."""
    lifecycle = lifecycle_in(state)
    assert lifecycle.final
    assert [event for event in Event if lifecycle.trigger(event.value, cause=None)] == []
    assert lifecycle.state is state


def test_library_decides_what_is_made_of_the_table() -> None:
    """With one transition taken out of the table the event is refused: nothing beside the machine looks it up."""
    table = [one for one in TRANSITIONS if one.event is not Event.DISPLAY_READY]
    lifecycle = Lifecycle(transitions=table)
    assert lifecycle.fire(Event.DISPLAY_READY) is None
    assert lifecycle.state is State.INIT


@pytest.mark.parametrize("state", WORKING, ids=lambda state: state.value)
def test_no_other_state_is_final(state: State) -> None:
    """A job goes on in each state but the two at the end."""
    assert not lifecycle_in(state).final


def test_no_transition_is_dead() -> None:
    """Of two for the same state and event, only the last has no condition: the second would silently never count."""
    seen: dict[tuple[State, Event], list[Condition | None]] = {}
    for transition in TRANSITIONS:
        seen.setdefault((transition.source, transition.event), []).append(transition.when)
    for pair, conditions in seen.items():
        assert conditions[-1] is None, pair
        assert None not in conditions[:-1], pair
        assert len(set(conditions)) == len(conditions), pair


def test_every_state_is_reachable_and_every_event_is_used() -> None:
    """Nothing in the enumerations is dead."""
    reached = {State.INIT}
    for _ in State:
        reached |= {one.target for one in TRANSITIONS if one.source in reached}
    assert reached == set(State) == set(STATES)
    assert {one.event for one in TRANSITIONS} == set(Event)
    assert {one.when for one in TRANSITIONS} == {None, *Condition}


@pytest.mark.parametrize("state", WORKING, ids=lambda state: state.value)
def test_every_state_has_a_way_to_the_end(state: State) -> None:
    """A step that fails leads to `failed` within two transitions, and a job that fares well to `done`."""
    lifecycle = lifecycle_in(state)
    count = 0
    while not lifecycle.final:
        lifecycle.fire(Event.STEP_FAILED)
        count += 1
    assert lifecycle.state is State.FAILED
    assert count <= 2
    ends = {state}
    for _ in State:
        ends |= {one.target for one in TRANSITIONS if one.source in ends}
    assert {State.FAILED, State.DONE} <= ends


HELD = {
    "init": set[str](),
    "display_up": {"display", "audio"},
    "browser_joined": {"display", "audio", "driver", "browser"},
    "recording": {"display", "audio", "browser", "capture"},
    "stopping": set[str](),
    "uploading": set[str](),
    "done": set[str](),
    "failed": set[str](),
}


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_state_holds_what_its_name_says(state: State) -> None:
    """And whatever it holds stands on something that it holds too."""
    holds = STATES[state].holds
    assert {one.value for one in holds} == HELD[state.value]
    for resource in holds:
        assert set(STANDS_ON[resource]) <= set(holds)


def test_restart_is_of_what_the_state_holds_and_says_what_its_failure_is() -> None:
    """A restart leads nowhere else, and its failure has a transition of its own."""
    for one in TRANSITIONS:
        assert bool(one.restarts) is (one.failed_restart is not None)
        if one.restarts:
            assert one.source is one.target
            assert set(one.restarts) <= set(STATES[one.source].holds)
            assert any(other.event is one.failed_restart and other.source is one.source for other in TRANSITIONS)


@pytest.mark.parametrize("state", WORKING, ids=lambda state: state.value)
def test_people_are_told_of_what_they_do_not_expect(state: State) -> None:
    """A failure is told to the call; a normal end, and a job that the plugin has ended already, are not."""
    call = set()
    for event in Event:
        change = lifecycle_in(state).fire(event)
        if change is not None and change.transition.tells is Audience.CALL:
            call.add(event.value)
    assert call == TOLD_CALL[state.value]


@pytest.mark.parametrize("event", [Event.AUDIO_NOT_RESTORED, Event.AUDIO_LOST])
def test_recording_without_audio_is_told_in_the_thread(event: Event) -> None:
    """The status `failed` would take the notice of the recording away, while it goes on."""
    change = with_no_restart_left(lifecycle_in(State.RECORDING)).fire(event)
    assert change is not None
    assert change.transition.tells is Audience.THREAD
    assert told(change.transition, "The sound server failed.").endswith("The recording goes on without audio.")


def test_recording_without_a_picture_is_told_in_the_thread() -> None:
    """As long as it exists for somebody: its voices are worth keeping. One that nobody knows of ends there."""
    change = lifecycle_in(State.RECORDING).fire(Event.PICTURE_LOST)
    assert change is not None
    assert change.transition.tells is Audience.THREAD
    assert told(change.transition, "It is black.") == "It is black. The recording goes on without a picture."
    unknown = lifecycle_in(State.RECORDING, announced=False).fire(Event.PICTURE_LOST)
    assert unknown is not None
    assert (unknown.transition.target, unknown.transition.tells) == (State.FAILED, Audience.CALL)


def test_plugin_is_told_of_each_end_of_a_recording_that_it_did_not_ask_for() -> None:
    """And is told nothing that people would read: an error is told to the call, which ends the job as well."""
    told_plugin = [one for one in TRANSITIONS if one.tells is Audience.PLUGIN]
    assert {one.event.value for one in told_plugin} == {"stop_requested", "limit_reached", "plugin_gone"}
    for one in told_plugin:
        assert (one.source, one.target) == (State.RECORDING, State.STOPPING)
        assert told(one, "It broke.") == ""
    ends = [one for one in TRANSITIONS if (one.source, one.target) == (State.RECORDING, State.STOPPING)]
    assert {one.event.value for one in ends if one.tells is Audience.NOBODY} == {"call_ended"}


KEPT = "What was recorded until then will be published."


@pytest.mark.parametrize("transition", [one for one in TRANSITIONS if one.tells is Audience.CALL], ids=str)
def test_told_sentence_says_whether_something_will_come(transition: Transition) -> None:
    """Whoever waits for a video is told that there will be one, and only then; and that nobody can join again."""
    sentence = told(transition, "It broke.")
    assert sentence.startswith("It broke.")
    assert (KEPT in sentence) is (transition.target is State.STOPPING) is transition.keeps
    gone = transition.event.value in ("browser_lost", "display_lost", "call_lost")
    assert ("cannot join this recording again" in sentence) is (gone and transition.keeps)


def test_event_without_a_cause_has_a_sentence_of_its_own() -> None:
    """A stop or an end before the recording is said as such; anything else is a failure."""
    stop, fault = (
        attrs.evolve(TRANSITIONS[0], event=event, target=State.FAILED)
        for event in (Event.STOP_REQUESTED, Event.CAPTURE_LOST)
    )
    assert "was stopped before" in told(stop, "")
    assert told(fault, "") == "The recorder failed."


def test_only_what_nobody_knows_of_is_discarded() -> None:
    """A recording that may have been announced is kept on every way out."""
    for state in (State.RECORDING, State.STOPPING, State.UPLOADING):
        for event in Event:
            change = lifecycle_in(state).fire(event)
            if change is not None and event is not Event.JOB_REFUSED:
                assert change.transition.keeps


def test_listeners_get_each_change_once_in_order() -> None:
    """All listeners hear of every change, in the order of listening, after the state has changed."""
    lifecycle = Lifecycle()
    heard: list[tuple[str, Exception | None, State]] = []
    lifecycle.listen(lambda change: heard.append(("first", change.cause, lifecycle.state)))
    lifecycle.listen(lambda change: heard.append(("second", change.cause, lifecycle.state)))
    a, b = ValueError("a"), ValueError("b")
    lifecycle.fire(Event.DISPLAY_READY, a)
    lifecycle.fire(Event.STEP_FAILED, b)
    assert heard == [
        ("first", a, State.DISPLAY_UP),
        ("second", a, State.DISPLAY_UP),
        ("first", b, State.FAILED),
        ("second", b, State.FAILED),
    ]


def test_machine_adds_no_method_of_its_own_to_the_ledger() -> None:
    """No `to_done()` and no method per event: `fire` is the one way to change."""
    names = {event.value for event in Event}
    grown = {name for name in dir(Lifecycle()) if name.startswith(("to_", "may_", "is_")) or name in names}
    assert grown == set()


def test_page_shows_the_diagram_and_the_tables_as_they_are() -> None:
    """`docs/lifecycle.md` holds exactly what the commands print; after a change, paste it anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram.mermaid()}```\n" in page
    assert f"\n{diagram.states_table()}" in page
    assert f"\n{diagram.transitions_table()}" in page


def test_diagram_has_an_arrow_for_every_transition() -> None:
    """Each event stands on exactly one arrow between its two states; both ends of the life are marked."""
    lines = [line.strip() for line in diagram.mermaid().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert "[*] --> init" in lines
    assert {"done --> [*]", "failed --> [*]"} < set(lines)
    for one in TRANSITIONS:
        (arrow,) = (line for line in lines if line.startswith(f"{one.source.value} --> {one.target.value}: "))
        events = [label.partition(" (")[0] for label in arrow.partition(": ")[2].split("<br/>")]
        assert one.event.value in events


def test_tables_have_a_line_for_everything() -> None:
    """One line per state and per transition, with what it restarts and whether the recording is kept."""
    assert len(diagram.states_table().splitlines()) == len(State) + 2
    lines = diagram.transitions_table().splitlines()[2:]
    assert len(lines) == len(TRANSITIONS)
    assert "| recording | `capture_lost` | restarts_left | recording | capture |  | kept |" in lines
    assert "| recording | `job_refused` |  | failed |  |  | discarded |" in lines
