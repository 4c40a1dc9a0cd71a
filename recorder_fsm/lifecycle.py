"""The life of a job: its states, its events, and the one table that says what may follow what.

The machine is a ledger. It does no work: `job` runs the steps and feeds the events here; the machine refuses what the
table does not allow and announces every change to its listeners (the log, the journal, the report).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

import attrs
from transitions import Machine, MachineError


class State(enum.Enum):
    """A state's name is true only while its resource is held."""

    INIT = "init"
    DISPLAY_UP = "display_up"
    BROWSER_JOINED = "browser_joined"
    RECORDING = "recording"
    STOPPING = "stopping"
    UPLOADING = "uploading"
    DONE = "done"
    FAILED = "failed"


class Event(enum.Enum):
    """A fact in the past; how each one is noticed stands where it is fed."""

    DISPLAY_READY = "display_ready"
    LEFTOVER_FOUND = "leftover_found"
    LEFTOVER_PUBLISHED = "leftover_published"
    CALL_JOINED = "call_joined"
    CAPTURE_STARTED = "capture_started"
    STOP_REQUESTED = "stop_requested"
    CALL_ENDED = "call_ended"
    CALL_LOST = "call_lost"
    JOB_REFUSED = "job_refused"
    CAPTURE_LOST = "capture_lost"
    BROWSER_LOST = "browser_lost"
    DISPLAY_LOST = "display_lost"
    SOUND_LOST = "sound_lost"
    DISK_LOW = "disk_low"
    LIMIT_REACHED = "limit_reached"
    FILE_READY = "file_ready"
    PUBLISHED = "published"
    STEP_FAILED = "step_failed"


class Resource(enum.Enum):
    """What a job holds and must give back. The order in a row's `starts` is the order of acquiring."""

    DISPLAY = "display"
    SOUND = "sound"
    DRIVER = "driver"
    BROWSER = "browser"
    CAPTURE = "capture"


FINAL = frozenset({State.DONE, State.FAILED})


@attrs.frozen
class Row:
    """One permitted move.

    `starts` is brought up before the event can happen (side by side); `stops` is released by the move, newest first.
    `tells`: the people in the call are told, by the job status `failed`.
    """

    event: Event
    source: State
    target: State
    starts: tuple[Resource, ...] = ()
    stops: tuple[Resource, ...] = ()
    tells: bool = False


def _rows(
    events: Iterable[Event],
    source: State,
    target: State,
    *,
    stops: tuple[Resource, ...] = (),
    tells: bool = False,
) -> tuple[Row, ...]:
    return tuple(Row(event, source, target, stops=stops, tells=tells) for event in events)


_S, _E, _R = State, Event, Resource

_STAGE = (_R.DISPLAY, _R.SOUND, _R.DRIVER)
_IN_CALL = (*_STAGE, _R.BROWSER)
_ALL = (*_IN_CALL, _R.CAPTURE)

_STAGE_LOSSES = (_E.DISPLAY_LOST, _E.SOUND_LOST, _E.BROWSER_LOST)
_CALL_LOSSES = (*_STAGE_LOSSES, _E.CALL_ENDED, _E.CALL_LOST)

TRANSITIONS: tuple[Row, ...] = (
    # The way of a recording.
    Row(_E.DISPLAY_READY, _S.INIT, _S.DISPLAY_UP, starts=_STAGE),
    Row(_E.CALL_JOINED, _S.DISPLAY_UP, _S.BROWSER_JOINED, starts=(_R.BROWSER,)),
    Row(_E.CAPTURE_STARTED, _S.BROWSER_JOINED, _S.RECORDING, starts=(_R.CAPTURE,)),
    *_rows((_E.STOP_REQUESTED, _E.CALL_ENDED, _E.LIMIT_REACHED), _S.RECORDING, _S.STOPPING, stops=_ALL),
    Row(_E.FILE_READY, _S.STOPPING, _S.UPLOADING),
    Row(_E.PUBLISHED, _S.UPLOADING, _S.DONE),
    # A fault while recording ends the capture; what was recorded is published all the same.
    *_rows(
        (*_STAGE_LOSSES, _E.CALL_LOST, _E.CAPTURE_LOST, _E.DISK_LOW),
        _S.RECORDING, _S.STOPPING, stops=_ALL, tells=True,
    ),
    # A restart with the same recording id finishes what the job before it left.
    Row(_E.LEFTOVER_FOUND, _S.INIT, _S.STOPPING),
    Row(_E.LEFTOVER_PUBLISHED, _S.INIT, _S.DONE),
    # Before the recording there is nothing to save.
    *_rows((_E.STOP_REQUESTED, _E.STEP_FAILED, *_STAGE_LOSSES), _S.INIT, _S.FAILED, stops=_STAGE, tells=True),
    *_rows((_E.STOP_REQUESTED, _E.STEP_FAILED, *_CALL_LOSSES), _S.DISPLAY_UP, _S.FAILED, stops=_IN_CALL, tells=True),
    *_rows(
        (_E.STOP_REQUESTED, _E.STEP_FAILED, *_CALL_LOSSES, _E.CAPTURE_LOST),
        _S.BROWSER_JOINED, _S.FAILED, stops=_ALL, tells=True,
    ),
    # The plugin ended the job before it knew of a recording: discard it, quietly.
    *_rows((_E.JOB_REFUSED,), _S.BROWSER_JOINED, _S.FAILED, stops=_ALL),
    *_rows((_E.JOB_REFUSED,), _S.RECORDING, _S.FAILED, stops=_ALL),
    # A defect of ours while waiting for the end must not cost the recording.
    *_rows((_E.STEP_FAILED,), _S.RECORDING, _S.STOPPING, stops=_ALL, tells=True),
    # The file is kept for the next start.
    Row(_E.STEP_FAILED, _S.STOPPING, _S.FAILED),
    Row(_E.STEP_FAILED, _S.UPLOADING, _S.FAILED),
)  # fmt: skip

BY_MOVE = {(row.source, row.event): row for row in TRANSITIONS}


@attrs.frozen
class Change:
    """A move that happened: the row, and the cause in plain words ("" where the event says it all)."""

    row: Row
    cause: str = ""


class NotAllowedError(RuntimeError):
    """An event was fed that the table does not have for the current state: a defect of the caller."""


class Lifecycle:
    """The ledger of one job: `state` now, `feed` an event, `listen` to changes."""

    state: State

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], None]] = []
        self._machine = Machine(
            model=self,
            states=State,
            initial=State.INIT,
            transitions=transition_dicts(),
            auto_transitions=False,
            send_event=True,
            model_override=True,
        )

    def trigger(self, event: str) -> bool:
        """Overridden by the machine; declared so that the type checker knows it."""
        raise NotImplementedError(event)

    @property
    def final(self) -> bool:
        return self.state in FINAL

    def allows(self, event: Event) -> bool:
        return (self.state, event) in BY_MOVE

    def feed(self, event: Event, cause: str = "") -> Row:
        """Make the move for `event` and announce it; raises `NotAllowedError` where the table has no row."""
        row = BY_MOVE.get((self.state, event))
        if row is None:
            raise NotAllowedError(f"{event.value} is not allowed in {self.state.value}")
        try:
            self.trigger(event.value)
        except MachineError as error:
            raise NotAllowedError(str(error)) from error
        for listener in self._listeners:
            listener(Change(row, cause))
        return row

    def listen(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)


def transition_dicts() -> list[dict[str, object]]:
    """Return the table in the form that `transitions` takes."""
    return [{"trigger": row.event.value, "source": row.source, "dest": row.target} for row in TRANSITIONS]
