"""The state diagram, drawn from the one table (Mermaid)."""

from __future__ import annotations

from collections import defaultdict

from recorder_fsm.lifecycle import FINAL, TRANSITIONS, Row, State


def mermaid() -> str:
    """Return the diagram as Mermaid text; moves between the same two states share one arrow."""
    arrows: dict[tuple[State, State], list[Row]] = defaultdict(list)
    for row in TRANSITIONS:
        arrows[row.source, row.target].append(row)
    lines = ["stateDiagram-v2", f"    [*] --> {State.INIT.value}"]
    for (source, target), rows in arrows.items():
        lines.append(f"    {source.value} --> {target.value}: {_label(rows)}")
    lines += [f"    {state.value} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """Return the table of moves as Markdown, in the table's own order."""
    lines = ["| In | Event | Leads to | Starts | Stops | Tells the call |", "|---|---|---|---|---|---|"]
    for row in TRANSITIONS:
        starts, stops = (", ".join(r.value for r in resources) for resources in (row.starts, reversed(row.stops)))
        told = "yes" if row.tells else ""
        lines.append(f"| {row.source.value} | `{row.event.value}` | {row.target.value} | {starts} | {stops} | {told} |")
    return "\n".join(lines) + "\n"


def _label(rows: list[Row]) -> str:
    return "<br/>".join(row.event.value for row in rows)
