"""The table of the fault suite: for the terminal, and between two marks of docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from tests.faults.scene import Row

BEGIN, END = "<!-- fault table: written by `make faults` -->", "<!-- end of the fault table -->"
HEAD = (
    "| Row | What was done | Noticed as | After (s) | Meeting lost (s) | Published | Exit code | Processes left "
    "| Played on |"
)
_NOTICE, _LOST = 3, 4
"""The columns that have a worst value."""


def write_table(rows: Sequence[Row], target: Path | None, *, on: date, keep: bool = False) -> list[str]:
    """Return the table's lines, and put them into `target` where one is given. `on`: the day of this run.

    With `keep`, rows of the table in `target` that are not among `rows` stay, with their own day: those were not played
    this time.
    """
    shown = [[*_cells(row), on.isoformat()] for row in rows]
    text = target.read_text(encoding="utf-8") if target else ""
    if keep:
        played = {tuple(cells[:2]) for cells in shown}
        shown += [cells for cells in _read(text) if tuple(cells[:2]) not in played]
    shown.sort(key=lambda cells: in_order(cells[0]))
    lines = [HEAD, "|---" * HEAD.count(" | ") + "|---|", *("| " + " | ".join(cells) + " |" for cells in shown)]
    lines += ["", f"Worst notice {_worst(shown, _NOTICE):.1f} s, worst meeting lost {_worst(shown, _LOST):.1f} s."]
    if target is not None:
        table = "\n".join(lines)
        target.write_text(_between_marks().sub(lambda _: f"{BEGIN}\n{table}\n{END}", text), encoding="utf-8")
    return lines


def in_order(name: str) -> list[tuple[bool, int, str]]:
    """Return what a row's name is sorted by: its numbers as numbers, and before its words."""
    parts = re.findall(r"[A-Za-z]+|[0-9]+", name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _between_marks() -> re.Pattern[str]:
    return re.compile(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", re.DOTALL)


def _read(text: str) -> list[list[str]]:
    table = _between_marks().search(text)
    lines = table.group(1).splitlines() if table else []
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in rows if " | ".join(row) not in HEAD]


def _worst(rows: Iterable[list[str]], column: int) -> float:
    return max((float(row[column]) for row in rows if row[column]), default=0)


def _cells(row: Row) -> list[str]:
    numbers = (_number(row.notice_s), _number(row.lost_s))
    return [row.row, row.done, row.noticed, *numbers, row.published, _number(row.exit_code), _number(row.left)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
