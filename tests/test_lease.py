"""The lease of a directory on a shared volume: hosts are told apart by what they write down, and by that alone.

Here they are several in one process, or programs of their own: what makes them hosts is the boot that they name.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage import lease as lease_module
from recorder_fsm.storage.job_dir import BUSY
from recorder_fsm.storage.lease import LOST, NAME, Holder, Lease

NEVER_S = 1e9
SOON_S = 0.3
HOLDING = """
import asyncio, sys
from pathlib import Path
from recorder_fsm.storage import lease
lease.BEAT_S = lease.LOOK_S = lease.SETTLE_S = 0.05
me = lease.Holder.here() if sys.argv[2] == "here" else lease.Holder("k", "elsewhere", "another boot", 1, 1)

async def main():
    async with lease.Lease(Path(sys.argv[1]), me=me) as held:
        print("held", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        try:
            await held.check()
            print("ours", flush=True)
        except Exception as error:
            print(error.code, flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes quickly here."""
    for name in ("BEAT_S", "LOOK_S", "SETTLE_S"):
        monkeypatch.setattr(lease_module, name, 0.05)


def host(name: str, *, pid: int = 1) -> Holder:
    """Return a recorder on a host of its own."""
    return Holder(f"key of {name}", name, f"boot of {name}", pid, 7)


def note(folder: Path) -> dict[str, object]:
    written: dict[str, object] = json.loads((folder / NAME).read_bytes())
    return written


def leave(folder: Path, holder: Holder) -> None:
    """Leave the note of a recorder that was killed."""
    fields = {name: getattr(holder, name) for name in ("key", "host", "boot", "pid", "started")}
    (folder / NAME).write_text(json.dumps({**fields, "beats": 3}))


@asynccontextmanager
async def holding(folder: Path, where: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A recorder of its own that holds the lease: `here`, or on another host."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDING, str(folder), where),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await told(process) == "held"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


async def refused(lease: Lease) -> str:
    """The lease must not be had; returns the code of the cause."""
    with pytest.raises(DirectoryError) as failure:
        async with asyncio.timeout(20), lease:
            pass
    return failure.value.code


async def test_holder_is_written_down_and_counts_and_leaves_nothing(tmp_path: Path) -> None:
    """For people, who look who it is, and for other hosts, which watch it."""
    async with Lease(tmp_path) as lease:
        first = note(tmp_path)
        assert (first["pid"], first["host"]) == (os.getpid(), Holder.here().host)
        async with asyncio.timeout(10):
            while note(tmp_path)["beats"] == first["beats"]:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)
        await lease.check()
        assert (tmp_path / NAME).stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


async def test_recorder_that_lives_on_another_host_is_left_alone(tmp_path: Path) -> None:
    """However long one would wait: its note changes, and nobody's clock is asked."""
    async with Lease(tmp_path, me=host("a")) as first:
        assert await refused(Lease(tmp_path, me=host("b"), expires_s=NEVER_S)) == BUSY
        await first.check()
    async with Lease(tmp_path, me=host("b"), expires_s=NEVER_S):
        pass
    assert list(tmp_path.iterdir()) == []


async def test_recorder_that_died_on_another_host_is_replaced(tmp_path: Path) -> None:
    """When its note has stood still for long enough."""
    leave(tmp_path, host("a"))
    async with Lease(tmp_path, me=host("b"), expires_s=SOON_S) as lease:
        await lease.check()
        assert note(tmp_path)["host"] == "b"


RUBBISH = {"nothing": b"", "bytes": b"\xff\x00", "a list": b"[]", "half": b'{"key": 1}', "a maze": b"[" * 100_000}


@pytest.mark.parametrize("name", RUBBISH)
async def test_rubbish_expires_too(tmp_path: Path, name: str) -> None:
    """What nobody keeps alive keeps nobody out."""
    (tmp_path / NAME).write_bytes(RUBBISH[name])
    async with Lease(tmp_path, expires_s=SOON_S) as lease:
        await lease.check()


async def test_recorder_that_was_killed_here_needs_no_watching(tmp_path: Path) -> None:
    """The kernel has given its lock back: a job's next start in its container begins at once."""
    async with holding(tmp_path, "here") as other:
        other.kill()
        await other.wait()
        assert (tmp_path / NAME).exists()
        async with asyncio.timeout(20), Lease(tmp_path, expires_s=NEVER_S) as lease:
            await lease.check()


async def test_recorder_that_stands_still_here_is_not_dead(tmp_path: Path) -> None:
    """The kernel knows better than its note."""
    async with holding(tmp_path, "here") as other:
        other.send_signal(signal.SIGSTOP)
        assert await refused(Lease(tmp_path, expires_s=0)) == BUSY


async def test_earlier_boot_of_this_host_is_watched_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as good as dead; but two hosts may have one name."""
    here = Holder.here()
    leave(tmp_path, Holder("k", here.host, "the boot before", 1, 1))
    monkeypatch.setattr(lease_module, "EXPIRES_HERE_S", SOON_S)
    async with asyncio.timeout(20), Lease(tmp_path, expires_s=NEVER_S) as lease:
        await lease.check()


async def test_recorder_that_stood_still_for_too_long_finds_out(tmp_path: Path) -> None:
    """It asks before it publishes; when it ends it leaves the other's note alone."""
    async with holding(tmp_path, "elsewhere") as other:
        other.send_signal(signal.SIGSTOP)
        async with Lease(tmp_path, me=host("b"), expires_s=SOON_S) as lease:
            other.send_signal(signal.SIGCONT)
            assert other.stdin is not None
            other.stdin.write(b"\n")
            assert await told(other) == LOST
            await other.wait()
            await lease.check()
            assert note(tmp_path)["host"] == "b"


async def test_one_of_many_that_come_at_once_gets_it(tmp_path: Path) -> None:
    """Whether there is a dead note or none."""
    for left in (False, True):
        if left:
            leave(tmp_path, host("z"))
        leases = [Lease(tmp_path, me=host(f"h{number}"), expires_s=SOON_S) for number in range(5)]
        got = await asyncio.gather(*(lease.__aenter__() for lease in leases), return_exceptions=True)
        winners = [one for one in got if isinstance(one, Lease)]
        losers = [one.code for one in got if isinstance(one, DirectoryError)]
        assert (len(winners), losers) == (1, [BUSY] * 4)
        await winners[0].check()
        await winners[0].__aexit__(None, None, None)
        assert list(tmp_path.iterdir()) == []


async def test_note_that_somebody_removed_is_written_anew(tmp_path: Path) -> None:
    """It is no reason to give up a recording, and without it nobody would know of us."""
    async with Lease(tmp_path) as lease:
        (tmp_path / NAME).unlink()
        await lease.check()
        assert note(tmp_path)["pid"] == os.getpid()


async def test_volume_that_refuses_costs_no_recording(tmp_path: Path, log: list[str]) -> None:
    """It is said, and the job goes on; another's note that appears is noticed all the same."""
    folder = tmp_path / "missing"
    async with Lease(folder) as lease:
        await lease.check()
        assert await lease.ours()
        folder.mkdir()
        leave(folder, host("b"))
        assert not await lease.ours()
        with pytest.raises(DirectoryError):
            await lease.check()
    assert any("no lease can be written" in line for line in log)
    assert note(folder)["host"] == "b"


async def test_volume_without_links_has_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network volumes and FAT know none."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    async with Lease(tmp_path, me=host("a")) as lease:
        await lease.check()
        assert await refused(Lease(tmp_path, me=host("b"))) == BUSY
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lives", [True, False])
async def test_kernel_without_locks_is_asked_for_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    """A number alone says nothing; with the time of its start it does."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(lease_module, "EXPIRES_HERE_S", SOON_S)
    here = Holder.here()
    leave(tmp_path, Holder("k", here.host, here.boot, here.pid, here.started - (0 if lives else 1)))
    if lives:
        assert await refused(Lease(tmp_path, expires_s=0)) == BUSY
    else:
        async with Lease(tmp_path, expires_s=NEVER_S):
            pass


async def test_who_is_asked_to_stop_waits_for_no_lease(tmp_path: Path) -> None:
    """A launcher's grace is for other things."""
    leave(tmp_path, host("a"))
    asked: Callable[[], bool] = lambda: True  # noqa: E731
    assert await refused(Lease(tmp_path, stop_asked=asked, expires_s=NEVER_S)) == BUSY


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
async def test_note_of_another_user_keeps_nobody_out_for_ever() -> None:
    """As one that may be read: it is watched, by its times, and has expired; whether it can be replaced or not."""
    with tempfile.TemporaryDirectory(prefix="volume-") as volume:
        folder = Path(volume)
        for mode in (0o777, 0o755):
            folder.chmod(mode)
            leave(folder, host("a"))
            (folder / NAME).chmod(0o600)
            os.seteuid(65534)
            try:
                async with Lease(folder, me=host("b"), expires_s=SOON_S) as lease:
                    await lease.check()
                os.seteuid(0)
                async with Lease(folder, me=host("a"), expires_s=SOON_S):
                    os.seteuid(65534)
                    assert await refused(Lease(folder, me=host("b"), expires_s=NEVER_S)) == BUSY
                    os.seteuid(0)
            finally:
                os.seteuid(0)
