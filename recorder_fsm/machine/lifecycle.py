"""The life of a job: what each state holds and how long it may take, and the one table that says what follows what.

Everything about a state or an event that is policy stands here and nowhere else. `Lifecycle` is a synchronous ledger
around `transitions.Machine`: it decides which transition an event makes, and announces each change to its listeners
(release, journal, log, report). It does no work itself: `runner` runs the steps and fires the events.
"""

from __future__ import annotations

import enum
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import attrs
from transitions import EventData, Machine


class State(enum.Enum):
    """A state's name is true only while what it holds is held (`STATES`)."""

    INIT = "init"
    DISPLAY_UP = "display_up"
    BROWSER_JOINED = "browser_joined"
    RECORDING = "recording"
    STOPPING = "stopping"
    UPLOADING = "uploading"
    DONE = "done"
    FAILED = "failed"


class Event(enum.Enum):
    """Something that happened to the job. The step of a state returns it, or a watch or a signal reports it."""

    DISPLAY_READY = "display_ready"
    PENDING_FOUND = "pending_found"
    PENDING_PUBLISHED = "pending_published"
    CALL_JOINED = "call_joined"
    CAPTURE_STARTED = "capture_started"
    STOP_REQUESTED = "stop_requested"
    CALL_ENDED = "call_ended"
    CALL_LOST = "call_lost"
    PLUGIN_GONE = "plugin_gone"
    JOB_REFUSED = "job_refused"
    CAPTURE_LOST = "capture_lost"
    BROWSER_LOST = "browser_lost"
    DRIVER_LOST = "driver_lost"
    DISPLAY_LOST = "display_lost"
    AUDIO_LOST = "audio_lost"
    AUDIO_NOT_RESTORED = "audio_not_restored"
    PICTURE_LOST = "picture_lost"
    DISK_LOW = "disk_low"
    LIMIT_REACHED = "limit_reached"
    FILE_READY = "file_ready"
    NOBODY_TOLD = "nobody_told"
    PUBLISHED = "published"
    STEP_FAILED = "step_failed"


class Resource(enum.Enum):
    """What a job holds and must give back."""

    DISPLAY = "display"
    AUDIO = "audio"
    BROWSER = "browser"
    DRIVER = "driver"
    CAPTURE = "capture"


_S, _E, _R = State, Event, Resource

STANDS_ON: Mapping[Resource, tuple[Resource, ...]] = {
    _R.DISPLAY: (),
    _R.AUDIO: (),
    _R.BROWSER: (_R.DISPLAY, _R.AUDIO),
    _R.DRIVER: (),
    _R.CAPTURE: (_R.DISPLAY, _R.AUDIO),
}
"""What must be up before a resource starts. Those that do not stand on each other start side by side."""


class Budget(enum.Enum):
    """A longer time that a state's own limit is part of."""

    START = "from the start of the process to the call that is recorded"
    GRACE = "from the launcher's SIGTERM to its SIGKILL"


START_BUDGET_S = 45.0
"""The plugin gives up 60 s after it asked for the job (contract 4.3)."""


@attrs.frozen
class StatePolicy:
    """What a state holds, the state that its step works towards, and how many seconds the step may take."""

    holds: tuple[Resource, ...] = ()
    ahead: State | None = None
    limit_s: float = math.inf
    budget: Budget | None = None


_STAGE = (_R.DISPLAY, _R.AUDIO)
_IN_CALL = (*_STAGE, _R.BROWSER)

STATES: Mapping[State, StatePolicy] = {
    _S.INIT: StatePolicy(ahead=_S.DISPLAY_UP, limit_s=15.0, budget=Budget.START),
    _S.DISPLAY_UP: StatePolicy(_STAGE, ahead=_S.BROWSER_JOINED, limit_s=25.0, budget=Budget.START),
    # The driver loads the call page, and nothing after that needs it.
    _S.BROWSER_JOINED: StatePolicy((*_IN_CALL, _R.DRIVER), ahead=_S.RECORDING, limit_s=20.0, budget=Budget.START),
    _S.RECORDING: StatePolicy((*_IN_CALL, _R.CAPTURE)),
    _S.STOPPING: StatePolicy(limit_s=1800.0, budget=Budget.GRACE),
    # Its own end is that nothing moves any more, which the step notices (`steps.publish`).
    _S.UPLOADING: StatePolicy(budget=Budget.GRACE),
    _S.DONE: StatePolicy(),
    _S.FAILED: StatePolicy(),
}

FINAL = frozenset({State.DONE, State.FAILED})


class Condition(enum.Enum):
    """What a transition may depend on beside its event."""

    UNANNOUNCED = "unannounced"
    """No byte of the first `started` can have left us: nobody can know of the recording."""
    RESTARTS_LEFT = "restarts_left"
    """The resource was restarted fewer than `RESTARTS_ALLOWED` times within `RESTART_WINDOW_S`."""


RESTARTS_ALLOWED = 10
RESTART_WINDOW_S = 120.0
RESTART_LIMIT_S = 10.0
"""How long one restart may take before it counts as failed."""


class Audience(enum.Enum):
    """Who is told of a transition."""

    NOBODY = ""
    CALL = "call"
    """Everybody in the call, by the job status `failed`. It also ends the job for the plugin."""
    THREAD = "thread"
    """Everybody, by a post in the call's thread: the recording goes on, so its status stays."""
    PLUGIN = "plugin"
    """The plugin alone, once the call has been left: the job is over, without an error. It may not see that by itself
    (contract 6.11); where it did, it refuses the word, and nothing changes."""


@attrs.frozen
class Transition:
    """One permitted change of state.

    `restarts`: resources that are stopped and started anew while the state stays; `failed_restart` happens where that
    fails. `keeps`: whether what was captured until then is kept and published; if not, it is removed.
    """

    event: Event
    source: State
    target: State
    when: Condition | None = None
    restarts: tuple[Resource, ...] = ()
    failed_restart: Event | None = None
    tells: Audience = Audience.NOBODY
    keeps: bool = True


def _each(events: Iterable[Event], source: State, target: State, **more: object) -> tuple[Transition, ...]:
    return tuple(Transition(event, source, target, **more) for event in events)  # type: ignore[arg-type]


_STAGE_LOSSES = (_E.DISPLAY_LOST, _E.AUDIO_LOST)
_CALL_LOSSES = (*_STAGE_LOSSES, _E.BROWSER_LOST, _E.CALL_ENDED, _E.CALL_LOST)
_CALL, _THREAD, _PLUGIN = Audience.CALL, Audience.THREAD, Audience.PLUGIN
_UNANNOUNCED, _RESTARTS_LEFT = Condition.UNANNOUNCED, Condition.RESTARTS_LEFT

# Of the transitions for one state and one event, the first whose condition holds is made.
TRANSITIONS: tuple[Transition, ...] = (
    # The way of a recording.
    Transition(_E.DISPLAY_READY, _S.INIT, _S.DISPLAY_UP),
    Transition(_E.CALL_JOINED, _S.DISPLAY_UP, _S.BROWSER_JOINED),
    Transition(_E.CAPTURE_STARTED, _S.BROWSER_JOINED, _S.RECORDING),
    # Until `started` can have left us the recording does not exist for anybody.
    *_each(
        (_E.STOP_REQUESTED, _E.STEP_FAILED, _E.LIMIT_REACHED, _E.DISK_LOW, _E.PLUGIN_GONE, _E.PICTURE_LOST,
         *_CALL_LOSSES),
        _S.RECORDING, _S.FAILED, when=_UNANNOUNCED, tells=_CALL, keeps=False,
    ),
    Transition(_E.CALL_ENDED, _S.RECORDING, _S.STOPPING),
    *_each((_E.STOP_REQUESTED, _E.LIMIT_REACHED, _E.PLUGIN_GONE), _S.RECORDING, _S.STOPPING, tells=_PLUGIN),
    Transition(_E.FILE_READY, _S.STOPPING, _S.UPLOADING),
    Transition(_E.PUBLISHED, _S.UPLOADING, _S.DONE),
    # Nobody is shown a recording of which nobody was told; a person who knows better publishes it by `recover`.
    Transition(_E.NOBODY_TOLD, _S.STOPPING, _S.FAILED),
    # What a restart overcomes costs seconds, and the recording goes on.
    Transition(_E.CAPTURE_LOST, _S.RECORDING, _S.RECORDING, when=_RESTARTS_LEFT,
               restarts=(_R.CAPTURE,), failed_restart=_E.CAPTURE_LOST),
    Transition(_E.AUDIO_LOST, _S.RECORDING, _S.RECORDING, when=_RESTARTS_LEFT,
               restarts=(_R.AUDIO,), failed_restart=_E.AUDIO_NOT_RESTORED),
    # Video without audio, or audio without a picture, is better than neither, and people know.
    *_each((_E.AUDIO_LOST, _E.AUDIO_NOT_RESTORED, _E.PICTURE_LOST), _S.RECORDING, _S.RECORDING, tells=_THREAD),
    # Any other fault ends the capture; what was recorded is published all the same. A failed step is a defect of ours.
    *_each(
        (_E.DISPLAY_LOST, _E.BROWSER_LOST, _E.CALL_LOST, _E.CAPTURE_LOST, _E.DISK_LOW, _E.STEP_FAILED),
        _S.RECORDING, _S.STOPPING, tells=_CALL,
    ),
    # The plugin ended the job before it knew of a recording.
    Transition(_E.JOB_REFUSED, _S.RECORDING, _S.FAILED, keeps=False),
    # A restart with the same recording id finishes what the process before it left.
    Transition(_E.PENDING_FOUND, _S.INIT, _S.STOPPING),
    Transition(_E.PENDING_PUBLISHED, _S.INIT, _S.DONE),
    # Before the recording there is nothing to save.
    *_each((_E.STOP_REQUESTED, _E.STEP_FAILED, *_STAGE_LOSSES), _S.INIT, _S.FAILED, tells=_CALL, keeps=False),
    *_each(
        (_E.STOP_REQUESTED, _E.STEP_FAILED, *_CALL_LOSSES, _E.DRIVER_LOST),
        _S.DISPLAY_UP, _S.FAILED, tells=_CALL, keeps=False,
    ),
    *_each(
        (_E.STOP_REQUESTED, _E.STEP_FAILED, *_CALL_LOSSES, _E.CAPTURE_LOST),
        _S.BROWSER_JOINED, _S.FAILED, tells=_CALL, keeps=False,
    ),
    # The file is kept for the next start.
    Transition(_E.STEP_FAILED, _S.STOPPING, _S.FAILED),
    Transition(_E.STEP_FAILED, _S.UPLOADING, _S.FAILED),
)  # fmt: skip


@attrs.frozen
class Change:
    """A transition that was made, and the error behind it (None where the event says it all)."""

    transition: Transition
    cause: Exception | None = None


class Lifecycle:
    """The ledger of one job: `state` now, `fire` an event, `listen` to changes.

    `announced` answers `Condition.UNANNOUNCED`. `transitions` is the table; tests pass another one.
    """

    state: State

    def __init__(
        self,
        announced: Callable[[], bool] = lambda: True,
        transitions: Sequence[Transition] = TRANSITIONS,
    ) -> None:
        self._announced = announced
        self._listeners: list[Callable[[Change], None]] = []
        self._restarted_at: defaultdict[Resource, list[float]] = defaultdict(list)
        self._change: Change | None = None
        self._machine = Machine(
            model=self,
            states=State,
            initial=State.INIT,
            transitions=[self._row(transition) for transition in transitions],
            auto_transitions=False,
            send_event=True,
            ignore_invalid_triggers=True,
            model_override=True,
        )

    def trigger(self, event: str, *, cause: Exception | None) -> bool:
        """Stand where `transitions` puts its own method, for the type checker."""
        raise NotImplementedError(event)

    @property
    def final(self) -> bool:
        return self.state in FINAL

    def fire(self, event: Event, cause: Exception | None = None) -> Change | None:
        """Make the transition for `event` and announce it; returns None where the current state knows no such event."""
        self._change = None
        self.trigger(event.value, cause=cause)
        return self._change

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Have `listener` called after each change, in the order of listening; it must not raise."""
        self._listeners.append(listener)

    def _row(self, transition: Transition) -> dict[str, object]:
        """Return the transition in the form that `transitions` takes."""
        conditions: list[Callable[[EventData], bool]] = []
        if transition.when is Condition.UNANNOUNCED:
            conditions = [self._is_unannounced]
        elif transition.when is Condition.RESTARTS_LEFT:
            conditions = [partial(self._has_restarts_left, transition)]
        return {
            "trigger": transition.event.value,
            "source": transition.source,
            "dest": transition.target,
            "conditions": conditions,
            "after": [partial(self._announce, transition)],
        }

    def _is_unannounced(self, _: EventData) -> bool:
        return not self._announced()

    def _has_restarts_left(self, transition: Transition, _: EventData) -> bool:
        since = time.monotonic() - RESTART_WINDOW_S
        return all(
            sum(at > since for at in self._restarted_at[resource]) < RESTARTS_ALLOWED
            for resource in transition.restarts
        )

    def _announce(self, transition: Transition, data: EventData) -> None:
        for resource in transition.restarts:
            self._restarted_at[resource].append(time.monotonic())
        self._change = Change(transition, data.kwargs.get("cause"))
        for listener in self._listeners:
            listener(self._change)
