"""Samples: what each part of a job uses, and what the capture does, over time and in a bounded space."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder_fsm.media.timeline import Timeline
from recorder_fsm.sampling import Sampler
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.report import JobReport
from recorder_fsm.storage.samples import MOST_POINTS, Sample, Samples
from recorder_fsm.system import usage as usage_module
from recorder_fsm.system.process import ChildProcess
from recorder_fsm.system.usage import OTHER, OWN, PAGE_BYTES, Usage
from tests.programs import until

ENV = {"PATH": os.environ["PATH"]}
BUSY = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])"
TICKS = os.sysconf("SC_CLK_TCK")


class Proc:
    """A /proc of a test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_s = 1000.0

    def put(
        self, pid: int, *, parent: int, session: int = 0, cpu_s: float = 0, born_s: float = 1, name: str = "x"
    ) -> None:
        """Have a process; it has 30 pages, of which 10 are shared."""
        folder = self.path / str(pid)
        folder.mkdir(exist_ok=True)
        fields = ["S", parent, pid, session, *[0] * 7, int(cpu_s * TICKS), 0, *[0] * 6, int(born_s * TICKS), 0, 30, 0]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(map(str, fields))}\n")
        (folder / "statm").write_text("100 30 10 1 0 5 0\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proc:
    """A /proc in which this process is there, at a time that the test sets."""
    made = Proc(tmp_path)
    made.put(os.getpid(), parent=1)
    monkeypatch.setattr(usage_module, "now_s", lambda: made.now_s)
    return made


def test_whole_tree_of_a_program_counts_for_its_part(proc: Proc) -> None:
    """CPU is what all of them used since the last reading; memory that they may share counts once."""
    usage = Usage(lambda: {50: "browser"}, proc.path)
    for pid, parent in ((50, os.getpid()), (51, 50), (52, 51)):
        proc.put(pid, parent=parent, cpu_s=100)
    proc.put(60, parent=1, cpu_s=7)
    first = usage.read()
    assert first["browser"].cpu is None
    assert first["browser"].memory_bytes == (20 + 20 + 20 + 10) * PAGE_BYTES
    proc.now_s += 10
    proc.put(51, parent=50, cpu_s=102)
    proc.put(52, parent=51, cpu_s=103)
    proc.put(60, parent=1, cpu_s=17)
    second = usage.read()
    assert second["browser"].cpu == 0.5
    assert set(second) == {OWN, "browser"}


def test_program_without_a_name_and_one_that_lost_its_parent_are_counted(proc: Proc) -> None:
    """The first as another program of ours; the second where its session belongs."""
    proc.put(50, parent=os.getpid(), session=50)
    proc.put(51, parent=os.getpid(), session=50)
    proc.put(70, parent=os.getpid(), session=70)
    uses = Usage(lambda: {50: "encoder"}, proc.path).read()
    assert uses["encoder"].memory_bytes == (20 + 20 + 10) * PAGE_BYTES
    assert uses[OTHER].memory_bytes == (20 + 10) * PAGE_BYTES


def test_restarted_program_is_counted_from_its_own_begin(proc: Proc) -> None:
    """One that is younger than the last reading counts whole, also under the number of the one before."""
    usage = Usage(lambda: {50: "encoder"}, proc.path)
    proc.put(50, parent=os.getpid(), cpu_s=500)
    usage.read()
    proc.now_s += 10
    proc.put(50, parent=os.getpid(), cpu_s=4, born_s=1004)
    assert usage.read()["encoder"].cpu == 0.4


def test_cpu_of_a_part_only_grows(proc: Proc) -> None:
    """What a program had used that has ended stays, and its successor's comes on top: a counter for Prometheus."""
    usage = Usage(lambda: {50: "encoder"}, proc.path)
    proc.put(50, parent=os.getpid(), cpu_s=5)
    assert usage.read()["encoder"].cpu_s == 5
    proc.now_s += 10
    proc.put(50, parent=os.getpid(), cpu_s=7)
    assert usage.read()["encoder"].cpu_s == 7
    proc.put(50, parent=os.getpid(), cpu_s=4, born_s=1004)
    assert usage.read()["encoder"].cpu_s == 11


def test_what_vanishes_or_cannot_be_read_is_passed_over(proc: Proc) -> None:
    """Processes end while they are looked at; a name may hold anything; a table that changes may have a circle."""
    usage = Usage(lambda: {50: "browser", 99: "driver"}, proc.path)
    proc.put(50, parent=os.getpid(), name="a) S 1 (b")
    proc.put(51, parent=52)
    proc.put(52, parent=51)
    proc.put(53, parent=50)
    (proc.path / "53" / "stat").write_text("53 (cut")
    proc.put(54, parent=50)
    (proc.path / "54" / "statm").unlink()
    uses = usage.read()
    assert uses["browser"].memory_bytes == (20 + 10) * PAGE_BYTES
    assert set(uses) == {OWN, "browser"}
    (proc.path / "50" / "stat").unlink()
    assert usage.read()["browser"].memory_bytes == 0  # 54 is still there
    assert Usage(dict, proc.path / "nowhere").read() == {}


def test_share_of_the_machine_is_what_all_cores_did_together(proc: Proc) -> None:
    """From proc_stat(5): user, nice, system, idle, iowait ...; None before there is anything to compare with."""
    usage = Usage(dict, proc.path)
    (proc.path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 5 5\ncpu0 1 2\n")
    assert usage.machine() is None
    (proc.path / "stat").write_text("cpu  150 0 125 720 105 0 0 0 9 9\ncpu0 1 2\n")
    assert usage.machine() == 0.75
    (proc.path / "stat").write_text("nonsense\n")
    assert usage.machine() is None


async def test_real_programs_are_measured_by_part() -> None:
    """A grandchild that keeps a core busy shows in the part of the program that it descends from."""
    child = await ChildProcess.spawn("Chromium", [sys.executable, "-c", BUSY], env=ENV)
    try:
        usage = Usage(lambda: {pid: name for pid, name in ChildProcess.names().items() if name == "Chromium"})
        assert usage.read()[OWN].memory_bytes > 1_000_000

        def busy() -> bool:
            usage._roots = {}  # look at all processes each time: a test is in a hurry
            return (usage.read()["Chromium"].cpu or 0) > 0.1

        await until(busy)
    finally:
        await child.stop(wait_s=0)
    assert child.pid not in ChildProcess.names()


def test_columns_are_whole_and_hold_what_parts_came_and_went() -> None:
    """Each column has a value or null for each time; what was never known has none."""
    samples = Samples(5)
    samples.add(Sample(0.0, {"recorder": None}, {"recorder": 9}))
    samples.add(Sample(5.0, {"recorder": 0.1, "browser": 0.5}, {"recorder": 10, "browser": 20}, speed=1.0004))
    assert samples.facts() == {
        "every_s": 5,
        "at_s": [0.0, 5.0],
        "cpu": {"recorder": [None, 0.1], "browser": [None, 0.5]},
        "memory_bytes": {"recorder": [9, 10], "browser": [None, 20]},
        "speed": [None, 1.0],
    }
    assert samples.latest is not None
    assert samples.latest.cpu["browser"] == 0.5
    assert Samples(5).facts() == {}


def test_day_of_samples_takes_the_room_of_an_hour() -> None:
    """Points become longer, the peaks of memory and of delay stay, and so does the end."""
    samples = Samples(5)
    for number in range(17_280):
        peak = number == 1234
        samples.add(
            Sample(
                number * 5.0,
                {"browser": 0.5},
                {"browser": 900 if peak else 100},
                speed=0.2 if peak else 1.0,
                behind_s=9.0 if peak else 0.0,
                frames=number,
            )
        )
    facts = samples.facts()
    assert MOST_POINTS / 2 <= len(facts["at_s"]) <= MOST_POINTS
    assert all(len(column) == len(facts["at_s"]) for column in (facts["cpu"]["browser"], facts["speed"]))
    assert (facts["at_s"][-1], facts["frames"][-1]) == (17_279 * 5.0, 17_279)
    assert max(facts["memory_bytes"]["browser"]) == 900
    assert (max(facts["behind_s"]), min(facts["speed"])) == (9.0, 0.2)
    assert facts["cpu"]["browser"] == pytest.approx([0.5] * len(facts["at_s"]))
    assert facts["every_s"] == pytest.approx(86_400 / len(facts["at_s"]), rel=0.1)
    assert facts["at_s"] == sorted(facts["at_s"])


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[JobDirectory]:
    """A job's directory that is held."""
    with JobDirectory(tmp_path / "job") as held:
        yield held


Look = Callable[[float], Sample]


def test_capture_is_measured_between_two_looks(
    directory: JobDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Speed and level are those since the look before; a restart is no negative speed, and no huge delay."""
    clock = [500.0]
    monkeypatch.setattr("recorder_fsm.media.timeline.now_s", lambda: clock[0])
    timeline, report = Timeline(), JobReport("rec", time.monotonic())
    sampler = Sampler(report, directory, timeline, time.monotonic(), dict)

    def look(after_s: float) -> Sample:
        clock[0] += after_s
        sampler.look()
        assert report.samples.latest is not None
        return report.samples.latest

    assert look(1).speed is None
    progress = timeline.open(tmp_path / "live.mp4", 0.0).progress
    assert look(1).behind_s is None
    progress.position_s, progress.frames = 1.5, 9
    progress.take_relayed("level=-20.0 peak=-3.0")
    progress.take_grabbed("dropped=1 late_ms=40 still_ms=0 changes=0 rate=30 black=0 black_ms=0")
    look(1)
    assert report.facts()["measures"]["dropped_frames"] == 1  # before the capture has ended, for those who watch
    progress.position_s = 4.0
    progress.take_relayed("level=-40.0 peak=-3.0")
    seen = look(5)
    assert (seen.speed, seen.behind_s, seen.frames) == (0.5, 3.0, 9)
    assert seen.level_dbfs == pytest.approx(-40.0)
    timeline.stopped(timeline.segments[0])
    assert look(1).speed is None
    again = timeline.open(tmp_path / "live-2.mp4", 0.0).progress
    assert (look(1).speed, look(1).behind_s) == (None, None)
    again.position_s = 1.0
    seen = look(1)
    assert (seen.speed, seen.behind_s) == (None, 2.0)
    assert (seen.free_bytes or 0) > 0


async def test_samples_are_taken_until_the_job_ends_and_stand_in_the_report(
    directory: JobDirectory, log: list[str]
) -> None:
    """Each column is one line, so that a person still reads the rest; a sampler that breaks is a line of the log."""
    report = JobReport("rec", time.monotonic())
    async with Sampler(report, directory, Timeline(), time.monotonic(), dict).running():
        await asyncio.sleep(0)  # the first look is taken at once
    report.write(directory.report, exit_code=0, state="done", cause=None)
    text = directory.report.read_text()
    assert json.loads(text)["samples"]["memory_bytes"][OWN][0] > 0
    assert sum('"at_s"' in line for line in text.splitlines()) == 1

    def broken() -> dict[int, str]:
        raise ValueError("no parts")

    async with Sampler(report, directory, Timeline(), time.monotonic(), broken).running():
        await asyncio.sleep(0)
    assert any("no more samples" in line for line in log)
