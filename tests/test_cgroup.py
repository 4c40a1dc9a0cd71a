"""The control group: who was killed for memory, who was refused, in both versions, and where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder_fsm.system.cgroup import RECENTLY_S, GroupWatch, Trouble, memory_room_bytes

GIB = 2**30


class Machine:
    """A /proc/self and the mounts of control groups, in a directory."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.mount = folder / "a mount"
        self.now = 100.0

    def of(self, cgroup: str, *mounts: tuple[str, str, str]) -> None:
        """Write which groups there are; mounts are type, options, and root."""
        (self.proc / "cgroup").write_text(cgroup)
        escaped = str(self.mount).replace(" ", "\\040")
        lines = [
            f"31 23 0:28 {root} {escaped}/{options or 'v2'} rw - {kind} x rw,{options}"
            for kind, options, root in mounts
        ]
        (self.proc / "mountinfo").write_text("\n".join(["22 1 8:1 / / rw - ext4 /dev/sda rw", *lines]) + "\n")

    def write(self, path: str, text: str) -> None:
        """Write a file below the mounts."""
        file = self.mount / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def watch(self) -> GroupWatch:
        return GroupWatch(self.proc, lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


V2 = {
    "in a container": ("0::/\n", "/", "v2"),
    "in a unit of the machine": ("0::/system.slice/job.service\n", "/", "v2/system.slice/job.service"),
    "in a container that sees the machine's paths": ("0::/docker/abc\n", "/docker/abc", "v2"),
    "in a container that sees a path beside its mount": ("0::/../other\n", "/", "v2"),
}


@pytest.mark.parametrize("place", V2)
def test_second_version_is_read(machine: Machine, place: str) -> None:
    """What was counted before the start is somebody else's; the limits are those of the group."""
    cgroup, root, folder = V2[place]
    machine.of(cgroup, ("cgroup2", "", root))
    machine.write(f"{folder}/memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n")
    machine.write(f"{folder}/memory.max", f"{GIB}\n")
    machine.write(f"{folder}/pids.events", "max 5\n")
    machine.write(f"{folder}/pids.max", "max\n")
    watch = machine.watch()
    assert watch.look() == Trouble(False, False, GIB, None)
    machine.write(f"{folder}/memory.events", "oom_kill 3\n")
    assert watch.look() == Trouble(True, False, GIB, None)
    machine.write(f"{folder}/pids.events", "max 6\n")
    machine.write(f"{folder}/pids.max", "100\n")
    machine.now += RECENTLY_S
    assert watch.look() == Trouble(False, True, GIB, 100)


def test_first_version_is_read(machine: Machine) -> None:
    """Each controller has a mount of its own."""
    machine.of(
        "5:pids:/docker/abc\n4:cpu,memory:/docker/abc\n0::/\n",
        ("cgroup", "cpu,memory", "/docker/abc"), ("cgroup", "pids", "/docker/abc"), ("cgroup2", "", "/"),
    )  # fmt: skip
    machine.write("cpu,memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    machine.write("cpu,memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write("pids/pids.events", "max 0\n")
    machine.write("pids/pids.max", "64\n")
    watch = machine.watch()
    machine.write("cpu,memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    machine.write("pids/pids.events", "max 1\n")
    assert watch.look() == Trouble(True, True, None, 64)


def test_kill_is_remembered_for_some_seconds(machine: Machine) -> None:
    """A renderer and an encoder that end for one kill are two faults; one minutes later has another cause."""
    machine.of("0::/\n", ("cgroup2", "", "/"))
    machine.write("v2/memory.events", "oom_kill 0\n")
    watch = machine.watch()
    machine.write("v2/memory.events", "oom_kill 1\n")
    seen = []
    for _ in range(3):
        seen.append(watch.look().killed)
        machine.now += RECENTLY_S / 2
    assert seen == [True, True, False]


def test_limit_above_is_ours_too(machine: Machine) -> None:
    """The lowest of those that we see; a refusal is counted where the limit is."""
    machine.of("0::/slice/unit\n", ("cgroup2", "", "/"))
    machine.write("v2/slice/unit/memory.max", "max\n")
    machine.write("v2/slice/memory.max", f"{GIB}\n")
    machine.write("v2/slice/pids.events", "max 1\n")
    watch = machine.watch()
    machine.write("v2/slice/pids.events", "max 2\n")
    assert watch.look() == Trouble(False, True, GIB, None)


NOTHING = {
    "no control groups": ("", ()),
    "a root group": ("0::/\n", (("cgroup2", "", "/"),)),
    "a group without a mount": ("0::/a\n4:memory:/a\n", ()),
    "what nobody writes": ("::\n4\n:::x\n", (("cgroup2", "", "/"), ("cgroup", "memory", "/"))),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_said_where_there_is_nothing(machine: Machine, name: str) -> None:
    """A machine without them loses nothing but the words."""
    cgroup, mounts = NOTHING[name]
    machine.of(cgroup, *mounts)
    assert machine.watch().look() == Trouble(False, False, None, None)


def test_hidden_proc_says_nothing(tmp_path: Path) -> None:
    """Nor does one that cannot be read."""
    assert GroupWatch(tmp_path / "nowhere").look() == Trouble(False, False, None, None)


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A real group of the first or second version with a limit of its own."""
    for parent in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        group = parent / f"recorder-fsm-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / "pids.max").exists():
                (group / "pids.max").write_text("3")
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("needs the right to make control groups")


REAL = """
import os, subprocess, sys
from recorder_fsm.system.cgroup import GroupWatch
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
watch = GroupWatch()
before = watch.look()
started = []
try:
    for _ in range(5):
        started.append(subprocess.Popen(["sleep", "60"]))
except OSError as error:
    print(error.errno)
finally:
    for process in started:
        process.kill()
        process.wait()
print(before.refused, watch.look().refused, watch.look().processes)
"""


def test_real_group_counts_what_it_refuses(real_group: Path) -> None:
    """By a kernel: one process too many."""
    done = subprocess.run([sys.executable, "-c", REAL, str(real_group)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["11", "False", "True", "3"]


def test_room_is_what_is_left_below_the_nearest_limit(machine: Machine) -> None:
    """What the kernel would give up first is room; a group above may have less of it."""
    machine.of("0::/jobs/job\n", ("cgroup2", "", "/"))
    machine.write("v2/jobs/job/memory.max", f"{2 * GIB}\n")
    machine.write("v2/jobs/job/memory.current", f"{GIB}\n")
    machine.write("v2/jobs/job/memory.stat", f"anon 5\ninactive_file {GIB // 4}\n")
    assert memory_room_bytes(machine.proc) == GIB + GIB // 4
    machine.write("v2/jobs/memory.max", f"{3 * GIB}\n")
    machine.write("v2/jobs/memory.current", f"{3 * GIB - 1000}\n")
    assert memory_room_bytes(machine.proc) == 1000


def test_room_of_the_first_version(machine: Machine) -> None:
    machine.of("4:memory:/\n", ("cgroup", "memory", "/"))
    machine.write("memory/memory.limit_in_bytes", f"{GIB}\n")
    machine.write("memory/memory.usage_in_bytes", f"{GIB // 2}\n")
    machine.write("memory/memory.stat", f"inactive_file 1\ntotal_inactive_file {GIB // 8}\n")
    assert memory_room_bytes(machine.proc) == GIB // 2 + GIB // 8


def test_no_limit_is_no_room_to_tell(machine: Machine) -> None:
    """Nor is a machine without control groups."""
    machine.of("0::/\n", ("cgroup2", "", "/"))
    machine.write("v2/memory.max", "max\n")
    machine.write("v2/memory.current", "5\n")
    assert memory_room_bytes(machine.proc) is None
    assert memory_room_bytes(machine.proc / "nowhere") is None
