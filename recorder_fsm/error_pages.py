"""The error catalogue as people read it: in a terminal (`recorder-fsm explain`), and as pages of the site."""

from __future__ import annotations

import difflib
import textwrap

from recorder_fsm.error_catalogue import COMMAND, GROUPS, Entry, entries

NEAR = 3
INDENT = 12


def explain(code: str, width: int = 100) -> str:
    """Return an entry as text for a terminal; raises `KeyError` with the nearest codes for one that is none."""
    entry = entries().get(code.strip().lower())
    if entry is None:
        near = difflib.get_close_matches(code.lower(), entries(), n=NEAR, cutoff=0.5)
        raise KeyError(", ".join(near))
    parts = [f"{entry.code}: {entry.title}", ""]
    for name, text in (("Cause:", entry.cause), ("Recording:", entry.meaning)):
        parts += [*_wrapped(f"{name:<{INDENT}}{text}", width, INDENT), ""]
    for number, step in enumerate(entry.cure, 1):
        lead = "What to do:" if number == 1 else ""
        parts += _wrapped(f"{lead:<{INDENT}}{number}. {step}", width, INDENT + len("1. "))
    return "\n".join(parts) + "\n"


def overview() -> str:
    """Return all codes with their titles, by groups, as text for a terminal."""
    lines: list[str] = []
    longest = max(map(len, entries()), default=0)
    for group, title in GROUPS.items():
        lines += [title, *(f"  {one.code:<{longest}}  {one.title}" for one in entries().values() if one.group == group)]
        lines.append("")
    return "\n".join([*lines, f"More of one: {COMMAND} CODE"]) + "\n"


def page(entry: Entry) -> str:
    """Return the page of an entry for the site, in Markdown."""
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(entry.cure, 1))
    return (
        f"# {entry.title}\n\n"
        f"Error code `{entry.code}`. Group: {GROUPS[entry.group]}.\n\n"
        f"## Cause\n\n{entry.cause}\n\n"
        f"## What it means for the recording\n\n{entry.meaning}\n\n"
        f"## What to do\n\n{steps}\n\n"
        f"The same in a terminal: `{COMMAND} {entry.code}`. All codes: [error codes](index.md).\n"
    )


def index() -> str:
    """Return the page that lists all codes, in Markdown."""
    lines = [
        "# Error codes",
        "",
        "A job that fails says its error code in the last line of its log, in `report.json` (`cause.code`) and in its "
        "hooks. Codes are stable: tools may rely on them. In a terminal: `recorder-fsm explain CODE`; with the image: "
        "`docker run --rm recorder-fsm explain CODE`.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {title}", "", "| Code | What happened | What to do first |", "|---|---|---|"]
        lines += [
            f"| [`{one.code}`]({one.code}.md) | {one.title} | {one.advice} |"
            for one in entries().values()
            if one.group == group
        ]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
