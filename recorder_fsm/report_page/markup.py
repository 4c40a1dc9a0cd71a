"""HTML that cannot be broken into: text is escaped unless it was made here."""

from __future__ import annotations

import html

VOID = ("img", "input", "meta", "polygon", "polyline", "line", "rect")
"""Elements that have no content; those of SVG are closed as XML wants it, which HTML takes, too."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str | None, **attributes: object) -> Html:
    """Return an element. Children that are not `Html` are escaped; None is left out.

    Attributes: `_` stands for `-`, one at the end is dropped (`class_`). None and False are left out, True has no
    value.
    """
    words = [tag]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html.escape(str(value))}"')
    head = " ".join(words)
    if tag in VOID:
        return Html(f"<{head}>" if tag in ("img", "input", "meta") else f"<{head}/>")
    return Html(f"<{head}>{together(*children)}</{tag}>")


def together(*parts: str | None) -> Html:
    """Return the parts one after another, those that are not `Html` escaped; None is left out."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts if part is not None))
