"""Programs for the recorder's PATH: one that is missing, and ones that fail in a way of their own."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/usr/sbin")


def path_without(folder: Path, *missing: str) -> str:
    """Return a PATH that has every program of the system but those."""
    folder.mkdir()
    for source in SYSTEM_FOLDERS:
        for program in Path(source).iterdir():
            link = folder / program.name
            if program.name not in missing and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def path_with(folder: Path, **scripts: str) -> str:
    """Return a PATH on which shell scripts go before the programs of their names."""
    folder.mkdir()
    for name, body in scripts.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
