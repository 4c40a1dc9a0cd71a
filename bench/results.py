"""Where measurements are kept: one JSON file for each part, in build/bench. A part measured again replaces its rows."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.programs import ENV
from recorder_fsm.system.process import run

OUT = Path("build/bench")
Row = dict[str, Any]
VERSIONS = {
    "ffmpeg": ("ffmpeg", "-version"),
    "Chromium": ("chromium", "--version", "--no-sandbox"),
    "PulseAudio": ("pulseaudio", "--version"),
    "Xvfb": ("dpkg-query", "-W", "-f", "${Version}", "xvfb"),
}
NUMBER = re.compile(r"\d+(?:\.\d+)+")


@attrs.frozen
class Result:
    """What one part has measured, by which commands, on which machine."""

    part: str
    rows: list[Row]
    commands: list[str]
    machine: dict[str, str]


def merged(old: Sequence[Row], new: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """Return the rows of both; where a new one agrees with old ones in all `keys`, these go."""
    measured = {tuple(row.get(key) for key in keys) for row in new}
    return [*(row for row in old if tuple(row.get(key) for key in keys) not in measured), *new]


def load(part: str, folder: Path = OUT) -> Result | None:
    """Return what a part has measured, None where it never ran."""
    path = folder / f"{part}.json"
    if not path.exists():
        return None
    return Result(**json.loads(path.read_text(encoding="utf-8")))


def save(part: str, rows: Sequence[Row], keys: Sequence[str], command: str, machine: dict[str, str]) -> Result:
    """Keep rows beside those that were measured of other things before."""
    before = load(part)
    old, commands = (before.rows, before.commands) if before else ([], [])
    kept = merged(old, rows, keys)
    all_commands = list(dict.fromkeys([*(commands if len(kept) > len(rows) else []), command]))
    result = Result(part, kept, all_commands, machine)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{part}.json").write_text(json.dumps(attrs.asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


async def machine() -> dict[str, str]:
    """Describe this machine and its programs."""
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "processor": _processor(),
        "Linux": platform.release().partition("-")[0],
        "Python": platform.python_version(),
    }
    for name, words in VERSIONS.items():
        done = await run(name, words, env=ENV, limit_s=20)
        match = NUMBER.search(done.stdout.decode(errors="replace"))
        found[name] = match[0] if match else "?"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
