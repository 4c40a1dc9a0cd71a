"""Samples: what a job used and did over time, in columns of a bounded length.

Pure: it is given one sample after another. When the columns are full, each two points become one, and from then on a
point stands for twice the time. So a meeting of a whole day has as many points as one of an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

MOST_POINTS = 720
"""At a sample every five seconds: an hour before the first thinning."""

Number = float | int
Row = dict[str, Number | None]


def _mean(values: list[Number]) -> Number:
    return round(sum(values) / len(values), 3)


def _last(values: list[Number]) -> Number:
    return values[-1]


@attrs.frozen
class Sample:
    """One look at the job. A value is None where it is not known, or makes no sense at the time.

    `at_s`: seconds since the process began. `cpu` (1.0: one core, since the look before) and `memory_bytes` by part
    (`system.usage`). `machine`: share of all cores of the machine that was busy. Of the capture: `speed` since the look
    before (1.0: real time), `behind_s` (how far the encoder is behind the clock), `level_dbfs` (root mean square since
    the look before), `frames` and `size_bytes` so far. `free_bytes`: what may still be written to the volume.
    `cpu_s`: seconds of CPU by part so far; no column is made of them.
    """

    at_s: float
    cpu: Mapping[str, float | None] = attrs.Factory(dict)
    memory_bytes: Mapping[str, int] = attrs.Factory(dict)
    machine: float | None = None
    speed: float | None = None
    behind_s: float | None = None
    level_dbfs: float | None = None
    frames: int | None = None
    size_bytes: int | None = None
    free_bytes: int | None = None
    cpu_s: Mapping[str, float] = attrs.Factory(dict)


_MERGED: Mapping[str, Callable[[list[Number]], Number]] = {
    "at_s": _last,
    "cpu": _mean,
    "memory_bytes": max,
    "machine": _mean,
    "speed": min,
    "behind_s": max,
    "level_dbfs": max,
    "frames": _last,
    "size_bytes": _last,
    "free_bytes": min,
}
"""How several values become one: what matters of each must not be lost. The key is a column's name up to its dot."""


class Samples:
    """The samples of one job; `every_s` is the time between two. `latest` is the last one, None before the first."""

    def __init__(self, every_s: float, most: int = MOST_POINTS) -> None:
        self.latest: Sample | None = None
        self._every_s = every_s
        self._most = most
        self._rows: list[Row] = []
        self._open: list[Row] = []
        """The samples of a point that is not full yet."""
        self._each = 1
        """How many samples make a point."""

    def add(self, sample: Sample) -> None:
        """Take one sample."""
        self.latest = sample
        self._open.append(_row(sample))
        if len(self._open) < self._each:
            return
        self._rows.append(_merged(self._open))
        self._open = []
        if len(self._rows) >= self._most:
            self._rows = [_merged(self._rows[at : at + 2]) for at in range(0, len(self._rows), 2)]
            self._each *= 2

    def facts(self) -> dict[str, Any]:
        """Return the columns, all of the same length, fit for JSON; those of a part are in one mapping. `{}`: none."""
        rows = [*self._rows, *([_merged(self._open)] if self._open else [])]
        if not rows:
            return {}
        facts: dict[str, Any] = {"every_s": self._every_s * self._each}
        for name in dict.fromkeys(name for row in rows for name in row):
            values = [row.get(name) for row in rows]
            kind, _, part = name.partition(".")
            if part:
                facts.setdefault(kind, {})[part] = values
            elif any(value is not None for value in values):
                facts[kind] = values
        return facts


def _row(sample: Sample) -> Row:
    row: Row = {}
    for name in _MERGED:
        value = getattr(sample, name)
        if isinstance(value, Mapping):
            row |= {f"{name}.{part}": one for part, one in value.items()}
        else:
            row[name] = round(value, 3) if isinstance(value, float) else value
    return row


def _merged(rows: list[Row]) -> Row:
    merged: Row = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [value for row in rows if (value := row.get(name)) is not None]
        merged[name] = _MERGED[name.partition(".")[0]](values) if values else None
    return merged
