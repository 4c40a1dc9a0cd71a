"""The request to stop: SIGTERM or SIGINT, noticed from the first moment of the process.

Standard library only, so that it can be installed before anything else is imported.
"""

from __future__ import annotations

import asyncio
import signal
import time
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Remembers the first request; all later ones are absorbed: there is one orderly stop."""

    def __init__(self) -> None:
        self.requested_at: float | None = None
        self._waiters: list[asyncio.Event] = []

    def install(self) -> None:
        """Take the signals over from the interpreter, which would end the process without a cleanup."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the loop take the signals: it wakes up for them."""
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self.request)

    def request(self) -> None:
        if self.requested_at is None:
            self.requested_at = time.monotonic()
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

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
