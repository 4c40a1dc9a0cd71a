"""How fast and how often a failed request is repeated, and how large the parts of an upload are.

Owns numbers and the waiting, no requests. Everything here can be replaced by a test, which then need not
wait.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import stamina
import stamina.instrumentation
from loguru import logger

from recorder_fsm.errors import MattermostError, ServerUnavailable

MIB = 1024 * 1024
EXPONENT_LIMIT = 16
LOOK_EVERY_S = 2.0
"""A launcher's signal in the middle of a long try shortens its time."""
LAST_S = 0.5
"""So much before the end of its time a repetition is over: whoever cuts it then would not know what went wrong."""

T = TypeVar("T")

# Whoever retries here says why in a line of our own; stamina's line would only repeat that without the cause.
stamina.instrumentation.set_on_retry_hooks([])


@attrs.frozen
class RetryTiming:
    """Waits in seconds, and how many rounds without progress are tried.

    `settle_s` lies between two looks at an upload whose state is in doubt, `watch_s` between two looks at a
    part on its way. `stall_s` without a byte sent or an answer given ends a part. An offset without progress is
    believed after `cut_looks` where a part was cut, after `lag_looks` where the server had promised progress: caches
    and replicas lag. `post_settle_s` lies between two of the `post_looks` for a post that may have been made: the
    plugin waits up to 10 s for its lock before it makes one.
    """

    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_start_wait_s: float = 2.0
    settle_s: float = 1.0
    watch_s: float = 1.0
    connect_s: float = 5.0
    read_s: float = 10.0
    save_read_s: float = 20.0
    call_limit_s: float = 20.0
    send_s: float = 30.0
    stall_s: float = 180.0
    cut_looks: int = 4
    lag_looks: int = 15
    post_settle_s: float = 2.0
    post_looks: int = 7
    stuck_rounds: int = 4
    busy_rounds: int = 24
    perhaps_busy_rounds: int = 6
    new_sessions: int = 4
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wait_s(self, failures: int, longest_s: float | None = None) -> float:
        """Return the wait after that many failures in a row: doubling to the longest, half of it by chance."""
        longest = self.longest_wait_s if longest_s is None else longest_s
        full = min(longest, self.first_wait_s * 2.0 ** min(failures, EXPONENT_LIMIT))
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing


@attrs.frozen
class PartSizes:
    """Sizes in bytes. `first_part` is the least that the server takes first, if it is not the whole file."""

    part: int = 16 * MIB
    first_part: int = 5 * MIB
    smallest: int = 64 * 1024


@attrs.define
class RetryPolicy:
    """Decides whether a failure is worth a wait: only if it may heal, and while `left_s()` is above zero.

    `failures` counts those in a row; whoever makes progress sets it to 0. `until` is when the time was over by the last
    look at it, in seconds of the loop's clock.
    """

    what: str
    timing: RetryTiming
    left_s: Callable[[], float]
    longest_wait_s: float
    failures: int = 0
    last: MattermostError | None = None
    """What went wrong last."""
    until: float = math.inf

    def __call__(self, error: Exception) -> float | None:
        """Return the seconds to wait after `error`, or None to give up."""
        if not isinstance(error, ServerUnavailable):
            return None
        left = self.look_s()
        if left <= 0:
            return None
        wait = min(self.timing.wait_s(self.failures, self.longest_wait_s), left)
        self.failures += 1
        self.last = error
        logger.warning("{}: {}; next try in {:.1f} s", self.what, reason(error), wait)
        return wait

    def look_s(self) -> float:
        """Return the seconds that are left now, and remember when they end."""
        left = self.left_s() - LAST_S
        self.until = asyncio.get_running_loop().time() + left
        return left


async def retry(call: Callable[[], Awaitable[T]], policy: RetryPolicy) -> T:
    """Repeat `call` as long as `policy` waits after its failures; raises the failure that it does not wait for."""

    def hook(error: Exception) -> bool | float:
        wait = policy(error)
        return False if wait is None else wait

    async for attempt in stamina.retry_context(on=hook, attempts=None, timeout=None):
        with attempt:
            return await _try(call, policy)
    raise AssertionError("unreachable")


async def _try(call: Callable[[], Awaitable[T]], policy: RetryPolicy) -> T:
    """Try once. A repetition that outlasts its time ends with what went wrong before it."""
    if policy.last is None:
        return await call()
    task = asyncio.ensure_future(call())
    try:
        while True:
            left = policy.until - asyncio.get_running_loop().time()
            done, _ = await asyncio.wait({task}, timeout=min(LOOK_EVERY_S, max(0.0, left)))
            if done:
                return task.result()
            if policy.look_s() <= 0:
                raise policy.last
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reason(error: Exception) -> str:
    """Return what happened in the fewest words: the detail if there is one."""
    return (error.detail or error.sentence) if isinstance(error, MattermostError) else repr(error)
