"""The doctor: each check in a world in which it must speak up, and the whole of it against the stand-in."""

from __future__ import annotations

import asyncio
import base64
import errno
import html
import json
import os
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from recorder_fsm.doctor import capture, fonts, host, programs, sandbox, server, stage
from recorder_fsm.doctor.examination import all_checks
from recorder_fsm.doctor.findings import DEFECT, Check, Finding, Findings, Machine, run_checks
from recorder_fsm.doctor.system_calls import CALLS, NAMESPACES
from recorder_fsm.doctor.verdict import EXIT_FIT, EXIT_UNFIT, show
from recorder_fsm.doctor.wishes import Wishes
from recorder_fsm.errors import DisplayError, ProgramError
from recorder_fsm.resources.display import Display
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.system.process import run
from recorder_fsm.terminal.screen import Mark, Screen
from tests import tls
from tests.programs import until

PROGRAM = Path(sys.executable).with_name("recorder-fsm")
PAGE = Path(__file__).parent.parent / "docs/doctor.md"
GROUP = "0::/\n"
MOUNTS = "30 24 0:26 / {} rw - cgroup2 cgroup2 rw\n"


def machine(tmp_path: Path, environment: Mapping[str, str] | None = None, **more: Any) -> Machine:
    """A machine like this one, with these settings."""
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **(environment or {})}
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return Machine(env, Wishes.of(env), tmp_path, **more)


def named(findings: Findings, name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def volume(free_bytes: int) -> Callable[[Path], os.statvfs_result]:
    """A file system with so much room."""
    return lambda _: os.statvfs_result((4096, 4096, 10**9, free_bytes // 4096, free_bytes // 4096, 1, 1, 1, 0, 255))


def kernel(tmp_path: Path, knobs: Mapping[str, str] | None = None, *, group: Mapping[str, str] | None = None) -> Path:
    """A /proc with a control group of these files, and with these knobs (`kernel__name`)."""
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    folder = tmp_path / "cgroup"
    folder.mkdir()
    for name, text in (group or {}).items():
        (folder / name).write_text(text)
    (proc / "self/cgroup").write_text(GROUP)
    (proc / "self/mountinfo").write_text(MOUNTS.format(folder))
    (proc / "self/status").write_text("NoNewPrivs:\t1\nSeccomp:\t2\nCapEff:\t0000\n")
    (proc / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n")
    for name, value in (knobs or {}).items():
        path = proc / "sys" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return proc


# The machine


async def test_wrong_setting_is_a_line_of_its_own(tmp_path: Path) -> None:
    """What no job would start with is said with its limits, and the value is not a secret's."""
    token = "Z" * 30
    found = await host.settings(machine(tmp_path, {"WIDTH": "7", "FRAME_RATE": "x", "AUTH_TOKEN": token}))
    assert {finding.name for finding in found if finding.mark is Mark.BAD} == {"WIDTH", "FRAME_RATE", "AUTH_TOKEN"}
    assert "1280 to 3840" in named(found, "WIDTH").value
    assert token not in str(found)


async def test_page_that_the_plugin_would_have_to_post_is_bad(tmp_path: Path) -> None:
    """No job starts with a setting that needs another one."""
    found = await host.settings(machine(tmp_path, {"RECORD_URL": "https://example.com/"}))
    assert "PUBLISH=post" in named(found, "RECORD_URL").value


async def test_job_that_posts_needs_no_thread(tmp_path: Path) -> None:
    """Without POST_ID the recording stands in the channel."""
    ids = dict.fromkeys(("CALL_ID", "RECORDING_ID", "AUTH_TOKEN"), "a" * 26)
    (found,) = await host.settings(machine(tmp_path, {"SITE_URL": "http://h", "PUBLISH": "post", **ids}))
    assert found.mark is Mark.OK


@pytest.mark.parametrize(
    ("environment", "mark"),
    [
        ({}, Mark.SKIPPED),
        ({"SITE_URL": "http://h"}, Mark.WARNING),
        ({"CALL_ID": "a" * 26}, Mark.WARNING),
    ],
)
async def test_missing_settings_are_no_fault_of_the_host(
    tmp_path: Path, environment: dict[str, str], mark: Mark
) -> None:
    """A launcher sets them later; one that sets half of them is told which."""
    assert named(await host.settings(machine(tmp_path, environment)), "settings").mark is mark


@pytest.mark.parametrize(
    ("files", "check", "mark"),
    [
        ({"cpu.max": "20000 100000"}, host.cpu, Mark.BAD),
        ({"cpu.max": "70000 100000"}, host.cpu, Mark.WARNING),
        ({"cpu.max": "max 100000"}, host.cpu, Mark.OK),
        ({"memory.max": str(300 * 2**20)}, host.memory, Mark.BAD),
        ({"memory.max": str(700 * 2**20)}, host.memory, Mark.WARNING),
        ({"memory.max": "max"}, host.memory, Mark.OK),
        ({"pids.max": "64"}, host.processes, Mark.BAD),
        ({"pids.max": "4096"}, host.processes, Mark.OK),
    ],
)
async def test_limit_of_the_container_is_told(
    tmp_path: Path, files: dict[str, str], check: Callable[[Machine], Awaitable[Findings]], mark: Mark
) -> None:
    """A control group that is too small for a job, and one that is not."""
    (found,) = await check(machine(tmp_path, proc=kernel(tmp_path, group=files)))
    assert found.mark is mark
    assert bool(found.cure) is (mark is not Mark.OK)


async def test_small_shared_memory_is_told(tmp_path: Path) -> None:
    """The profile lies on a disk then."""
    (small,) = await host.shared_memory(machine(tmp_path, statvfs=volume(2**20)))
    (gone,) = await host.shared_memory(machine(tmp_path, shared_memory=tmp_path / "none"))
    assert (small.mark, gone.mark) == (Mark.WARNING, Mark.WARNING)
    assert "--shm-size" in small.cure


@pytest.mark.parametrize(("free_bytes", "mark"), [(10**8, Mark.BAD), (10**9, Mark.WARNING), (10**10, Mark.OK)])
async def test_room_for_an_hour_is_compared(tmp_path: Path, free_bytes: int, mark: Mark) -> None:
    """Twice an hour at the rates that were asked for: the segment, and the file that is made of it."""
    (found,) = await host.disk(machine(tmp_path, {"VIDEO_RATE": "2000"}, statvfs=volume(free_bytes)))
    assert found.mark is mark
    assert found.data["hour_needs_bytes"] == 2 * (2000 + 64) * 1000 // 8 * 3600 + 16 * 2**20


async def test_data_directory_that_nobody_may_write_is_bad(tmp_path: Path) -> None:
    """/proc may be written by nobody, root included."""
    (found,) = await host.disk(machine(tmp_path, {"DATA_DIR": "/proc/recordings"}))
    assert found.mark is Mark.BAD


async def test_volume_that_hangs_is_a_line(tmp_path: Path) -> None:
    """Whoever asks it waits; the doctor does not."""
    asked, answer = threading.Event(), threading.Event()

    def hanging(path: Path) -> os.statvfs_result:
        asked.set()
        answer.wait(5)
        return os.statvfs(path)

    checks = [Check("host", "disk", host.disk, limit_s=0.1)]
    try:
        found = [findings async for _, findings in run_checks(checks, machine(tmp_path, statvfs=hanging))]
    finally:
        answer.set()
    assert asked.is_set()
    assert found[0][0].mark is Mark.BAD
    assert "no answer" in found[0][0].value


# The programs


def script(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


async def test_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing at all on PATH: each program has its line, and the Debian package to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await programs.programs(machine(tmp_path, {"PATH": str(tmp_path)}))
    bad = {finding.name: finding.cure for finding in found if finding.mark is Mark.BAD}
    assert set(bad) >= {"chromium", "ffmpeg", "Xvfb", "pulseaudio", "parec"}
    assert "apt-get install xvfb" in bad["Xvfb"]
    assert "apt-get install pulseaudio-utils" in bad["parec"]


async def test_old_or_crippled_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is known not to work, an ffmpeg without H.264, and one that says no version."""
    there = tmp_path / "bin"
    script(there, "chromium", "echo Chromium 90.0.4430.212")
    script(there, "ffmpeg", 'echo "ffmpeg version 4.4.2-0ubuntu1"; echo "A..... aac"')
    script(there, "pulseaudio", "echo what")
    path = f"{there}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    found = await programs.programs(machine(tmp_path, {"PATH": path}))
    assert (named(found, "chromium").mark, named(found, "chromium").data["version"]) == (Mark.BAD, "90.0.4430.212")
    assert named(found, "ffmpeg").mark is Mark.BAD
    assert "no libx264" in named(found, "encoders").value
    assert named(found, "pulseaudio").mark is Mark.WARNING


async def test_programs_of_this_machine_are_fit(tmp_path: Path) -> None:
    """Those that the tests record with."""
    assert {finding.mark for finding in await programs.programs(machine(tmp_path))} == {Mark.OK}


# The sandbox

KNOBS = {
    "kernel__unprivileged_userns_clone": ("0", "1"),
    "user__max_user_namespaces": ("0", "1000"),
    "kernel__apparmor_restrict_unprivileged_userns": ("1", "0"),
}


@pytest.mark.parametrize("knob", KNOBS)
async def test_each_knob_that_forbids_namespaces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knob: str
) -> None:
    """With its cure, and bad where the real try fails, too."""
    proc = kernel(tmp_path, {knob: KNOBS[knob][0]})
    refusing(tmp_path, monkeypatch, "user namespace")
    found = await sandbox.namespaces(machine(tmp_path, proc=proc))
    line = named(found, knob.replace("__", "."))
    assert line.mark is Mark.BAD
    assert "sysctl" in line.cure
    assert named(found, "user namespaces").mark is Mark.BAD


@pytest.mark.parametrize("knob", KNOBS)
async def test_knob_that_allows_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knob: str) -> None:
    """The other value of each."""
    refusing(tmp_path, monkeypatch)
    found = await sandbox.namespaces(machine(tmp_path, proc=kernel(tmp_path, {knob: KNOBS[knob][1]})))
    assert {finding.mark for finding in found} == {Mark.OK}


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSPC, errno.EINVAL])
@pytest.mark.parametrize("name", NAMESPACES)
async def test_namespace_that_cannot_be_made_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: int
) -> None:
    """By a filter, by a limit of none (ENOSPC), by a kernel without them; AppArmor refuses the second one alone."""
    refusing(tmp_path, monkeypatch, name, error=error)
    (found,) = await sandbox.namespaces(machine(tmp_path, proc=kernel(tmp_path)))
    assert (found.name, found.mark) == ("user namespaces", Mark.BAD)
    assert "seccomp" in found.cure


@pytest.mark.parametrize("name", NAMESPACES)
async def test_namespace_whose_try_is_deadly_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A filter may kill who asks: that is no machine on which it was not tried."""
    refusing(tmp_path, monkeypatch, killing=name)
    (found,) = await sandbox.namespaces(machine(tmp_path, proc=kernel(tmp_path)))
    assert (found.name, found.mark) == ("user namespaces", Mark.BAD)


def refusing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str, killing: str = "", error: int = errno.EPERM
) -> None:
    """Let the program of the calls find these refused, and one of them be deadly."""
    answers = [*CALLS, *NAMESPACES]
    listing = "\n".join(f"{name}={error if name in names else 0}" for name in answers)
    text = f"""
import os, signal, sys
for line in {listing!r}.splitlines()[int(sys.argv[1]):]:
    name, _, error = line.rpartition("=")
    if name == {killing!r}:
        os.kill(os.getpid(), signal.SIGSYS)
    os.write(1, f"{{name}}{{':' if ' ' in name else ''}} {{error}}\\n".encode())
"""
    path = folder / "calls.py"
    path.write_text(text)
    monkeypatch.setattr(sandbox, "PROGRAM", path)


@pytest.mark.parametrize(("name", "mark"), [("memfd_create", Mark.BAD), ("statx", Mark.WARNING)])
async def test_refused_system_call_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mark: Mark
) -> None:
    """Bad where Chromium cannot do without it, a warning where a recording can."""
    refusing(tmp_path, monkeypatch, name)
    (found,) = await sandbox.system_calls(machine(tmp_path))
    assert found.mark is mark
    assert found.data["refused"] == [name]
    assert "seccomp" in found.cure


async def test_filter_that_kills_hides_no_other_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that killed is named, and those behind it are still tried."""
    refusing(tmp_path, monkeypatch, "epoll_create1", killing="statx")
    (found,) = await sandbox.system_calls(machine(tmp_path))
    assert set(found.data["refused"]) == {"statx", "epoll_create1"}


async def test_real_kernel_is_asked(tmp_path: Path) -> None:
    """Here, where recordings are made, nothing that is needed is refused."""
    (found,) = await sandbox.system_calls(machine(tmp_path))
    assert found.mark in (Mark.OK, Mark.WARNING)
    assert found.data["tried"] == len(CALLS)
    (found,) = await sandbox.user(machine(tmp_path))
    assert found.data["uid"] == os.geteuid()


# The server


def job(standin: StandIn, ids: CallIds, **more: str) -> dict[str, str]:
    return {"SITE_URL": standin.url, "CALL_ID": ids.call_id, "AUTH_TOKEN": ids.token, **more}


async def test_good_server_is_fine(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """Each step is taken, and nothing but reading requests arrives."""
    found = await server.server(machine(tmp_path, job(standin, ids)))
    assert {finding.name: finding.mark for finding in found} == {
        name: Mark.SKIPPED if name == "certificate" else Mark.OK for name in server.STEPS
    }
    assert {entry.method for entry in standin.state.log} == {"GET"}
    assert standin.state.statuses == []
    assert ids.token not in str(found)


async def test_token_of_nobody_is_bad(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """One that has expired: what needs it is skipped, the plugin and its page are still looked at."""
    found = await server.server(machine(tmp_path, job(standin, ids, AUTH_TOKEN="x" * 26)))
    assert named(found, "token").mark is Mark.BAD
    assert named(found, "MaxFileSize").mark is Mark.SKIPPED
    assert named(found, "recording page").mark is Mark.OK


async def test_token_of_somebody_else_is_bad(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """A person's token is valid, and the plugin lets no person record."""
    found = await server.server(machine(tmp_path, job(standin, ids, AUTH_TOKEN=standin.state.person_token)))
    assert named(found, "token").mark is Mark.BAD
    assert "the user person, not" in named(found, "token").value


async def test_small_max_file_size_is_bad(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """Below 5 MiB an upload cannot begin."""
    standin.state.knobs = attrs.evolve(standin.state.knobs, max_file_size=2**20)
    found = await server.server(machine(tmp_path, job(standin, ids)))
    assert named(found, "MaxFileSize").mark is Mark.BAD
    assert "5 MiB" in named(found, "MaxFileSize").cure


def page_job(standin: StandIn, ids: CallIds, **more: str) -> dict[str, str]:
    """A job that records a page, with the token of an ordinary bot."""
    page = {"PUBLISH": "post", "RECORD_URL": "https://example.com/", "AUTH_TOKEN": standin.state.poster_token}
    return job(standin, ids, **{**page, **more})


async def test_bot_that_posts_a_page_needs_no_plugin(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """Its token is no fault, and a small MaxFileSize none: the recording is cut. The plugin is not asked."""
    standin.state.knobs = attrs.evolve(standin.state.knobs, max_file_size=4 * 2**20)
    found = await server.server(machine(tmp_path, page_job(standin, ids)))
    skipped = {"certificate", *server.OF_A_CALL}
    assert {finding.name: finding.mark for finding in found} == {
        name: Mark.SKIPPED if name in skipped else Mark.OK for name in server.STEPS
    }
    assert "posted in" in named(found, "MaxFileSize").value
    assert not [entry.path for entry in standin.requests() if "/plugins/" in entry.path or entry.method != "GET"]


async def test_limit_below_a_group_of_pictures_cannot_be_cut_to(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """A part begins with a key frame, and there is one in 20 seconds."""
    standin.state.knobs = attrs.evolve(standin.state.knobs, max_file_size=2**20)
    found = named(await server.server(machine(tmp_path, page_job(standin, ids))), "MaxFileSize")
    assert (found.mark, "MaxFileSize" in found.cure) == (Mark.BAD, True)


@pytest.mark.parametrize("page", [True, False], ids=["a page", "a call"])
async def test_bot_that_is_in_no_channel_is_bad(tmp_path: Path, standin: StandIn, ids: CallIds, page: bool) -> None:
    """The job would say so at its start."""
    standin.state.knobs = attrs.evolve(standin.state.knobs, forbidden=["member"])
    environment = page_job(standin, ids) if page else job(standin, ids, PUBLISH="post")
    found = named(await server.server(machine(tmp_path, environment)), "token")
    assert (found.mark, found.data["code"]) == (Mark.BAD, "not_a_member")
    assert "Add the bot" in found.cure


@pytest.mark.parametrize(("off_s", "mark"), [(30.0, Mark.WARNING), (-600.0, Mark.BAD)])
async def test_clock_that_is_off_is_told(
    tmp_path: Path, standin: StandIn, ids: CallIds, off_s: float, mark: Mark
) -> None:
    """Compared with the server's own time."""
    found = await server.server(machine(tmp_path, job(standin, ids), clock=lambda: time.time() + off_s))
    assert named(found, "clock").mark is mark
    assert abs(named(found, "clock").data["skew_s"] - off_s) < 5


async def test_server_that_is_not_there_is_one_bad_line(tmp_path: Path) -> None:
    """The rest is skipped, with the reason."""
    found = await server.server(machine(tmp_path, {"SITE_URL": "http://127.0.0.1:1"}))
    assert [finding.name for finding in found if finding.mark is Mark.BAD] == ["site"]
    assert named(found, "recording page").mark is Mark.SKIPPED


async def test_without_a_site_all_is_skipped(tmp_path: Path) -> None:
    """A host can be looked at without any server."""
    found = await server.server(machine(tmp_path))
    assert [(finding.name, finding.mark) for finding in found] == [(name, Mark.SKIPPED) for name in server.STEPS]


@pytest.fixture
async def secured(tmp_path: Path, standin: StandIn) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serve the stand-in over TLS with a certificate of these dates; returns its address."""
    async with asyncio.TaskGroup() as group:
        over = asyncio.Event()

        async def serve(dates: tuple[str, str] | None = None) -> str:
            authority = tls.make_authority(tmp_path, "company")
            extensions = ("subjectAltName=DNS:localhost", "extendedKeyUsage=serverAuth")
            certificate = tls.issue(tmp_path, "localhost", extensions, signer=authority, dates=dates)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            async def hold() -> None:
                async with tls.tls_in_front_of(standin.url, context) as port:
                    told.set_result(port)
                    await over.wait()

            group.create_task(hold())
            return f"https://localhost:{await told}"

        yield serve
        over.set()


async def test_certificate_is_described(tmp_path: Path, secured: Callable[..., Awaitable[str]]) -> None:
    """One that is trusted: how long it is valid; this one ends within a day."""
    site = {"SITE_URL": await secured(), "TLS_CA_CERT_FILE": str(tmp_path / "company.pem")}
    found = named(await server.server(machine(tmp_path, site)), "certificate")
    assert (found.mark, found.data["days"]) == (Mark.WARNING, 0)
    assert "company" in found.data["issuer"]


async def test_unknown_authority_is_bad(tmp_path: Path, secured: Callable[..., Awaitable[str]]) -> None:
    """With the setting that cures it."""
    found = named(await server.server(machine(tmp_path, {"SITE_URL": await secured()})), "certificate")
    assert found.mark is Mark.BAD
    assert "TLS_CA_CERT_FILE" in found.cure


async def test_expired_certificate_is_bad(tmp_path: Path, secured: Callable[..., Awaitable[str]]) -> None:
    """It is no longer trusted."""
    site = {"SITE_URL": await secured(tls.PAST), "TLS_CA_CERT_FILE": str(tmp_path / "company.pem")}
    found = named(await server.server(machine(tmp_path, site)), "certificate")
    assert found.mark is Mark.BAD
    assert "expired" in found.value


# The frame of it


async def test_check_that_crashes_or_hangs_is_a_line(tmp_path: Path) -> None:
    """The others are worth having all the same."""

    async def crash(_: Machine) -> Findings:
        raise ValueError("of its own")

    async def hang(_: Machine) -> Findings:
        await asyncio.Event().wait()
        return []

    async def fail(_: Machine) -> Findings:
        raise ProgramError("It did not run.", code="memory")

    async def closed(_: Machine) -> Findings:
        raise PermissionError(errno.EACCES, "Permission denied", "/proc/meminfo")

    async def work(_: Machine) -> Findings:
        return [Finding("work", Mark.OK, "fine")]

    looks = {"crash": crash, "hang": hang, "fail": fail, "closed": closed, "w": work}
    checks = [Check("group", name, look, limit_s=0.1) for name, look in looks.items()]
    found = [(check.name, findings[0]) async for check, findings in run_checks(checks, machine(tmp_path))]
    assert [(name, finding.mark) for name, finding in found] == [
        ("crash", Mark.BAD),
        ("hang", Mark.BAD),
        ("fail", Mark.BAD),
        ("closed", Mark.BAD),
        ("w", Mark.OK),
    ]
    assert found[0][1].cure == DEFECT
    assert "limit of memory" in found[2][1].cure
    assert "/proc/meminfo" in found[3][1].value
    assert all(finding.cure for _, finding in found if finding.mark is Mark.BAD)


async def test_part_that_does_not_start_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error catalogue has it; what stands on the part is skipped."""

    async def refused(_: Display) -> Display:
        raise DisplayError(detail="no room", code="pids")

    monkeypatch.setattr(Display, "__aenter__", refused)
    found = await stage.look(machine(tmp_path), with_capture=True)
    assert [finding.mark for finding in found] == [Mark.BAD] + [Mark.SKIPPED] * 4
    assert "limit of processes" in found[0].cure


@pytest.mark.parametrize(
    ("marks", "code", "result"),
    [
        ([Mark.OK, Mark.SKIPPED], EXIT_FIT, "ok"),
        ([Mark.OK, Mark.WARNING], EXIT_FIT, "warning"),
        ([Mark.WARNING, Mark.BAD], EXIT_UNFIT, "bad"),
    ],
)
async def test_exit_code_is_the_worst(
    capsys: pytest.CaptureFixture[str], marks: list[Mark], code: int, result: str
) -> None:
    """A warning is no reason to refuse a host."""

    async def results() -> AsyncIterator[tuple[str, Findings]]:
        yield "group", [Finding(mark.value, mark, "value", "cure") for mark in marks]

    assert await show(results(), Screen({}), as_json=True) == code  # type: ignore[arg-type]
    said = json.loads(capsys.readouterr().out)
    assert said["result"] == result
    assert [one["result"] for one in said["checks"]] == [mark.value for mark in marks]


def test_page_describes_each_check_and_key() -> None:
    """docs/doctor.md has a row for every name that a check may have, and each key of the JSON."""
    text = PAGE.read_text(encoding="utf-8")
    names = {check.name for check in all_checks(with_capture=True)} - {"programs", "server", "capture"}
    names |= set(server.STEPS) | set(stage.STEPS) - {"capture"}
    names |= {program.name for program in programs.PROGRAMS} | {"encoders", "driver"}
    names |= {"audio and video", "audio level", "frames", "room"}
    assert sorted(name for name in names if f"| {name} |" not in text and f"`{name}`" not in text) == []
    for key in ("form", "version", "result", "took_s", "checks", "group", "name", "value", "cure", "data"):
        assert f"`{key}`" in text


# All of it, with real programs

DRAWN = """<!doctype html><meta charset="utf-8"><pre id="found"></pre><script>
document.querySelector("#found").textContent = JSON.stringify(%s);</script>"""


class HeadlessPage:
    """A page in a Chromium of its own, with other fonts perhaps."""

    def __init__(self, **env: str) -> None:
        self._env = {"PATH": os.environ["PATH"], **env}

    async def evaluate(self, expression: str) -> Any:
        address = "data:text/html;base64," + base64.b64encode((DRAWN % expression).encode()).decode()
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
        done = await run("chromium", ["chromium", *switches, address], env=self._env, limit_s=60)
        match = re.search(r'<pre id="found">(.+?)</pre>', done.stdout.decode())
        assert match, done.stderr[-500:]
        return json.loads(html.unescape(match[1]))


async def test_letters_without_a_font_are_seen(tmp_path: Path) -> None:
    """With this machine's fonts every script is drawn; with those of an empty directory none that needs its own."""
    config = tmp_path / "fonts.conf"
    config.write_text("<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig></fontconfig>")
    bare = HeadlessPage(HOME=str(tmp_path), FONTCONFIG_FILE=str(config))
    good, bad = await asyncio.gather(fonts.look(HeadlessPage(HOME=str(tmp_path / "tmp"))), fonts.look(bare))
    assert (good.mark, good.data["missing"]) == (Mark.OK, [])
    assert bad.mark is not Mark.OK
    assert set(bad.data["missing"]) >= {"emoji", "Korean", "Chinese", "Devanagari", "Arabic"}
    assert "fonts-noto-cjk" in bad.cure


SMALL = {"WIDTH": "1280", "HEIGHT": "720", "FRAME_RATE": "10", "VIDEO_PRESET": "ultrafast", "DEV_MODE": "true"}


async def examined(*arguments: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Run the command; returns its exit code, its JSON, and what it said beside it."""
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "doctor", "--json", *arguments),
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **SMALL, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, beside = await process.communicate()
        assert process.returncode is not None
        return process.returncode, json.loads(out), beside.decode()


def runtimes() -> set[Path]:
    """The directories that a recorder may have left."""
    return {path for place in ("/dev/shm", "/tmp") for path in Path(place).glob("recorder-fsm.*")}  # noqa: S108


def programs_of(folder: Path) -> list[list[str]]:
    """The command lines of processes that know of a directory."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(folder) in " ".join(line)]


async def test_bare_machine_is_told_apart(tmp_path: Path) -> None:
    """Nothing on PATH but Python: each check has its line, none a traceback, and nothing is left."""
    (tmp_path / "bin").mkdir()
    code, said, beside = await examined(DATA_DIR=str(tmp_path), PATH=str(tmp_path / "bin"))
    found = {one["name"]: one for one in said["checks"]}
    assert (code, said["result"], beside) == (1, "bad", "")
    assert found["display"]["result"] == "bad"
    assert found["browser"]["result"] == found["capture"]["result"] == "skipped"
    assert not [one for one in said["checks"] if one["cure"] == DEFECT]
    assert not [one for one in said["checks"] if one["result"] in ("bad", "warning") and not one["cure"]]
    assert programs_of(tmp_path) == []


@pytest.mark.rest
async def test_whole_examination_against_the_standin(tmp_path: Path, standin: StandIn, ids: CallIds) -> None:
    """All is well here: what was captured is measured, and no process and no file stays."""
    before = runtimes()
    code, said, beside = await examined(DATA_DIR=str(tmp_path), **job(standin, ids))
    found = {one["name"]: one for one in said["checks"]}
    assert code == 0, json.dumps([one for one in said["checks"] if one["result"] == "bad"], indent=1)
    assert set(said) == {"form", "version", "result", "took_s", "checks"}
    assert all(set(one) == {"group", "name", "result", "value", "cure", "data"} for one in said["checks"])
    assert abs(found["audio level"]["data"]["peak_dbfs"] - capture.BEEP_DBFS) < 4
    assert abs(found["audio and video"]["data"]["offset_ms"]) < 300
    assert found["frames"]["data"]["frames_per_s"] > 2
    assert found["room"]["data"]["cpus"] > 0
    assert found["fonts"]["data"]["missing"] == []
    assert ids.token not in json.dumps(said) + beside
    assert runtimes() <= before
    assert programs_of(tmp_path) == []


@pytest.mark.rest
async def test_interrupted_examination_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C while it records: no traceback, a shell's exit code, no process."""
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "doctor"),
        env={"PATH": os.environ["PATH"], **SMALL, "DATA_DIR": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await until(lambda: any(child.name() == "Xvfb" for child in psutil.Process(process.pid).children(recursive=True)))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, beside = await process.communicate()
    assert process.returncode == 130
    assert "Stopping" in beside.decode()
    assert "Traceback" not in beside.decode()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
