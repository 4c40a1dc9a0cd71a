"""Places that nobody may write: containers are started with a file system that is read-only, and forget /tmp."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def is_read_only(path: Path) -> bool:
    """Tell whether the file system at `path` is mounted read-only; one that does not tell is not."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def read_only_words(places: Iterable[Path]) -> str:
    """Return which of the places are read-only, and the cure, as a sentence without its end; "" where none is."""
    found = list(dict.fromkeys(str(place) for place in places if is_read_only(place)))
    if not found:
        return ""
    options = " ".join(f"--tmpfs {place}" for place in found)
    return f"{' and '.join(found)} read-only here; give it {options} (Kubernetes: an emptyDir there)"
