"""Look at the site that was built: each error code at the address that the program prints, and nothing from elsewhere.

python -m docsite.check build/site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from recorder_fsm.error_catalogue import address, entries

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|data)=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon|modulepreload))[^>]*?\bhref=["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//"""
    r"""|<pre[^>]*class=["']?mermaid""",
    re.IGNORECASE,
)
"""What a page would fetch from another host; Material fetches a program for each diagram that is left as text."""


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with a built site."""
    for code in entries():
        page = site / address(code, ".") / "index.html"
        if not page.is_file():
            yield f"the program prints an address that is not there: {page}"
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        if found := LOADED.search(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} fetches from elsewhere: {found[0]}"


def main() -> None:
    """Print the problems of the site that is named; ends with 1 where there are any."""
    site = Path(sys.argv[1])
    found = list(problems(site))
    for problem in found:
        print(problem)
    print(f"the site is in {site}: python3 -m http.server --directory {site} shows it at http://localhost:8000")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
