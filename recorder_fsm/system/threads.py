"""Blocking calls beside the event loop, in threads that never hold the process back.

`asyncio.to_thread` is not used: the interpreter joins its workers at exit, so one socket that hangs would
keep a dying recorder alive until its launcher kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


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
