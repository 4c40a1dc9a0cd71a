"""The machine: settings, processor and memory as a container has them, /dev/shm, limits, room for a recording."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from recorder_fsm.doctor.findings import Finding, Findings, Machine
from recorder_fsm.doctor.wishes import JOB
from recorder_fsm.storage.places import SMALL_BYTES
from recorder_fsm.system.cgroup import group_limits
from recorder_fsm.system.read_only import is_read_only
from recorder_fsm.system.surroundings import tight_limits
from recorder_fsm.system.threads import in_daemon_thread
from recorder_fsm.terminal.screen import Mark, size

MIB = 2**20
LEAST_MEMORY_BYTES, ENOUGH_MEMORY_BYTES = 512 * MIB, 1024 * MIB
"""docs/scaling.md: a job at 1280x720 takes 0.45 GB, and needs a limit above it."""
LEAST_CPUS, ENOUGH_CPUS = 0.5, 1.0
LEAST_PROCESSES = 256
FILE_AND_COPY = 2
"""For the moment of finishing there is the segment, and the file that is made of it."""


async def settings(machine: Machine) -> Findings:
    """Say which settings are wrong or missing."""
    wishes = machine.wishes
    found = [
        Finding(
            name, Mark.BAD, text, f"Correct {name}: no job starts with it. `recorder-fsm run --help` has the limits."
        )
        for name, text in wishes.wrong.items()
    ]
    needed = [name for name in JOB if name != "POST_ID" or not wishes.posts]
    missing = [name for name in needed if name not in wishes.given]
    if len(missing) == len(needed):
        found.append(Finding("settings", Mark.SKIPPED, "no job is described: its variables are not set"))
    elif missing:
        found.append(
            Finding(
                "settings",
                Mark.WARNING,
                f"{', '.join(missing)} not set",
                "A job needs them; the launcher sets them for each recording.",
                {"missing": missing},
            )
        )
    elif not found:
        found.append(Finding("settings", Mark.OK, f"{len(wishes.given)} are set, all are valid"))
    return found


async def cpu(machine: Machine) -> Findings:
    """Say how much of the processor this process may use."""
    cores = float(len(os.sched_getaffinity(0)))
    limit = group_limits(machine.proc / "self").cpus
    cpus = cores if limit is None else min(cores, limit)
    mark = Mark.BAD if cpus < LEAST_CPUS else Mark.WARNING if cpus < ENOUGH_CPUS else Mark.OK
    cure = "" if mark is Mark.OK else "Give a job one core (docker run --cpus 1, or resources.limits.cpu)."
    limited = "" if limit is None else f", limited to {limit:g}"
    return [Finding("processor", mark, f"{cores:g} cores{limited}", cure, {"cores": cores, "limit": limit})]


async def memory(machine: Machine) -> Findings:
    """Say how much memory there is for this process, by its control group and by the machine."""
    available = machine.available_bytes
    limit = group_limits(machine.proc / "self").memory_bytes
    least = min(available, limit) if limit is not None else available
    mark = Mark.BAD if least < LEAST_MEMORY_BYTES else Mark.WARNING if least < ENOUGH_MEMORY_BYTES else Mark.OK
    cure = "" if mark is Mark.OK else "A job at 1920x1080 needs 1 GiB, with a limit of 2 GiB."
    limited = "no limit" if limit is None else f"limit {size(limit)}"
    data = {"available_bytes": available, "limit_bytes": limit}
    return [Finding("memory", mark, f"{size(available)} available, {limited}", cure, data)]


async def processes(machine: Machine) -> Findings:
    """Say how many processes the control group allows."""
    limit = group_limits(machine.proc / "self").processes
    if limit is None:
        return [Finding("processes", Mark.OK, "no limit of a control group")]
    mark = Mark.OK if limit >= LEAST_PROCESSES else Mark.BAD
    cure = "" if mark is Mark.OK else f"Allow {LEAST_PROCESSES} (docker run --pids-limit)."
    return [Finding("processes", mark, f"{limit} allowed", cure, {"limit": limit})]


async def limits(_: Machine) -> Findings:
    """Say which limits of the process are too low for a recording."""
    tight = tight_limits()
    if tight:
        return [
            Finding("limits", Mark.BAD, line, "Raise the hard limit (ulimit -H, docker run --ulimit).")
            for line in tight
        ]
    files, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return [Finding("limits", Mark.OK, f"{files} open files", data={"open_files": files})]


async def shared_memory(machine: Machine) -> Findings:
    """Say how large the memory for files is: Chromium's profile, with the token, lies there."""
    path = machine.shared_memory
    try:
        room = machine.statvfs(path)
    except OSError as error:
        return [
            Finding(
                "shared memory", Mark.WARNING, f"{path}: {error.strerror}", "The browser's profile lies on a disk then."
            )
        ]
    free = room.f_bavail * room.f_frsize
    mark = Mark.OK if free >= SMALL_BYTES else Mark.WARNING
    cure = (
        "" if mark is Mark.OK else "Give a container more (docker run --shm-size 64m): the profile lies on a disk else."
    )
    return [Finding("shared memory", mark, f"{size(free)} free at {path}", cure, {"free_bytes": free})]


async def disk(machine: Machine) -> Findings:
    """Compare the room in DATA_DIR with an hour at the chosen rates, twice its file while it is finished."""
    return [await in_daemon_thread(_disk, machine)]  # a volume may hang


def _disk(machine: Machine) -> Finding:
    folder = Path(machine.wishes.values["data_dir"])
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    needed = FILE_AND_COPY * machine.wishes.hour_bytes + int(machine.wishes.values["min_free_bytes"])
    if is_read_only(there) or not os.access(there, os.W_OK | os.X_OK):
        us = os.geteuid()
        cure = f"Mount a volume at {folder} that user {us} may write, or set DATA_DIR."
        return Finding("disk", Mark.BAD, f"{folder} may not be written by user {us}", cure)
    room = machine.statvfs(there)
    free = room.f_bavail * room.f_frsize
    mark = Mark.OK if free >= needed else Mark.WARNING if free >= needed // 4 else Mark.BAD
    cure = "" if mark is Mark.OK else "A recording is ended and saved when room gets short: give DATA_DIR more."
    value = f"{size(free)} free for {folder}; an hour at these rates needs {size(needed)} at most"
    return Finding("disk", mark, value, cure, {"free_bytes": free, "hour_needs_bytes": needed})
