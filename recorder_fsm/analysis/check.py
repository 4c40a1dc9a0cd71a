"""One line of a verdict, and the words that its lines share.

`ok`: as it should be, or no more than a fact. `warning`: somebody will notice, or should look; the recording is fit.
`bad`: something is wrong with the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from recorder_fsm.analysis.contact_sheet import clock
from recorder_fsm.analysis.packets import Hole
from recorder_fsm.analysis.playing import Span

SHOWN = 8

Rating = Literal["ok", "warning", "bad"]


@attrs.frozen
class Check:
    """One line: what, its value in words, the rating; where that is not ok, what it means and what to do."""

    name: str
    value: str
    rating: Rating = "ok"
    meaning: str = ""
    advice: str = ""


def worst(lines: Sequence[Check]) -> Rating:
    """Return the worst rating."""
    order: tuple[Rating, ...] = ("ok", "warning", "bad")
    return max((line.rating for line in lines), key=order.index, default="ok")


def counted(count: int, name: str) -> str:
    """Return a number of things: `1 gap`, `2 gaps`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def listed_holes(holes: Sequence[Hole]) -> str:
    """Return where the first of them are, and how long."""
    shown = [f"{clock(hole.at_s, 1)} for {hole.duration_s:.2f} s" for hole in holes[:SHOWN]]
    return ", ".join([*shown, *([f"and {len(holes) - SHOWN} more"] if len(holes) > SHOWN else [])])


def total_s(spans: Sequence[Span]) -> float:
    """Return how long all of them are together."""
    return sum(end - begin for begin, end in spans)


def longest_s(spans: Sequence[Span]) -> float:
    """Return how long the longest of them is, 0 where there is none."""
    return max((end - begin for begin, end in spans), default=0.0)


def listed_spans(spans: Sequence[Span], count: int | None = None) -> str:
    """Return where the first of them are; `count`: how many there are, if these are not all."""
    more = (count or len(spans)) - len(spans[:SHOWN])
    shown = [f"{clock(begin, 1)} to {clock(end, 1)}" for begin, end in spans[:SHOWN]]
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])
