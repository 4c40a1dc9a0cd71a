"""Write what documents of the repository quote from the program anew: `make refresh`.

The site makes its own pages. These are the few places that people read in the repository itself; tests compare them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from recorder_fsm.config import settings
from recorder_fsm.machine import diagram
from recorder_fsm.status import metrics

ROOT = Path(__file__).parent.parent
MERMAID = re.compile(r"```mermaid\nstateDiagram.*?```\n", re.DOTALL)


def quotations() -> Iterator[tuple[str, re.Pattern[str], str]]:
    """Yield document, what a quotation in it looks like, and the quotation as it should be."""
    drawn = f"```mermaid\n{diagram.mermaid()}```\n"
    yield "README.md", MERMAID, drawn
    yield "README.md", _table("| Variable | Default |"), settings.markdown_table()
    yield "docs/lifecycle.md", MERMAID, drawn
    yield "docs/lifecycle.md", _table("| State | Holds |"), diagram.states_table()
    yield "docs/lifecycle.md", _table("| In | Event |"), diagram.transitions_table()
    yield "docs/observing.md", _table("| Metric | Type |"), metrics.markdown_table()


def refreshed(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each document below `root` that quotes, and its text with the quotations as they should be."""
    texts: dict[str, str] = {}
    for name, pattern, wanted in quotations():
        text = texts.get(name) or (root / name).read_text(encoding="utf-8")
        places = pattern.findall(text)
        if len(places) != 1:
            raise ValueError(f"{name}: there are {len(places)} places for `{wanted.splitlines()[0]}`")
        texts[name] = text.replace(places[0], wanted)
    for name, text in texts.items():
        yield root / name, text


def _table(head: str) -> re.Pattern[str]:
    return re.compile(rf"^{re.escape(head)}.*\n(?:\|.*\n)+", re.MULTILINE)


def main() -> None:
    """Write the documents that are not as they should be."""
    for path, text in refreshed(ROOT):
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written anew: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
