"""Faults at the start: nothing to save yet, so each ends soon, says why, tells the call, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import html
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import RecorderProcess, launched, orphans, recorder
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.often import slow_but
from tests.faults.programs import path_with, path_without
from tests.faults.scene import Fault, Row, published
from tests.faults.traces import ODD, holding, written_elsewhere

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]

START_BUDGET_S = 50.0
PAGE_AGAIN_LIMIT_S = 4.0
"""From one request for the page to the next where its script failed: two seconds, and a busy machine's delay."""
REFUSAL_LIMIT_S = 10.0
"""Far more than a refused job needs; a job that waits for the server's own limits takes longer."""

PROFILE_LIMIT_BYTES = 16 * 2**20
"""Of 64 MB of memory for files. It was 2 MB."""


@pytest.fixture
def start(standin: StandIn, data: Path) -> Callable[..., Any]:
    """Starts a recorder in a new call and yields it as the fault of a row."""

    @asynccontextmanager
    async def begin(row: Row, *, scene: dict[str, Any] | None = None, **more: str) -> AsyncIterator[Fault]:
        ids = standin.create_call(scene={"mode": "pattern", **(scene or {})})
        async with launched(job_environment(standin.url, ids, data, **more), ids, data) as run:
            yield Fault(row, standin, run)

    return begin


def in_report(fault: Fault) -> str:
    """Return the cause in the job's report; the failure must be in time for the plugin."""
    report = fault.run.report
    assert report["transitions"][-1]["after_s"] <= START_BUDGET_S
    fault.row.noticed = report["cause"]["code"]
    fault.row.notice_s = round(report["transitions"][-1]["after_s"], 1)
    return str(report["cause"]["detail"])


async def failed(fault: Fault, *, told: str) -> str:
    """The job must fail in order: told once, code 0, nothing published, nothing left; returns the cause."""
    await fault.ends(0)
    fault.nothing_published()
    assert told in fault.told(), fault.run.text
    assert [report.status for report in fault.standin.state.statuses if report.reply == 200] == ["failed"]
    assert {file.name for file in fault.run.job_dir.iterdir()} == {"recorder.log", "report.json", "report.html"}
    cause = in_report(fault)
    page = (fault.run.job_dir / "report.html").read_text(encoding="utf-8")
    assert "<h1>Nothing was " in page
    assert fault.row.noticed in page  # the error code, and below it what the program said
    assert html.escape(cause) in page
    return cause


# --- S1: bad values ---------------------------------------------------------------------------------------------------

BAD_VALUES = {
    "no number": ("WIDTH", "wide", "1280 to 3840", True),
    "number with a blank": ("FRAME_RATE", " 30", "10 to 60", True),
    "out of range": ("HEIGHT", "719", "720 to 2160", True),
    "beyond 32 bits": ("VIDEO_RATE", "99999999999", "500 to 10000", True),
    "negative": ("AUDIO_RATE", "-1", "32 to 320", True),
    "preset": ("VIDEO_PRESET", "slow", "medium fast faster", True),
    "format": ("OUTPUT_FORMAT", "webm", "mp4", True),
    "own limit": ("MAX_DURATION_SECONDS", "5", "10 to 86400", True),
    "certificate": ("TLS_CA_CERT_FILE", "/nowhere/ca.pem", "an existing file", True),
    "scheme": ("SITE_URL", "ftp://127.0.0.1", "http or https", False),
    "path in the address": ("SITE_URL", "http://127.0.0.1/chat", "http or https", False),
    "no address": ("SITE_URL", "", "http or https", False),
    "id": ("CALL_ID", "../../etc", "exactly 26", False),
    "id in capitals": ("POST_ID", "A" * 26, "exactly 26", False),
    "id with a newline": ("RECORDING_ID", "a" * 26 + "\n", "exactly 26", False),
    "token": ("AUTH_TOKEN", "x" * 25, "exactly 26", False),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
async def test_bad_value_is_one_clear_line(standin: StandIn, data: Path, row: MakeRow, kind: str) -> None:
    """A wrong setting ends the job with one line that names variable, problem and range; told where that can be."""
    variable, value, allowed, told = BAD_VALUES[kind]
    made = row("S1", f"{variable}: {kind}")
    ids = standin.create_call()
    environment = job_environment(standin.url, ids, data) | {variable: value}
    async with launched(environment, ids, data) as run:
        made.exit_code = await run.exit_code(REFUSAL_LIMIT_S)
    assert made.exit_code == 1, run.text
    errors = [line["message"] for line in run.lines if " ERROR " in line["message"]]
    assert len(errors) == 1, run.text
    assert variable in errors[0]
    assert allowed in errors[0]
    assert "Traceback" not in run.text
    if variable == "AUTH_TOKEN":
        assert value not in run.text
    reports = [(report.status, variable in report.error) for report in standin.state.statuses]
    assert reports == ([("failed", True)] if told else [])
    made.noticed, made.published, made.left = "settings", "nothing", len(orphans(str(data)))
    assert made.left == 0
    assert list(data.iterdir()) == []


async def test_bad_value_with_a_hanging_server_ends_all_the_same(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A refused job does not wait for a server that does not answer."""
    made = row("S1", "WIDTH: no number, and the server hangs")
    standin.set_faults({"route": "status", "kind": "hang", "times": 0})
    ids = standin.create_call()
    environment = job_environment(standin.url, ids, data) | {"WIDTH": "wide"}
    async with launched(environment, ids, data) as run:
        made.exit_code = await run.exit_code(REFUSAL_LIMIT_S)
    assert made.exit_code == 1, run.text
    assert "could not be reported" in run.text
    made.noticed, made.published, made.left = "settings", "nothing", 0


# --- S2: what the machine lacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["Xvfb", "pulseaudio", "chromium", "ffmpeg"])
async def test_missing_program_is_named(start: Any, row: MakeRow, tmp_path: Path, program: str) -> None:
    """A program that is not installed is named, with the package to install."""
    async with start(row("S2", f"{program} missing"), PATH=path_without(tmp_path / "bin", program)) as fault:
        told = "chromium is missing" if program == "chromium" else TOLD_OF[program]
        assert f"{program} is not found on PATH; on Debian: apt-get install" in await failed(fault, told=told)
        assert fault.run.report["cause"]["code"] == "program_missing"


async def test_data_directory_that_is_a_file_is_named(standin: StandIn, tmp_path: Path, row: MakeRow) -> None:
    """A data directory that cannot be made is named; the call is told."""
    made = row("S2", "a file in the place of the data directory")
    place = tmp_path / "place"
    place.write_text("")
    ids = standin.create_call()
    async with recorder(standin, ids, place) as run:
        made.exit_code = await run.exit_code()
    await unwritable(made, standin, run, str(place))


@pytest.fixture
def read_only_volume(tmp_path: Path) -> Iterator[Path]:
    """A real file system that cannot be written."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path = tmp_path / "read-only"
    path.mkdir()
    assert psutil.Popen(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(path)]).wait() == 0
    yield path
    assert psutil.Popen(["umount", str(path)]).wait() == 0


async def test_read_only_volume_is_named(standin: StandIn, read_only_volume: Path, row: MakeRow) -> None:
    """A volume that is mounted read-only is named; the call is told."""
    made = row("S2", "volume mounted read-only")
    ids = standin.create_call()
    async with recorder(standin, ids, read_only_volume) as run:
        made.exit_code = await run.exit_code()
    await unwritable(made, standin, run, str(read_only_volume))


async def unwritable(made: Row, standin: StandIn, run: RecorderProcess, place: str) -> None:
    assert made.exit_code == 1, run.text
    errors = [line["message"] for line in run.lines if line["level"] == "ERROR"]
    assert len(errors) == 1, run.text
    assert place in errors[0]
    fault = Fault(made, standin, run)
    assert "data directory" in fault.told()
    fault.nothing_published()
    made.noticed, made.left = "directory", len(orphans(place))
    assert made.left == 0


# --- who was told -----------------------------------------------------------------------------------------------------

UNHEARD: dict[str, dict[str, Any]] = {
    "is not answered": {"kind": "hang", "times": 0},
    "gets a 502": {"kind": "status", "status": 502, "times": 0},
    "gets a 401": {"kind": "status", "status": 401, "body": "Unauthorized", "times": 0},
    "is reset": {"kind": "reset", "times": 0},
}


@pytest.mark.parametrize("answer", UNHEARD)
async def test_failure_that_nobody_hears_keeps_its_log(start: Any, row: MakeRow, tmp_path: Path, answer: str) -> None:
    """With 0 the launcher would remove the log, which is all that tells why there is no recording."""
    made = row("S2", f"chromium missing, and `failed` {answer}")
    async with start(made, PATH=path_without(tmp_path / "bin", "chromium")) as fault:
        fault.standin.set_faults({"route": "status", **UNHEARD[answer]})
        await fault.ends(1)
        fault.nothing_published()
        assert fault.run.report["exit_code"] == 1
        in_report(fault)


@pytest.mark.parametrize("answer", ["is heard, its reply lost", "is for a job that is over"])
async def test_failure_that_is_known_to_the_plugin_needs_no_log(
    start: Any, row: MakeRow, tmp_path: Path, answer: str
) -> None:
    """Whoever asks the plugin learns that the job has ended: nothing is left to keep."""
    made = row("S2", f"chromium missing, and `failed` {answer}")
    async with start(made, PATH=path_without(tmp_path / "bin", "chromium")) as fault:
        if "over" in answer:
            fault.standin.stop_recording(fault.run.ids.recording_id)
        else:
            fault.standin.set_faults({"route": "status", "kind": "drop_reply"})
        await fault.ends(0)
        fault.nothing_published()
        in_report(fault)


async def test_start_without_a_server_keeps_its_log(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Nobody listens at SITE_URL: the job fails in time, and nobody can be told."""
    made = row("S4", "nobody listens at SITE_URL")
    ids = standin.create_call()
    async with launched(job_environment("http://127.0.0.1:9", ids, data), ids, data) as run:
        fault = Fault(made, standin, run)
        await fault.ends(1)
        in_report(fault)
    made.published = "nothing"
    assert standin.state.log == []


async def test_signal_without_a_server_keeps_its_log(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """SIGTERM at the start, while the server answers nothing: nobody knows why there is no recording."""
    made = row("S8", "SIGTERM: the server answers nothing")
    standin.set_faults({"route": "any", "kind": "hang", "times": 0})
    async with recorder(standin, ids, data) as run:
        await standin.wait_for(lambda: standin.requests("filename"), START_BUDGET_S)
        run.signal(signal.SIGTERM)
        fault = Fault(made, standin, run)
        await fault.ends(1)
        fault.nothing_published()
    made.noticed = "stop_requested"


# Chromium 140 on a host that forbids user namespaces.
NO_SANDBOX = (
    "[1:1:1122/101500.000000:FATAL:zygote_host_impl_linux.cc(128)] No usable sandbox! If you are running on Ubuntu "
    "23.10+ or another Linux distro that has disabled unprivileged user namespaces with AppArmor, see "
    "https://chromium.googlesource.com/chromium/src/+/main/docs/security/apparmor-userns-restrictions.md."
)


async def test_refused_user_namespaces_are_explained(start: Any, row: MakeRow, tmp_path: Path) -> None:
    """A Chromium without its sandbox names the knobs to turn."""
    path = path_with(tmp_path / "bin", chromium=f"echo '{NO_SANDBOX}' >&2\nkill -TRAP $$")
    async with start(row("S2", "user namespaces refused"), PATH=path) as fault:
        detail = await failed(fault, told="could not set up its sandbox")
        assert "seccomp" in detail
        assert "kernel.unprivileged_userns_clone" in detail
        assert "kernel.apparmor_restrict_unprivileged_userns" in detail
        assert fault.run.report["cause"]["code"] == "sandbox_refused"


async def test_root_without_dev_mode_is_refused(start: Any, row: MakeRow) -> None:
    """Chromium as root has no sandbox; that takes a word from the operator."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    async with start(row("S2", "run as root without DEV_MODE"), DEV_MODE="false") as fault:
        assert "DEV_MODE=true" in await failed(fault, told="refuses to run as root")


async def test_small_shared_memory_is_enough(standin: StandIn, data: Path, row: MakeRow) -> None:
    """64 KiB of /dev/shm, where Docker gives 64 MiB, change nothing: no program of the job needs it."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = row("S2", "64 KiB of /dev/shm")
    ids = standin.create_call(scene={"mode": "pattern"})
    small = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    prefix = ("unshare", "--mount", "--", "sh", "-c", small, "sh")
    async with launched(job_environment(standin.url, ids, data), ids, data, prefix=prefix) as run:
        await run.recorded(4)
        standin.stop_recording(ids.recording_id)
        fault = Fault(made, standin, run)
        await fault.ends(0)
        published(standin, ids)
        made.noticed, made.published = "no fault", f"{run.report['file']['duration_s']:.1f} s"


LITTLE = """
mount -t tmpfs -o size=64m,noexec,nosuid,nodev shm /dev/shm || exit 1
exec setpriv --reuid 12345 --regid 12345 --clear-groups -- "$@"
"""


async def test_unknown_user_without_a_home_records(standin: StandIn, world: Path, row: MakeRow) -> None:
    """As `docker run --user 12345`: no entry in passwd, no HOME, 64 MB of /dev/shm, a TMPDIR of an impossible form.

    The profile lies in that memory, what is large in TMPDIR, and nothing anywhere else.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    made = row("S2", "user without a name and a home, 64 MB of /dev/shm, a TMPDIR that no socket can lie in")
    temporary, data = world / ODD, world / "data"
    for folder in (temporary, data):
        folder.mkdir()
        os.chown(folder, 12345, 12345)
    ids = standin.create_call(scene={"mode": "pattern"})
    environment = job_environment(standin.url, ids, data, DEV_MODE="false", TMPDIR=str(temporary))
    environment |= dict.fromkeys(("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), "/nowhere")
    del environment["HOME"]
    prefix = ("unshare", "--mount", "--", "sh", "-c", LITTLE, "sh")
    async with launched(environment, ids, data, prefix=prefix) as run:
        await run.recorded(4)
        assert run.runtime.startswith("/dev/shm/")  # noqa: S108
        (large,) = temporary.iterdir()
        assert any(path.name.startswith("org.chromium.Chromium.") for path in large.iterdir())
        inside = Path("/proc", str(run.process.pid), "root", run.runtime[1:])
        assert sum(path.lstat().st_blocks * 512 for path in inside.rglob("*")) < PROFILE_LIMIT_BYTES
        assert holding(str(inside), ids.token) == []
        assert written_elsewhere(run) == []
        standin.stop_recording(ids.recording_id)
        fault = Fault(made, standin, run)
        await fault.ends(0)
        published(standin, ids)
        assert list(temporary.iterdir()) == []
        made.noticed, made.published = "no fault", f"{run.report['file']['duration_s']:.1f} s"


# --- S3: programs that do not start -----------------------------------------------------------------------------------

TOLD_OF = {
    "Xvfb": "virtual display failed",
    "pulseaudio": "sound server failed",
    "chromium": "browser failed",
    "ffmpeg": "screen capture failed",
}
WAYS = {
    "exits at once": "echo 'made to fail' >&2; exit 3",
    "exits after a second": "echo 'made to fail' >&2; sleep 1; exit 3",
    "hangs": "echo 'made to fail' >&2; exec sleep 1000",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("program", TOLD_OF)
async def test_program_that_does_not_start_is_quoted(
    start: Any, row: MakeRow, tmp_path: Path, program: str, way: str
) -> None:
    """A program that ends or hangs while it starts is noticed in time, and its last words are in the cause."""
    path = path_with(tmp_path / "bin", **{program: WAYS[way]})
    async with start(row("S3", f"{program} {way}"), PATH=path) as fault:
        assert "made to fail" in await failed(fault, told=TOLD_OF[program])


# --- S4: the file's name ----------------------------------------------------------------------------------------------

OFF = {"kind": "status", "status": 404, "body": "404 page not found\n", "content_type": "text/plain"}
HEALING_NAMES: dict[str, dict[str, Any]] = {
    "one 502": {"kind": "status", "status": 502},
    "a reset": {"kind": "reset"},
    "a lost reply": {"kind": "drop_reply"},
    "500, no JSON": {"kind": "status", "status": 500, "body": "<html>no", "times": 2},
    "404 of a plugin that is off": {**OFF, "times": 2},
    "403 of a proxy": {"kind": "status", "status": 403, "body": "<html>Forbidden"},
    "200, no JSON": {"kind": "status", "status": 200, "body": "<html>login"},
}


@pytest.mark.parametrize("name", HEALING_NAMES)
async def test_short_trouble_with_the_name_is_survived(start: Any, row: MakeRow, name: str) -> None:
    """A request for the name that fails once is repeated, and the call is recorded."""
    made = row("S4", f"file name: {name}")
    async with start(made) as fault:
        fault.standin.set_faults({"route": "filename", **HEALING_NAMES[name]})
        await recorded_and_stopped(fault)
        assert len(fault.standin.requests("filename")) >= 2
        made.noticed = "retried"


async def recorded_and_stopped(fault: Fault) -> None:
    """The recording must come about in spite of the fault, and be published."""
    await fault.run.recorded(3)
    fault.standin.stop_recording(fault.run.ids.recording_id)
    await fault.ends(0)
    published(fault.standin, fault.run.ids)
    fault.row.published = f"{fault.run.report['file']['duration_s']:.1f} s"
    assert "failed" not in [report.status for report in fault.standin.state.statuses]


HOPELESS_NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"kind": "status", "status": 401, "body": "Unauthorized"}, "access to Mattermost has ended"),
    "403": ({"kind": "status", "status": 403, "body": "Forbidden"}, "does not let the recorder"),
    "an empty name": ({"kind": "status", "status": 200, "body": '{"filename":""}'}, "no name"),
    "200, no JSON": ({"kind": "status", "status": 200, "body": "<html>login"}, "not understood"),
    "502 for ever": ({"kind": "status", "status": 502}, "could not answer (error 502)"),
    "the plugin is off": (OFF, "Calls plugin is off"),
}


@pytest.mark.parametrize("name", HOPELESS_NAMES)
async def test_lasting_trouble_with_the_name_is_said(start: Any, row: MakeRow, name: str) -> None:
    """The plugin's own refusal fails at once, anything else after seconds; both with a cause in plain words."""
    fault_of_server, told = HOPELESS_NAMES[name]
    async with start(row("S4", f"file name: {name}")) as fault:
        fault.standin.set_faults({"route": "filename", "times": 0, **fault_of_server})
        cause = await failed(fault, told=told)
        if name in ("401", "403", "an empty name"):
            assert len(fault.standin.requests("filename")) == 1
        else:
            assert len(fault.standin.requests("filename")) > 2
            assert fault_of_server.get("body", str(fault_of_server["status"])).strip() in cause


# --- S5: the call page ------------------------------------------------------------------------------------------------


HEALING_PAGES: dict[str, dict[str, Any]] = {
    "one 502": {"kind": "status", "status": 502},
    "one 502 with a body": {"kind": "status", "status": 502, "body": "<h1>Bad gateway"},
    "two resets": {"kind": "reset", "times": 2},
    "no reply, once": {"kind": "hang"},
    "one 403 without words": {"kind": "status", "status": 403},
    "one 404 of a proxy": {"kind": "status", "status": 404, "body": "<h1>Not found"},
    "the plugin is off, twice": {**OFF, "times": 2},
    "one redirect": {"kind": "redirect", "location": "/elsewhere"},
}


@pytest.mark.parametrize("name", HEALING_PAGES)
async def test_page_that_fails_for_a_moment_is_loaded_again(start: Any, row: MakeRow, name: str) -> None:
    """What may heal costs a second and not the recording: each try asks the server anew."""
    made = row("S5", f"page: {name}")
    trouble = HEALING_PAGES[name]
    async with start(made) as fault:
        fault.standin.set_faults({"route": "page", **trouble})
        await recorded_and_stopped(fault)
        assert len(fault.standin.requests("page")) == 1 + trouble.get("times", 1)
        made.noticed = "loaded again"


BAD_SCRIPTS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "502 with a body": ({"kind": "status", "status": 502, "body": "<h1>Bad gateway", "times": 2}, {}),
    "throws before there is a client": (None, {"script_error": "once"}),
}


@pytest.mark.parametrize("name", BAD_SCRIPTS)
async def test_page_whose_script_fails_once_is_loaded_again_at_once(start: Any, row: MakeRow, name: str) -> None:
    """A page that can make no client any more is not waited for as a slow one is."""
    made = row("S5", f"script of the page: {name}")
    asset, faults = BAD_SCRIPTS[name]
    async with start(made, scene={"page_faults": faults}) as fault:
        if asset is not None:
            fault.standin.set_faults({"route": "asset", **asset})
        await recorded_and_stopped(fault)
        first, second = fault.standin.requests("page")
        made.noticed, made.notice_s = "loaded again", round(second.time - first.time, 1)
        assert made.notice_s <= PAGE_AGAIN_LIMIT_S, fault.run.text


@pytest.mark.parametrize("seconds", slow_but([5], [5, 9, 14]))
async def test_page_with_a_slow_script_is_awaited(start: Any, row: MakeRow, seconds: int) -> None:
    """A script that comes late is slow, not failed: the page is loaded once."""
    made = row("S5", f"script of the page: comes after {seconds} s")
    async with start(made) as fault:
        fault.standin.set_faults({"route": "asset", "kind": "slow", "delay_s": seconds, "skip": 1})
        await recorded_and_stopped(fault)
        assert len(fault.standin.requests("page")) == 1
        made.noticed = "no fault"


def own_words(status: int) -> dict[str, Any]:
    """The server's own form of an error."""
    words = f'{{"id":"api.context.app_error","message":"no","status_code":{status}}}'
    return {"kind": "status", "status": status, "body": words, "content_type": "application/json"}


REFUSED_PAGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "401 of the server": (own_words(401), "does not accept the recorder's token", "HTTP 401"),
    "403 of the plugin": (
        {"kind": "status", "status": 403, "body": "Forbidden\n", "content_type": "text/plain"},
        "refused the recorder the call page",
        "HTTP 403",
    ),
    "404 of the server": (own_words(404), "Calls plugin", "HTTP 404"),
    "501, plugins disabled": (own_words(501), "plugins are disabled", "HTTP 501"),
}


@pytest.mark.parametrize("name", REFUSED_PAGES)
async def test_refused_page_is_said_at_once(start: Any, row: MakeRow, name: str) -> None:
    """A page that Mattermost itself refuses is not asked for again and again."""
    fault_of_server, told, cause = REFUSED_PAGES[name]
    async with start(row("S5", f"page: {name}")) as fault:
        fault.standin.set_faults({"route": "page", "times": 0, **fault_of_server})
        assert cause in await failed(fault, told=told)
        assert len(fault.standin.requests("page")) == 1


@pytest.mark.slow
async def test_plugin_that_stays_off_is_said_in_the_end(start: Any, row: MakeRow) -> None:
    """A plugin that is not back within the budget of a start: asked for often, then said in plain words."""
    async with start(row("S5", "page: the plugin stays off")) as fault:
        fault.standin.set_faults({"route": "page", **OFF, "times": 0})
        assert "the Calls plugin is off" in await failed(fault, told="missing, disabled or too old")
        assert len(fault.standin.requests("page")) > 5


BROKEN_PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "join refused": ({"join_refused": "the call is full"}, "the call is full"),
    "init rejected": ({"reject_init": True}, "gave up"),
    "v2, join refused": ({"v2": True, "join_refused": "not in this call"}, "not in this call"),
}


@pytest.mark.parametrize("name", BROKEN_PAGES)
async def test_page_that_gives_up_is_quoted(start: Any, row: MakeRow, name: str) -> None:
    """A page that says why it does not join is quoted in the cause."""
    faults, words = BROKEN_PAGES[name]
    scene = {"page_faults": {key: value for key, value in faults.items() if key != "v2"}, "v2": "v2" in faults}
    async with start(row("S5", f"page: {name}"), scene=scene) as fault:
        assert words in await failed(fault, told="could not join the call")


SILENT_PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "script error": ({"script_error": True}, "last console errors"),
    "no client object": ({"no_client": True}, "no client object"),
    "never connects": ({"never_connect": True}, "did not get into the call"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SILENT_PAGES)
async def test_page_that_does_nothing_ends_in_time(start: Any, row: MakeRow, name: str) -> None:
    """A page that never joins fails inside the budget, with what its console said."""
    faults, words = SILENT_PAGES[name]
    async with start(row("S5", f"page: {name}"), scene={"page_faults": faults}) as fault:
        assert words in await failed(fault, told="could not join the call in time")


async def test_page_that_makes_its_client_late_is_awaited(start: Any, row: MakeRow) -> None:
    """A page that needs seconds for its client is slow, not gone."""
    made = row("S5", "page: client after 5 s")
    async with start(made, scene={"page_faults": {"slow_ms": 5000}}) as fault:
        await recorded_and_stopped(fault)
        made.noticed = "no fault"


@pytest.mark.slow
async def test_page_that_hangs_ends_in_time(start: Any, row: MakeRow) -> None:
    """A page that the server never delivers fails inside the budget."""
    async with start(row("S5", "page: no reply")) as fault:
        fault.standin.set_faults({"route": "page", "kind": "hang", "times": 0})
        await failed(fault, told="could not join the call in time")


# --- S6, S7: `started` ------------------------------------------------------------------------------------------------


async def test_refused_start_is_discarded_quietly(start: Any, row: MakeRow) -> None:
    """A job that its host ended meanwhile leaves nothing: no post, no `failed`, no file."""
    made = row("S6", "`started`: no job ongoing")
    async with start(made) as fault:
        fault.standin.set_faults(
            {"route": "status", "kind": "status", "status": 400, "times": 0,
             "body": '{"message":"no job ongoing","status_code":400}'}
        )  # fmt: skip
        await fault.ends(0)
        fault.nothing_published()
        assert len(fault.standin.requests("status")) == 1
        assert [line for line in fault.run.lines if line["level"] == "ERROR"] == []
        assert {file.name for file in fault.run.job_dir.iterdir()} == {"recorder.log", "report.json", "report.html"}
        made.noticed = "job_refused"


STARTED: dict[str, dict[str, Any]] = {
    "reply lost": {"kind": "drop_reply"},
    "500 twice": {"kind": "status", "status": 500, "times": 2},
    "reset": {"kind": "reset"},
    "slower than 10 s": {"kind": "slow", "delay_s": 13},
    "the cluster's lock": {
        "kind": "status", "status": 500, "body": '{"message":"failed to lock call: timeout","status_code":500}',
    },
}  # fmt: skip


@pytest.mark.parametrize("name", slow_but([name for name in STARTED if "slower" not in name], STARTED))
async def test_started_is_reported_until_it_is_known(start: Any, row: MakeRow, name: str) -> None:
    """A healthy capture is never thrown away because `started` took more than one try."""
    made = row("S7", f"`started`: {name}")
    async with start(made) as fault:
        fault.standin.set_faults({"route": "status", **STARTED[name]})
        await fault.standin.wait_for(
            lambda: [one for one in fault.standin.state.statuses if one.status == "started" and one.reply == 200], 60
        )
        await recorded_and_stopped(fault)
        made.noticed = "retried"
        assert fault.run.report["outcome"] == "done"


# --- S8, S9: an end while starting ------------------------------------------------------------------------------------

MOMENTS = {
    "first line": r"recorder-fsm .* records",
    "display starting": r"Xvfb started",
    "audio starting": r"pulseaudio started",
    "audio up": r"Daemon startup complete",
    "display_up": r"display_ready:",
    "page loading": r"opening the call",
    "page loaded": r"console debug: config",
    "client made": r"page: client",
    "browser_joined": r"call_joined:",
    "encoder starting": r"encoder started",
    "grabber starting": r"grabber started",
    "grabbing": r"audio relay started",
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_signal_while_starting_ends_in_order(
    start: Any, row: MakeRow, moment: str, number: signal.Signals
) -> None:
    """A signal at any moment: told once, nothing left, code 0."""
    async with start(row("S8", f"{number.name}: {moment}")) as fault:
        await fault.run.seen(lambda line: re.search(MOMENTS[moment], line["message"]))
        fault.inject(lambda: fault.run.signal(number))
        await failed_by_stop(fault)


async def failed_by_stop(fault: Fault) -> None:
    await fault.ends(0)
    fault.nothing_published()
    assert fault.run.report["transitions"][-1]["event"] == "stop_requested", fault.run.text
    assert "was stopped" in fault.told()
    assert [report.status for report in fault.standin.state.statuses] == ["failed"]
    assert list(fault.run.job_dir.glob("*.mp4*")) == []
    fault.row.noticed = "stop_requested"


async def test_signal_at_the_first_moment_ends_in_order(start: Any, row: MakeRow) -> None:
    """From the moment in which the recorder can take a signal at all, none ends it without its cleanup."""
    async with start(row("S8", "SIGTERM: handler installed")) as fault:
        await takes_signals(fault.run.process.pid)
        fault.inject(lambda: fault.run.signal(signal.SIGTERM))
        await failed_by_stop(fault)


async def takes_signals(pid: int) -> None:
    """Wait until the process has a handler for SIGTERM (proc(5), SigCgt)."""
    bit = 1 << (signal.SIGTERM - 1)
    async with asyncio.timeout(10):
        while True:
            caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
            if caught is not None and int(caught[1], 16) & bit:
                return
            await asyncio.sleep(0)


async def test_signal_before_python_runs_leaves_nothing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A signal in the interpreter's own first milliseconds ends it as the kernel does: nothing had begun."""
    made = row("S8", "SIGTERM: right after the start of the process")
    ids = standin.create_call()
    async with recorder(standin, ids, data) as run:
        run.signal(signal.SIGTERM)
        made.exit_code = await run.exit_code()
    assert made.exit_code in (0, -signal.SIGTERM)
    made.noticed, made.published, made.left = "by the kernel", "nothing", len(orphans(str(data)))
    assert made.left == 0
    assert [post for post in standin.state.posts if post.recording_id == ids.recording_id] == []


ENDS: dict[str, Callable[[StandIn, CallIds], None]] = {
    "call ended": lambda standin, ids: standin.end_call(ids.call_id),
    "recording stopped": lambda standin, ids: standin.stop_recording(ids.recording_id),
    "everyone left": lambda standin, ids: standin.everyone_leaves(ids.call_id),
}


@pytest.mark.parametrize("name", ENDS)
async def test_call_that_ends_before_the_capture_is_discarded(start: Any, row: MakeRow, name: str) -> None:
    """An end between joining and capturing publishes nothing and is no error."""
    made = row("S9", f"{name} between join and capture")
    async with start(made) as fault:
        await fault.run.seen(lambda line: line["message"].startswith("call_joined:"))
        ENDS[name](fault.standin, fault.run.ids)
        await fault.ends(0)
        fault.nothing_published()
        assert list(fault.run.job_dir.glob("*.mp4*")) == []
        assert "started" not in [report.status for report in fault.standin.state.statuses if report.reply == 200]
        made.noticed = fault.run.report["transitions"][-1]["event"]
