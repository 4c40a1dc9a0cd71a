"""Faults while stopping and uploading: the file is published once and whole, or it is kept and said to be kept."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.harness.recorder_process import RecorderProcess
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.answers import OFF, OWN
from tests.faults.often import slow_but
from tests.faults.pending import (
    FINISHED,
    NAME,
    Clip,
    delivered,
    kept,
    leave,
    posted_once,
    recovering,
    restarted,
    standing,
    stands,
)
from tests.faults.scene import Fault, Row, published, recording

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
MIB = 2**20


def killed_while_recording(standin: StandIn, ids: CallIds, data: Path, clip: Clip) -> None:
    """Leave a live file, as a recorder that was killed while it recorded."""
    leave(data, ids, standin.url, {"live.mp4": clip.live.read_bytes()})


def killed_while_uploading(standin: StandIn, ids: CallIds, data: Path, clip: Clip, *more: dict[str, Any]) -> None:
    """Leave a finished file, as a recorder that was killed while it uploaded."""
    leave(data, ids, standin.url, {f"{NAME}.mp4": clip.bytes}, *FINISHED, *more)


# --- U1, U2: programs that do not close -------------------------------------------------------------------------------

SUSPENDED: dict[str, tuple[str, Callable[[Fault], psutil.Process], str]] = {
    "U1 Chromium": ("Chromium stopped", lambda fault: fault.run.chromium(), "stopping the audio"),
    "U1 Xvfb": ("Xvfb stopped", lambda fault: fault.run.child("Xvfb"), "Xvfb did not end"),
    "U1 PulseAudio": ("PulseAudio stopped", lambda fault: fault.run.child("pulseaudio"), "pulseaudio did not end"),
}


@pytest.mark.parametrize("name", slow_but(["U1 Chromium"], SUSPENDED))
async def test_program_that_does_not_close_delays_nothing(
    standin: StandIn, data: Path, row: MakeRow, name: str
) -> None:
    """What does not close is killed, and the recording is published meanwhile."""
    done, child, later = SUSPENDED[name]
    async with recording(row(name, f"{done}, then SIGTERM"), standin, data) as fault:
        frozen = child(fault)

        def harm() -> None:
            frozen.suspend()
            fault.run.signal(signal.SIGTERM)

        fault.inject(harm)
        await fault.noticed("stop_requested", 2.0)
        await fault.ends(0)
        await fault.published()
        lines = [line["message"] for line in fault.run.lines]
        assert index(lines, "published ") < index(lines, later), fault.run.text
        assert not frozen.is_running()


def index(lines: list[str], begin: str) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(begin))


async def test_encoder_that_ignores_the_stop_is_killed(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A frozen encoder is killed, and what it had written is published."""
    async with recording(row("U2", "encoder stopped, then SIGTERM"), standin, data) as fault:
        encoder = fault.run.child("ffmpeg", "libx264")

        def harm() -> None:
            encoder.suspend()
            fault.run.signal(signal.SIGTERM)

        fault.inject(harm)
        await fault.noticed("stop_requested", 2.0)
        await fault.ends(0)
        await fault.published()
        assert "is killed" in fault.run.text


# --- U3: the rewritten file -------------------------------------------------------------------------------------------


def spoil_the_segment(fault_dir: Path, clip: Clip) -> None:
    """Put a file there that plays and is not what an encoder writes."""
    (fault_dir / "live.mp4").write_bytes(clip.bytes)


def block_the_way(fault_dir: Path, _: Clip) -> None:
    """Put a directory where the finished file is written."""
    (fault_dir / f"{NAME}.mp4.part").mkdir()
    (fault_dir / f"{NAME}.mp4.part" / "something").touch()


REWRITES: dict[str, tuple[Callable[[Path, Clip], None], str]] = {
    "a segment that only ffmpeg can read": (spoil_the_segment, "rewritten by ffmpeg"),
    "no file can be made": (block_the_way, "published as it is"),
}


@pytest.mark.parametrize("name", REWRITES)
async def test_failed_join_publishes_the_segment(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """Where the segment cannot be joined, ffmpeg rewrites it; where that fails too, it is published: it plays too."""
    made = row("U3", f"joining: {name}")
    harm, words = REWRITES[name]
    killed_while_recording(standin, ids, data, small_clip)
    harm(data / ids.recording_id, small_clip)
    async with restarted(made, standin, ids, data) as fault:
        await fault.ends(0)
        assert (await probe(published(standin, ids))).duration_s >= 5.5
        assert list(fault.run.job_dir.glob("*.mp4")) == []
        assert words in fault.run.text
        made.noticed, made.published = "warning", "all of it"


async def joining(run: RecorderProcess) -> psutil.Process:
    """Wait for the process that joins the segments, and stop it."""
    async with asyncio.timeout(20):
        while not (found := run.all("recorder_fsm.media.join")):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.002)
    found[0].suspend()
    return found[0]


async def test_killed_join_publishes_the_segment(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A join that is killed half way is no loss."""
    made = row("U3", "the process that joins is killed")
    killed_while_recording(standin, ids, data, small_clip)
    async with restarted(made, standin, ids, data) as fault:
        (await joining(fault.run)).kill()
        await fault.ends(0)
        assert (await probe(published(standin, ids))).duration_s >= 5.5
        assert list(fault.run.job_dir.glob("*.mp4*")) == []
        made.noticed, made.published = "warning", "all of it"


async def test_recorder_killed_while_joining_loses_nothing(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A second kill, in the middle of finishing, leaves the segment for the third start."""
    made = row("U3", "recorder killed while it joins the segments, started again")
    killed_while_recording(standin, ids, data, small_clip)
    async with restarted(made, standin, ids, data) as fault:
        await joining(fault.run)
        fault.run.process.kill()
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        made.noticed = "pending_found"


# --- U4, U5: the upload -----------------------------------------------------------------------------------------------

HEALING: dict[str, list[dict[str, Any]]] = {
    "U4 create: 502 twice": [{"route": "upload_create", "kind": "status", "times": 2}],
    "U4 create: reset": [{"route": "upload_create", "kind": "reset"}],
    "U4 create: reply lost": [{"route": "upload_create", "kind": "drop_reply"}],
    "U4 create: 503, html": [{"route": "upload_create", "kind": "status", "status": 503, "body": "<html>sorry"}],
    "U4 create: 200, html": [{"route": "upload_create", "kind": "status", "status": 200, "body": "<html>log in"}],
    "U4 create: 429": [{"route": "upload_create", "kind": "status", "status": 429}],
    "U5 data: cut at byte 6000000": [{"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000}],
    "U5 data: cut at byte 1": [{"route": "upload_data", "kind": "cut_at", "at_byte": 1}],
    "U5 data: 502": [{"route": "upload_data", "kind": "status"}],
    "U5 data: reset": [{"route": "upload_data", "kind": "reset"}],
    "U5 data: busy twice": [{"route": "upload_data", "kind": "busy", "times": 2}],
    "U5 data: 204 without progress": [{"route": "upload_data", "kind": "no_progress"}],
    "U5 data: cut, then a stale offset": [
        {"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000},
        {"route": "upload_get", "kind": "stale_offset"},
    ],
    "U5 data: cut, then a wrong offset": [
        {"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000},
        {"route": "upload_get", "kind": "lie_offset", "at_byte": 7_000_000},
    ],
    "U5 look: 500 after a cut": [
        {"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000}, {"route": "upload_get", "kind": "status"},
    ],
    "U4 create: 404 of a plugin that is off": [{"route": "upload_create", "kind": "status", "times": 2, **OFF}],
    "U4 create: 302": [{"route": "upload_create", "kind": "redirect", "location": "/elsewhere"}],
    "U4 create: 401, empty": [{"route": "upload_create", "kind": "status", "status": 401}],
    "U5 data: 403 of a proxy": [{"route": "upload_data", "kind": "status", "status": 403, "body": "<html>Forbidden"}],
    "U5 look: 404 of a proxy after a cut": [
        {"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000},
        {"route": "upload_get", "kind": "status", "status": 404, "times": 2},
    ],
    "U5 data: a part ends early, 204": [{"route": "upload_data", "kind": "ends_at", "at_byte": 6_000_000}],
    "U5 data: last reply lost": [{"route": "upload_data", "kind": "drop_reply"}],
    "U5 data: stored, and 504 each time": [{"route": "upload_data", "kind": "spoil_reply", "status": 504, "times": 0}],
    "U5 data: offset 3 looks behind after a 204": [
        {"route": "upload_data", "kind": "ends_at", "at_byte": 6_000_000},
        {"route": "upload_get", "kind": "stale_offset", "times": 3},
    ],
}  # fmt: skip
AGAIN: dict[str, list[dict[str, Any]]] = {
    "U5 session: vanished": [
        {"route": "upload_data", "kind": "cut_at", "at_byte": 6_000_000},
        {"route": "upload_get", "kind": "status", **OWN["404"]},
    ],
}


@pytest.mark.parametrize("name", [*HEALING, *AGAIN])
async def test_trouble_on_the_way_is_overcome(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip, name: str
) -> None:
    """The server ends with exactly our bytes and one post; a session that lives on is continued, not begun anew."""
    made = row(name.split(maxsplit=1)[0], name.split(maxsplit=1)[1])
    standin.set_faults(*(HEALING | AGAIN)[name])
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, large_clip)
    made.noticed = "retried"
    sessions = [session for session in standin.state.sessions.values() if session.bytes_received]
    received = sum(session.bytes_received for session in sessions)
    if name in HEALING:
        assert len(sessions) == 1
        # Resumed where the server was, no byte twice; a first part of under 5 MiB is one that the server throws away.
        assert received == large_clip.final.stat().st_size + (1 if name.endswith("byte 1") else 0)
    else:
        assert len(sessions) == 2
    assert len(standin.state.files) == 1


async def test_plugin_that_crashes_is_awaited(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """Its routes answer 404 for 8 s, the token and the session are as before afterwards: nothing is sent twice."""
    made = row("U5", "plugin crashed for 8 s in the middle of the upload")
    standing(standin)
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(made, standin, ids, data) as fault:
        await stands(standin)
        fault.inject(lambda: standin.crash_plugin(8))
        standin.set_faults()
        await delivered(fault, large_clip)
    made.noticed = "retried"
    (session,) = standin.state.sessions.values()
    assert session.bytes_received == large_clip.final.stat().st_size


async def test_offset_that_lags_for_seconds_is_outwaited(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """A replica that is 1.6 s behind after each part costs seconds, and no copy."""
    made = row("U5", "offset 1.6 s behind after each part")
    standin.state.knobs.offset_lag_s, standin.state.knobs.max_file_size = 1.6, 6 * MIB
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, large_clip)
    made.noticed = "outwaited"
    (session,) = standin.state.sessions.values()
    assert session.bytes_received == large_clip.final.stat().st_size


@pytest.mark.parametrize("ids_of_ours", [True, False], ids=["file ids of ours", "file ids of the server"])
async def test_recorder_killed_at_the_last_reply_finds_its_file(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, ids_of_ours: bool
) -> None:
    """The file is complete and the recorder never heard of it: the next start finds it, or sends it once more."""
    how = "its id" if ids_of_ours else "no id of ours"
    made = row("U5", f"killed before the last reply, started again ({how})")
    standin.state.knobs.own_file_ids = ids_of_ours
    standin.set_faults(
        {"route": "upload_data", "kind": "drop_reply"}, {"route": "upload_get", "kind": "hang", "times": 0}
    )
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(made, standin, ids, data) as fault:
        await standin.wait_for(lambda: standin.requests("upload_get"), 20)
        fault.run.process.kill()
        await fault.run.process.wait()
    standin.set_faults()
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
    made.noticed = "pending_found"
    assert len(standin.state.files) == (1 if ids_of_ours else 2)


async def test_file_that_a_scanner_rejects_is_kept_at_once(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """The server's own words are the cause; nothing is sent again."""
    standin.state.knobs.scanner = "Eicar-Test-Signature"
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(row("U9", "upload_data: a scanner rejects the file"), standin, ids, data) as fault:
        assert "Eicar-Test-Signature" in await kept(fault)
    assert len(standin.requests("upload_data")) == 1


@pytest.mark.slow
async def test_server_that_stores_nothing_is_not_asked_for_ever(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A server that takes parts and keeps none ends the upload, not in an endless loop."""
    standin.set_faults({"route": "upload_data", "kind": "no_progress", "times": 0})
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(row("U5", "data: never any progress"), standin, ids, data) as fault:
        assert "does not store" in await kept(fault)
        assert len(standin.requests("upload_data")) <= 20


async def test_server_that_restarts_is_awaited(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """A network that is away in the middle of the upload costs time, and no byte twice."""
    made = row("U5", "network away for 5 s in the middle of a part")
    standing(standin)
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(made, standin, ids, data) as fault:
        await stands(standin)
        fault.inject(lambda: standin.drop_network(5))
        standin.set_faults()
        await delivered(fault, large_clip)
        made.noticed = "retried"


# --- U6, U7: sizes and speed ------------------------------------------------------------------------------------------


async def test_proxy_that_refuses_large_bodies_gets_small_ones(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """After a proxy's 413 the parts shrink until they fit."""
    standin.set_faults(
        {"route": "upload_data", "kind": "status", "status": 413, "times": 0, "above_bytes": 5 * MIB + 100_000}
    )
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(row("U6", "413 above 5.1 MiB"), standin, ids, data) as fault:
        await delivered(fault, large_clip)
        fault.row.noticed = "smaller parts"


async def test_small_limit_of_the_server_is_kept_to(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """Parts are not larger than MaxFileSize, though the file is."""
    standin.state.knobs.max_file_size = 6 * MIB
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(row("U6", "MaxFileSize of 6 MiB"), standin, ids, data) as fault:
        await delivered(fault, large_clip)
        fault.row.noticed = "parts that fit"
    assert len(standin.requests("upload_data")) == 2


IMPOSSIBLE: dict[str, tuple[dict[str, Any], int, str]] = {
    "413 above 4 MiB": (
        {"route": "upload_data", "kind": "status", "status": 413, "times": 0, "above_bytes": 4 * MIB},
        100 * MIB,
        "refuses parts of 5 MiB",
    ),
    "MaxFileSize of 1 MiB": ({}, MIB, "MaxFileSize is too small for this recording; set it to 5 MiB or more"),
}


@pytest.mark.parametrize("mended", [False, True], ids=["for ever", "until it is mended"])
@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_limit_below_the_first_part_is_said(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip, name: str, mended: bool
) -> None:
    """It is tried for as long as there is time, an administrator may be mending it; then it is named."""
    fault_of_server, limit, words = IMPOSSIBLE[name]
    standin.state.knobs.max_file_size = limit
    if fault_of_server:
        standin.set_faults(fault_of_server)
    killed_while_uploading(standin, ids, data, large_clip)
    made = row("U6", f"{name}, until it is mended" if mended else f"{name}, 15 s of grace")
    async with restarted(made, standin, ids, data, STOP_GRACE_SECONDS="15") as fault:
        await fault.run.seen(lambda line: line["state"] == "uploading" and "next try in" in line["message"])
        if mended:
            standin.state.knobs.max_file_size = 100 * MIB
            standin.set_faults()
            await delivered(fault, large_clip)
            made.noticed = "retried"
        else:
            fault.inject(lambda: fault.run.signal(signal.SIGTERM))
            assert words in await kept(fault)


async def test_limit_that_the_server_does_not_keep_is_no_obstacle(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """Where the server takes small first parts, MaxFileSize is only the size of the parts."""
    standin.state.knobs.max_file_size, standin.state.knobs.five_mib_rule = 4 * MIB, False
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(row("U6", "MaxFileSize of 4 MiB, no rule for first parts"), standin, ids, data) as fault:
        await delivered(fault, large_clip)
        fault.row.noticed = "parts that fit"


async def test_slow_link_is_no_fault(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, large_clip: Clip
) -> None:
    """A part takes the time that it takes, as long as bytes move."""
    standin.set_faults({"route": "upload_data", "kind": "slow", "bytes_per_s": MIB})
    killed_while_uploading(standin, ids, data, large_clip)
    async with restarted(row("U7", "1 MiB/s"), standin, ids, data) as fault:
        await delivered(fault, large_clip)
        fault.row.noticed = "no fault"
    assert len(standin.requests("upload_data")) == 1


# --- U8: the post -----------------------------------------------------------------------------------------------------

SAVES: dict[str, dict[str, Any]] = {
    "500 twice": {"kind": "status", "status": 500, "times": 2},
    "reset": {"kind": "reset"},
    "reply lost": {"kind": "drop_reply"},
    "502, html": {"kind": "status", "status": 502, "body": "<html>sorry"},
    "200, html of a proxy": {"kind": "status", "status": 200, "body": "<html>please log in"},
    "404 of a plugin that is off": {"kind": "status", "times": 2, **OFF},
    "409 of a proxy": {"kind": "status", "status": 409},
    "posted, then 500 each time": {"kind": "post_only", "times": 0},
    "posted, then 504 each time": {"kind": "spoil_reply", "status": 504, "times": 0},
}


@pytest.mark.parametrize("name", slow_but(["reset", "reply lost", "posted, then 500 each time"], SAVES))
async def test_save_is_repeated_alone(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """A save that fails is repeated without another upload, and makes one post."""
    standin.set_faults({"route": "save", **SAVES[name]})
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(row("U8", f"save: {name}"), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        fault.row.noticed = "retried"
    assert len(standin.requests("upload_create")) == 1


async def test_look_for_the_post_that_fails_makes_no_second_one(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """Killed after the post, then 502 for each way to see it: the next start waits until it can see."""
    made = row("U8", "killed after the post, before its reply; started again, and 502 for the looks")
    blind = [{"route": route, "kind": "status"} for route in ("thread", "post", "file_info")]
    standin.set_faults({"route": "save", "kind": "drop_reply"}, *({**fault, "skip": 1, "times": 0} for fault in blind))
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(made, standin, ids, data) as fault:
        await standin.wait_for(lambda: standin.state.posts, 30)
        fault.run.process.kill()
        await fault.run.process.wait()
    standin.set_faults(*({**fault, "times": 2} for fault in blind))
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
    made.noticed = "pending_found"
    assert len(standin.requests("save")) == 1


# --- U9: refusals -----------------------------------------------------------------------------------------------------

REFUSALS = [
    ("upload_create", 401), ("upload_create", 403), ("upload_create", 404),
    ("upload_data", 401), ("upload_data", 403), ("save", 400), ("save", 401), ("save", 403), ("save", 404),
]  # fmt: skip


@pytest.mark.parametrize(("route", "status"), slow_but([*REFUSALS[:5], ("save", 400)], REFUSALS))
async def test_refusal_keeps_the_file_at_once(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, route: str, status: int
) -> None:
    """What the plugin or the server itself refuses is not tried twenty times; the file stays, the cause is said."""
    standin.set_faults({"route": route, "kind": "status", "times": 0, **OWN[str(status)]})
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(row("U9", f"{route}: {status}"), standin, ids, data) as fault:
        assert str(status) in await kept(fault)
    assert len(standin.requests(route)) <= 2
    standin.set_faults()
    async with restarted(Row("", ""), standin, ids, data) as fault:  # an administrator has mended it
        await delivered(fault, small_clip)


# --- U10: no server ---------------------------------------------------------------------------------------------------


async def test_server_away_for_the_whole_grace_keeps_the_file(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """The recorder is gone before its launcher would kill it; `recover` publishes the file later."""
    made = row("U10", "server away, SIGTERM, 15 s of grace; then `recover`")
    standin.set_faults({"route": "any", "kind": "reset", "times": 0})
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(made, standin, ids, data, STOP_GRACE_SECONDS="15") as fault:
        await fault.run.seen(lambda line: line["state"] == "uploading" and "next try in" in line["message"])
        fault.inject(lambda: fault.run.signal(signal.SIGTERM))
        await kept(fault)
    standin.set_faults()
    async with recovering(standin, ids, data, str(data)) as run:
        assert await run.exit_code() == 0, run.text
        assert f"{ids.recording_id}: published" in run.text
    posted_once(standin, ids, small_clip)
    made.published = "kept, then all of it"


# --- U11: what was published ------------------------------------------------------------------------------------------


async def test_other_size_on_the_server_is_no_success(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A file that has another size on the server is not posted and not deleted here; the next start sends it anew."""
    standin.set_faults(
        {"route": "file_info", "kind": "status", "status": 200, "body": '{"id":"x","size":5}', "times": 1}
    )
    killed_while_uploading(standin, ids, data, small_clip)
    async with restarted(row("U11", "the server says another size"), standin, ids, data) as fault:
        assert "the server has 5 bytes" in await kept(fault)
    async with restarted(Row("", ""), standin, ids, data) as fault:
        await delivered(fault, small_clip)
    assert len(standin.requests("upload_create")) == 2


def damaged(content: bytes) -> bytes:
    """Return a file whose index is fine and whose frames are not."""
    head = content.index(b"mdat") + 64
    return content[:head] + bytes(len(content) - head)


async def test_file_that_does_not_decode_is_no_success(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """A finished file whose frames are damaged is kept, not published."""
    made = row("U11", "the finished file does not decode")
    leave(data, ids, standin.url, {f"{NAME}.mp4": damaged(small_clip.bytes)}, *FINISHED)
    async with restarted(made, standin, ids, data) as fault:
        assert "does not decode" in await kept(fault)


async def test_live_file_of_rubbish_is_no_success(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """A live file that is none is kept, not published."""
    made = row("U11", "the live file is rubbish")
    leave(data, ids, standin.url, {"live.mp4": b"rubbish" * 10_000})
    async with restarted(made, standin, ids, data) as fault:
        await kept(fault)
