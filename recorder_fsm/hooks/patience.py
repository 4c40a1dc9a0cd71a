"""How long a hook may take: a limit that may come nearer while it runs, since a launcher's signal shortens it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

LOOK_EVERY_S = 0.5
CANCEL_LIMIT_S = 5.0
"""More than it takes to end a program that was asked, and then killed."""

T = TypeVar("T")
Left = Callable[[], float]
"""Returns how many seconds are left."""


async def within(left_s: Left, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does; raises `TimeoutError` where no time is left before that. It has ended then."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and (left := left_s()) > 0:
            await asyncio.wait({task}, timeout=min(left, LOOK_EVERY_S))
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_LIMIT_S)
