"""Blocking calls beside the event loop, in threads that never hold the process back.

`asyncio.to_thread` is not used: loop and interpreter join its workers at their end, so one socket or one volume that
hangs would keep a dying recorder alive until its launcher kills it. A library may use it: nobody waits for that either.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Unawaited(ThreadPoolExecutor):
    """Threads that are left to themselves when the loop ends."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


def run_to_end(main: Coroutine[Any, Any, T]) -> T:
    """Run an event loop for `main`, as `asyncio.run` does, and wait for no thread when it is over.

    The interpreter would still wait for those that a library started: see `surroundings.end_process`.
    """
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Unawaited())
        return runner.run(main)


async def in_daemon_thread(func: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run `func(*args)` in a daemon thread of its own and return or raise what it does.

    A cancelled call abandons the thread: it runs on, its outcome is dropped. The thread sees the caller's
    context variables.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]  # None only if T allows it

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = func(*args)
        except BaseException as error:  # noqa: BLE001 - it is raised in the waiting coroutine
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    name = getattr(func, "__name__", "blocking call")
    threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()
    return await outcome
