"""The links of the documents, as the site has them.

In the repository a link leads to a file. On the site some of these files are pages of another name, and what is no page
is copied beside them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from recorder_fsm.error_catalogue import entries

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!\[)`([a-z][a-z0-9_]+)`")
PAGES = {
    "README.md": "index.md",
    "README.md#settings": "settings.md",
    "README.md#exit-codes-and-files": "exit-codes.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "recorder_fsm/error_catalogue.toml": "errors/index.md",
}
"""Pages of the site by what the repository has in their place."""
CATALOGUE = "recorder_fsm/error_catalogue.toml#"
FILES = "files"


def on_the_site(markdown: str, folder: str) -> str:
    """Return a document with its links as the site has them; `folder` is where it lies in the repository."""
    done = []
    for part, is_code in _parts(markdown):
        done.append(part if is_code else LINK.sub(lambda target: _target(target[0], folder), part))
    return "".join(done)


def with_codes(markdown: str) -> str:
    """Return a document in which each error code, written as code, leads to its page."""
    return INLINE.sub(lambda code: f"[{code[0]}](errors/{code[1]}.md)" if code[1] in entries() else code[0], markdown)


def copied(markdown: str, folder: str) -> Iterator[str]:
    """Yield the files that a document links to and that are no pages: the site needs a copy of each."""
    for part, is_code in _parts(markdown):
        for target in [] if is_code else LINK.findall(part):
            place = _place(target, folder).partition("#")[0]
            if not place or _page(_place(target, folder)) is not None:
                continue
            yield from _files_in(place) if (ROOT / place).is_dir() else [place]


def _parts(markdown: str) -> Iterator[tuple[str, bool]]:
    end = 0
    for match in CODE.finditer(markdown):
        yield markdown[end : match.start()], False
        yield match[0], True
        end = match.end()
    yield markdown[end:], False


def _place(target: str, folder: str) -> str:
    """Return what a link leads to from the root of the repository, "" for another site or the same page."""
    if "://" in target or target.startswith(("#", "mailto:")):
        return ""
    return posixpath.normpath(posixpath.join(folder, target))


def _page(place: str) -> str | None:
    """Return the page of the site for a file of the repository, None where it is none."""
    file, _, part = place.partition("#")
    if place.startswith(CATALOGUE):
        return f"errors/{part}.md"
    if place in PAGES:
        return PAGES[place]
    anchor = f"#{part}" if part else ""
    if file in PAGES:
        return PAGES[file] + anchor
    if file.startswith("docs/"):
        return file.removeprefix("docs/") + anchor
    return None


def _target(target: str, folder: str) -> str:
    place = _place(target, folder)
    if not place:
        return target
    page = _page(place)
    if page is not None:
        return page
    if (ROOT / place).is_dir():  # a site has no listing of a folder: its first file stands for it
        place = next(_files_in(place), place)
    return f"{FILES}/{place.partition('#')[0]}"


def _files_in(folder: str) -> Iterator[str]:
    for path in sorted((ROOT / folder).iterdir()):
        if path.is_file():
            yield f"{folder}/{path.name}"
