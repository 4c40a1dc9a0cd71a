"""What others use of the machine meanwhile: beside a busy neighbour a figure says little. Reads /proc (proc(5))."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.parts import TICKS_PER_S, cpu_s

LOOK_S = 1.0


class Others:
    """Counts the CPU of all programs but ours, while it is held. Ours are looked for every second."""

    def __init__(self) -> None:
        self._before = _machine_s()
        self._first: dict[psutil.Process, float] = {}
        self._last: dict[psutil.Process, float] = {}
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._look()
        self._first = dict(self._last)
        self._looking = asyncio.create_task(self._look_on(), name="others")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    def share(self) -> float:
        """Return what others have used of the machine's time so far, 0 to 1."""
        self._look()
        own = sum(self._last.values()) - sum(self._first.values())
        busy, whole = (after - before for after, before in zip(_machine_s(), self._before, strict=True))
        return max(0.0, busy - own) / whole if whole > 0 else 0.0

    def _look(self) -> None:
        own = psutil.Process()
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                self._last[process] = max(self._last.get(process, 0.0), cpu_s(process.pid))

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()


def _machine_s() -> tuple[float, float]:
    first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    ticks = [int(word) for word in first]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_S, sum(ticks) / TICKS_PER_S
