"""The table: every state against every event, what each move must give back, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder_fsm.machine import diagram
from recorder_fsm.machine.lifecycle import (
    BY_MOVE,
    FINAL,
    TRANSITIONS,
    Change,
    Event,
    Lifecycle,
    NotAllowedError,
    Resource,
    Row,
    State,
)

PAGE = Path(__file__).parent.parent / "docs" / "lifecycle.md"

# Written from the design by hand, not derived from the table: state -> event -> where it leads. All else is refused.
EXPECTED: dict[str, dict[str, str]] = {
    "init": {
        "display_ready": "display_up",
        "pending_found": "stopping",
        "pending_published": "done",
        "stop_requested": "failed",
        "step_failed": "failed",
        "display_lost": "failed",
        "audio_lost": "failed",
        "browser_lost": "failed",
    },
    "display_up": {
        "call_joined": "browser_joined",
        "stop_requested": "failed",
        "step_failed": "failed",
        "display_lost": "failed",
        "audio_lost": "failed",
        "browser_lost": "failed",
        "call_ended": "failed",
        "call_lost": "failed",
    },
    "browser_joined": {
        "capture_started": "recording",
        "stop_requested": "failed",
        "step_failed": "failed",
        "display_lost": "failed",
        "audio_lost": "failed",
        "browser_lost": "failed",
        "call_ended": "failed",
        "call_lost": "failed",
        "capture_lost": "failed",
        "job_refused": "failed",
    },
    "recording": {
        "stop_requested": "stopping",
        "call_ended": "stopping",
        "limit_reached": "stopping",
        "call_lost": "stopping",
        "capture_lost": "stopping",
        "browser_lost": "stopping",
        "display_lost": "stopping",
        "audio_lost": "stopping",
        "disk_low": "stopping",
        "step_failed": "stopping",
        "job_refused": "failed",
    },
    "stopping": {"file_ready": "uploading", "step_failed": "failed"},
    "uploading": {"published": "done", "step_failed": "failed"},
    "done": {},
    "failed": {},
}
# The people in the call are told of these, and of no other: a recording ended as it should, or its job is over anyway.
TOLD: dict[str, set[str]] = {
    "init": {"stop_requested", "step_failed", "display_lost", "audio_lost", "browser_lost"},
    "display_up": set(EXPECTED["display_up"]) - {"call_joined"},
    "browser_joined": set(EXPECTED["browser_joined"]) - {"capture_started", "job_refused"},
    "recording": {"call_lost", "capture_lost", "browser_lost", "display_lost", "audio_lost", "disk_low", "step_failed"},
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
LEFTOVER_EVENTS = {Event.PENDING_FOUND, Event.PENDING_PUBLISHED}


def lifecycle_in(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for event in WAY[state]:
        lifecycle.fire(event)
    assert lifecycle.state is state
    return lifecycle


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_event_in_every_state_leads_where_it_should_or_is_refused(state: State, event: Event) -> None:
    """The machine agrees with the table written here, for all pairs, and a refused event changes nothing."""
    lifecycle = lifecycle_in(state)
    changes: list[Change] = []
    lifecycle.listen(changes.append)
    expected = EXPECTED[state.value].get(event.value)
    assert lifecycle.allows(event) is (expected is not None)
    if expected is None:
        with pytest.raises(NotAllowedError, match=f"{event.value} is not allowed in {state.value}"):
            lifecycle.fire(event)
        assert (lifecycle.state, changes) == (state, [])
    else:
        row = lifecycle.fire(event, "why")
        assert lifecycle.state is State(expected)
        assert (row.source, row.event, row.target) == (state, event, State(expected))
        assert changes == [Change(row, "why")]


@pytest.mark.parametrize("event", Event, ids=lambda event: event.value)
@pytest.mark.parametrize("state", FINAL, ids=lambda state: state.value)
def test_machine_itself_refuses_every_event_in_a_final_state(state: State, event: Event) -> None:
    """Also without our own look at the table, the library's machine lets nothing out of `done` and `failed`."""
    lifecycle = lifecycle_in(state)
    assert lifecycle.final
    with pytest.raises(Exception, match=event.value):
        lifecycle.trigger(event.value)
    assert lifecycle.state is state


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL], ids=lambda state: state.value)
def test_no_other_state_is_final(state: State) -> None:
    """A job goes on in each state but the two at the end."""
    assert not lifecycle_in(state).final


def test_table_has_one_row_for_each_move() -> None:
    """No event has two rows in one state: the second would silently never count."""
    moves = [(row.source, row.event) for row in TRANSITIONS]
    assert len(moves) == len(set(moves)) == len(BY_MOVE)


def test_every_state_is_reachable_and_every_event_is_used() -> None:
    """Nothing in the two enumerations is dead."""
    reached = {State.INIT}
    for _ in State:
        reached |= {row.target for row in TRANSITIONS if row.source in reached}
    assert reached == set(State)
    assert {row.event for row in TRANSITIONS} == set(Event)


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL], ids=lambda state: state.value)
def test_every_state_has_a_way_to_the_end(state: State) -> None:
    """A step that fails leads to `failed` within two moves, and a job that fares well to `done`."""
    lifecycle = lifecycle_in(state)
    moves = 0
    while not lifecycle.final:
        lifecycle.fire(Event.STEP_FAILED)
        moves += 1
    assert lifecycle.state is State.FAILED
    assert moves <= 2
    ends = {state}
    for _ in State:
        ends |= {row.target for row in TRANSITIONS if row.source in ends}
    assert State.FAILED in ends
    assert State.DONE in ends or state in (State.DISPLAY_UP, State.BROWSER_JOINED)


def held_in() -> dict[State, set[Resource]]:
    """Walk the table: what may be held in a state, brought up by its own step included, on any way that leads there."""
    held: dict[State, set[Resource]] = {state: set() for state in State}
    for state in State:
        for row in TRANSITIONS:
            if row.source is state:
                held[state] |= set(row.starts)
    for _ in TRANSITIONS:
        for row in TRANSITIONS:
            if row.event not in LEFTOVER_EVENTS:  # found before anything is brought up
                held[row.target] |= held[row.source] - set(row.stops)
    return held


@pytest.mark.parametrize(
    "row",
    [row for row in TRANSITIONS if row.target in (State.FAILED, State.STOPPING) and row.event not in LEFTOVER_EVENTS],
    ids=lambda row: f"{row.source.value}-{row.event.value}",
)
def test_move_to_the_end_stops_all_that_can_be_held(row: Row) -> None:
    """Each row that leads to `failed` or `stopping` gives back whatever the way to it may have acquired."""
    assert held_in()[row.source] <= set(row.stops)


def test_nothing_is_held_at_the_end_or_while_the_file_is_finished() -> None:
    """By the table alone, no resource outlives `recording`, and each is held somewhere."""
    held = held_in()
    for state in (State.STOPPING, State.UPLOADING, State.DONE, State.FAILED):
        assert held[state] == set()
    assert held[State.RECORDING] == set(Resource)


def test_stops_are_in_the_order_of_acquiring() -> None:
    """`stops` reads like `starts`, oldest first, so that newest first means the same in every row."""
    order = list(Resource)
    for row in TRANSITIONS:
        assert list(row.stops) == sorted(row.stops, key=order.index), row
        assert list(row.starts) == sorted(row.starts, key=order.index), row


def test_only_moves_forward_start_something_and_none_of_them_stops() -> None:
    """A row either brings something up or gives something back, never both."""
    forward = {Event.DISPLAY_READY, Event.CALL_JOINED, Event.CAPTURE_STARTED}
    for row in TRANSITIONS:
        assert bool(row.starts) is (row.event in forward), row
        assert not (row.starts and row.stops), row


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL], ids=lambda state: state.value)
def test_people_are_told_of_what_they_do_not_expect(state: State) -> None:
    """A failure is told to the call; a normal end, and a job that the plugin has ended already, are not."""
    told = {row.event.value for row in TRANSITIONS if row.source is state and row.tells}
    assert told == TOLD[state.value]


def test_listeners_get_each_change_once_in_order() -> None:
    """All listeners hear of every move, in the order of listening, after the state has changed."""
    lifecycle = Lifecycle()
    heard: list[tuple[str, str, State]] = []
    lifecycle.listen(lambda change: heard.append(("first", change.cause, lifecycle.state)))
    lifecycle.listen(lambda change: heard.append(("second", change.cause, lifecycle.state)))
    lifecycle.fire(Event.DISPLAY_READY, "a")
    lifecycle.fire(Event.STEP_FAILED, "b")
    assert heard == [
        ("first", "a", State.DISPLAY_UP),
        ("second", "a", State.DISPLAY_UP),
        ("first", "b", State.FAILED),
        ("second", "b", State.FAILED),
    ]


def test_machine_adds_no_method_of_its_own_to_the_ledger() -> None:
    """No `to_done()` and no method per event: `feed` is the one way to move."""
    lifecycle = Lifecycle()
    grown = {name for name in dir(lifecycle) if name.startswith(("to_", "may_", "is_")) or name in EVENT_NAMES}
    assert grown == set()


EVENT_NAMES = {event.value for event in Event}


def test_page_shows_the_diagram_and_the_table_as_they_are() -> None:
    """`docs/lifecycle.md` holds exactly what the commands print; after a change, paste it anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram.mermaid()}```\n" in page
    assert f"\n{diagram.markdown_table()}" in page


def test_diagram_has_an_arrow_for_every_row() -> None:
    """Each event stands on exactly one arrow between its two states; both ends of the life are marked."""
    lines = [line.strip() for line in diagram.mermaid().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    assert "[*] --> init" in lines
    assert {"done --> [*]", "failed --> [*]"} < set(lines)
    for row in TRANSITIONS:
        (arrow,) = (line for line in lines if line.startswith(f"{row.source.value} --> {row.target.value}: "))
        assert row.event.value in arrow.partition(": ")[2].split("<br/>")


def test_markdown_table_has_a_line_for_every_row() -> None:
    """One line per row, with what it stops in the order in which it happens: newest first."""
    lines = diagram.markdown_table().splitlines()[2:]
    assert len(lines) == len(TRANSITIONS)
    refused = next(line for line in lines if "| browser_joined | `job_refused` |" in line)
    assert refused == "| browser_joined | `job_refused` | failed |  | capture, browser, driver, sound, display |  |"
