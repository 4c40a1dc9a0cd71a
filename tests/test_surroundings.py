"""What the process may be started in, by processes that really are started so: a parent that is careless of all."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from recorder_fsm.system.surroundings import unwanted_variables

CARELESS = "import os, resource, signal, sys\n{}\nos.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
"""A parent: it does what stands in the braces, and becomes an interpreter that runs its argument."""
IN_ORDER = "from recorder_fsm.system.surroundings import put_in_order\nput_in_order()\n"


async def started_after(harm: str, code: str, **more: str) -> tuple[int | None, str]:
    """Run `code` as a child of a parent that did `harm`; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CARELESS.format(harm), code),
        env={**os.environ, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


CHILDS_CODE = """
import subprocess
print(subprocess.run(["sh", "-c", "exit 7"], check=False).returncode)
"""
CHILDS_SIGNALS = """
import subprocess
status = subprocess.run(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], capture_output=True, text=True).stdout
print(*(int(line.split()[1], 16) for line in status.splitlines()))
"""
OF_THE_C_LIBRARY = 1 << 31 | 1 << 32
"""Signals 32 and 33, which no program can set, and a program may inherit ignored."""
EVERY_SIGNAL = """
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN) if number not in (32, 33) else None
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
"""


async def test_exit_code_of_a_child_is_known_where_the_parent_ignores_sigchld() -> None:
    """The kernel reaps by itself then, and nobody learns how a program ended."""
    harm = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    assert await started_after(harm, CHILDS_CODE) == (0, "0\n"), "the harm is none"
    assert await started_after(harm, IN_ORDER + CHILDS_CODE) == (0, "7\n")


async def test_children_begin_with_signals_that_reach_them() -> None:
    """Neither blocked nor ignored, but for those that a shell or nohup means, and those of the terminal."""
    left = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTTIN, signal.SIGTTOU)
    code, output = await started_after(EVERY_SIGNAL, IN_ORDER + CHILDS_SIGNALS)
    assert code == 0, output
    blocked, ignored = map(int, output.split())
    assert blocked == 0
    assert ignored & ~OF_THE_C_LIBRARY == sum(1 << (number - 1) for number in left)


async def test_signal_that_was_blocked_is_taken_when_there_is_a_handler() -> None:
    """One that came before is not lost: it is delivered once the handlers are there."""
    code = """
import os, signal
from recorder_fsm.system.signals import StopRequest
from recorder_fsm.system.surroundings import put_in_order
os.kill(os.getpid(), signal.SIGTERM)
stop = StopRequest()
stop.install()
assert stop.requested_at is None, "it was not blocked"
put_in_order()
print(stop.requested_at is not None)
"""
    harm = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())"
    assert await started_after(harm, code) == (0, "True\n")


PRINTS_INTO = """
import contextlib, os
fd = os.open({!r}, os.O_CREAT | os.O_WRONLY)
for number in (1, 2):
    with contextlib.suppress(OSError):
        os.write(number, b"printed")
os._exit(fd)
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (1, 2), (0, 1, 2)], ids=str)
async def test_file_never_gets_the_number_of_a_standard_descriptor(tmp_path: Path, closed: Sequence[int]) -> None:
    """Whatever a program or the interpreter prints would be in it."""
    file = tmp_path / "recording.mp4"
    opens = PRINTS_INTO.format(str(file))
    harm = "\n".join(f"os.close({number})" for number in closed)
    code, _ = await started_after(harm, opens)
    assert (code, bool(file.read_text())) == (closed[0], 0 not in closed), "the harm is none"
    file.write_text("")
    code, _ = await started_after(harm, IN_ORDER + opens)
    assert (code, file.read_text()) == (3, "")


LIMITS = {
    "descriptors": (resource.RLIMIT_NOFILE, 64, 512),
    "size of a file": (resource.RLIMIT_FSIZE, 1000, resource.RLIM_INFINITY),
    "processor": (resource.RLIMIT_CPU, 60, resource.RLIM_INFINITY),
}


@pytest.mark.parametrize("name", LIMITS)
async def test_soft_limit_is_raised_as_far_as_it_may_be(name: str) -> None:
    """It is a default of a shell; the hard one is somebody's decision."""
    limit, soft, hard = LIMITS[name]
    now = resource.getrlimit(limit)[1]
    hard = now if hard == resource.RLIM_INFINITY else hard
    harm = f"resource.setrlimit({limit}, ({soft}, {hard}))"
    show = f"import resource\nprint(*resource.getrlimit({limit}))"
    assert await started_after(harm, IN_ORDER + show) == (0, f"{hard} {hard}\n")


async def test_many_descriptors_are_not_made_more() -> None:
    """A limit that is enough stays, and one without an end does not become the rule: some close every number."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    show = "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    for soft, then in ((1024, min(4096, most)), (most, most)):
        harm = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {most}))"
        assert await started_after(harm, IN_ORDER + show) == (0, f"{then}\n")


async def test_limit_that_may_not_be_raised_is_said() -> None:
    """With its number and how to look at it: Chromium's own words for it are strange ones."""
    harm = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    show = "from recorder_fsm.system.surroundings import tight_limits\nprint(tight_limits())"
    _, output = await started_after(harm, IN_ORDER + show)
    assert output == "['only 64 open files are allowed here (ulimit -n), a recording may need 256']\n"


async def test_directory_that_was_removed_is_left() -> None:
    """Node and others do not start where they cannot say where they are."""
    harm = "import tempfile\nfolder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)"
    assert await started_after(harm, IN_ORDER + "import os\nprint(os.getcwd())") == (0, "/\n")


def test_variables_of_the_interpreter_are_dropped_but_for_harmless_ones() -> None:
    """What changes how it works goes; where its modules are, it must know."""
    harmful = {"PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONIOENCODING", "PYTHONNEW"}
    kept = {"PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "PATH", "PYTHON", "PYTHON_VERSION"}
    assert unwanted_variables(dict.fromkeys(harmful | kept, "1")) == harmful


Recovering = Callable[..., Awaitable[tuple[int | None, str]]]


@pytest.fixture
def recovering(tmp_path: Path) -> Recovering:
    """Runs the real program where it has nothing to do but to say so, with this environment."""

    async def run(**more: str) -> tuple[int | None, str]:
        folder = tmp_path / "vølume 会議"
        folder.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recorder_fsm", "recover", str(folder)),
            env={"PATH": os.environ["PATH"], **more},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
        return process.returncode, output.decode()

    return run


async def test_variables_and_locale_change_neither_exit_code_nor_words(recovering: Recovering) -> None:
    """An interpreter that was told to inspect ends with 1 whatever it is told, and an ASCII one has no such names."""
    code, output = await recovering(
        PYTHONINSPECT="1",
        PYTHONOPTIMIZE="2",
        PYTHONWARNINGS="error",
        PYTHONDEVMODE="1",
        PYTHONMALLOC="debug",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
        PYTHONIOENCODING="ascii:strict",
        LC_ALL="POSIX",
    )
    assert (code, output.count("\n")) == (0, 1), output
    assert "vølume 会議: 0 directories were looked at, nothing is left to recover" in output


@pytest.mark.parametrize("options", [(), ("-X", "utf8=0")], ids=["plain", "an option against us"])
async def test_process_stays_the_same_when_its_interpreter_begins_anew(tmp_path: Path, options: Sequence[str]) -> None:
    """Whoever started it waits for this process id, and signals it. It begins anew once, and not for ever."""
    code = """
import os, sys
from recorder_fsm.system.surroundings import take_own_interpreter
print(os.getpid(), len(sys.argv), sys.flags.inspect, sys.getfilesystemencoding(), flush=True)
take_own_interpreter(os.environ)
"""
    script = tmp_path / "begin.py"
    script.write_text(code)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *options, str(script), "an argument"),
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX", "PYTHONINSPECT": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert output.decode().splitlines() == [f"{process.pid} 2 1 ascii", f"{process.pid} 2 0 utf-8"]
    assert process.returncode == 0


BEHIND_A_TERMINAL = """
import os, pty, signal, termios
pid, master = pty.fork()
if pid:  # whoever shows the terminal
    while True:
        try:
            if not os.read(master, 1000):
                break
        except OSError:
            break
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)
settings = termios.tcgetattr(0)
settings[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, settings)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    {}
    os.write(1, b"a line of the log")
    os._exit(0)
stopped = os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1])
if stopped:
    os.kill(job, signal.SIGKILL)
os._exit(stopped)
"""


@pytest.mark.parametrize("in_order", [False, True], ids=["as it is", "in order"])
async def test_line_for_a_terminal_stops_no_recording_in_its_background(in_order: bool) -> None:
    """With `stty tostop` the kernel stops who writes there: no line is worth a recording."""
    code = BEHIND_A_TERMINAL.format(IN_ORDER.replace("\n", "; ").strip("; ") if in_order else "pass")
    assert await started_after("pass", code) == (0, "0\n" if in_order else "1\n")
