"""Limits that count only the time in which this process ran.

A recorder that was stopped (SIGSTOP), starved, or moved with its virtual machine wakes up late. What it waited for may
have happened long ago, and a child that it did not look at is not frozen. So no limit here counts such a pause, and
whoever waits for a sign of life begins to wait anew: the child may have stood still as well, and needs its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

TICK_S = 0.5
LATE_S = 1.0
"""A tick that comes later than this shows that the process stood still; less is an ordinary busy machine."""
RENEWALS = 20
"""How often one limit begins anew; after that a pause counts as one tick. Every wait has an end."""


def now_s() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Stopwatch:
    """Counts seconds in which the process ran. Whoever uses it asks at least once in `LATE_S` seconds, or lets it tick.

    A longer pause between two questions counts as `LATE_S`.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._asked_at = now_s()

    def elapsed_s(self) -> float:
        """Return the seconds since it was made or restarted."""
        asked_at, self._asked_at = self._asked_at, now_s()
        self._seconds += min(self._asked_at - asked_at, LATE_S)
        return self._seconds

    def restart(self) -> None:
        """Count from zero again."""
        self._seconds, self._asked_at = 0.0, now_s()

    @contextmanager
    def ticking(self) -> Iterator[Self]:
        """Ask by itself while the block runs, for those who ask seldom; in a running event loop."""
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def tick() -> None:
            nonlocal handle
            self.elapsed_s()
            handle = loop.call_later(TICK_S, tick)

        tick()
        try:
            yield self
        finally:
            if handle is not None:
                handle.cancel()


@asynccontextmanager
async def running_timeout(limit_s: float) -> AsyncIterator[asyncio.Timeout]:
    """Limit the block to `limit_s` seconds in which the process ran; raises `TimeoutError` as `asyncio.timeout` does.

    Only a tick that came in time may end the block. After one that came late the limit begins anew: what had come
    meanwhile is read first, and what stood still with us has its whole time.
    """
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle | None = None
    ran_s, renewals = 0.0, 0

    def tick(due: float, step_s: float) -> None:
        nonlocal ran_s, renewals
        if loop.time() - due > LATE_S and renewals < RENEWALS:
            ran_s, renewals = 0.0, renewals + 1
        else:
            ran_s += step_s
        if ran_s >= limit_s:
            if not timeout.expired():
                timeout.reschedule(loop.time())
        else:
            wait()

    def wait() -> None:
        nonlocal handle
        step_s = max(0.0, min(TICK_S, limit_s - ran_s))
        due = loop.time() + step_s
        handle = loop.call_at(due, tick, due, step_s)

    task = asyncio.current_task()
    cancelled = task.cancelling() if task else 0
    timeout = asyncio.timeout(None)
    try:
        async with timeout:
            wait()
            try:
                yield timeout
            finally:
                if handle is not None:
                    handle.cancel()
    except asyncio.CancelledError:
        # Python before 3.11.4 takes its own timeout for a cancellation in a task that tidies up after one.
        if task and timeout.expired() and cancelled and task.cancelling() <= cancelled:
            raise TimeoutError from None
        raise


async def running_wait(
    waited: Collection[asyncio.Future[Any]], limit_s: float, *, return_when: str = asyncio.ALL_COMPLETED
) -> None:
    """Wait as `asyncio.wait` does, for at most `limit_s` seconds in which the process ran; raises nothing."""
    with contextlib.suppress(TimeoutError):
        async with running_timeout(limit_s):
            await asyncio.wait(waited, return_when=return_when)
