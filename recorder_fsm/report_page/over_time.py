"""The part of the page that is over time: states, faults and gaps, and below them what was measured, on one axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recorder_fsm.analysis.contact_sheet import clock
from recorder_fsm.machine.lifecycle import State
from recorder_fsm.report_page import charts, words
from recorder_fsm.report_page.charts import Axis, Column, Line, Scale
from recorder_fsm.report_page.markup import Html, element, together
from recorder_fsm.report_page.story import STATE_WORDS, Story, items, mapping, number

NAMED_FROM = 0.11
"""A state that takes less of the bar has no room for its name in it."""
QUIETEST_DBFS = -80.0
"""Below this nothing can be heard (`media.encode`)."""
FASTEST = 3.0
"""An encoder that catches up may be much faster for a moment; more than this says nothing more."""
MOST_MARKS = 200
MOST_CURVES = 12
MEGABYTE = 1e6
STATE_NAMES = frozenset(state.value for state in State)


def over_time(story: Story, samples: Mapping[str, Any], machine: Mapping[str, Any]) -> Html | None:
    """Return the section, None where nothing is known of any time. `machine`: what the job ran on (`cpus`)."""
    at_s = [number(at) for at in items(samples.get("at_s"))]
    times = [at for at in at_s if at is not None and at >= 0]
    whole = bool(times) and len(times) == len(at_s)
    total_s = max(story.total_s, times[-1] if whole else 0.0)
    if not total_s:
        return None
    faults = [moment.at_s for moment in story.moments if moment.fault]
    bands = [(gap.at_s, gap.at_s + gap.length_s) for gap in story.gaps if gap.at_s is not None]
    axis = Axis(total_s, tuple(faults[:MOST_MARKS]), tuple(bands[:MOST_MARKS]))
    drawn = [_states(story, axis), _lane(axis), charts.time_axis(axis), _key_of_states(story, axis)]
    if whole:
        drawn += _measured(axis, times, samples, number(machine.get("cpus")))
    return element("section", element("h2", "Over time"), *drawn, class_="over-time")


def _states(story: Story, axis: Axis) -> Html:
    bars = []
    for span in story.spans:
        width = axis.share(span.to_s) - axis.share(span.from_s)
        named = width >= NAMED_FROM
        bars.append(
            element(
                "span",
                span.state if named else "",
                class_=f"{_colour(span.state)}{'' if named else ' thin'}",
                style=charts.place(axis.share(span.from_s), width),
                title=f"{span.state}: {words.length(span.to_s - span.from_s)}",
            )
        )
    return element("div", *bars, class_="states")


def _colour(state: str) -> str:
    return f"s-{state}" if state in STATE_NAMES else "s-other"


def _lane(axis: Axis) -> Html | None:
    if not axis.marks and not axis.bands:
        return None
    gaps = [
        element(
            "span",
            class_="gap-bar",
            title=f"gap at {clock(begin)}, {words.length(end - begin)}",
            style=charts.place(axis.share(begin), axis.share(end) - axis.share(begin)),
        )
        for begin, end in axis.bands
    ]
    pins = [
        element("span", class_="pin", title=f"at {clock(at_s)}", style=charts.place(axis.share(at_s)))
        for at_s in axis.marks
    ]
    return element("div", element("span", "faults", class_="lane-name"), *gaps, *pins, class_="lane")


def _key_of_states(story: Story, axis: Axis) -> Html:
    lasted: dict[str, float] = {}
    for span in story.spans:
        lasted[span.state] = lasted.get(span.state, 0.0) + span.to_s - span.from_s
    entries = [
        element(
            "li",
            element("span", class_=f"swatch {_colour(state)}"),
            f"{state} ({STATE_WORDS.get(state, 'unknown')}): {words.length(seconds)}",
        )
        for state, seconds in lasted.items()
    ]
    if axis.marks:
        entries.append(element("li", element("span", class_="swatch c-fault"), "fault or restart"))
    if axis.bands:
        entries.append(element("li", element("span", class_="swatch c-gap"), "gap in the recording"))
    return element("ul", *entries, class_="key")


def _measured(axis: Axis, at_s: Sequence[float], samples: Mapping[str, Any], cpus: float | None) -> list[Html]:
    def column(value: Any) -> Column | None:
        """Return a column of numbers that fits to the times, None where it does not."""
        found = [number(one) for one in items(value)]
        return found if len(found) == len(at_s) and any(one is not None for one in found) else None

    def parts(name: str) -> dict[str, Column]:
        found = list(mapping(samples.get(name)).items())[:MOST_CURVES]
        return {part: values for part, one in found if (values := column(one)) is not None}

    cpu = {part: _from_the_first(values) for part, values in parts("cpu").items()}
    memory, machine = parts("memory_bytes"), column(samples.get("machine"))
    drawn: list[Html] = []
    if cpu:
        drawn += _cpu(axis, at_s, cpu, machine if cpus else None, cpus or 1.0)
    if memory:
        scale = charts.scale_to(_highest_sum(memory.values()), _megabytes, least=100 * MEGABYTE, unit=MEGABYTE)
        drawn += [
            _title("Memory by part"),
            charts.stacked(axis, at_s, _lines(memory), scale, "Memory by part over time"),
        ]
        drawn.append(charts.time_axis(axis))
    if cpu or memory:
        drawn.append(_legend(cpu, memory))
    singles: list[tuple[str, Column | None, Callable[[Column], Scale], float | None]] = [
        ("Speed of the encoder (1.0: as fast as the call)", column(samples.get("speed")), _speeds, 1.0),
        ("How far the encoder is behind", column(samples.get("behind_s")), _delays, None),
        (
            "Level of the audio",
            _heard(column(samples.get("level_dbfs")), column(samples.get("behind_s"))),
            _levels,
            None,
        ),
    ]
    for title, values, scale_of, reference in singles:
        if values is not None:
            curve = [Line(title, "c0", values)]
            chart = charts.curves(axis, at_s, curve, scale_of(values), f"{title} over time", reference=reference)
            drawn += [_title(title), chart, charts.time_axis(axis)]
    return drawn


def _cpu(
    axis: Axis, at_s: Sequence[float], cpu: Mapping[str, Column], machine: Column | None, cpus: float
) -> list[Html]:
    """Draw what the job used, and where it is known, what the whole machine was busy with, in the same unit."""
    busy = None if machine is None else [None if share is None else share * cpus for share in machine]
    highest = max([_highest_sum(cpu.values()), *(one for one in busy or () if one is not None)])
    scale = charts.scale_to(highest, lambda value: f"{value:g}", least=0.5)
    over = charts.strokes(axis, at_s, [Line("the whole machine", "c1", busy)], scale) if busy is not None else []
    chart = charts.stacked(axis, at_s, _lines(cpu), scale, "CPU by part over time", over=over)
    drawn = [_title("CPU by part, in cores"), chart, charts.time_axis(axis)]
    if busy is not None:
        key = element("li", element("span", class_="swatch c1"), f"line: the whole machine, of {cpus:g} cores")
        drawn.append(element("ul", key, class_="key"))
    return drawn


def _title(text: str) -> Html:
    return element("h3", text)


def _lines(parts: Mapping[str, Column]) -> list[Line]:
    return [Line(*one) for one in charts.by_part(parts)]


def _legend(cpu: Mapping[str, Column], memory: Mapping[str, Column]) -> Html:
    names = dict.fromkeys([*cpu, *memory])
    head = [
        element("th", "Part"),
        *(element("th", name, class_="number") for name in ("CPU mean", "peak", "Memory", "peak")),
    ]
    rows = []
    for name, colour, _ in charts.by_part(dict.fromkeys(names, ())):
        used, held = _known(cpu.get(name, ())), _known(memory.get(name, ()))
        cells = [
            f"{sum(used) / len(used):.2f}" if used else "",
            f"{max(used):.2f}" if used else "",
            words.size(sum(held) / len(held)) if held else "",
            words.size(max(held)) if held else "",
        ]
        named = element("td", element("span", class_=f"swatch {colour}"), " ", name)
        rows.append(element("tr", named, *(element("td", cell, class_="number") for cell in cells)))
    note = element(
        "p", "CPU in cores. Memory is an estimate: what processes of a part share counts once.", class_="quiet"
    )
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows))
    return together(table, note)


def _from_the_first(values: Column) -> Column:
    """Return a share of CPU, which is that since the look before, from the first look on: there is none before it."""
    return [values[1], *values[1:]] if len(values) > 1 and values[0] is None else values


def _known(values: Column) -> list[float]:
    return [value for value in values if value is not None]


def _highest_sum(columns: Any) -> float:
    return max((sum(filter(None, values)) for values in zip(*columns, strict=True)), default=0.0)


def _megabytes(value: float) -> str:
    return words.size(value) if value else "0"


def _speeds(values: Column) -> Scale:
    return charts.scale_to(min(FASTEST, max(_known(values))), lambda value: f"{value:g}", least=1.5)


def _delays(values: Column) -> Scale:
    return charts.scale_to(max(_known(values)), lambda value: f"{value:g} s", least=2.0)


def _levels(_: Column) -> Scale:
    return Scale(QUIETEST_DBFS, 0.0, (-80.0, -60.0, -40.0, -20.0, 0.0), lambda value: f"{value:g} dB")


def _heard(level: Column | None, captured: Column | None) -> Column | None:
    """Return the level with silence drawn as such: where there was a capture, no level is silence."""
    if captured is None:
        return level
    levels = level or [None] * len(captured)
    return [
        QUIETEST_DBFS if one is None and there is not None else one for one, there in zip(levels, captured, strict=True)
    ]
