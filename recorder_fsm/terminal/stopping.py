"""Ctrl-C: an orderly stop that says what it is doing, and the exit code that shells expect of it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

SIGNALLED = 128
"""A shell's exit code for a program that a signal ended is this and the signal's number."""
EXIT_INTERRUPTED = SIGNALLED + signal.SIGINT
AGAIN = "Press Ctrl-C again to end at once."

T = TypeVar("T")


class Interrupted(Exception):
    """A signal asked to stop, and all is cleared up. `code` is the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = SIGNALLED + number


def run_stoppable(main: Coroutine[Any, Any, T], tell: Callable[[], None]) -> T:
    """Run `main` in an event loop; raises `Interrupted` where a signal stopped it.

    The first SIGINT, SIGTERM or SIGHUP calls `tell` and cancels `main`, which clears up; the second ends the process as
    it is: the programs that it started die with it.
    """
    return asyncio.run(_stoppable(main, tell))


async def _stoppable(main: Coroutine[Any, Any, T], tell: Callable[[], None]) -> T:
    working = asyncio.ensure_future(main)
    asked: list[int] = []

    def take(number: int) -> None:
        if asked:
            os._exit(SIGNALLED + number)
        asked.append(number)
        working.cancel()
        tell()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup(1)
            loop.add_signal_handler(number, take, number)
    try:
        return await working
    except asyncio.CancelledError:
        if asked:
            raise Interrupted(asked[0]) from None
        raise
