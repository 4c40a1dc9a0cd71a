"""The runner: runs the step of the current state, races it against what else may happen, and fires the event.

The only caller of `Lifecycle.fire`, and the owner of what the job holds and of every task that it starts. It knows no
program and no server: steps and resources are given to it, and what they mean stands in the tables of `lifecycle`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import DeadlineError, RecorderError
from recorder_fsm.machine.lifecycle import (
    STATES,
    Audience,
    Budget,
    Change,
    Event,
    Lifecycle,
    Resource,
    State,
    StatePolicy,
)
from recorder_fsm.machine.resources import ResourceStack, Spec
from recorder_fsm.machine.sentences import told
from recorder_fsm.system.clock import Stopwatch, running_wait
from recorder_fsm.system.signals import StopRequest

LOOK_EVERY_S = 0.5
"""How often a step's deadline is looked at again: a stop signal may bring it nearer."""
CANCEL_LIMIT_S = 10.0
LAST_WORDS_S = 3.0
"""How much longer telling may take when the job is over and all is given back: a server that is away costs no grace."""


@attrs.frozen
class Happened:
    """What a step returns: the event, and the error behind it where there is one."""

    event: Event
    cause: RecorderError | None = None


@attrs.frozen
class Ahead:
    """What a step is given: the resources, and how to start those of the state that it works towards."""

    resources: ResourceStack
    start: Callable[[], Awaitable[None]]
    """Starts what the state ahead holds and is missing (`STATES`); raises the failure of one."""
    time_left_s: Callable[[], float]
    """Returns how many seconds the step may still take."""


Step = Callable[[Ahead], Awaitable[Happened]]
Explain = Callable[[RecorderError], RecorderError]
"""Returns what lies under a cause, or the cause itself."""
Tell = Callable[[Audience, str], Coroutine[Any, Any, None]]
"""Tells one sentence to those who are meant; never raises, and has a limit of its own."""


class NotAllowedError(RuntimeError):
    """A step returned an event for which the table has no transition in the current state: a defect of ours."""


@attrs.frozen
class Outcome:
    """How a job ended: its last change, and the last error that was not overcome (None where nothing went wrong)."""

    change: Change
    fault: Exception | None


class Runner:
    """One job, from `init` to `done` or `failed`.

    `budgets` answers how many seconds of each budget are left, `explain` what lies under a cause. `states` is the table
    of states; tests pass another one.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        steps: Mapping[State, Step],
        specs: Mapping[Resource, Spec],
        stop: StopRequest,
        *,
        tell: Tell,
        budgets: Mapping[Budget, Callable[[], float]],
        explain: Explain = lambda cause: cause,
        states: Mapping[State, StatePolicy] = STATES,
    ) -> None:
        self._lifecycle = lifecycle
        self._steps = steps
        self._stop = stop
        self._tell = tell
        self._budgets = budgets
        self._explain = explain
        self._states = states
        self._reports: asyncio.Queue[Happened] = asyncio.Queue()
        self._resources = ResourceStack(specs, self.report)
        self._telling: list[asyncio.Task[None]] = []
        self._restarts: dict[Resource, Change] = {}
        """Restarts that the last changes asked for and that have not been done yet."""
        lifecycle.listen(self._after_change)

    def report(self, event: Event, cause: RecorderError | None = None) -> None:
        """Note an event from outside the current step; it is fired if the current state knows it."""
        self._reports.put_nowait(Happened(event, cause))

    async def run(self) -> Outcome:
        """Walk the table to a final state. Everything that was held has been given back when this returns."""
        signals = asyncio.create_task(self._watch_signals(), name="signals")
        fault: Exception | None = None
        change: Change | None = None
        try:
            while not self._lifecycle.final:
                change = await self._next_change()
                if change.cause is not None and change.transition.target is not State.RECORDING:
                    fault = change.cause
        finally:
            signals.cancel()
            await self._resources.release(keep=())
            await self._end_telling()
        if change is None:
            raise RuntimeError("a job begins in a state that is not final")
        return Outcome(change, fault)

    def _after_change(self, change: Change) -> None:
        """Do what follows from a change, as the tables say: tell, release, note what is to be restarted."""
        transition, cause = change.transition, change.cause
        # In the background: finishing the file waits for the capture's end, and for nothing else.
        releasing = self._resources.release(
            keep=self._states[transition.target].holds,
            because=cause if transition.tells is Audience.CALL else None,
        )
        if transition.tells is not Audience.NOBODY:
            self._telling.append(asyncio.create_task(self._tell_of(change, releasing), name="tell"))
        if transition.source is transition.target:
            # One that was interrupted by another event is done then, too.
            self._restarts |= dict.fromkeys(transition.restarts, change)
        else:
            self._restarts.clear()

    async def _end_telling(self) -> None:
        if self._telling:
            await running_wait(self._telling, LAST_WORDS_S)
        for telling in self._telling:
            await _cancel(telling)
            if telling.done() and not telling.cancelled() and (failure := telling.exception()):
                logger.opt(exception=failure).error("telling failed")

    async def _tell_of(self, change: Change, releasing: asyncio.Task[None]) -> None:
        transition, cause = change.transition, change.cause
        if transition.tells is Audience.PLUGIN:
            await asyncio.wait({releasing})  # where it has seen the recorder leave, it knows by itself
        await self._tell(transition.tells, told(transition, cause.sentence if isinstance(cause, RecorderError) else ""))

    async def _next_change(self) -> Change:
        """Run the state's step until it returns, an event from outside interrupts it, or its deadline passes."""
        state = self._lifecycle.state
        watch, policy = Stopwatch(), self._states[state]

        def time_left_s() -> float:
            budget = self._budgets[policy.budget]() if policy.budget is not None else math.inf
            return min(policy.limit_s - watch.elapsed_s(), budget)

        ahead = self._states[policy.ahead].holds if policy.ahead is not None else ()
        help_ = Ahead(self._resources, lambda: self._resources.start(ahead), time_left_s)
        step = asyncio.create_task(self._work(state, help_), name=f"step {state.value}")
        outside = asyncio.create_task(self._reports.get(), name="outside")
        try:
            while (left_s := time_left_s()) > 0:
                waited: set[asyncio.Task[Any]] = {step, outside}
                await asyncio.wait(waited, timeout=min(left_s, LOOK_EVERY_S), return_when=asyncio.FIRST_COMPLETED)
                if outside.done():  # first: a lost browser explains a failed step better than the step does
                    happened = outside.result()
                    if change := self._tried(happened):
                        return change
                    logger.info("{} in state {} changes nothing", happened.event.value, state.value)
                    outside = asyncio.create_task(self._reports.get(), name="outside")
                elif step.done():
                    return self._fire(_result(state, step))
            late = DeadlineError(detail=f"the step of {state.value} ran out of time", code="deadline")
            return self._fire(Happened(Event.STEP_FAILED, late))
        finally:
            await _cancel(outside)
            await _cancel(step)

    async def _work(self, state: State, ahead: Ahead) -> Happened:
        """Do the restarts that the last transition asked for, then the step of the state."""
        while self._restarts:
            resource, change = next(iter(self._restarts.items()))
            try:
                await self._resources.restart(resource, change.cause)
            except Exception as error:
                del self._restarts[resource]
                if change.transition.failed_restart is None:
                    raise
                return Happened(change.transition.failed_restart, _as_cause(error, f"restarting the {resource.value}"))
            del self._restarts[resource]
            logger.info("the {} was restarted; the recording goes on", resource.value)
        return await self._steps[state](ahead)

    def _fire(self, happened: Happened) -> Change:
        change = self._tried(happened)
        if change is None:
            raise NotAllowedError(f"{happened.event.value} is not allowed in {self._lifecycle.state.value}")
        return change

    def _tried(self, happened: Happened) -> Change | None:
        cause = self._explain(happened.cause) if happened.cause is not None else None
        return self._lifecycle.fire(happened.event, cause)

    async def _watch_signals(self) -> None:
        await self._stop.wait()
        self.report(Event.STOP_REQUESTED)


def _result(state: State, step: asyncio.Task[Happened]) -> Happened:
    try:
        return step.result()
    except Exception as error:  # noqa: BLE001 - a defect of ours: the job still needs its cleanup and its exit code
        return Happened(Event.STEP_FAILED, _as_cause(error, f"the step of {state.value}"))


def _as_cause(error: Exception, what: str) -> RecorderError:
    """Return the error as a cause that people can be told; one that nobody expected is logged with its traceback."""
    if isinstance(error, RecorderError):
        return error
    logger.opt(exception=error).error("{} failed unexpectedly", what)
    return RecorderError(detail=f"{type(error).__name__}: {error}")


async def _cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has cleaned up after itself."""
    if not task.done():
        task.cancel()
        await running_wait({task}, CANCEL_LIMIT_S)
