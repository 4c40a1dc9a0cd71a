"""The work of each state: one coroutine per state, returning the event that happened, and how long it may take.

Steps decide nothing about what may follow (`lifecycle` does), and start and stop no resource by themselves (`holdings`
does, by the rows of the table). The work itself stands in `starting`, `watching` and `finishing`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping

from loguru import logger

from recorder_fsm.finishing import Finishing
from recorder_fsm.holdings import Holdings
from recorder_fsm.lifecycle import Event, State
from recorder_fsm.recording import Recording
from recorder_fsm.starting import Starting
from recorder_fsm.watching import Watching
from recorder_fsm.work import Work

START_BUDGET_S = 45.0
"""From the start of the process to `started`: the plugin gives up at 60 s (contract 4.3)."""
LIMITS_S = {
    State.INIT: 15.0,
    State.DISPLAY_UP: 25.0,
    State.BROWSER_JOINED: 20.0,
    State.RECORDING: math.inf,
    State.STOPPING: 240.0,
}
TELL_LIMIT_S = 5.0


class JobSteps:
    """The steps of one real job."""

    def __init__(self, work: Work, recording: Recording) -> None:
        self._work = work
        self._starting = Starting(work, self.seconds_left)
        self._finishing = Finishing(work, recording)
        self._entered = (State.INIT, time.monotonic())
        self._steps: Mapping[State, Callable[[Holdings], Awaitable[Event]]] = {
            State.INIT: self._starting.raise_stage,
            State.DISPLAY_UP: self._starting.join_call,
            State.BROWSER_JOINED: self._starting.start_capture,
            State.RECORDING: Watching(work).await_end,
            State.STOPPING: self._finishing.finish_file,
            State.UPLOADING: self._finishing.publish,
        }

    async def take(self, state: State, holdings: Holdings) -> Event:
        self._entered = (state, time.monotonic())
        return await self._steps[state](holdings)

    def seconds_left(self, state: State) -> float:
        """Return how long the step may still take, by its own limit and by the budget that it is part of."""
        if state is State.UPLOADING:
            return self._finishing.publish_seconds_left()
        now = time.monotonic()
        since = self._entered[1] if self._entered[0] is state else now
        left_s = since + LIMITS_S[state] - now
        if state in (State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED):
            left_s = min(left_s, self._work.began + START_BUDGET_S - now)
        if state is State.STOPPING:
            left_s = min(left_s, self._work.grace_left_s())
        return left_s

    async def tell(self, sentence: str) -> None:
        logger.info("telling the call: {}", sentence)
        await self._work.bot.report_failed(sentence, TELL_LIMIT_S)

    def discard(self) -> None:
        """Remove what this process captured: the job ended before anybody knew of a recording."""
        self._starting.discard()
