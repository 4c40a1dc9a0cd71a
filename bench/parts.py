"""What the processes of one job use: CPU time and memory, by part. Reads /proc (proc(5))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

PART_NAMES = (
    "Python",
    "driver",
    "Chromium",
    "Xvfb",
    "PulseAudio",
    "video grabber",
    "audio grabber",
    "relay",
    "encoder",
)
OWN_PARTS = tuple(name for name in PART_NAMES if name != "Chromium")
"""All but Chromium: what the page costs is not the recorder's doing."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def part_of(pid: int, root: int, words: list[str]) -> str | None:
    """Return which part of the recorder `root` the process with this command line is.

    The reference's one ffmpeg, which also grabs, is the encoder.
    """
    program = Path(words[0]).name if words else ""
    if pid == root:
        return "Python"
    if "run-driver" in words:
        return "driver"
    if program == "ffmpeg":
        return "encoder"
    if "recorder_fsm.media.video_grabber" in words:
        return "video grabber"
    if any(word.endswith("audio_relay.py") for word in words):
        return "relay"
    by_program = {"Xvfb": "Xvfb", "pulseaudio": "PulseAudio", "parec": "audio grabber"}
    return by_program.get(program, "Chromium" if "chrom" in program else None)


def parts(root: int) -> dict[int, str]:
    """Return the processes of the recorder `root`, each with its part."""
    recorder = psutil.Process(root)
    return _named((recorder, *recorder.children(recursive=True)), root)


def parts_of(roots: Iterable[int]) -> dict[int, str]:
    """Return the processes that are or descend from `roots`, each with its part, where no recorder holds them."""
    found: dict[int, str] = {}
    for root in roots:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(root)
            found |= _named((process, *process.children(recursive=True)), 0)
    return found


def _named(processes: Iterable[psutil.Process], root: int) -> dict[int, str]:
    found = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            part = part_of(process.pid, root, process.cmdline())
            if part is not None:
                found[process.pid] = part
    return found


def cpu_s(pid: int, *, with_ended: bool = False) -> float:
    """Return the seconds that a process has run so far, in its own code and in the kernel; 0 if it is gone.

    `with_ended`: its children's too that have ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11 : 15 if with_ended else 13]) / TICKS_PER_S


def memory_bytes(pid: int) -> int:
    """Return the proportional set size: shared pages count by the number of those who share them; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def memory_mb(found: Mapping[int, str]) -> dict[str, float]:
    """Return the memory of each part now, in MB (a million bytes)."""
    used = dict.fromkeys(PART_NAMES, 0.0)
    for pid, part in found.items():
        used[part] += memory_bytes(pid) / 1e6
    return used


class Usage:
    """What each part used between two moments. `find` returns the processes, each with its part."""

    def __init__(self, find: Callable[[], dict[int, str]]) -> None:
        self._parts = find()
        self._before = {pid: cpu_s(pid) for pid in self._parts}

    def shares(self, seconds: float) -> dict[str, float]:
        """Return the share of one core, in percent, that each part has used in the `seconds` since."""
        used = dict.fromkeys(PART_NAMES, 0.0)
        for pid, part in self._parts.items():
            used[part] += max(0.0, cpu_s(pid) - self._before[pid])
        return {part: 100 * spent / seconds for part, spent in used.items()}

    def memory(self) -> dict[str, float]:
        """Return the memory of each part now, in MB (a million bytes)."""
        return memory_mb(self._parts)
