"""Where temporary files may lie: which place is chosen, for what reason, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.places import LONGEST_BYTES, Places, form_trouble

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    """A file system in memory at `path`."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def _any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directories of these tests are deeper than those of a machine."""
    monkeypatch.setattr("recorder_fsm.storage.places.LONGEST_BYTES", 200)


@needs_root
def test_large_memory_is_for_everything(tmp_path: Path, disk: Path) -> None:
    """A machine's /dev/shm, or a container's --tmpfs /tmp."""
    with mounted(tmp_path / "shm", "size=2g") as memory:
        places = Places(memory=(str(memory),), usual=(str(disk),))
        assert places.choose() == (memory, memory)


@needs_root
def test_small_memory_is_for_what_is_private(tmp_path: Path, disk: Path) -> None:
    """A container's /dev/shm has 64 MB: Chromium's own shared memory would fill it."""
    with mounted(tmp_path / "shm", "size=64m") as memory:
        assert Places(memory=(str(memory),), usual=(str(disk),)).choose() == (memory, disk)


@needs_root
def test_tiny_memory_is_left_alone(tmp_path: Path, disk: Path) -> None:
    """A profile would not fit."""
    with mounted(tmp_path / "shm", "size=64k") as memory:
        assert Places(memory=(str(memory),), usual=(str(disk),)).choose() == (disk, disk)


@needs_root
def test_memory_is_used_alone_where_nothing_else_can_be_written(tmp_path: Path, log: list[str]) -> None:
    """A container with a read-only root and no --tmpfs: better a small room than none, and it is said."""
    with mounted(tmp_path / "shm", "size=64m") as memory, mounted(tmp_path / "tmp", "ro") as closed:
        assert Places(memory=(str(memory),), usual=(str(closed),)).choose() == (memory, memory)
        assert [line for line in log if f"{memory} has room for 6" in line and "--tmpfs /tmp" in line] != []


@needs_root
def test_recording_that_is_made_lies_where_there_is_room(tmp_path: Path, disk: Path) -> None:
    """Memory that is large enough for a browser is not for gigabytes."""
    with mounted(tmp_path / "shm", "size=2g") as memory:
        assert Places(memory=(str(memory),), usual=(str(disk),)).choose(spacious=True) == (memory, disk)


@needs_root
def test_named_memory_goes_first(tmp_path: Path, disk: Path) -> None:
    """TMPDIR is somebody's wish."""
    with mounted(tmp_path / "a", "size=2g") as one, mounted(tmp_path / "b", "size=2g") as other:
        places = Places(named=(str(other),), memory=(str(one),), usual=(str(disk),))
        assert places.choose() == (other, other)


@pytest.mark.parametrize("name", ["a b", "it's", "ä", "a,b", "a;b", "a:b", "x" * 199])
def test_place_that_no_socket_can_lie_in_holds_what_is_large(tmp_path: Path, disk: Path, name: str) -> None:
    """It is somebody's wish, too, and reached over a link."""
    odd = tmp_path / name
    odd.mkdir()
    places = Places(named=(str(odd),), memory=(), usual=(str(disk),))
    assert places.choose()[0] == disk
    assert form_trouble(odd)
    with pytest.raises(DirectoryError) as caught:
        Places(named=(str(odd),), memory=(), usual=()).choose()
    assert caught.value.code == "no_temporary_dir"
    assert str(odd) in caught.value.detail
    assert "socket" in caught.value.detail


def test_places_that_are_none_are_passed_over(tmp_path: Path, disk: Path) -> None:
    """A relative one, a file, a missing one."""
    file = tmp_path / "file"
    file.touch()
    for wrong in ("relative", ".", "", str(file), str(file / "below"), str(tmp_path / "missing"), "/proc/self/x\ty"):
        assert Places(named=(wrong,), memory=(), usual=(str(disk),)).choose() == (disk, disk), wrong
        assert Places(named=(wrong,), memory=(), usual=(str(disk),)).all() == [disk]


@needs_root
def test_read_only_place_is_named_with_its_cure(tmp_path: Path) -> None:
    """As a container's root with --read-only."""
    with mounted(tmp_path / "tmp", "ro") as closed, pytest.raises(DirectoryError, match=f"--tmpfs {closed}") as caught:
        Places(memory=(), usual=(str(closed),)).choose()
    assert str(closed) in caught.value.detail
    assert caught.value.sentence == "The recorder has no directory for its temporary files."


def test_volume_of_the_recordings_is_the_last_choice(tmp_path: Path, disk: Path) -> None:
    """It outlives the container, and with it whatever a kill leaves."""
    volume = tmp_path / "data"
    inside = volume / "tmp"
    inside.mkdir(parents=True)
    assert Places(named=(str(inside),), memory=(), usual=(str(disk),), data=volume).choose() == (disk, disk)
    assert Places(named=(str(inside),), memory=(), usual=(), data=volume).choose() == (inside, inside)


def test_environment_names_places(tmp_path: Path) -> None:
    """TMPDIR and XDG_RUNTIME_DIR beside what every machine has."""
    assert Places.of({}, tmp_path) == Places(data=tmp_path)
    named = Places.of({"TMPDIR": "/a", "XDG_RUNTIME_DIR": "/run/b", "TEMP": "/no"}, tmp_path)
    assert (named.named, named.memory) == (("/a",), ("/dev/shm", "/run/b"))  # noqa: S108


@needs_root
def test_memory_of_unknown_size_is_left_alone(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where statvfs(3) is refused, it may be as small as a container's, or smaller."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "refused")

    with mounted(tmp_path / "shm", "size=2g") as memory:
        monkeypatch.setattr(os, "statvfs", refuse)
        assert Places(memory=(str(memory),), usual=(str(disk),)).choose() == (disk, disk)
        assert Places(memory=(str(memory),), usual=()).choose() == (memory, memory)


def test_machine_without_a_table_of_mounts_has_places(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not known to be in memory is taken for a disk."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "refused")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert Places(memory=(), usual=(str(disk),)).choose() == (disk, disk)


def test_longest_place_leaves_room_for_the_longest_socket() -> None:
    """unix(7): 107 bytes. Chromium makes its socket in a directory of its own below TMPDIR."""
    below = "/recorder-fsm.12345678/tmp/org.chromium.Chromium.123456/SingletonSocket"
    assert LONGEST_BYTES + len(below) == 107
