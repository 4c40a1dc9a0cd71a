"""The state diagram as SVG, laid out from the tables of the lifecycle: whatever is added there is drawn.

The way of a recording is one line of states; the others stand beside it. Arrows that lead ahead over several states run
on one side of the line, those that lead off it on the other. Both shapes, wide and tall, are the same drawing with its
axes exchanged. Classes and `data-` attributes are what the page lights; no colour stands here.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape

import attrs

from recorder_fsm.machine.lifecycle import STATES, TRANSITIONS, State

Point = tuple[float, float]
"""Along the line of states, and across it."""
ROUND = 7.0
RAIL = 16.0
"""Between two arrows that run side by side."""
LOOP = 24.0


@attrs.frozen
class Shape:
    """How the drawing lies: half of a box and the gap between boxes along the line, half of a box across it."""

    name: str
    upright: bool
    half_along: float
    half_across: float
    gap: float

    def at(self, point: Point) -> str:
        """Return a point as SVG writes it."""
        along, across = point
        x, y = (across, along) if self.upright else (along, across)
        return f"{x:g},{y:g}"

    def along(self, number: int) -> float:
        """Return where the middle of the box with this number is."""
        return number * (2 * self.half_along + self.gap)


WIDE = Shape("wide", upright=False, half_along=66, half_across=21, gap=34)
TALL = Shape("tall", upright=True, half_along=19, half_across=66, gap=26)


def way() -> list[State]:
    """Return the states that a recording passes when all goes well: each leads to the first that is new and no end
    of its own."""
    line = [State.INIT]
    while True:
        policy = STATES[line[-1]]
        ahead = (
            [policy.ahead]
            if policy.ahead is not None
            else [one.target for one in TRANSITIONS if one.source is line[-1]]
        )
        new = [state for state in ahead if state not in line and state is not State.FAILED]
        if not new:
            return line
        line.append(new[0])


def arrows() -> dict[tuple[State, State], list[str]]:
    """Return what leads from one state to another, by the events that do."""
    found: dict[tuple[State, State], list[str]] = defaultdict(list)
    for transition in TRANSITIONS:
        if transition.event.value not in found[transition.source, transition.target]:
            found[transition.source, transition.target].append(transition.event.value)
    return dict(found)


def svg(shape: Shape) -> str:
    """Return the diagram in one shape, as text to be put into HTML."""
    drawing = _Drawing(shape)
    parts = [drawing.arrow(source, target, events) for (source, target), events in arrows().items()]
    parts += [drawing.box(state) for state in State]
    left, top, width, height = drawing.frame()
    heads = "".join(
        f'<marker id="{name}-{shape.name}" class="{name}" viewBox="0 0 8 8" refX="7" refY="4" '
        f'markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto-start-reverse">'
        f'<path d="M0,0.5 L8,4 L0,7.5 z"/></marker>'
        for name in ("head", "head-taken")
    )
    return (
        f'<svg class="diagram {shape.name}" viewBox="{left:g} {top:g} {width:g} {height:g}" role="img" '
        f'aria-label="State diagram" xmlns="http://www.w3.org/2000/svg"><defs>{heads}</defs>{"".join(parts)}</svg>'
    )


class _Drawing:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._way = way()
        self._beside = [state for state in State if state not in self._way]
        self._ahead = [pair for pair in arrows() if self._leads_over(*pair)]
        """The arrows along the line that pass over a state, or lead back: each has a rail of its own."""
        self._rail = shape.half_across + 30.0
        """Across, on the side of the states beside the line: where the arrows to them gather."""

    def place(self, state: State) -> Point:
        """Return the middle of a state's box."""
        if state in self._way:
            return self._shape.along(self._way.index(state)), 0.0
        number = self._beside.index(state) + len(self._way) // 2
        return self._shape.along(number), self._rail + 26.0 + self._shape.half_across

    def box(self, state: State) -> str:
        shape, (along, across) = self._shape, self.place(state)
        half_x, half_y = (
            (shape.half_across, shape.half_along) if shape.upright else (shape.half_along, shape.half_across)
        )
        x, y = (across, along) if shape.upright else (along, across)
        return (
            f'<g class="state" data-state="{escape(state.value)}"><title>{escape(_holding(state))}</title>'
            f'<rect x="{x - half_x:g}" y="{y - half_y:g}" width="{2 * half_x:g}" height="{2 * half_y:g}" rx="9"/>'
            f'<text x="{x:g}" y="{y:g}">{escape(state.value)}</text></g>'
        )

    def arrow(self, source: State, target: State, events: list[str]) -> str:
        head = f'<path class="line" d="{self._path(source, target)}"/>'
        what = f"{source.value} to {target.value}: {', '.join(events)}"
        return (
            f'<g class="arrow" data-from="{escape(source.value)}" data-to="{escape(target.value)}">'
            f"<title>{escape(what)}</title>{head}</g>"
        )

    def frame(self) -> tuple[float, float, float, float]:
        """Return left, top, width and height of all that is drawn."""
        shape, edge = self._shape, 6.0
        first, last = -shape.half_along - edge, shape.along(len(self._way) - 1) + shape.half_along + edge
        low = -shape.half_across - LOOP - RAIL * len(self._ahead) - edge
        high = max(self.place(state)[1] for state in State) + shape.half_across + edge
        along, across = (first, last - first), (low, high - low)
        (left, width), (top, height) = (across, along) if shape.upright else (along, across)
        return left, top, width, height

    def _leads_over(self, source: State, target: State) -> bool:
        if source is target or target not in self._way:
            return False
        return self._way.index(target) != self._way.index(source) + 1

    def _path(self, source: State, target: State) -> str:
        shape, (begin, _), (end, depth) = self._shape, self.place(source), self.place(target)
        edge = shape.half_across
        if source is target:
            out, into = begin - shape.half_along * 0.35, begin + shape.half_along * 0.35
            return self._curve([(out, -edge), (out, -edge - LOOP), (into, -edge - LOOP), (into, -edge)])
        if target not in self._way:
            if abs(begin - end) < 1:
                return self._line([(begin, edge), (end, depth - edge)])
            return self._line([(begin, edge), (begin, self._rail), (end, self._rail), (end, depth - edge)])
        if (source, target) not in self._ahead:
            return self._line([(begin + shape.half_along, 0), (end - shape.half_along, 0)])
        level = self._ahead.index((source, target)) + 1
        rail, aside = -edge - LOOP - RAIL * level + RAIL / 2, shape.half_along * 0.3 * (level - 1.5)
        return self._line([(begin - aside, -edge), (begin - aside, rail), (end - aside, rail), (end - aside, -edge)])

    def _line(self, points: list[Point]) -> str:
        """Return straight lines with round corners."""
        text = f"M{self._shape.at(points[0])}"
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            text += f" L{self._shape.at(_towards(corner, before))} Q{self._shape.at(corner)} "
            text += self._shape.at(_towards(corner, after))
        return f"{text} L{self._shape.at(points[-1])}"

    def _curve(self, points: list[Point]) -> str:
        first, *others = (self._shape.at(point) for point in points)
        return f"M{first} C{' '.join(others)}"


def _towards(point: Point, other: Point) -> Point:
    """Return the point that is a corner's radius away from `point`, on the way to `other`."""
    length = sum(abs(there - here) for here, there in zip(point, other, strict=True))
    share = min(1.0, ROUND / length) if length else 0.0
    return point[0] + (other[0] - point[0]) * share, point[1] + (other[1] - point[1]) * share


def _holding(state: State) -> str:
    return f"{state.value} holds {', '.join(one.value for one in STATES[state].holds) or 'nothing'}"
