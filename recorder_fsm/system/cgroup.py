"""What the control group of this process did to it: the processes that it killed for memory, and those that it refused.

Both versions of control groups, in a container and outside; a machine without any has nothing to say. The numbers only
grow, so they are read at the start and looked at again when something has gone wrong.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

RECENTLY_S = 10.0
"""One kill may be noticed as several faults, one after the other."""
UNLIMITED_BYTES = 2**60
"""The first version says so by a number that no machine has."""
MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""For both versions: the limit, what is used, and what of that the kernel gives up before it kills."""
PROC = Path("/proc/self")


@attrs.frozen
class _Group:
    """The directories of this process's group under one controller, its own first, then those above it that we see."""

    folders: tuple[Path, ...] = ()

    def count(self, file: str, key: str, *, above: bool = False) -> int:
        """Return the sum of `key` in files of lines `key number`; those that are not there count nothing."""
        folders = self.folders if above else self.folders[:1]
        return sum(_counted(folder / file, key) for folder in folders)

    def limit(self, *files: str) -> int | None:
        """Return the lowest limit of this group and those above it, None where there is none."""
        found = [number for folder in self.folders for file in files if (number := _number(folder / file)) is not None]
        return min(found, default=None)

    def room(self) -> int | None:
        """Return how many bytes of memory are left below the nearest limit, None where there is none."""
        found = []
        for folder in self.folders:
            for limit, used, cached in MEMORY:
                most, now = _number(folder / limit), _number(folder / used)
                if most is not None and now is not None:
                    found.append(most - now + _counted(folder / "memory.stat", cached))
        return min(found, default=None)

    def cpus(self) -> float | None:
        """Return the least share of time that is allowed, as a number of processors, None where all is."""
        shares = [share for folder in self.folders if (share := _processors(folder)) is not None]
        return min(shares, default=None)


@attrs.frozen
class Trouble:
    """What the group did since the last look: `killed` and `refused` processes, and its limits, None where unknown."""

    killed: bool
    refused: bool
    memory_bytes: int | None
    processes: int | None


@attrs.frozen
class Limits:
    """What the group, and those above it, allow; None where there is no limit. `cpus`: how many at once."""

    memory_bytes: int | None
    processes: int | None
    cpus: float | None


def group_limits(proc: Path = PROC) -> Limits:
    """Return the limits of our control group."""
    groups = dict(_groups(proc))
    unified = groups.get("", _Group())
    return Limits(
        groups.get("memory", unified).limit("memory.max", "memory.limit_in_bytes"),
        groups.get("pids", unified).limit("pids.max"),
        groups.get("cpu", unified).cpus(),
    )


def memory_room_bytes(proc: Path = PROC) -> int | None:
    """Return how much memory our control group may still take, None where it has no limit."""
    groups = dict(_groups(proc))
    return groups.get("memory", groups.get("", _Group())).room()


class GroupWatch:
    """Looks at our control group. `proc` is /proc/self, `clock` the steady clock in seconds."""

    def __init__(self, proc: Path = PROC, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        groups = dict(_groups(proc))
        unified = groups.get("", _Group())
        self._memory = groups.get("memory", unified)
        self._processes = groups.get("pids", unified)
        self._killed, self._refused = _Growth(self._kills), _Growth(self._refusals)

    def look(self) -> Trouble:
        """Tell what happened since the last look, or within `RECENTLY_S` seconds before it."""
        now = self._clock()
        return Trouble(
            self._killed.grew(now),
            self._refused.grew(now),
            self._memory.limit("memory.max", "memory.limit_in_bytes"),
            self._processes.limit("pids.max"),
        )

    def _kills(self) -> int:
        # The victim's own group counts, whichever limit was hit: its own, one above it, or the machine's.
        return self._memory.count("memory.events", "oom_kill") + self._memory.count("memory.oom_control", "oom_kill")

    def _refusals(self) -> int:
        return self._processes.count("pids.events", "max", above=True)  # from Linux 6.11 on counts who has the limit


class _Growth:
    """A number that grows; it is read when this is made."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._seen = read()
        self._grew_at = float("-inf")

    def grew(self, now: float) -> bool:
        number = self._read()
        if number > self._seen:
            self._seen, self._grew_at = number, now
        return now - self._grew_at < RECENTLY_S


def _groups(proc: Path) -> Iterator[tuple[str, _Group]]:
    """Yield the group under each controller; "" stands for all of version 2."""
    try:
        lines = (proc / "cgroup").read_text(errors="replace").splitlines()
        mounts = [line.split() for line in (proc / "mountinfo").read_text(errors="replace").splitlines()]
    except OSError:
        return
    for line in lines:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        for controller in controllers.split(","):
            for fields in mounts:
                if _mounts(fields, controller) and (folders := _folders(fields[3], fields[4], path)):
                    yield controller, _Group(folders)
                    break


def _mounts(fields: list[str], controller: str) -> bool:
    """Tell whether a line of mountinfo (proc_pid_mountinfo(5)) is of the file system of this controller."""
    if "-" not in fields or len(fields) < fields.index("-") + 4:
        return False
    kind, _, options = fields[fields.index("-") + 1 :][:3]
    return kind == "cgroup2" if not controller else kind == "cgroup" and controller in options.split(",")


def _folders(root: str, point: str, path: str) -> tuple[Path, ...]:
    """Return where a group is, and those above it. A container may see another path than it has a mount for."""
    mount = Path(_unescaped(point))
    below = path[len(root) :] if root != "/" and f"{path}/".startswith(f"{root}/") else path
    folder = mount / below.strip("/")
    if ".." in below.split("/") or not folder.is_dir():
        folder = mount
    return tuple(one for one in (folder, *folder.parents) if one.is_relative_to(mount))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _counted(path: Path, key: str) -> int:
    try:
        found = re.search(rf"^{key} ([0-9]+)$", path.read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return 0
    return int(found[1]) if found else 0


def _processors(folder: Path) -> float | None:
    """Return quota by period: cpu.max of version 2, two files of version 1."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _number(path: Path) -> int | None:
    try:
        number = int(path.read_text())
    except (OSError, ValueError):  # "max"
        return None
    return number if number < UNLIMITED_BYTES else None
