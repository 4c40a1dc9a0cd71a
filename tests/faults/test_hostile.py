"""Bad input from outside: what a server or a page may do, and where secrets must not be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import RecorderProcess, launched, recorder
from recorder_fsm.analysis import video
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.answers import own
from tests.faults.pending import FINISHED, NAME, Clip, delivered, kept, leave, restarted
from tests.faults.scene import Fault, Row, published, recording
from tests.faults.traces import family, forms, holding, written_elsewhere

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
MIB = 2**20
LOG_LIMIT_BYTES = 2 * MIB
PASSWORD = "wordofaproxy"
MANY_PROGRAMS = 8
"""A recorder has more than that many of its own."""


@pytest.fixture
async def foreign(tmp_path: Path) -> AsyncIterator[StandIn]:
    """Another server, which must never see the token."""
    async with StandIn(data_dir=tmp_path / "foreign") as server:
        yield server


# --- file names -------------------------------------------------------------------------------------------------------

NAMES = {
    "path parts": "../../../etc/passwd",
    "an absolute path": "/etc/cron.d/x",
    "backslashes": "..\\..\\windows",
    "control characters": "a\x00b\x1b[31mc\r\nd\u202ee",
    "300 characters": "n" * 300,
    "300 emoji": "🎥" * 300,
    "a leading dash": "-rf --help",
    "the live file's": "live",
    "the part file's": "live.mp4.part",
    "a pattern of ffmpeg": "%03d",
    "a protocol of ffmpeg": "concat:a|b",
}


@pytest.mark.parametrize("name", NAMES)
async def test_hostile_file_name_does_no_harm(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """Whatever the server calls a recording, nothing outside the job's directory is written, and it is published."""
    made = row("hostile", f"file name: {name}")
    standin.state.knobs.filename = NAMES[name]
    around = everything(data.parent, ids)
    leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()}, name=None)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        assert len(standin.requests("filename")) == 1
        made.noticed = "made safe"
    assert everything(data.parent, ids) == around
    (stored,) = standin.state.files.values()
    assert re.fullmatch(r"[^/\\\x00-\x1f]{1,204}", stored.name)
    assert len(stored.name.encode()) <= 255


def everything(folder: Path, ids: CallIds) -> set[str]:
    """Return all paths but those of the job and of the server."""
    return {
        str(path)
        for path in folder.rglob("*")
        if ids.recording_id not in str(path) and folder / "standin" not in path.parents
    }


@pytest.mark.parametrize("name", ["", "...", "  "])
async def test_file_name_of_nothing_is_no_obstacle_to_recovery(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """A recording that exists is published under its id, if the server has no name for it."""
    made = row("hostile", f"file name: {name!r}")
    standin.set_faults(
        {"route": "filename", "kind": "status", "status": 200, "body": json.dumps({"filename": name}), "times": 0}
    )
    leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()}, name=None)
    async with restarted(made, standin, ids, data) as fault:
        await delivered(fault, small_clip)
        made.noticed = "its id is its name"


# --- replies ----------------------------------------------------------------------------------------------------------

REPLIES: dict[str, dict[str, Any]] = {
    "endless reply to `create`": {"route": "upload_create", "kind": "endless"},
    "huge error page": {"route": "upload_create", "kind": "status", "status": 502, "body": "<html>" + "x" * (3 * MIB)},
    "endless reply to the size": {"route": "file_info", "kind": "endless", "times": 0},
    "endless reply to the limit": {"route": "config", "kind": "endless", "times": 0},
    "limit of a million digits": {
        "route": "config", "kind": "status", "status": 200, "body": '{"MaxFileSize":"' + "9" * 1_000_000 + '"}',
    },
    "deep JSON": {"route": "file_info", "kind": "status", "status": 200, "body": "[" * 100_000, "times": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
async def test_endless_reply_does_no_harm(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, name: str
) -> None:
    """A reply is read up to a limit; what can be done without it is done."""
    standin.set_faults(REPLIES[name])
    leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED)
    async with restarted(row("hostile", name), standin, ids, data) as fault:
        await delivered(fault, small_clip)
        assert (fault.run.job_dir / "recorder.log").stat().st_size < LOG_LIMIT_BYTES
        fault.row.noticed = "cut"


@pytest.mark.parametrize("route", ["filename", "status", "upload_create", "upload_data", "save", "file_info", "config"])
async def test_redirect_does_not_get_the_token(
    standin: StandIn, foreign: StandIn, ids: CallIds, data: Path, row: MakeRow, small_clip: Clip, route: str
) -> None:
    """A redirect to another host is not followed: that host gets no request at all."""
    made = row("hostile", f"{route}: redirect to another host")
    standin.set_faults({"route": route, "kind": "redirect", "location": f"{foreign.url}/elsewhere", "times": 0})
    if route in ("filename", "status"):
        environment = job_environment(standin.url, ids, data) | ({"WIDTH": "wide"} if route == "status" else {})
        async with launched(environment, ids, data) as run:
            made.exit_code = await run.exit_code()
            assert made.exit_code == (1 if route == "status" else 0), run.text
    else:
        leave(data, ids, standin.url, {f"{NAME}.mp4": small_clip.bytes}, *FINISHED)
        async with restarted(made, standin, ids, data, STOP_GRACE_SECONDS="15") as fault:
            if route in ("file_info", "config"):
                await delivered(fault, small_clip)
            else:
                await fault.run.seen(lambda line: line["state"] == "uploading" and "next try in" in line["message"])
                fault.run.signal(signal.SIGTERM)
                assert "at another address" in await kept(fault)
    assert standin.requests(route)
    assert foreign.state.log == []
    made.noticed = made.noticed or "not followed"


async def test_redirect_of_the_page_is_not_followed(
    standin: StandIn, foreign: StandIn, data: Path, row: MakeRow
) -> None:
    """A browser takes the fragment, and with it the token, along to another site: that one is not even asked."""
    made = row("hostile", "page: redirect to another host")
    standin.set_faults({"route": "page", "kind": "redirect", "location": f"{foreign.url}/elsewhere", "times": 0})
    ids = standin.create_call()
    async with recorder(standin, ids, data) as run:
        fault = Fault(made, standin, run)
        await fault.ends(0)
        fault.nothing_published()
        assert fault.told().startswith("The address that the recorder has for Mattermost leads to another site")
        made.noticed = run.report["cause"]["code"]
        assert foreign.url in run.report["cause"]["detail"]
        assert "SITE_URL must be" in run.report["cause"]["detail"]
    assert standin.requests("page")
    assert foreign.state.log == []


# --- the page ---------------------------------------------------------------------------------------------------------

ANTICS: dict[str, tuple[str, dict[str, Any]]] = {
    "asks, alerts and prints": ("ask", {}),
    "opens windows": ("open_window", {}),
    "floods the console": ("flood_console", {}),
}


@pytest.mark.parametrize("name", ANTICS)
async def test_antics_of_the_page_do_no_harm(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """The recording goes on, the video is the call's, and the log stays small."""
    command, args = ANTICS[name]
    made = row("hostile", f"page {name}")
    async with recording(made, standin, data) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, command, **args))
        await fault.run.recorded(10)
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        path = published(standin, fault.run.ids)
        made.noticed, made.published = "recording goes on", f"{(await probe(path)).duration_s:.1f} s"
        assert fault.run.report["file"]["duration_s"] >= 9
        red, green, _ = (await video.corners(path, 8.5)).top_left
        assert (red > 200, green < 60) == (True, True)  # still the pattern page, and no box over it
        assert (fault.run.job_dir / "recorder.log").stat().st_size < LOG_LIMIT_BYTES


async def test_page_that_navigates_away_ends_the_capture(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A page that leaves is a call that ended: what was recorded is published."""
    async with recording(row("hostile", "page navigates away"), standin, data) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "navigate_away"))
        line = await fault.run.seen(lambda line: "recording -> stopping" in line["message"])
        await fault.noticed(line["message"].split(":")[0], 15.0)
        await fault.ends(0)
        await fault.published()


# --- secrets ----------------------------------------------------------------------------------------------------------


def assert_no_secret(run: RecorderProcess) -> None:
    """The token is in no line and no file of the job; its files are for its user alone."""
    written = {"the log on standard output": "\n".join(json.dumps(line) for line in run.lines)}
    for path in run.job_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            written[path.name] = path.read_bytes().decode("latin-1")
    for place, text in written.items():
        assert [form for form in forms(run.ids.token) if form in text] == [], place
        assert not re.search(r"ice-pwd:(?!\*\*\*)\S", text), place


def assert_no_secret_in_processes(run: RecorderProcess) -> None:
    """The token is in no command line and no environment of any process on the machine, the recorder's own included."""
    seen = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has ended, or of another user
            shown = b"".join((folder / name).read_bytes() for name in ("environ", "cmdline"))
            seen.add(int(folder.name))
            # As it is, and in UTF-16, as Chromium writes many of its words.
            assert [form for form in forms(run.ids.token) if form in shown.decode("latin-1")] == [], shown[-80:]
            assert [form for form in forms(run.ids.token) if form.encode("utf-16-le") in shown] == [], shown[-80:]
    assert len(seen & {process.pid for process in family(run)}) > MANY_PROGRAMS
    assert os.geteuid() != 0 or run.process.pid in seen  # it shows its environment to root alone


@pytest.mark.parametrize("debug", ["", "pw:api,pw:browser*,pw:protocol"], ids=["plain", "DEBUG"])
async def test_good_job_shows_no_secret(standin: StandIn, data: Path, row: MakeRow, debug: str) -> None:
    """Nowhere: log, journal, report, command lines, environments, file modes; also with debug settings of libraries."""
    made = row("secrets", f"a whole job{', DEBUG=' + debug if debug else ''}")
    more: dict[str, Any] = (
        {"DEBUG": debug, "PWDEBUG": "console", "LOG_LEVEL": "DEBUG"} if debug else {"LOG_LEVEL": "DEBUG"}
    )
    more |= {"HTTPS_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9", "https_proxy": f"http://me:{PASSWORD}@127.0.0.1:9"}
    async with recording(made, standin, data, seconds=3, **more) as fault:
        await asyncio.to_thread(assert_no_secret_in_processes, fault.run)
        for program in family(fault.run)[1:]:
            with contextlib.suppress(ProcessLookupError, psutil.Error):  # Chromium's spare ones come and go
                assert resource.prlimit(program.pid, resource.RLIMIT_CORE) == (0, 0), program
                assert PASSWORD not in " ".join((*program.environ().values(), *program.cmdline())), program
        assert Path(fault.run.runtime).stat().st_mode & 0o077 == 0
        assert holding(fault.run.runtime, fault.run.ids.token) == []
        assert written_elsewhere(fault.run) == []
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        assert_no_secret(fault.run)
        assert not (fault.run.job_dir / "last-screen.png").exists()
        made.noticed = "no secret"


FAILING: dict[str, list[dict[str, Any]]] = {
    "page reset for ever": [{"route": "page", "kind": "reset", "times": 0}],
    "page 404": [{"route": "page", "kind": "status", "status": 404, "times": 0}],
    "page: redirected in circles": [{"route": "page", "kind": "redirect", "location": "", "times": 0}],
    "page: body cut": [{"route": "page", "kind": "drop_reply", "times": 0}],
    "name: an echo of the request": [{"route": "filename", "kind": "status", "status": 400, "times": 0}],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
async def test_failing_job_shows_no_secret(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """Also where Playwright or the server repeat the address or the header in their errors."""
    made = row("secrets", name)
    ids = standin.create_call()
    faults = [dict(fault) for fault in FAILING[name]]
    for fault_of_server in faults:
        if fault_of_server["kind"] == "redirect":
            fault_of_server["location"] = f"{standin.url}/plugins/com.mattermost.calls/standalone/recording.html"
        if fault_of_server["route"] == "filename":
            fault_of_server.update(own(400, f"bad header Authorization: BEARER {ids.token}"))
    standin.set_faults(*faults)
    async with recorder(standin, ids, data, LOG_LEVEL="DEBUG") as run:
        fault = Fault(made, standin, run)
        await fault.ends(0)
        fault.nothing_published()
        assert_no_secret(run)
        told = fault.told()
        assert [form for form in forms(ids.token) if form in told] == []
        made.noticed = run.report["cause"]["code"]


async def test_fault_shows_no_secret(standin: StandIn, data: Path, row: MakeRow) -> None:
    """With a recording that is kept, a screenshot is, too, for its user alone; no address is in it: it is a kiosk."""
    async with recording(row("secrets", "page crashes: report and screenshot"), standin, data) as fault:
        standin.set_faults({"route": "upload_create", "kind": "status", **own(403, "no"), "times": 0})
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "crash"))
        await fault.noticed("browser_lost", 15.0)
        await fault.ends(1)
        assert_no_secret(fault.run)
        assert (fault.run.job_dir / fault.run.report["screenshot"]).stat().st_mode & 0o077 == 0


async def test_token_in_the_wrong_variable_is_masked(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A token that was pasted into another variable is not shown in the refusal."""
    made = row("secrets", "the token in SITE_URL and in WIDTH")
    ids = standin.create_call()
    for variable in ("SITE_URL", "WIDTH"):
        value = f"http://127.0.0.1/{ids.token}" if variable == "SITE_URL" else ids.token
        async with launched(job_environment(standin.url, ids, data) | {variable: value}, ids, data) as run:
            made.exit_code = await run.exit_code()
            assert made.exit_code == 1
            assert ids.token not in run.text
    assert ids.token not in " ".join(report.error for report in standin.state.statuses)
    made.noticed = "masked"
