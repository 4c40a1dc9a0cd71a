"""What is said of a fault: the cause under it, in the report, to the call, and in the last line of the log alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import RecorderProcess, launched
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.often import slow_but
from tests.faults.programs import path_with
from tests.faults.scene import Fault, Row, recording
from tests.faults.test_while_recording import renderer
from tests.test_plain_text import shown_of_token

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]
MIB = 2**20
FILES_LIMIT_BYTES = MIB
CAUSE_FORM = "ended failed with code"


def last_line(fault: Fault) -> str:
    """Return the last line of standard output: all that `kubectl logs --tail 1` shows."""
    return str(fault.run.lines[-1]["message"])


async def told_and_last(fault: Fault, code: str, *words: str) -> str:
    """The job must fail with a cause of that code, which the call is told, and which the last line repeats."""
    await fault.ends(0)
    fault.nothing_published()
    cause = fault.run.report["cause"]
    assert cause["code"] == code, fault.run.text
    assert fault.told() == cause["sentence"]
    assert CAUSE_FORM in last_line(fault)
    for word in words:
        assert word in cause["detail"]
        assert word in last_line(fault)
    fault.row.noticed = code
    return str(cause["detail"])


# --- programs that print much -----------------------------------------------------------------------------------------

NO_BUS = "[7:9:1125/101500.1:ERROR:dbus/bus.cc:408] Failed to connect to the bus: Could not parse server address"
OLD_BUS = "[7:7:1125/101500.2:ERROR:bus.cc(407)] Failed to connect to the bus: /run/dbus/system_bus_socket"
FRAME = "#3 0x55d0c8a3b2c4 base::debug::StackTrace::StackTrace()"


def noisy(words: str, *noise: str) -> str:
    """Return a script that says why it ends among much else, and ends."""
    much = "\n".join(f"echo '{line}' >&2" for line in noise * 20)
    return f"{much}\necho '{words}' >&2\n{much}\nexit 1"


NOISY = {
    "chromium": ("Missing X server or $DISPLAY", (NO_BUS, OLD_BUS, FRAME), "browser"),
    "Xvfb": ("Cannot establish any listening sockets", ("(EE) ", "> Warning: Unsupported maximum keycode"), "program"),
    "pulseaudio": (
        "bind(): Address already in use",
        ("I: [pulseaudio] main.c: D-Bus", "W: Unable to D-Bus"),
        "program",
    ),
}


@pytest.mark.parametrize("program", slow_but(["chromium"], NOISY))
async def test_last_words_are_found_in_the_noise(
    standin: StandIn, data: Path, row: MakeRow, tmp_path: Path, program: str
) -> None:
    """What a program prints anyway, before and behind its last words, does not take their place."""
    words, noise, code = NOISY[program]
    path = path_with(tmp_path / "bin", **{program: noisy(words, *noise)})
    ids = standin.create_call()
    async with launched(job_environment(standin.url, ids, data, PATH=path), ids, data) as run:
        fault = Fault(row("S3", f"{program} ends, its last words among much else"), standin, run)
        detail = await told_and_last(fault, code, words)
        assert all(line not in detail for line in noise)


# --- the surroundings -------------------------------------------------------------------------------------------------


@contextmanager
def group_of(controller: str, **limits: str) -> Iterator[Path]:
    """A control group of the first or the second version with these limits."""
    for parent in (Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")):
        group = parent / f"recorder-fsm-{controller}-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        written = [name for name, value in limits.items() if _wrote(group / name.replace("__", "."), value)]
        try:
            if written:
                yield group
                return
        finally:
            for pid in map(int, (group / "cgroup.procs").read_text().split()) if written else ():
                with suppress(psutil.Error):  # what a recorder that had to be killed leaves for a moment
                    psutil.Process(pid).kill()
                    psutil.Process(pid).wait(10)
            group.rmdir()
    pytest.skip("needs the right to make control groups")


def _wrote(file: Path, value: str) -> bool:
    if not file.exists():  # of the other version, or no group at all
        return False
    try:
        file.write_text(value)
    except OSError:
        return False
    return True


def inside(group: Path) -> tuple[str, ...]:
    """Return what puts a program into the group."""
    return ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh")


@pytest.mark.slow
async def test_memory_that_ran_out_is_said(standin: StandIn, data: Path, row: MakeRow, tmp_path: Path) -> None:
    """A program that the kernel killed for memory does not merely say that it was killed."""
    path = path_with(tmp_path / "bin", chromium='exec python3 -c "print(len(bytearray(2**30)))"')
    ids = standin.create_call()
    limit = str(512 * MIB)
    with group_of("memory", memory__max=limit, memory__limit_in_bytes=limit) as group:
        environment = job_environment(standin.url, ids, data, PATH=path)
        async with launched(environment, ids, data, prefix=inside(group)) as run:
            fault = Fault(row("S2", "memory runs out"), standin, run)
            await told_and_last(fault, "memory", "512 MiB", "resources.limits.memory", "SIGKILL")
            assert fault.told() == "The recorder ran out of memory."


HOG = """
import sys
from pathlib import Path
group, held = Path(sys.argv[1]), []
(group / "cgroup.procs").write_text("0")
files = [file for file in (group / "memory.events", group / "memory.oom_control") if file.exists()]
while not any("oom_kill " in text and "oom_kill 0" not in text for text in (file.read_text() for file in files)):
    held.append(b"x" * 2**24)
"""
"""Takes memory until the kernel has killed a process of the group for it; the next one would be itself."""


async def test_memory_that_runs_out_in_a_meeting_is_said(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The page crashed, for all that Chromium knows; what was recorded is published."""
    ids, limit = standin.create_call(scene={"mode": "pattern"}), str(1536 * MIB)
    with group_of("memory", memory__max=limit, memory__limit_in_bytes=limit) as group:
        environment = job_environment(standin.url, ids, data)
        async with launched(environment, ids, data, prefix=inside(group)) as run:
            fault = Fault(row("R3", "memory runs out: the kernel kills a process of Chromium"), standin, run)
            await run.recorded(3)
            # As on a small machine, where the page's renderer is the largest of all processes.
            Path(f"/proc/{renderer(run).pid}/oom_score_adj").write_text("1000", encoding="ascii")
            await asyncio.to_thread(subprocess.run, [sys.executable, "-c", HOG, str(group)], check=False, timeout=60)
            fault.inject(lambda: None)  # it ends when the kernel has killed
            await fault.noticed("browser_lost", 15.0)
            await fault.ends(0)
            await fault.published()
            assert run.report["cause"]["code"] == "memory", run.text
            assert fault.told().startswith("The recorder ran out of memory.")
            assert "its limit is 1536 MiB" in last_line(fault)


async def test_processes_that_were_refused_are_said(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A limit of processes shows in as many ways as there are programs; the kernel counts them in one."""
    ids = standin.create_call()
    with group_of("pids", pids__max="60") as group:
        environment = job_environment(standin.url, ids, data)
        async with launched(environment, ids, data, prefix=inside(group)) as run:
            fault = Fault(row("S2", "processes run out"), standin, run)
            await told_and_last(fault, "pids", "the limit is 60", "--pids-limit")


READ_ONLY = """
mount -t tmpfs tmpfs /mnt
mkdir /mnt/data /mnt/code
mount --bind "$DATA_DIR" /mnt/data
mount --bind "$0" /mnt/code
for place in /tmp /var/tmp /dev/shm; do mount -t tmpfs tmpfs "$place"; done
# The project itself may lie in one of them.
if ! [ -e "$0" ]; then mkdir -p "$0" && mount --bind /mnt/code "$0"; fi
for place in /tmp /var/tmp /dev/shm; do mount -o remount,ro "$place"; done
cd /
DATA_DIR=/mnt/data exec "$@"
"""
"""Nothing can be written to but the volume; `$0` is where the project lies."""


async def test_read_only_places_are_said_with_their_cure(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A container with a read-only file system and nothing of its own to write to but the volume."""
    made = row("S2", "a container that is read-only but for its volume")
    ids = standin.create_call()
    prefix = ("unshare", "--mount", "--", "sh", "-ec", READ_ONLY, str(Path(__file__).parents[2]))
    async with launched(job_environment(standin.url, ids, data), ids, data, prefix=prefix) as run:
        made.exit_code = await run.exit_code()
    assert made.exit_code == 1, run.text
    last = str(run.lines[-1]["message"])
    assert "read-only" in last
    assert "--tmpfs /tmp" in last
    (told,) = [report.error for report in standin.state.statuses]
    assert "temporary files" in told
    made.noticed, made.published, made.left = "no_temporary_dir", "nothing", 0


# --- settings ---------------------------------------------------------------------------------------------------------

WRONG = {"WIDTH": "wide", "VIDEO_PRESET": "slow", "TLS_CA_CERT_FILE": "/nowhere", "HTTP_PROXY": "socks5://me:pw@h:1080"}
REFUSAL_LIMIT_S = 10.0


async def test_all_wrong_settings_are_said_at_once(standin: StandIn, ids: CallIds, data: Path, row: MakeRow) -> None:
    """Whoever mends the first is not sent back for the second; the last line names them all."""
    made = row("S1", "several wrong settings")
    async with launched(job_environment(standin.url, ids, data) | WRONG, ids, data) as run:
        made.exit_code = await run.exit_code(REFUSAL_LIMIT_S)
    assert made.exit_code == 1, run.text
    errors = [line["message"] for line in run.lines if " ERROR " in line["message"]]
    assert [name for name in WRONG if not any(name in error for error in errors)] == []
    assert len(errors) == len(WRONG), run.text
    assert [name for name in WRONG if name not in str(run.lines[-1]["message"])] == []
    assert "me:pw" not in run.text
    made.noticed, made.published, made.left = "settings", "nothing", 0


@pytest.mark.parametrize("wrong", [{"WIDTH": "wide", "HEIGHT": "1"}, dict.fromkeys(("WIDTH", "HEIGHT"), "9" * 100_000)])
async def test_call_is_told_of_all_wrong_settings(
    standin: StandIn, ids: CallIds, data: Path, wrong: dict[str, str]
) -> None:
    """By one `failed` that names them, where address, ids and token are good."""
    async with launched(job_environment(standin.url, ids, data) | wrong, ids, data) as run:
        assert await run.exit_code(REFUSAL_LIMIT_S) == 1
    reports = [(report.status, report.error) for report in standin.state.statuses]
    assert reports == [("failed", "The recorder's settings WIDTH, HEIGHT are not valid.")]
    assert len(run.text) < 10_000


# --- words from outside -----------------------------------------------------------------------------------------------

ENDLESS = 3 * MIB
READ_CHARS = 100_000


def everywhere(token: str) -> str:
    """Return words of three megabytes in which the token lies across every place where somebody may cut."""
    return "".join(f"\x1b[31m{'x' * (number % 90)}{token}\r\n\u202e" for number in range(ENDLESS // 80))


def assert_token_is_nowhere(run: RecorderProcess, standin: StandIn) -> None:
    """No file of the job, no printed line, no text that it sent has a piece of the token or a control character."""
    written = {path.name: path.read_bytes() for path in run.job_dir.rglob("*") if path.suffix not in (".png", ".mp4")}
    assert {"recorder.log", "report.json"} <= set(written)
    written["standard output"] = "\n".join(json.dumps(line, ensure_ascii=False) for line in run.lines).encode()
    written["texts"] = "\n".join([*(report.error for report in standin.state.statuses), ""]).encode()
    for place, content in written.items():
        text = content.decode()
        for begin in range(0, len(text), READ_CHARS):
            assert shown_of_token(text[begin : begin + READ_CHARS + 200], run.ids.token) == set(), place
        assert text.replace("\n", "").isprintable(), place
    assert sum(map(len, written.values())) < FILES_LIMIT_BYTES


async def test_token_that_everybody_echoes_is_nowhere(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Server and page say it in all they say, for megabytes: no file, no line, no text of ours has a piece of it."""
    made = row("secrets", "the token in 3 MiB of words of server and page at the start")
    words = everywhere(standin.state.bot_token)
    ids = standin.create_call(scene={"mode": "pattern", "page_faults": {"join_refused": words}})
    assert ids.token == standin.state.bot_token
    echo = {"kind": "status", "status": 502, "body": words}
    standin.set_faults({"route": "filename", **echo}, {"route": "status", **echo, "times": 0})
    async with launched(job_environment(standin.url, ids, data), ids, data) as run:
        await Fault(made, standin, run).ends(1)
    assert (run.job_dir / "journal.jsonl").exists()
    assert_token_is_nowhere(run, standin)
    assert ids.token in str([entry.headers for entry in standin.requests("status")]), "it was used"
    made.noticed = run.report["cause"]["code"]


async def test_last_words_of_a_page_are_bounded_and_masked(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Its console, and the reason for which it closes: three megabytes of it made eighteen of files."""
    made = row("secrets", "the token in 3 MiB of words of the page while recording")
    async with recording(made, standin, data, seconds=2) as fault:
        call, words = fault.run.ids.call_id, everywhere(fault.run.ids.token)
        standin.page_command(call, "flood_console", lines=20, error=words[: 100 * 1024])
        await fault.run.seen(lambda line: "console error" in line["message"])
        fault.inject(lambda: standin.page_command(call, "close_error", reason=words))
        await fault.noticed("call_lost", 15.0)
        await fault.ends(0)
        assert_token_is_nowhere(fault.run, standin)
        assert "The recorder lost the call." in str(fault.run.lines[-1]["message"])
