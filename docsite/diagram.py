"""The state diagram of a document, drawn: a site that needs no internet loads no program that would draw it."""

from __future__ import annotations

import re

from recorder_fsm.status.diagram import TALL, WIDE, svg

MERMAID = re.compile(r"^```mermaid\nstateDiagram.*?^```\n", re.MULTILINE | re.DOTALL)
HINT = (
    "Point at an arrow to see its events, and at a state to see what it holds; "
    "[the table](lifecycle.md#transitions) has all."
)


def drawn(markdown: str) -> str:
    """Return a document with its state diagram as a drawing, wide or tall as the reader's window is."""
    drawing = f"<div>{svg(WIDE)}{svg(TALL)}</div>\n\n{HINT}\n"
    return MERMAID.sub(lambda _: drawing, markdown)
