"""What the programs of a job use: CPU and memory, by part, read from /proc.

A part is a program that the recorder started, with all that descends from it: Chromium is ten processes. A reading is
a few small files for each process. Processes that come and go meanwhile are passed over.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from recorder_fsm.system.clock import now_s

OWN = "recorder"
"""The part of this process itself."""
OTHER = "other"
"""The part of programs of ours that nobody named: those that finish a file, for example."""
SEARCH_EVERY = 6
"""How many readings there are for each look at all processes of the machine, of which a host may have thousands."""
MOST_PROCESSES = 500
"""A page that starts more is read no further: a reading has an end."""

CONTENT_BYTES = 4096
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@attrs.frozen
class Use:
    """What a part uses: CPU since the reading before (1.0: one core; None at first), memory now, in bytes.

    `cpu_s`: all that its programs have used since they were started, those that ended included as they were seen last.
    """

    cpu: float | None
    memory_bytes: int
    cpu_s: float


@attrs.frozen
class _Process:
    """proc_pid_stat(5): parent, session, ticks of CPU, ticks from the machine's start to its own."""

    parent: int
    session: int
    ticks: int
    started: int


class Usage:
    """Reads what each part uses. `parts` tells which process is the root of which part now, by its number."""

    def __init__(self, parts: Callable[[], Mapping[int, str]], proc: Path = Path("/proc")) -> None:
        self._parts = parts
        self._proc = str(proc)
        self._roots: Mapping[int, str] = {}
        self._members: dict[int, str] = {}
        self._last: dict[int, _Process] = {}
        self._spent: defaultdict[str, int] = defaultdict(int)
        self._read_at = now_s()
        self._readings = 0
        self._machine: tuple[int, int] | None = None

    def read(self) -> dict[str, Use]:
        """Return the use of each part that runs."""
        roots = {os.getpid(): OWN, **self._parts()}
        if roots != self._roots or self._readings % SEARCH_EVERY == 0:
            self._roots = roots
            self._members = self._search()
        self._readings += 1
        before, self._last = self._last, {}
        since_s, self._read_at = self._read_at, now_s()
        lasted_s = self._read_at - since_s
        ticks: defaultdict[str, int] = defaultdict(int)
        private: defaultdict[str, int] = defaultdict(int)
        shared: defaultdict[str, int] = defaultdict(int)
        for pid, part in self._members.items():
            if (process := self._stat(pid)) is None:
                continue
            self._last[pid] = process
            earlier = before.get(pid)
            if earlier is not None and earlier.started == process.started:
                ticks[part] += process.ticks - earlier.ticks
                self._spent[part] += process.ticks - earlier.ticks
            else:
                self._spent[part] += process.ticks
                if process.started / TICKS_PER_S > since_s:
                    ticks[part] += process.ticks
            resident_pages, shared_pages = self._pages(pid)
            private[part] += resident_pages - shared_pages
            # Most of what Chromium's processes share is the same program: counted for each, it would be twice the sum.
            shared[part] = max(shared[part], shared_pages)
        known = bool(before) and lasted_s > 0
        return {
            part: Use(
                round(ticks[part] / TICKS_PER_S / lasted_s, 3) if known else None,
                (private[part] + shared[part]) * PAGE_BYTES,
                self._spent[part] / TICKS_PER_S,
            )
            for part in private
        }

    def machine(self) -> float | None:
        """Return the share of all cores that was busy since the last call, whoever used it; None where not known."""
        try:
            fields = [int(field) for field in self._content("stat").split(b"\n", 1)[0].split()[1:9]]
            total, idle = sum(fields), fields[3] + fields[4]  # proc_stat(5): idle, iowait
        except (OSError, ValueError, IndexError):
            return None
        before, self._machine = self._machine, (total, idle)
        if before is None or total <= before[0]:
            return None
        return round(min(1.0, max(0.0, 1 - (idle - before[1]) / (total - before[0]))), 3)

    def _search(self) -> dict[int, str]:
        """Return the part of each process that descends from us."""
        found: dict[int, _Process] = {}
        with contextlib.suppress(OSError):
            for name in os.listdir(self._proc):  # noqa: PTH208 - names are all that is needed, of thousands perhaps
                if name.isdigit() and (process := self._stat(int(name))) is not None:
                    found[int(name)] = process
        parts = ((pid, self._part(pid, found)) for pid in sorted(found))
        members = {pid: part for pid, part in parts if part}
        return dict(list(members.items())[:MOST_PROCESSES])

    def _part(self, pid: int, found: Mapping[int, _Process]) -> str:
        """Return the part of one process, "" where it is none of ours."""
        for ancestor in _line(pid, found):
            part = self._roots.get(ancestor)
            if part == OWN and pid != ancestor:
                # One that lost its parent is ours now (`parent_death.adopt_orphans`), and still in its root's session.
                return self._roots.get(found[pid].session, OTHER)
            if part:
                return part
        return ""

    def _stat(self, pid: int) -> _Process | None:
        try:
            line = self._content(f"{pid}/stat")
            fields = line[line.rindex(b")") + 2 :].split()
            return _Process(int(fields[1]), int(fields[3]), int(fields[11]) + int(fields[12]), int(fields[19]))
        except (OSError, ValueError, IndexError):
            return None

    def _pages(self, pid: int) -> tuple[int, int]:
        """Return how many pages a process has in memory, and how many of them others may share (proc_pid_statm(5))."""
        try:
            fields = self._content(f"{pid}/statm").split()
            return int(fields[1]), int(fields[2])
        except (OSError, ValueError, IndexError):
            return 0, 0

    def _content(self, name: str) -> bytes:
        # Not by `Path.read_bytes`, which takes four times as long.
        descriptor = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, CONTENT_BYTES)
        finally:
            os.close(descriptor)


def machine_facts() -> dict[str, str | int]:
    """Return what a person asks of the machine first: kernel, Python, the cores we may use, its memory."""
    system = os.uname()
    return {
        "system": " ".join((system.sysname, system.release, system.machine)),
        "python": ".".join(map(str, sys.version_info[:3])),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * PAGE_BYTES,
    }


def _line(pid: int, found: Mapping[int, _Process]) -> Iterator[int]:
    """Yield a process, its parent, and so on; the table changes while it is read, so a circle has an end."""
    seen: set[int] = set()
    while pid in found and pid not in seen:
        seen.add(pid)
        yield pid
        pid = found[pid].parent
