"""The state diagram of a document, drawn: the site loads no program that would draw it in the browser."""

from __future__ import annotations

import re

MERMAID = re.compile(r"^```mermaid\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def drawn(markdown: str) -> str:
    return MERMAID.sub(r"```text\n\1```\n", markdown)
