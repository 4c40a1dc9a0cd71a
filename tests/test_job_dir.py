"""The job's directories: private, locked, and gone when they should be."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.job_dir import (
    BUSY,
    JobDirectory,
    recordings_in,
    segments_in,
)
from recorder_fsm.storage.places import Places
from recorder_fsm.storage.runtime_dir import RUNTIME_PREFIX

HOLD = """
import sys
from pathlib import Path
from recorder_fsm.storage.job_dir import JobDirectory

with JobDirectory(Path(sys.argv[1])) as directory:
    print(directory.runtime, flush=True)
    sys.stdin.readline()
"""
AS_NOBODY = """
import os, sys
from pathlib import Path
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.errors import DirectoryError

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with JobDirectory(Path(sys.argv[1])):
        print("entered")
except DirectoryError as error:
    print(f"refused: {error.detail}")
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_are_for_their_user_alone(tmp_path: Path) -> None:
    """Neither recordings nor sockets can be looked at by others on the machine, whatever the umask."""
    before = os.umask(0)
    try:
        with JobDirectory(tmp_path / "job") as directory:
            assert mode(directory.path) == 0o700
            assert mode(directory.runtime) == 0o700
            assert mode(directory.runtime / "tmp") == 0o700
    finally:
        os.umask(before)


def test_runtime_goes_and_the_job_stays(tmp_path: Path) -> None:
    """What is in the runtime directory does not survive; the recording does."""
    with JobDirectory(tmp_path / "data" / "job") as directory:
        directory.segment(1).write_bytes(b"recorded")
        (directory.runtime / "profile").mkdir()
        (directory.runtime / "profile" / "Cookies").write_text("secret")
        runtime = directory.runtime
    assert not runtime.exists()
    assert directory.segment(1).read_bytes() == b"recorded"


def test_runtime_goes_after_an_error_too(tmp_path: Path) -> None:
    """However the job ends."""
    seen: list[Path] = []

    def fail() -> None:
        with JobDirectory(tmp_path / "job") as directory:
            seen.append(directory.runtime)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not seen[0].exists()


def test_runtime_is_not_there_before_it_is_held(tmp_path: Path) -> None:
    """A defect of the caller shows at once."""
    with pytest.raises(RuntimeError, match="not held"):
        _ = JobDirectory(tmp_path / "job").runtime


def test_two_jobs_have_two_runtimes(tmp_path: Path) -> None:
    """Jobs on one machine do not meet."""
    with JobDirectory(tmp_path / "a") as one, JobDirectory(tmp_path / "b") as other:
        assert one.runtime != other.runtime


async def test_directory_of_another_recorder_is_refused_until_it_has_gone(tmp_path: Path) -> None:
    """Two processes never write one recording, and a killed one leaves no lock behind."""
    path = tmp_path / "job"
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(path)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    runtime = Path((await other.stdout.readline()).decode().strip())
    there = set(runtime.parent.glob(f"{RUNTIME_PREFIX}*"))
    try:
        with pytest.raises(DirectoryError) as caught, JobDirectory(path):
            pass
        assert caught.value.code == BUSY
        assert str(path) in caught.value.detail
        assert set(runtime.parent.glob(f"{RUNTIME_PREFIX}*")) <= there
    finally:
        other.kill()
        await other.wait()
    with JobDirectory(path):
        pass


def test_directory_can_be_entered_again(tmp_path: Path) -> None:
    """The lock is given back."""
    for _ in range(2):
        with JobDirectory(tmp_path / "job"):
            pass


def test_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The cause names the path."""
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "job"):
        with pytest.raises(DirectoryError, match=str(file)), JobDirectory(path):
            pass


@pytest.mark.parametrize("exists", [False, True], ids=["parent", "itself"])
async def test_directory_that_cannot_be_written_is_refused(exists: bool) -> None:
    """A job that could write nothing does not begin, and says where."""
    with tempfile.TemporaryDirectory(prefix="volume-") as root:
        path = Path(root) / "job"
        Path(root).chmod(0o755)
        if exists:
            path.mkdir()
            if os.geteuid() != 0:
                path.chmod(0o555)
        elif os.geteuid() != 0:
            Path(root).chmod(0o555)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AS_NOBODY, str(path)), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        Path(root).chmod(0o755)
    assert output.decode().startswith("refused: Permission denied")
    assert str(path) in output.decode()


def test_missing_room_for_the_runtime_is_a_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing temporary can be made, the lock is given back, and the error says of each place why."""
    (tmp_path / "file").touch()
    nowhere = Places(named=("relative",), memory=(str(tmp_path / "nowhere"),), usual=(str(tmp_path / "file"),))
    with monkeypatch.context() as patched:
        patched.setattr(Places, "of", lambda *_: nowhere)
        with pytest.raises(DirectoryError, match="no directory for its temporary files") as caught:
            JobDirectory(tmp_path / "job").__enter__()
    assert caught.value.code == "no_temporary_dir"
    for words in ("relative is relative", "nowhere no such file or directory", "file is no directory"):
        assert words in caught.value.detail
    with JobDirectory(tmp_path / "job"):
        pass


def test_free_bytes_are_those_of_an_ordinary_user(tmp_path: Path) -> None:
    """Not what only root may still write."""
    stat_ = os.statvfs(tmp_path)
    with JobDirectory(tmp_path / "job") as directory:
        assert 0 < directory.free_bytes() <= stat_.f_bfree * stat_.f_frsize


def test_segments_are_numbered_from_one(tmp_path: Path) -> None:
    """`live.mp4`, `live-2.mp4` ...; each is known by its name."""
    directory = JobDirectory(tmp_path)
    assert [directory.segment(number).name for number in (1, 2, 10)] == ["live.mp4", "live-2.mp4", "live-10.mp4"]
    assert all(directory.is_segment(directory.segment(number)) for number in (1, 2, 10))


@pytest.mark.parametrize(
    "name", ["Call.mp4", "live", "live.mp4.part", "live-.mp4", "live-x.mp4", "alive.mp4", "Live.mp4", "live-2.mp4.mp4"]
)
def test_other_names_are_no_segments(tmp_path: Path, name: str) -> None:
    """A call may be called almost so."""
    assert not JobDirectory(tmp_path).is_segment(tmp_path / name)


def test_segments_come_in_the_order_of_recording(tmp_path: Path) -> None:
    """By number, not by letter; without those that hold nothing."""
    for number in (10, 2, 1, 3):
        JobDirectory(tmp_path).segment(number).write_bytes(b"" if number == 3 else b"s")
    names = ["live.mp4", "live-2.mp4", "live-10.mp4"]
    assert [path.name for path in segments_in(tmp_path)] == names
    assert JobDirectory(tmp_path).segments() == segments_in(tmp_path)
    assert segments_in(tmp_path / "missing") == []


def test_recordings_are_those_that_hold_something(tmp_path: Path) -> None:
    """Finished ones first, then segments; empty files, parts and directories do not count."""
    files = {
        "live.mp4": b"1",
        "live-2.mp4": b"2",
        "Call.mp4": b"c",
        "A.mp4": b"a",
        "empty.mp4": b"",
        "C.mp4.part": b"p",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.mp4").mkdir()
    names = ["A.mp4", "Call.mp4", "live.mp4", "live-2.mp4"]
    assert [path.name for path in recordings_in(tmp_path)] == names
    assert recordings_in(tmp_path / "missing") == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that nobody can write, with a job's directory on it that holds a recording."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    volume = tmp_path / "volume"
    job = volume / "job"
    job.mkdir(parents=True)
    for name in ("live.mp4", "live-2.mp4", "Call.mp4"):
        (job / name).write_text(name)
    subprocess.run(["mount", "--bind", "-o", "ro", volume, volume], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", volume], check=True)
    yield job
    subprocess.run(["umount", volume], check=True)


def test_recording_in_a_directory_that_cannot_be_written_can_be_worked_with(read_only: Path) -> None:
    """There are links to what is in it; they can be renamed and removed, and what they lead to stays."""
    with JobDirectory(read_only) as directory:
        assert directory.read_only
        assert [path.name for path in directory.segments()] == ["live.mp4", "live-2.mp4"]
        assert [path.read_text() for path in directory.segments()] == ["live.mp4", "live-2.mp4"]
        assert (directory.workspace / "Call.mp4").read_text() == "Call.mp4"
        directory.segments()[0].replace(directory.workspace / "Other.mp4")
        directory.remove(directory.workspace / "Call.mp4")
        assert [path.name for path in directory.segments()] == ["live-2.mp4"]
        assert directory.free_bytes() > 0
        runtime = directory.runtime
    assert not runtime.exists()
    assert len(recordings_in(read_only)) == 3


def test_file_that_cannot_be_removed_is_said(read_only: Path, log: list[str]) -> None:
    """What is published already is no reason to fail."""
    with JobDirectory(read_only) as directory:
        directory.remove(read_only / "live.mp4")
        directory.remove(directory.workspace / "missing.mp4")
    assert any("live.mp4 could not be removed: Read-only file system" in line for line in log)
    assert not any("missing.mp4" in line for line in log)


def test_directory_that_can_be_written_is_its_own_workspace(tmp_path: Path) -> None:
    """No copies, no links: what is made is where the next start looks."""
    with JobDirectory(tmp_path / "job") as directory:
        assert not directory.read_only
        assert directory.workspace == directory.path


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ENOLCK])
def test_lock_that_the_system_refuses_costs_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str], number: int
) -> None:
    """A file system without locks, or a seccomp filter: it is said, and the job goes on."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with JobDirectory(tmp_path / "job") as directory:
        directory.segment(1).write_bytes(b"recorded")
    assert any("nothing keeps a second recorder out" in line for line in log)


def test_free_space_that_the_system_does_not_tell_is_no_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """statvfs(3) may be refused, too."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with JobDirectory(tmp_path / "job") as directory:
        monkeypatch.setattr(os, "statvfs", refuse)
        assert directory.free_bytes() > 2**40


def test_nothing_that_tells_of_a_meeting_outlives_it(tmp_path: Path) -> None:
    """Frames, parts, names, the journal go; log and report stay, and what is not ours."""
    made = (
        "live.mp4",
        "live-2.mp4",
        "Call.mp4.part",
        "poster.png",
        "last-screen.png",
        "journal.jsonl",
        "report.part",
        "report.html",
    )
    stay = ("recorder.log", "report.json", "notes.txt", "live.mp4.bak", "photo.png")
    with JobDirectory(tmp_path / "job") as directory:
        for name in (*made, *stay):
            (directory.path / name).write_text("")
        (directory.path / "folder.part").mkdir()
        directory.tidy()
        directory.tidy()
    assert {path.name for path in directory.path.iterdir()} == {*stay, "folder.part"}


def test_directory_that_is_gone_is_no_obstacle_to_an_end(tmp_path: Path, log: list[str]) -> None:
    """It is said, and no more."""
    with JobDirectory(tmp_path / "job") as directory:
        directory.path.rmdir()
        directory.tidy()
    assert any("cannot be looked at" in line for line in log)


def test_link_in_the_place_of_a_job_leads_to_nothing(tmp_path: Path) -> None:
    """A volume that others write must not make us publish or remove what lies elsewhere."""
    elsewhere = tmp_path / "videos"
    elsewhere.mkdir()
    (elsewhere / "live.mp4").write_bytes(b"somebody's")
    (tmp_path / "job").symlink_to(elsewhere)
    with pytest.raises(DirectoryError, match="is a link"), JobDirectory(tmp_path / "job"):
        pass
    assert [path.name for path in elsewhere.iterdir()] == ["live.mp4"]
    (tmp_path / "linked").symlink_to(elsewhere)
    with JobDirectory(tmp_path / "linked" / "job") as directory:  # where the volume is, is for its owner to say
        assert directory.path.is_dir()
