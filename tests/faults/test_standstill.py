"""The recorder itself stands still (SIGSTOP, SIGCONT) for longer than its limits, in each of its states."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.harness.recorder_process import recorder
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.pending import FINISHED, NAME, Clip, delivered, leave, restarted
from tests.faults.scene import Fault, Row, recording

pytestmark = [pytest.mark.e2e, pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(300)]

MakeRow = Callable[[str, str], Row]
PAUSE_S = 14.0
"""Longer than any limit of a program, and short enough for the start's 45 s."""
LONG_PAUSE_S = 40.0


async def stand_still(fault: Fault, seconds: float) -> None:
    """Stop the recorder for so long: this is the harm itself."""
    fault.inject(lambda: fault.run.signal(signal.SIGSTOP))
    await asyncio.sleep(seconds)
    fault.run.signal(signal.SIGCONT)
    fault.row.noticed = "goes on"


STARTING = {
    "Xvfb starts": "Xvfb started as process",
    "Chromium starts": "Chromium started as process",
    "the page is loaded": "opening the call at",
    "the capture starts": "video grabber started as process",
}


@pytest.mark.parametrize("moment", STARTING)
async def test_recorder_that_stands_still_while_it_starts_records(
    standin: StandIn, data: Path, row: MakeRow, moment: str
) -> None:
    """What got ready meanwhile is ready, and what did not has its time: one orderly recording."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        made = row("R16 start", f"the recorder stopped for {PAUSE_S:g} s (SIGSTOP) while {moment}")
        fault = Fault(made, standin, run)
        await run.seen(lambda line: STARTING[moment] in line["message"])
        await stand_still(fault, PAUSE_S)
        await run.recorded(4)
        fault.inject(lambda: standin.stop_recording(ids.recording_id))
        await fault.ends(0)
        await fault.published()
        assert [one.status for one in standin.state.statuses] == ["started"]


async def test_recorder_that_stands_still_while_it_stops_loses_nothing(
    standin: StandIn, data: Path, row: MakeRow
) -> None:
    """Its encoder is not cut short while it writes its end."""
    made = row("R16 stop", f"the recorder stopped for {PAUSE_S:g} s while it stops")
    async with recording(made, standin, data) as fault:
        fault.inject(lambda: standin.stop_recording(fault.run.ids.recording_id))
        at = fault.at
        await fault.run.reached("stopping")
        await stand_still(fault, PAUSE_S)
        fault.at = at
        await fault.ends(0)
        await fault.published(lost_s=0.5)
        assert fault.run.report["outcome"] == "done"


@pytest.mark.parametrize("what", ["an upload's part", "the reply to a save"])
async def test_recorder_that_stands_still_while_it_publishes_publishes_once(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip, what: str
) -> None:
    """What the server said meanwhile is heard, or asked for again; there is one post."""
    made = row("R16 upload", f"the recorder stopped for {LONG_PAUSE_S:g} s in {what}")
    route = "upload_data" if what.startswith("an upload") else "save"
    leave(data, ids, standin.url, {f"{NAME}.mp4": large_clip.bytes}, *FINISHED)
    standin.set_faults({"route": route, "kind": "slow", "delay_s": 1.0})
    async with restarted(made, standin, ids, data) as fault:
        await standin.wait_for(lambda: standin.requests(route), 30)
        await stand_still(fault, LONG_PAUSE_S)
        await delivered(fault, large_clip)
