"""What the doctor shows: a line for each finding, the verdict, and the same as JSON (docs/doctor.md has its keys)."""

from __future__ import annotations

import contextlib
import json
import textwrap
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from recorder_fsm import __version__
from recorder_fsm.doctor.findings import Finding, Findings
from recorder_fsm.plain_text import plain_facts
from recorder_fsm.terminal.screen import Mark, Screen

FORM = 1
"""The form of the JSON: higher where a key goes or changes its meaning, the same where one is added."""
EXIT_FIT, EXIT_UNFIT = 0, 1
NAME_COLUMNS = 18
INDENT = " " * 12


async def show(results: AsyncGenerator[tuple[str, Findings]], screen: Screen, *, as_json: bool) -> int:
    """Show the findings as they come; returns the exit code."""
    began = time.monotonic()
    found: list[tuple[str, Finding]] = []
    async with contextlib.aclosing(results) as groups:
        last = ""
        async for group, findings in groups:
            if not as_json:
                if group != last:
                    screen.say(screen.painted(group, "1"))
                last = group
                for finding in findings:
                    _say(finding, screen)
            found += [(group, finding) for finding in findings]
    took_s = time.monotonic() - began
    marks = [finding.mark for _, finding in found]
    result = Mark.BAD if Mark.BAD in marks else Mark.WARNING if Mark.WARNING in marks else Mark.OK
    if as_json:
        screen.say(json.dumps(document(found, result, took_s), indent=2))
    else:
        screen.say()
        screen.say(f"{screen.sign(result)} {_verdict(marks)} ({took_s:.0f} s)")
    return EXIT_UNFIT if result is Mark.BAD else EXIT_FIT


def document(found: Sequence[tuple[str, Finding]], result: Mark, took_s: float) -> dict[str, Any]:
    """Return the findings as JSON has them."""
    checks = [
        {
            "group": group,
            "name": finding.name,
            "result": finding.mark.value,
            "value": finding.value,
            "cure": finding.cure,
            "data": plain_facts(finding.data),
        }
        for group, finding in found
    ]
    return {"form": FORM, "version": __version__, "result": result.value, "took_s": round(took_s, 1), "checks": checks}


def _say(finding: Finding, screen: Screen) -> None:
    head = f"{screen.sign(finding.mark)} {screen.word(finding.mark, 8)} "
    text = f"{finding.name:<{NAME_COLUMNS}} {finding.value}"
    if not screen.drawn:
        screen.say(head + text + (f"; {finding.cure}" if finding.cure else ""))
        return
    room = max(16, screen.columns - len(INDENT))
    lines = textwrap.wrap(text, room, subsequent_indent="  ", drop_whitespace=True) or [text]
    screen.say(f"{head} {lines[0]}")
    for line in lines[1:]:
        screen.say(INDENT + line)
    for number, line in enumerate(textwrap.wrap(finding.cure, room - 3)):
        arrow = ("→" if screen.unicode else ">") if number == 0 else " "
        screen.say(f"{INDENT}{screen.painted(f'{arrow} {line}', '36')}")


def _verdict(marks: Sequence[Mark]) -> str:
    bad, warnings = marks.count(Mark.BAD), marks.count(Mark.WARNING)
    doubts = f"{warnings} {'warning' if warnings == 1 else 'warnings'}"
    if bad:
        things = "1 thing is" if bad == 1 else f"{bad} things are"
        return f"not fit to record: {things} bad, {doubts}"
    return f"fit to record, {doubts}" if warnings else "fit to record"
