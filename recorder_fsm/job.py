"""The loop of one job: runs the step of the current state, races it against what else may happen, feeds the event.

The only caller of `Lifecycle.feed`, and the owner of what the job holds. It knows no program and no server: steps and
resources are given to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
from loguru import logger

from recorder_fsm.errors import DeadlineError, JobOver, RecorderError
from recorder_fsm.holdings import Factory, Holdings, Watch
from recorder_fsm.lifecycle import BY_MOVE, Event, Lifecycle, Resource, Row, State
from recorder_fsm.signals import StopRequest

LOOK_EVERY_S = 1.0
"""How often a step's deadline is looked at again: a stop signal may bring it nearer."""
CANCEL_LIMIT_S = 10.0


class Steps(Protocol):
    """The work of each state."""

    async def take(self, state: State, holdings: Holdings) -> Event:
        """Do the work of `state` and return the event that happened; raises `RecorderError`."""

    def seconds_left(self, state: State) -> float:
        """Return how long the step of `state` may still take."""

    async def tell(self, sentence: str) -> None:
        """Tell the people in the call; never raises."""


@attrs.frozen
class Outcome:
    """How a job ended: its last move, and the error behind it (None where nothing went wrong)."""

    row: Row
    cause: RecorderError | None


class Job:
    """One job, from `init` to `done` or `failed`."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        steps: Steps,
        factories: Mapping[Resource, Factory],
        watches: Mapping[Resource, Sequence[Watch]],
        stop: StopRequest,
    ) -> None:
        self._lifecycle = lifecycle
        self._steps = steps
        self._stop = stop
        self._happenings: asyncio.Queue[tuple[Event, RecorderError | None]] = asyncio.Queue()
        self._holdings = Holdings(factories, watches, self.happened)

    def happened(self, event: Event, cause: RecorderError | None = None) -> None:
        """Note an event from outside the current step; the loop takes it up if the current state knows it."""
        self._happenings.put_nowait((event, cause))

    async def run(self) -> Outcome:
        """Walk the table to a final state. Everything that was held has been given back when this returns."""
        signals = asyncio.create_task(self._watch_signals(), name="signals")
        telling: list[asyncio.Task[None]] = []
        row: Row | None = None
        cause: RecorderError | None = None
        fault: RecorderError | None = None
        try:
            while not self._lifecycle.final:
                event, cause = await self._next_event()
                row = self._lifecycle.feed(event, str(cause) if cause else "")
                fault = cause or fault
                if row.tells:
                    telling.append(asyncio.create_task(self._steps.tell(told_in_call(row, cause)), name="tell"))
                if row.stops:
                    # In the background: finishing the file waits for the capture, and for nothing else.
                    self._holdings.release_all()
        finally:
            signals.cancel()
            await self._holdings.release_all()
            await asyncio.gather(*telling, return_exceptions=True)
        if row is None:
            raise RuntimeError("a job begins in a state that is not final")
        return Outcome(row, fault)

    async def _next_event(self) -> tuple[Event, RecorderError | None]:
        state = self._lifecycle.state
        step = asyncio.create_task(self._steps.take(state, self._holdings), name=f"step {state.value}")
        other = asyncio.create_task(self._interruption(state), name="interruption")
        try:
            while (left_s := self._steps.seconds_left(state)) > 0:
                await asyncio.wait(
                    {step, other}, timeout=min(left_s, LOOK_EVERY_S), return_when=asyncio.FIRST_COMPLETED
                )
                if other.done():  # first: a lost browser explains a failed step better than the step does
                    return other.result()
                if step.done():
                    return _result(state, step)
            return Event.STEP_FAILED, DeadlineError(
                detail=f"the step of {state.value} ran out of time", code="deadline"
            )
        finally:
            other.cancel()
            await _cancelled(step)

    async def _interruption(self, state: State) -> tuple[Event, RecorderError | None]:
        """Wait for an event that `state` knows; others are passed over (a second SIGTERM while stopping)."""
        while True:
            event, cause = await self._happenings.get()
            if (state, event) in BY_MOVE:
                return event, cause
            logger.info("{} in state {} changes nothing", event.value, state.value)

    async def _watch_signals(self) -> None:
        await self._stop.wait()
        self.happened(Event.STOP_REQUESTED)


TOLD = {
    Event.STOP_REQUESTED: "The recorder was stopped before the recording began.",
    Event.CALL_ENDED: "The call or the recording ended before the recording began.",
}
KEPT = "What was recorded until then will be published."


def told_in_call(row: Row, cause: RecorderError | None) -> str:
    """Return the one sentence that people in the call may read (contract 5, start failure)."""
    sentence = cause.sentence if cause is not None else TOLD.get(row.event, "The recorder failed.")
    return f"{sentence} {KEPT}" if row.target is State.STOPPING else sentence


def _result(state: State, step: asyncio.Task[Event]) -> tuple[Event, RecorderError | None]:
    try:
        return step.result(), None
    except JobOver as error:
        return (Event.JOB_REFUSED if (state, Event.JOB_REFUSED) in BY_MOVE else Event.STEP_FAILED), error
    except RecorderError as error:
        return Event.STEP_FAILED, error
    except Exception as error:  # noqa: BLE001 - a defect of ours: the job still needs its cleanup and its exit code
        logger.opt(exception=True).error("the step of {} failed unexpectedly", state.value)
        return Event.STEP_FAILED, RecorderError(detail=f"{type(error).__name__}: {error}")


async def _cancelled(step: asyncio.Task[Any]) -> None:
    """Cancel a step and wait until it has cleaned up after itself."""
    if not step.done():
        step.cancel()
        await asyncio.wait({step}, timeout=CANCEL_LIMIT_S)
