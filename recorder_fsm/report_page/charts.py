"""Charts over time, as SVG and HTML: all on one axis, readable at any width.

The drawing is stretched to the width of the page; the words beside it are HTML, so they are not. Everything drawn comes
from numbers; names of lines are escaped by `markup`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs

from recorder_fsm.analysis.contact_sheet import clock
from recorder_fsm.report_page.markup import Html, element, together

WIDTH = 1000
HEIGHT = 100
TIME_STEPS_S = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    21600,
    43200,
    86400,
)
MOST_TIME_TICKS = 9
SHORTEST_AXIS_S = 0.5
LAST_FROM = 0.94
"""The middle of a label nearer to the right edge would put its end outside."""

Column = Sequence[float | None]


@attrs.frozen
class Axis:
    """The time that all charts show, from 0 on. `marks` are moments of faults, `bands` gaps (from, to), in seconds."""

    total_s: float
    marks: tuple[float, ...] = ()
    bands: tuple[tuple[float, float], ...] = ()

    def share(self, at_s: float) -> float:
        """Return the place of a moment, 0 to 1."""
        return min(1.0, max(0.0, at_s / max(self.total_s, SHORTEST_AXIS_S)))

    def ticks(self) -> list[float]:
        """Return the moments that have a label."""
        total_s = max(self.total_s, SHORTEST_AXIS_S)
        step_s = next((step for step in TIME_STEPS_S if total_s / step <= MOST_TIME_TICKS - 1), TIME_STEPS_S[-1])
        while total_s / step_s > MOST_TIME_TICKS - 1:
            step_s *= 2
        return [number * float(step_s) for number in range(int(total_s / step_s) + 1)]


@attrs.frozen
class Line:
    """One thing that is drawn: its name, its colour's class, a value for each time."""

    name: str
    colour: str
    values: Column


@attrs.frozen
class Scale:
    """The upright axis: what is drawn at the bottom and at the top, and how a tick is written."""

    low: float
    high: float
    ticks: tuple[float, ...]
    write: Callable[[float], str]

    def y(self, value: float) -> float:
        """Return the height of a value in the drawing, from its top."""
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT * (1 - min(1.0, max(0.0, share))), 1)


def scale_to(highest: float, write: Callable[[float], str], *, least: float, unit: float = 1.0) -> Scale:
    """Return a scale from 0 to a round number that is no less than `highest` and `least`; steps are round in `unit`."""
    most = max(highest, least) / unit
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    ticks = [number * step * unit for number in range(math.ceil(most / step - 0.001) + 1)]
    return Scale(0.0, ticks[-1], tuple(ticks), write)


def stacked(
    axis: Axis, at_s: Sequence[float], lines: Sequence[Line], scale: Scale, label: str, *, over: Sequence[Html] = ()
) -> Html:
    """Return areas one above the other: their upper edge is the sum. A value that is not known counts nothing.

    `over`: what is drawn above them (`strokes`).
    """
    below = [0.0] * len(at_s)
    shapes = []
    for line in lines:
        above = [low + (value or 0.0) for low, value in zip(below, line.values, strict=True)]
        upper = [_point(axis, scale, at, value) for at, value in zip(at_s, above, strict=True)]
        lower = [_point(axis, scale, at, value) for at, value in zip(at_s, below, strict=True)]
        shapes.append(element("polygon", points=" ".join([*upper, *reversed(lower)]), class_=f"area {line.colour}"))
        below = above
    return _framed(axis, scale, [*shapes, *over], label)


def curves(
    axis: Axis,
    at_s: Sequence[float],
    lines: Sequence[Line],
    scale: Scale,
    label: str,
    *,
    reference: float | None = None,
) -> Html:
    """Return lines, broken where a value is not known. `reference` is a value that is marked across the chart."""
    shapes = [*strokes(axis, at_s, lines, scale)]
    if reference is not None:
        y = scale.y(reference)
        shapes.insert(0, element("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="reference"))
    return _framed(axis, scale, shapes, label)


def strokes(axis: Axis, at_s: Sequence[float], lines: Sequence[Line], scale: Scale) -> list[Html]:
    """Return the lines alone, for a drawing."""
    shapes = []
    for line in lines:
        for piece in _pieces(at_s, line.values):
            points = [_point(axis, scale, at, value) for at, value in piece]
            if len(points) == 1:  # a lone value is seen as a short stroke
                x, _, y_text = points[0].partition(",")
                points.append(f"{min(WIDTH, float(x) + 4):g},{y_text}")
            shapes.append(element("polyline", points=" ".join(points), class_=f"curve {line.colour}"))
    return shapes


def time_axis(axis: Axis) -> Html:
    """Return the labels of the time axis. Every second one may be hidden where there is little room."""
    ticks = axis.ticks()
    fine = len(ticks) > 1 and ticks[1] < 1
    labels = []
    for number, at_s in enumerate(ticks):
        share = axis.share(at_s)
        classes = " ".join(filter(None, ["minor" if number % 2 else "", "last" if share > LAST_FROM else ""]))
        words = f"{at_s:g} s" if fine else clock(at_s)
        labels.append(element("span", words, class_=classes or None, style=place(share)))
    return element("div", *labels, class_="times", aria_hidden="true")


def _bands(axis: Axis) -> list[Html]:
    return [
        element(
            "rect",
            x=round(WIDTH * axis.share(begin), 1),
            y=0,
            width=max(2.0, round(WIDTH * (axis.share(end) - axis.share(begin)), 1)),
            height=HEIGHT,
            class_="gap",
        )
        for begin, end in axis.bands
    ]


def _marks(axis: Axis) -> list[Html]:
    places = [round(WIDTH * axis.share(at_s), 1) for at_s in axis.marks]
    return [element("line", x1=x, x2=x, y1=0, y2=HEIGHT, class_="fault") for x in places]


def place(share: float, width: float | None = None) -> str:
    """Return a style for a place on the axis, and a width where there is one; both from 0 to 1."""
    return f"left:{100 * share:.3f}%" + ("" if width is None else f";width:{100 * width:.3f}%")


def _point(axis: Axis, scale: Scale, at_s: float, value: float) -> str:
    return f"{WIDTH * axis.share(at_s):.1f},{scale.y(value):g}"


def _pieces(at_s: Sequence[float], values: Column) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in zip(at_s, values, strict=True):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((at, value))
    return [piece for piece in pieces if piece]


def _framed(axis: Axis, scale: Scale, shapes: Sequence[Html], label: str) -> Html:
    grid = [
        element("line", x1=0, x2=WIDTH, y1=scale.y(tick), y2=scale.y(tick), class_="grid") for tick in scale.ticks
    ] + [
        element("line", x1=x, x2=x, y1=0, y2=HEIGHT, class_="grid")
        for x in (round(WIDTH * axis.share(at_s), 1) for at_s in axis.ticks())
    ]
    drawing = element(
        "svg",
        *(*grid, *_bands(axis), *shapes, *_marks(axis)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    labels = [element("span", scale.write(tick), style=f"top:{scale.y(tick):g}%") for tick in scale.ticks]
    return element(
        "div",
        element("div", *labels, class_="values", aria_hidden="true"),
        element("div", together(drawing), class_="plot"),
        class_="chart",
    )


def by_part(columns: Mapping[str, Column]) -> list[tuple[str, str, Column]]:
    """Return name, colour's class and values of each part, in the order in which they are drawn."""
    known = [name for name in PARTS if name in columns]
    others = [name for name in columns if name not in PARTS]
    colours = {name: f"p{place}" for place, name in enumerate(PARTS)}
    return [(name, colours.get(name, f"p{len(PARTS)}"), columns[name]) for name in (*known, *others)]


PARTS = ("browser", "encoder", "grabber", "display", "audio", "driver", "recorder", "other")
