"""File names: what a server calls a recording, made safe for our disk.

Owns no file; the extension is added by whoever writes it.
"""

from __future__ import annotations

import unicodedata

NAME_LIMIT_BYTES = 200
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def safe_stem(name: str) -> str:
    """Return a server-given name as a safe file name without extension; empty if nothing of it can be used.

    The original's replacements (contract 2.2), and beyond them: no control or direction characters, no
    leading dots or dashes, at most 200 bytes of UTF-8.
    """
    stem = "".join("_" if _unsafe(char) else char for char in name).lstrip(".-")
    cut = stem.encode()[:NAME_LIMIT_BYTES].decode(errors="ignore")
    return cut if cut == stem else cut.rstrip("\u200d")


def _unsafe(char: str) -> bool:
    return (
        char in '\\:*?"<>|/'
        or char.isspace()
        or char in BIDI_CONTROLS
        or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
    )
