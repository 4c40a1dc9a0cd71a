"""A plugin that goes away under a recording, and one that does not see a recording's end (contract 6.11, 6.13)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.harness.recorder_process import recorder
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import Job
from recorder_fsm.steps.plugin_watch import ASK_EVERY_S, GONE_AFTER_S, QUIET_AFTER_S
from tests.faults.often import slow_but
from tests.faults.scene import Fault, Row, capture_begin, published, recording

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
TALKING = {"mode": "call", "rtc": True}
LOOK_EVERY_S = 5.0
NOTICE_S = QUIET_AFTER_S + GONE_AFTER_S + 2 * LOOK_EVERY_S + 2 * ASK_EVERY_S + 2.0


def asked(standin: StandIn) -> int:
    """Return how often the plugin was asked for a file name."""
    return len(standin.requests("filename"))


def job_of(standin: StandIn, fault: Fault) -> Job:
    job = standin.state.find_job(fault.run.ids.recording_id)
    assert job is not None
    return job


@pytest.mark.parametrize(("revoke", "code"), [(False, 0), (True, 1)], ids=["back", "token revoked"])
async def test_empty_room_of_a_plugin_that_is_upgraded_is_left(
    standin: StandIn, data: Path, row: MakeRow, revoke: bool, code: int
) -> None:
    """While people talk they are recorded; when they have gone the call is left, and the file published."""
    made = row("R18", f"plugin deactivated, then everybody leaves{', token revoked' if revoke else ''}")
    async with recording(made, standin, data, scene=TALKING) as fault:
        standin.deactivate_plugin(back_after_s=2.0, revoke=revoke)
        before = asked(standin)
        await fault.run.recorded(4 + QUIET_AFTER_S + 2 * ASK_EVERY_S)
        assert asked(standin) == before  # nobody asks while people talk
        standin.everyone_leaves(fault.run.ids.call_id)
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "everybody_gone"))
        await fault.noticed("plugin_gone", NOTICE_S)
        await standin.wait_for(lambda: not standin.state.plugin_off, 20)  # it was free to go
        await fault.ends(code)
        if revoke:
            made.published = "kept"
            assert standin.state.posts == []
            assert list(fault.run.job_dir.glob("*.mp4"))
        else:
            await fault.published()
        assert job_of(standin, fault).err == ""
        assert asked(standin) - before <= 2 + (NOTICE_S / ASK_EVERY_S)


@pytest.mark.slow
async def test_plugin_that_crashes_in_a_pause_ends_nothing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """It is back before anything is decided: the silent meeting goes on, and its host stops it."""
    made = row("R18", "plugin away for 8 s of a silent call, its RTC server a service apart")
    async with recording(made, standin, data, scene=TALKING) as fault:
        standin.page_command(fault.run.ids.call_id, "everybody_gone")
        before = asked(standin)
        await standin.wait_for(lambda: asked(standin) > before, 40)
        fault.inject(lambda: standin.crash_plugin(8.0, rtc=False))
        refused = await standin.wait_for(lambda: [one for one in standin.requests("filename") if one.status == 404], 10)
        count = asked(standin)
        await standin.wait_for(lambda: asked(standin) >= count + 2 + GONE_AFTER_S // ASK_EVERY_S, 40)
        assert refused
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        made.noticed = "recording goes on"
        await fault.published()


@pytest.mark.slow
async def test_plugin_that_crashes_with_its_rtc_server_ends_the_capture(
    standin: StandIn, data: Path, row: MakeRow
) -> None:
    """The page notices by its peer connection; the token outlives the crash, so the file is published at once."""
    made = row("R18", "plugin crashes, its RTC server with it, back after 6 s")
    async with recording(made, standin, data, seconds=6, scene=TALKING) as fault:
        fault.inject(lambda: standin.crash_plugin(6.0))
        cut_s = fault.at - capture_begin(fault.run)
        await fault.noticed("call_lost", 20.0)
        await fault.ends(0)
        path = await fault.published()
        assert cut_s - 0.5 <= (await probe(path)).duration_s <= cut_s + 4.0, fault.run.text
        assert all(entry.auth["right"] for entry in standin.requests("upload_create") + standin.requests("save"))
        assert fault.told()


ENDS: dict[str, tuple[str, dict[str, Any], Callable[[Fault], Any]]] = {
    "SIGTERM": ("SIGTERM", {}, lambda fault: fault.run.signal(signal.SIGTERM)),
    "limit": ("MAX_DURATION_SECONDS=12", {"MAX_DURATION_SECONDS": "12"}, lambda _: None),
}


@pytest.mark.parametrize("name", slow_but(["SIGTERM"], ENDS))
@pytest.mark.parametrize("fresh", [False, True], ids=["same connection", "new connection"])
async def test_end_that_the_plugin_did_not_ask_for_ends_its_job(
    standin: StandIn, data: Path, row: MakeRow, fresh: bool, name: str
) -> None:
    """Without an error, whether the plugin has seen it (it refuses the word then) or not."""
    how, more, end = ENDS[name]
    made = row("R19", f"websocket back on a {'new' if fresh else 'kept'} connection, then {how}")
    standin.state.knobs.fresh_connections = fresh
    async with recording(made, standin, data, **more) as fault:
        before = {one.id for one in standin.hub.in_call(fault.run.ids.call_id)}
        standin.drop_websockets(fault.run.ids.call_id)
        if fresh:
            await standin.wait_for(lambda: {one.id for one in standin.hub.in_call(fault.run.ids.call_id)} - before)
        else:
            await standin.wait_for(lambda: not any(one.open for one in standin.hub.of_bot()))
            await standin.wait_for(lambda: any(one.open for one in standin.hub.of_bot()))
        fault.inject(lambda: end(fault))
        await fault.ends(0)
        job = job_of(standin, fault)
        assert (job.end_at > 0, job.err) == (True, "")
        statuses = [(one.status, one.error, one.reply) for one in standin.state.statuses]
        assert statuses == [("started", "", 200), ("failed", "", 200 if fresh else 400)]
        made.noticed, made.published = "badge off", "all of it"
        assert published(standin, fault.run.ids)


async def test_newer_recording_of_the_call_is_left_alone(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The word is for our job: a recording that has taken its place goes on."""
    made = row("R19", "a newer recording runs, then SIGTERM")
    async with recording(made, standin, data) as fault:
        newer = standin.create_job(fault.run.ids.call_id)
        job = standin.state.find_job(newer.recording_id)
        assert job is not None
        standin.calls.start(job)
        fault.inject(lambda: fault.run.signal(signal.SIGTERM))
        await fault.ends(0)
        assert (job.end_at, job.err) == (0, "")
        assert [(one.status, one.reply) for one in standin.state.statuses] == [("started", 200), ("failed", 400)]
        made.noticed = "untouched"
        await fault.published()


async def test_status_that_hangs_delays_no_publishing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The file is posted while nobody answers the word for the plugin."""
    made = row("R19", "SIGTERM, and the job's status is never answered")
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(4)
        standin.set_faults({"route": "status", "kind": "hang", "times": 0})
        fault = Fault(made, standin, run)
        fault.inject(lambda: run.signal(signal.SIGTERM))
        await standin.wait_for(lambda: standin.state.posts, 30)
        (hanging,) = [one for one in standin.requests("status") if one.status != 200]
        assert hanging.status in {None, "dropped"}
        await fault.ends(0)
        made.noticed = "published meanwhile"
        await fault.published()
