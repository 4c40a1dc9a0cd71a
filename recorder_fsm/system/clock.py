"""Limits that count only the time in which this process ran.

A recorder that was stopped (SIGSTOP), starved, or moved with its virtual machine wakes up late. What it waited for may
have happened long ago, and a child that it did not look at is not frozen. So no limit here counts such a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TICK_S = 0.5
LATE_S = 1.0
"""A tick that comes later than this shows that the process stood still; less is an ordinary busy machine."""


def now_s() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine sleeps (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Stopwatch:
    """Counts seconds in which the process ran. Whoever uses it asks at least once in `LATE_S` seconds.

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


@asynccontextmanager
async def running_timeout(limit_s: float) -> AsyncIterator[asyncio.Timeout]:
    """Limit the block to `limit_s` seconds in which the process ran; raises `TimeoutError` as `asyncio.timeout` does.

    A tick that comes late moves the deadline by as much. It is due before the deadline, so it runs first after a pause.
    """
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle | None = None

    def tick(due: float) -> None:
        nonlocal handle
        late_s = loop.time() - due
        when = timeout.when()
        if late_s > LATE_S and when is not None and not timeout.expired():
            timeout.reschedule(when + late_s)
        handle = loop.call_later(TICK_S, tick, loop.time() + TICK_S)

    async with asyncio.timeout(limit_s) as timeout:
        handle = loop.call_later(TICK_S, tick, loop.time() + TICK_S)
        try:
            yield timeout
        finally:
            if handle is not None:
                handle.cancel()
