"""What others use of the machine meanwhile: beside a busy neighbour a figure says little. Reads /proc (proc(5))."""

from __future__ import annotations

from pathlib import Path

import psutil

from bench.parts import TICKS_PER_S, cpu_s


class Others:
    """Counts the CPU of all programs but ours, from its making on."""

    def __init__(self) -> None:
        self._before = _machine_s(), _own_s()

    def share(self) -> float:
        """Return what others have used of the machine's time since, 0 to 1. Ours that ended unseen count as others."""
        (busy_before, all_before), own_before = self._before
        (busy, whole), own = _machine_s(), _own_s()
        passed_s = whole - all_before
        return max(0.0, (busy - busy_before) - (own - own_before)) / passed_s if passed_s > 0 else 0.0


def _machine_s() -> tuple[float, float]:
    first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:9]
    ticks = [int(word) for word in first]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_S, sum(ticks) / TICKS_PER_S


def _own_s() -> float:
    own = psutil.Process()
    return sum(cpu_s(process.pid, with_ended=True) for process in (own, *own.children(recursive=True)))
