"""The runtime directory: it goes with its recorder, however that ends, by real processes and real signals."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from recorder_fsm.storage.places import Places
from recorder_fsm.storage.runtime_dir import MARK, RUNTIME_PREFIX, RuntimeDirectory
from tests.programs import until

ROOT = Path(__file__).parent.parent
HOLD = """
import subprocess, sys
from pathlib import Path
from recorder_fsm.storage.places import Places
from recorder_fsm.storage.runtime_dir import RuntimeDirectory

small, large = sys.argv[1:]
places = Places(named=(), memory=(small,), usual=(large,))
Places.choose = lambda *_, **__: (Path(small), Path(large))
held = RuntimeDirectory.make(places)
(held.path / "secret").write_text("token")
(held.large / "buffer").write_text("token")
child = subprocess.Popen(
    ["sleep", "600"], env={"HOME": str(held.path)}, stdout=subprocess.DEVNULL, start_new_session=True
)
print(held.path, held.guard_pid, child.pid, flush=True)
sys.stdin.readline()
held.remove()
"""


@asynccontextmanager
async def holder(small: Path, large: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path, int, int]]:
    """A process that holds one, its directory, its guard and a child that does not die with it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLD, str(small), str(large)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    path, guard, child = (await process.stdout.readline()).decode().split()
    try:
        yield process, Path(path), int(guard), int(child)
    finally:
        for pid in (process.pid, int(child)):
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def _any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directories of these tests are deeper than those of a machine."""
    monkeypatch.setattr("recorder_fsm.storage.places.LONGEST_BYTES", 200)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.mkdir()
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Of a form that no socket's address may have: it is reached over a link."""
    path = tmp_path / "it's lärge"
    path.mkdir()
    return path


async def test_killed_holder_leaves_nothing(small: Path, large: Path) -> None:
    """Neither part of the directory, nor a program, also one that did not die with it; nor the guard itself."""
    async with holder(small, large) as (process, path, guard, child):
        assert (path / "tmp").resolve().parent == large
        process.kill()
        await process.wait()
        await until(lambda: not lives(guard))
        assert not lives(child)
    assert [*small.iterdir(), *large.iterdir()] == []


async def test_guard_is_deaf_to_signals_and_holds_nothing_of_ours(small: Path, large: Path) -> None:
    """Ctrl-C, or a stop of the whole group, is for the recorder; who reads its output does not wait for the guard."""
    async with holder(small, large) as (process, path, guard, _):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(guard, number)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        assert await process.stdout.read() == b""
        await process.wait()
        await until(lambda: not path.exists() and not lives(guard))


async def test_guard_is_seen_as_what_it_is(small: Path, large: Path) -> None:
    """In a list of processes; it is a small one, and has a session of its own."""
    async with holder(small, large) as (process, _, guard, _child):
        seen = psutil.Process(guard)
        assert seen.cmdline()[-1].endswith("recorder_fsm/storage/reaper")
        assert os.getsid(guard) == guard != os.getsid(process.pid)
        assert seen.cwd() == "/"
        assert seen.memory_info().rss < 4 * 2**20


async def test_orderly_end_waits_for_the_guard(small: Path, large: Path) -> None:
    """When the recorder has ended, its guard has, too; it touched nobody's program."""
    async with holder(small, large) as (process, _, guard, child):
        await process.communicate(b"\n")
        assert process.returncode == 0
        assert not psutil.pid_exists(guard)
        assert lives(child)
    assert [*small.iterdir(), *large.iterdir()] == []


async def test_next_start_sweeps_what_two_kills_left(small: Path, large: Path, log: list[str]) -> None:
    """Recorder and guard were killed: whoever starts next removes the rest, and leaves alone what lives."""
    places = Places(named=(str(large),), memory=(str(small),), usual=())
    stranger, link, file = (
        small / "recorder-fsm-notes",
        small / f"{RUNTIME_PREFIX}linklink",
        small / f"{RUNTIME_PREFIX}filefile",
    )
    stranger.mkdir()
    link.symlink_to(stranger)
    file.touch()
    (stranger / MARK).touch()
    of_a_person, of_that_form = small / f"{RUNTIME_PREFIX}old", small / f"{RUNTIME_PREFIX}abcdefgh"
    for path in (of_a_person, of_that_form):
        path.mkdir()
    (of_a_person / MARK).touch()
    marked_by_a_link = small / f"{RUNTIME_PREFIX}abcd_123"
    marked_by_a_link.mkdir()
    (marked_by_a_link / MARK).symlink_to(stranger / MARK)
    async with holder(small, large) as (dead, left, guard, orphan), holder(small, large) as (_, alive, *_rest):
        os.kill(guard, signal.SIGKILL)
        dead.kill()
        await dead.wait()
        assert (left / "secret").exists()
        ours = RuntimeDirectory.make(places)
        try:
            ours.sweep()
            assert not left.exists()
            await until(lambda: not lives(orphan))
            assert (alive / "secret").exists()
            assert (alive / "tmp" / "buffer").exists()
            assert ours.path.exists()
        finally:
            ours.remove()
        assert [line for line in log if "1 processes of it were still running and were killed" in line] != []
    await until(lambda: not alive.exists() and not any(large.iterdir()))
    spared = (stranger, link, file, of_a_person, of_that_form, marked_by_a_link)
    assert {path.name for path in small.iterdir()} == {path.name for path in spared}
    assert list(large.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ENOLCK])
def test_without_locks_nothing_of_others_is_touched(
    small: Path, monkeypatch: pytest.MonkeyPatch, log: list[str], number: int
) -> None:
    """Nobody could tell whether a recorder lives: that is said, and the job goes on. The same the other way round."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    places = Places(memory=(), usual=(str(small),), named=())
    other = RuntimeDirectory.make(places)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        held = RuntimeDirectory.make(places)
        held.sweep()
    assert other.path.is_dir()
    other.sweep()
    assert held.large.is_dir()
    other.remove()
    held.remove()
    assert list(small.iterdir()) == []
    assert any("cannot be locked" in line for line in log)


def test_guard_that_does_not_start_costs_no_recording(
    small: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """It is said what follows."""
    monkeypatch.setattr("recorder_fsm.storage.runtime_dir.REAPER", small / "missing")
    held = RuntimeDirectory.make(Places(memory=(), usual=(str(small),), named=()))
    assert held.guard_pid is None
    held.remove()
    assert list(small.iterdir()) == []
    assert any("the next start clears up" in line for line in log)


def test_directory_is_ours_alone_from_its_first_moment(small: Path) -> None:
    """A sweep of another start, at the very moment, does not take it for one that was left."""
    places = Places(memory=(), usual=(str(small),), named=())
    one = RuntimeDirectory.make(places)
    other = RuntimeDirectory.make(places)
    other.sweep()
    assert one.path.exists()
    assert one.path.stat().st_mode & 0o777 == 0o700
    one.remove()
    with pytest.raises(RuntimeError, match="not held"):
        _ = one.path
    other.remove()
