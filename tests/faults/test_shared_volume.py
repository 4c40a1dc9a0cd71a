"""One volume, several hosts: locks do not tell them apart, leases do. The other host is this test, by its own word."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.storage.lease import NAME as LEASE
from recorder_fsm.storage.lease import Holder, Lease
from tests.faults.pending import (
    FINISHED,
    NAME,
    Clip,
    delivered,
    leave,
    posted_once,
    recovering,
    restarted,
    standing,
    stands,
)
from tests.faults.scene import Row

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
MIB = 2**20
ELSEWHERE = Holder("another", "another host", "another boot", 1, 1)


async def test_recording_of_a_recorder_on_another_host_is_left_alone(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """Neither a start nor `recover` touches it while the other lives; when it has gone, it is published."""
    made = row("S10", "another host works on this volume; then it is gone")
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    async with Lease(folder, me=ELSEWHERE) as other:
        async with restarted(Row("", ""), standin, ids, data) as fault:
            made.exit_code = await fault.run.exit_code()
            assert made.exit_code == 1
            assert "already working" in fault.run.text
        async with recovering(standin, ids, data, str(data)) as run:
            assert await run.exit_code() == 1, run.text
        assert await other.ours()
        assert (standin.state.posts, standin.state.statuses) == ([], [])
    assert (folder / "live.mp4").read_bytes() == small_clip.live.read_bytes()
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        made.noticed = "directory_busy"
    assert not (folder / LEASE).exists()


async def test_recorder_that_stood_still_and_was_replaced_publishes_nothing(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """It uploads, stands still, and another host takes over: one post, by that one, whatever the first does then."""
    made = row("S10", "stood still while it uploaded, and another host took over")
    standing(standin)
    folder = leave(data, ids, standin.url, {f"{NAME}.mp4": large_clip.bytes}, *FINISHED)
    async with restarted(made, standin, ids, data) as fault:
        await stands(standin)
        fault.run.signal(signal.SIGSTOP)
        async with Lease(folder, me=ELSEWHERE, expires_s=3.0):
            standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": 3 * MIB})
            fault.run.signal(signal.SIGCONT)
            await fault.ends(1)
            fault.nothing_published()
            assert "Another recorder has taken this recording over" in fault.run.text
            assert [file.name for file in folder.glob("*.mp4")] == [f"{NAME}.mp4"]
        made.noticed = "lease_lost"
    async with recovering(standin, ids, data, str(data)) as run:
        assert await run.exit_code() == 0, run.text
    posted_once(standin, ids, large_clip)
    made.published = "all of it, once"


@pytest.mark.slow
async def test_recording_of_a_host_that_died_is_published(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """Its note stands still: after half a minute it has expired."""
    made = row("S10", "another host died at its work")
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    async with Lease(folder, me=ELSEWHERE):
        note = (folder / LEASE).read_bytes()
    (folder / LEASE).write_bytes(note)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        made.noticed = "pending_found"
