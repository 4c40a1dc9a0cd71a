"""The table of the fault suite: for the terminal, and between two marks of docs/reliability.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.faults.scene import Row

BEGIN, END = "<!-- fault table: written by `make faults` -->", "<!-- end of the fault table -->"
HEAD = "| Row | What was done | Noticed as | After (s) | Meeting lost (s) | Published | Exit code | Processes left |"


def write_table(rows: Sequence[Row], target: Path | None) -> list[str]:
    """Return the table's lines, and put them into `target` where one is given."""
    ordered = sorted(rows, key=lambda row: in_order(row.row))
    lines = [HEAD, "|---" * 8 + "|", *map(_line, ordered)]
    notices = [row.notice_s for row in rows if row.notice_s is not None]
    lost = [row.lost_s for row in rows if row.lost_s is not None]
    lines += [
        "",
        f"Worst notice {max(notices, default=0):.1f} s, worst meeting lost {max(lost, default=0):.1f} s.",
    ]
    if target is not None:
        text = target.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
        table = "\n".join(lines)
        target.write_text(pattern.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text), encoding="utf-8")
    return lines


def in_order(name: str) -> list[tuple[bool, int, str]]:
    """Return what a row's name is sorted by: its numbers as numbers, and before its words."""
    parts = re.findall(r"[A-Za-z]+|[0-9]+", name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _line(row: Row) -> str:
    cells = (
        *(row.row, row.done, row.noticed, _number(row.notice_s), _number(row.lost_s), row.published),
        *(_number(row.exit_code), _number(row.left)),
    )
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
