"""ffmpeg and ffprobe for the bench: run to their end, and what they say of themselves."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from recorder_fsm.system.process import ChildProcess, run

ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
LIMIT_S = 900.0
QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y")
BENCH = re.compile(r"bench: utime=([0-9.]+)s stime=([0-9.]+)s")


class BenchError(RuntimeError):
    """A measurement that did not come about; says why."""


async def ffmpeg(*words: str) -> str:
    """Run ffmpeg to its end; returns what it printed. Raises `BenchError`."""
    done = await run("ffmpeg", [*QUIET, *words], env=ENV, limit_s=LIMIT_S)
    if done.returncode:
        raise BenchError(f"ffmpeg {' '.join(words)}: {done.stderr.strip()[-600:]}")
    return done.stderr


async def packets(path: Path) -> list[tuple[float, int]]:
    """Return time in seconds and size in bytes of each packet of the video, by time."""
    asked = ("-select_streams", "v:0", "-show_entries", "packet=pts_time,size", "-of", "json")
    done = await run("ffprobe", ["ffprobe", "-loglevel", "error", *asked, str(path)], env=ENV, limit_s=LIMIT_S)
    if done.returncode:
        raise BenchError(f"ffprobe {path}: {done.stderr.strip()[-600:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)["packets"]
    return sorted((float(one["pts_time"]), int(one["size"])) for one in found)


async def ended_well(child: ChildProcess) -> None:
    """Wait for a program's end; raises `BenchError` where it failed."""
    if code := await child.wait():
        await child.drained()
        raise BenchError(f"{child.name} ended with code {code}: {child.last_words()}")


class CpuTime:
    """Listens to an ffmpeg with `-benchmark`; `seconds` of CPU in the end."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def hear(self, line: str) -> bool:
        """Take the line that tells it; returns False for any other."""
        found = BENCH.search(line)
        if found:
            self.seconds = float(found[1]) + float(found[2])
        return found is not None
