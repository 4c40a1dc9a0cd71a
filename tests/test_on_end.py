"""The command at the end, with real programs: what it is given, what it may do, and that it ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.hooks.command import MOST_LINES, environment_of, run_command
from recorder_fsm.hooks.message import make_message
from recorder_fsm.system.process_table import identify, wait_for_exit

MESSAGE = make_message("done", {"recording_id": "rec"}, run="rec")
COPIES = (
    "import json, os, sys; json.dump([json.load(sys.stdin), os.getcwd(), dict(os.environ)], open(sys.argv[1], 'w'))"
)
FORKS = """
import os, subprocess, sys, time
words = [sys.executable, "-c", "import time; time.sleep(600)"]
pids = [subprocess.Popen(words).pid, os.getpid()]
with open(sys.argv[1] + ".part", "w") as file:
    file.write(" ".join(map(str, pids)))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


def for_ever() -> float:
    return 60.0


async def run_python(program: str, *words: str, folder: Path, left_s: Callable[[], float] = for_ever) -> str:
    argv = [sys.executable, "-c", program, *words]
    return await run_command(argv, MESSAGE, folder=folder, env=dict(os.environ), left_s=left_s)


async def test_command_gets_the_message_in_its_directory(tmp_path: Path) -> None:
    """On standard input, to the byte; it runs where the job's files are, with the environment it is given."""
    out = tmp_path / "out"
    argv = [sys.executable, "-c", COPIES, str(out)]
    env = {"PATH": os.environ["PATH"], "MINE": "stays"}
    assert await run_command(argv, MESSAGE, folder=tmp_path, env=env, left_s=for_ever) == ""
    message, folder, environment = json.loads(out.read_text())
    assert message == json.loads(MESSAGE.body)
    assert folder == str(tmp_path)
    assert environment["MINE"] == "stays"


async def test_command_runs_where_there_is_no_directory(tmp_path: Path) -> None:
    """A job that never began has none."""
    out = tmp_path / "out"
    assert await run_python(COPIES, str(out), folder=tmp_path / "missing") == ""
    assert json.loads(out.read_text())[1] == "/"


async def test_command_runs_though_the_volume_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its directory is there, nobody says."""
    out, answers = tmp_path / "out", threading.Event()
    monkeypatch.setattr(Path, "is_dir", lambda _: answers.wait(60))
    async with asyncio.timeout(30):
        assert await run_python(COPIES, str(out), folder=tmp_path) == ""
    answers.set()
    assert json.loads(out.read_text())[1] == "/"


def test_environment_has_no_secret() -> None:
    """Neither by its name nor inside another variable; what a program needs to upload something stays."""
    secrets = {"AUTH_TOKEN": "t" * 26, "WEBHOOK_SECRET": "s" * 20, "WEBHOOK_URL": "http://host/secretpath"}
    copies = {f"COPY_{name}": f"a {value} b" for name, value in secrets.items()}
    kept = {"PATH": "/bin", "AWS_PROFILE": "calls", "HOME": "/root"}
    assert environment_of({**secrets, **copies, **kept}) == kept


async def test_command_and_all_it_started_are_killed_at_the_limit(tmp_path: Path) -> None:
    """It sleeps for ever, and so does its child; when the time is over neither is left."""
    out = tmp_path / "out"
    said = await run_python(FORKS, str(out), folder=tmp_path, left_s=lambda: 0.0 if out.exists() else 60.0)
    assert "too long" in said
    pids = list(map(int, out.read_text().split()))
    assert len(pids) == 2
    async with asyncio.timeout(20):
        for known in filter(None, map(identify, pids)):
            await wait_for_exit(known)


async def test_exit_code_is_said(tmp_path: Path, log: list[str]) -> None:
    """So that an administrator sees that it failed."""
    assert await run_python("raise SystemExit(3)", folder=tmp_path) == "it ended with code 3"
    assert [line for line in log if line.startswith("INFO ON_END ended with code 3")]


@pytest.mark.parametrize("argv", [["no-such-program-here"], ["/etc/passwd"], ["/no/such/path"]])
async def test_program_that_is_missing_is_said(argv: list[str], tmp_path: Path) -> None:
    """The reason names it; nothing is raised."""
    said = await run_command(argv, MESSAGE, folder=tmp_path, env=dict(os.environ), left_s=for_ever)
    assert argv[0] in said


async def test_output_is_in_the_log_as_far_as_it_is_of_use(tmp_path: Path, log: list[str]) -> None:
    """Ten MiB of lines cost a few hundred of them, a line without an end costs nothing."""
    program = "import sys; print('\\x1b[31mred'); print('to standard error', file=sys.stderr)"
    assert await run_python(program, folder=tmp_path) == ""
    assert {"INFO ON_END: red", "INFO ON_END: to standard error"} <= set(log)
    log.clear()
    assert await run_python("[print('x' * 1000) for _ in range(10_000)]; print('y' * 5_000_000)", folder=tmp_path) == ""
    lines = [line for line in log if "ON_END:" in line]
    assert MOST_LINES <= len(lines) <= MOST_LINES + 1
    assert "more lines are left out" in lines[-1]
    assert all(len(line) < 1000 for line in lines)


async def test_program_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    """The longest message, and a program that ends at once, or closes its input."""
    for program in ("pass", "import os; os.close(0)"):
        async with asyncio.timeout(30):
            assert await run_python(program, folder=tmp_path) == ""
