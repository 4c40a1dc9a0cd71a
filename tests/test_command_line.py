"""The commands as people and shells use them: help, examples, suggestions, completion, pipes, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from bench.harness.environment import job_environment
from recorder_fsm import __version__
from recorder_fsm.commands import commands
from recorder_fsm.config.groups import GROUPS, OTHERS, in_groups
from recorder_fsm.config.settings import TABLE
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.terminal.command_line import Command

PROGRAM = Path(sys.executable).with_name("recorder-fsm")
ENV = {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": "/nonexistent"}
ALL = sorted(commands.commands)


def asked(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, env=ENV | more, capture_output=True, text=True, timeout=60, check=False)


def at_a_terminal(*arguments: str, columns: int = 80, **more: str) -> tuple[int, str]:
    """Run the program on a terminal of its own; returns its exit code and all that the terminal got."""
    ours, theirs = pty.openpty()
    env = {**ENV, "TERM": "xterm-256color", "COLUMNS": str(columns), **more}
    with subprocess.Popen(
        [str(PROGRAM), *arguments], env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the last one who held it has ended
                break
            shown += part
    os.close(ours)
    return process.returncode, shown.decode()


def test_version_is_that_of_the_package() -> None:
    """`--version` says the program and its version."""
    assert asked("--version").stdout.split() == ["recorder-fsm,", "version", __version__]


@pytest.mark.parametrize("name", ALL)
def test_help_of_each_command_has_an_example_that_it_takes(name: str) -> None:
    """What the help of a command tells to type, the command understands."""
    command = commands.commands[name]
    assert isinstance(command, Command)
    assert command.examples, "a command without examples"
    for typed, meaning in command.examples:
        assert meaning.endswith(".")
        words = shlex.split(re.sub(r'^eval "\$\((.*)\)"$', r"\1", typed).partition(" > ")[0])
        if words[0] == "docker":
            continue
        arguments = words[words.index("recorder-fsm") + 1 :]
        if arguments:
            assert arguments[0] == name
            context = command.make_context(name, arguments[1:], resilient_parsing=True)
            for parameter in command.params:
                parameter.handle_parse_result(context, dict(context.params), [])
            command.make_parser(context).parse_args(arguments[1:])


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_help_of_run_has_every_setting_once(columns: str) -> None:
    """`run --help` starts no job, and names each variable of the table with its default, in a terminal of any width."""
    done = asked("run", "--help", COLUMNS=columns)
    assert done.returncode == 0
    settings = done.stdout.partition("The job (")[2].partition("\nExamples:")[0]
    for variable in TABLE:
        assert len(re.findall(rf"^  {variable.name}\b", settings, re.MULTILINE)) == 1, variable.name
    squeezed = " ".join(done.stdout.split())
    assert "[500 to 10000 kbit/s; default 1500]" in squeezed
    assert "Exit code 0" in squeezed
    listed = done.stdout.partition("\nExamples:")[0]
    assert max(map(len, listed.splitlines())) <= int(columns)


def test_each_setting_is_in_one_group() -> None:
    """No group names a variable that is not there, and none names one twice."""
    named = [name for names in GROUPS.values() for name in names]
    assert len(named) == len(set(named))
    assert set(named) <= {variable.name for variable in TABLE}
    listed = [name for entries in in_groups().values() for name, _ in entries]
    assert sorted(listed) == sorted(variable.name for variable in TABLE)
    assert OTHERS not in GROUPS


@pytest.mark.parametrize(
    ("arguments", "meant"), [(["recovr"], "recover"), (["demo", "--secnds", "3"], "--seconds"), (["zzz"], "recover")]
)
def test_wrong_word_is_answered_with_what_may_be_meant(arguments: list[str], meant: str) -> None:
    """An unknown command or option ends with 2 and a suggestion."""
    done = asked(*arguments)
    assert done.returncode == 2
    assert meant in done.stderr
    assert "Traceback" not in done.stderr


def test_reader_that_goes_ends_no_command_with_a_traceback() -> None:
    """`recorder-fsm graph --table | head -1`, with a head that is gone before anything is written."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [str(PROGRAM), "graph", "--table"], env=ENV, stdout=write_end, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write_end)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.parametrize("locale", [{"LANG": "C"}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "de_DE.ISO-8859-1"}])
def test_any_locale_gets_its_help(locale: Mapping[str, str]) -> None:
    """A locale without UTF-8 is no reason to fail."""
    for arguments in (["--help"], ["graph"]):
        done = asked(*arguments, **locale)
        assert (done.returncode, done.stderr) == (0, "")


COMPLETED = """
source "$1"
COMP_WORDS=($2) COMP_CWORD=$3
_recorder_fsm_completion "$(command -v recorder-fsm)"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "place", "found"),
    [
        ("recorder-fsm reco", 1, ["recover"]),
        ("recorder-fsm demo --sec", 2, ["--seconds"]),
        ("recorder-fsm completion ", 2, ["bash", "zsh", "fish"]),
        ("recorder-fsm run --he", 2, ["--help"]),
    ],
)
def test_bash_completes_commands_options_and_values(tmp_path: Path, words: str, place: int, found: list[str]) -> None:
    """The script that is printed completes in a real bash; asked without arguments, the program starts no job."""
    script = tmp_path / "completion.bash"
    script.write_text(asked("completion", "bash").stdout)
    typed = ["bash", "--norc", "-c", COMPLETED, "bash", str(script), words, str(place)]
    done = subprocess.run(typed, env=ENV, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (found, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_each_shell(shell: str) -> None:
    """Each script is for this program and asks it in that shell's way."""
    script = asked("completion", shell).stdout
    assert f"_RECORDER_FSM_COMPLETE={shell}_complete" in script


async def interrupted(*arguments: str, until: bytes, times: int = 1, cwd: Path) -> tuple[int, str]:
    """Start the program, wait for `until` in its output, press Ctrl-C; returns its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), *arguments), env=ENV, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(60):
        while until not in said:
            said += (part := await process.stdout.read(4096))
            assert part, said.decode()
        for number in range(times):
            process.send_signal(signal.SIGINT)
            while number + 1 < times and said.count(b"Stopping") <= number:
                said += await process.stdout.read(4096)
        said += await process.stdout.read()
        return await process.wait(), said.decode()


async def test_standin_says_that_it_stops(tmp_path: Path) -> None:
    """Ctrl-C ends the stand-in in order."""
    code, said = await interrupted("standin", "--port", "0", "--data", "d", until=b"http://", cwd=tmp_path)
    assert code == 0
    assert "Stopping" in said
    assert "Press Ctrl-C again" in said
    assert "Traceback" not in said


async def test_interrupted_demo_says_what_it_does(tmp_path: Path) -> None:
    """Ctrl-C before the recording began: in order, with a shell's exit code."""
    code, said = await interrupted("demo", "--seconds", "60", "--out", "out", until=b"stand-in", cwd=tmp_path)
    assert code == 130, said
    assert "Stopping" in said
    assert "Traceback" not in said


def test_taken_port_is_no_traceback(tmp_path: Path) -> None:
    """A port that cannot be had is said in a sentence, with what can be done."""
    done = asked("standin", "--host", "192.0.2.1", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "the stand-in did not start" in done.stderr
    assert "--port 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("demo", "--out", "/proc/nowhere"), "--out"),
        (("standin", "--data", "/proc/nowhere", "--port", "0"), "--data"),
        (("standin", "--knobs", __file__), "docs/standin.md"),
        (("report", "/nonexistent"), "recorder-fsm report DATA_DIR/RECORDING_ID"),
        (("recover", "/nonexistent"), "name the directory"),
        (("explain", "no_such_code"), "`recorder-fsm explain` lists all"),
        (("verify", "/nonexistent"), "What to do:"),
        (("verify", __file__), "What to do:"),
    ],
)
def test_error_that_ends_a_command_says_what_to_do(arguments: tuple[str, ...], cure: str) -> None:
    """In a line or two, without a traceback."""
    done = asked(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert cure in said
    assert "Traceback" not in said


def test_help_on_a_terminal_is_no_wider_than_it() -> None:
    """On a terminal of 40 columns, too."""
    code, shown = at_a_terminal("demo", "--help", columns=40)
    assert code == 0
    assert max(map(len, shown.partition("Examples:")[0].splitlines())) <= 40


def test_every_option_and_argument_has_its_help() -> None:
    """No option is without a word on what it is for."""
    bare = [
        f"{name} {option.name}"
        for name, command in commands.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert bare == []


@pytest.mark.parametrize("terminal", [True, False])
async def test_interrupted_job_says_what_follows(standin: StandIn, ids: CallIds, data: Path, terminal: bool) -> None:
    """Ctrl-C on a terminal is answered with what is done, and what a second one does; a log gets it as a line."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    job = await asyncio.create_subprocess_exec(
        str(PROGRAM), env=job_environment(standin.url, ids, data), stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = ""
    async with asyncio.timeout(60):
        while part := await asyncio.to_thread(_read, ours):
            if not shown:
                job.send_signal(signal.SIGINT)
            shown += part
        assert await job.wait() == 0, shown
    os.close(ours)
    said = [line.strip() for line in shown.splitlines() if "Stopping: what was recorded" in line]
    assert len(said) == 1, shown
    assert "again changes nothing" in said[0]
    assert said[0].startswith("Stopping") is terminal
    assert ids.token not in shown


def _read(descriptor: int) -> str:
    try:
        return os.read(descriptor, 65536).decode(errors="replace")
    except OSError:  # EIO: nobody has the terminal any more
        return ""
