"""The request to stop: SIGTERM, SIGINT, SIGQUIT or SIGHUP, noticed from the first moment of the process.

Standard library only, so that it can be installed before anything else is imported.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What launchers, shells and terminals that close send. Each would end the process as it is, without a cleanup."""


T = TypeVar("T")


class StopRequest:
    """Remembers the first request; all later ones are absorbed: there is one orderly stop."""

    def __init__(self) -> None:
        self.requested_at: float | None = None
        # Under nohup(1) a terminal that closes is no reason to stop.
        hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._signals = [number for number in STOP_SIGNALS if hangs_up or number != signal.SIGHUP]
        self._waiters: list[asyncio.Event] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limited = False

    def install(self) -> None:
        """Take the signals over from the interpreter, which would end the process without a cleanup."""
        for number in self._signals:
            signal.signal(number, self._on_signal)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake `loop` up for the signals.

        Not by `add_signal_handler`: a loop that closes sets the signals back to what kills the process, and a second
        SIGTERM in the last moments would turn a published recording into exit code 143.
        """
        self._loop = loop
        self.install()

    def end_within(self, limit_s: float) -> None:
        """Have the process end, with code 1, at the latest `limit_s` seconds after the first request.

        The last resort: the main thread may hang in a system call, on a volume that does not answer, and no handler is
        run then, nor anything else. What the interpreter does at once is to write into a pipe, and that is read by
        another thread.
        """
        if self._limited:
            return
        self._limited = True
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        if self.requested_at is not None:
            os.write(write_end, b"\0")
        arguments = (read_end, limit_s)
        threading.Thread(target=_end_after_signal, args=arguments, name="last resort", daemon=True).start()

    def ignore(self) -> None:
        """Have the signals ignored from now on: the interpreter sets back any other handler when it ends."""
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)

    def request(self) -> None:
        self.requested_at = self.requested_at or time.monotonic()
        for waiter in self._waiters:
            waiter.set()

    async def wait(self) -> None:
        """Return when a stop has been requested, at once where it was requested before."""
        waiter = asyncio.Event()
        self._waiters.append(waiter)
        try:
            if self.requested_at is None:
                await waiter.wait()
        finally:
            self._waiters.remove(waiter)

    async def said(self, main: Coroutine[Any, Any, T], say: Callable[[], None]) -> T:
        """Return what `main` does; `say` is called once, when a stop is requested meanwhile."""
        self.attach(asyncio.get_running_loop())

        async def tell() -> None:
            await self.wait()
            say()

        telling = asyncio.create_task(tell(), name="say that a stop was requested")
        try:
            return await main
        finally:
            telling.cancel()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.request)  # it may be asleep in its selector


def _end_after_signal(read_end: int, limit_s: float) -> None:
    os.read(read_end, 1)
    time.sleep(limit_s)
    os._exit(1)
