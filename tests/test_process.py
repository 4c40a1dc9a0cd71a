"""Child processes, with real ones: how they begin, what they say, and that none of them stays."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import re
import selectors
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from recorder_fsm.errors import ProgramError
from recorder_fsm.system import clock as clock_module
from recorder_fsm.system import process as process_module
from recorder_fsm.system import process_table
from recorder_fsm.system.process import (
    ChildProcess,
    describe_exit,
    find_program,
    run,
)
from recorder_fsm.system.process_table import (
    find_descendant,
    identify,
    kill,
    kill_orphans,
    wait_for_exit,
)

ROOT = str(Path(__file__).parent.parent)
ENV = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
SLEEP = "import time; print('up'); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
WITH_GRANDCHILD = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', {DEAF!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print('grandchild', child.pid)
time.sleep(60)
"""

Spawn = Callable[..., Awaitable[ChildProcess]]


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    """Start Python code as a child; whatever still runs at the end of the test is killed."""
    children: list[ChildProcess] = []

    async def start(code: str, **options: object) -> ChildProcess:
        child = await ChildProcess.spawn("child", [sys.executable, "-c", code], env=ENV, **options)  # type: ignore[arg-type]
        children.append(child)
        return child

    yield start
    for child in children:
        await child.stop(wait_s=0)


async def line(child: ChildProcess, pattern: str) -> str:
    """Wait until the child prints a line that matches, or find one that it has printed."""
    for printed in child.tail:
        if found := re.search(pattern, printed):
            return found.group()
    return (await child.ready(child.line_matching(pattern), limit_s=20)).group()


def gone(pid: int) -> bool:
    """Whether the process has ended; one that waits to be reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- starting -----------------------------------------------------------------------------------------------------


async def test_child_is_ready_when_it_says_so(spawn: Spawn) -> None:
    """The line on standard error counts as well as one on standard output."""
    child = await spawn("import sys, time; print('port 4711', file=sys.stderr); time.sleep(60)")
    assert await line(child, r"port \d+") == "port 4711"
    assert child.running
    assert child.returncode is None


async def test_child_that_dies_while_starting_leaves_its_last_words(spawn: Spawn) -> None:
    """The cause has the exit code and what the program printed last, also what came just before its end."""
    child = await spawn("import sys; print('no such device'); print('giving up', file=sys.stderr); sys.exit(3)")
    with pytest.raises(ProgramError) as caught:
        await child.ready(child.line_matching("ready"), limit_s=20)
    assert "ended with code 3 while starting" in caught.value.detail
    assert "no such device" in caught.value.detail
    assert "giving up" in caught.value.detail
    assert "child" in caught.value.sentence


async def test_child_that_hangs_while_starting_is_given_up_with_its_last_words(spawn: Spawn) -> None:
    """The limit is in the cause; the child still runs, for its owner to stop."""
    child = await spawn(SLEEP)
    await line(child, "up")
    with pytest.raises(ProgramError, match=r"was not ready within 0\.05 s: up"):
        await child.ready(child.line_matching("never"), limit_s=0.05)
    assert child.running


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what SIGSTOP and SIGCONT do to us: a second in which nothing of ours runs, noticed as such."""
    monkeypatch.setattr(clock_module, "TICK_S", 0.01)
    monkeypatch.setattr(clock_module, "LATE_S", 0.2)
    return lambda: time.sleep(1)


async def test_child_that_got_ready_while_we_stood_still_is_ready(spawn: Spawn, pause: Callable[[], None]) -> None:
    """Its line waits in the pipe: a limit that passed while nobody could read says nothing."""
    child = await spawn("import time; print('up'); time.sleep(0.3); print('ready'); time.sleep(60)")
    ready = child.line_matching("ready")
    await line(child, "up")
    asyncio.get_running_loop().call_soon(pause)
    assert (await child.ready(ready, limit_s=0.25)).group() == "ready"


async def test_child_that_ends_after_we_stood_still_is_not_killed(spawn: Spawn, pause: Callable[[], None]) -> None:
    """It has its whole time from then on: what it writes to its file meanwhile is not lost."""
    child = await spawn(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.4), sys.exit(7)));"
        "print('up'); time.sleep(60)"
    )
    await line(child, "up")
    asyncio.get_running_loop().call_soon(pause)
    assert await child.stop(wait_s=0.9) == 7


async def test_missing_program_names_the_package() -> None:
    """A person learns what to install."""
    with pytest.raises(ProgramError) as caught:
        await ChildProcess.spawn("x", ["no-such-program-at-all"], env=ENV)
    assert caught.value.code == "program_missing"
    assert "no-such-program-at-all is missing" in caught.value.sentence
    assert "apt-get install no-such-program-at-all" in caught.value.detail


def test_package_may_have_another_name_than_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Xvfb comes with `xvfb`; ffprobe with ffmpeg."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramError, match="apt-get install xvfb"):
        find_program("Xvfb")
    with pytest.raises(ProgramError, match="apt-get install ffmpeg"):
        find_program("ffprobe")


async def test_child_sees_the_environment_it_is_given_and_no_other(
    spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in our own environment, a token for example, does not reach it."""
    monkeypatch.setenv("AUTH_TOKEN", "tokentokentoken")
    child = await spawn("import os; print('names', sorted(os.environ))")
    names = await line(child, "names .*")
    assert "AUTH_TOKEN" not in names
    assert "PATH" in names


async def test_child_gets_the_descriptors_it_is_given(spawn: Spawn) -> None:
    """As Xvfb does for its ready message."""
    read_end, write_end = os.pipe()
    try:
        child = await spawn(f"import os; os.write({write_end}, b'hello')", pass_fds=(write_end,))
        assert await child.wait() == 0
        assert os.read(read_end, 100) == b"hello"
    finally:
        os.close(read_end)
        os.close(write_end)


# --- output -------------------------------------------------------------------------------------------------------


async def test_line_of_a_megabyte_neither_blocks_nor_kills(spawn: Spawn) -> None:
    """A flood in one line is dropped; the lines after it are read."""
    child = await spawn("import time; print('x' * 1_000_000); print('after'); time.sleep(60)")
    assert await line(child, "^after$") == "after"
    assert max(map(len, child.tail)) <= process_module.LINE_LIMIT_BYTES


async def test_megabytes_without_a_newline_are_dropped(spawn: Spawn) -> None:
    """Memory stays small even where no line ever ends, and the end of the program is noticed."""
    child = await spawn("import sys; sys.stdout.write('x' * 5_000_000)")
    assert await child.wait() == 0
    assert sum(map(len, child.tail)) <= process_module.LINE_LIMIT_BYTES


async def test_child_that_nobody_reads_can_print_for_minutes(spawn: Spawn, tmp_path: Path) -> None:
    """A recorder that stands still must not stop its encoder: 150 KiB fit into the pipe of each output."""
    done = tmp_path / "done"
    os.mkfifo(done)
    code = (
        "import os\n"
        "for descriptor in (1, 2):\n"
        "    for _ in range(150 * 1024 // 100):\n"
        "        os.write(descriptor, b'x' * 99 + b'\\n')\n"
        f"open({str(done)!r}, 'w').close()\n"
    )
    child = await spawn(f"import sys; sys.stdin.readline()\n{code}", stdin=asyncio.subprocess.PIPE)
    assert child._process.stdin is not None
    child._process.stdin.write(b"go on\n")
    reader = os.open(done, os.O_RDONLY | os.O_NONBLOCK)
    with selectors.DefaultSelector() as selector:  # in the loop's thread: nothing is read meanwhile
        selector.register(reader, selectors.EVENT_READ)
        assert selector.select(timeout=20), "the child waits for somebody who reads"
    os.close(reader)
    assert await child.wait() == 0


async def test_only_the_last_lines_are_kept(spawn: Spawn) -> None:
    """`tail` is bounded, `last_words` are its end."""
    child = await spawn("print(*range(1000), 'end', sep='\\n'); import time; time.sleep(60)")
    await line(child, "^end$")
    assert list(child.tail) == [str(number) for number in range(981, 1000)] + ["end"]
    assert child.last_words(2) == "999 | end"


async def test_bytes_that_are_no_text_are_shown_somehow(spawn: Spawn) -> None:
    """A wrong encoding is no reason to stop reading."""
    child = await spawn("import os, time; os.write(1, b'\\xff\\xfe bad\\nafter\\n'); time.sleep(60)")
    await line(child, "^after$")
    assert child.tail[0].endswith(" bad")


async def test_listener_takes_its_lines_out_of_the_log(spawn: Spawn, log: list[str]) -> None:
    """What `on_line` takes is neither logged nor kept; the rest is both."""
    taken: list[str] = []

    def take(text: str) -> bool:
        taken.append(text)
        return text.startswith("frame")

    child = await spawn("print('frame=1'); print('words'); import time; time.sleep(60)", on_line=take)
    await line(child, "words")
    assert taken == ["frame=1", "words"]
    assert list(child.tail) == ["words"]
    assert not any("frame=1" in text for text in log)
    assert "DEBUG child: words" in log


async def test_listener_that_fails_does_not_stop_the_reading(spawn: Spawn) -> None:
    """A defect in reading one line must not block the program, which would wait for room in its pipe for ever."""

    def fail(text: str) -> bool:
        if text == "bad":
            raise ValueError(text)
        return False

    child = await spawn("print('bad'); print('after'); import time; time.sleep(60)", on_line=fail)
    assert await line(child, "after") == "after"


# --- ending -------------------------------------------------------------------------------------------------------


async def test_child_that_listens_ends_by_sigterm(spawn: Spawn) -> None:
    """The first rung of the ladder: asked, it ends by itself with its own exit code."""
    child = await spawn(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up'); time.sleep(60)"
    )
    await line(child, "up")
    assert await child.stop() == 7
    assert not child.running


async def test_child_that_ignores_sigterm_is_killed(spawn: Spawn, log: list[str]) -> None:
    """The second rung: after the wait comes SIGKILL, and the log says so."""
    child = await spawn(DEAF)
    await line(child, "up")
    assert await child.stop(wait_s=0.1) == -signal.SIGKILL
    assert any("did not end within 0.1 s and is killed" in text for text in log)


async def test_stopped_child_is_killed_too(spawn: Spawn) -> None:
    """A frozen process (SIGSTOP) hears nothing but SIGKILL."""
    child = await spawn(DEAF)
    await line(child, "up")
    os.kill(child.pid, signal.SIGSTOP)
    assert await child.stop(wait_s=0.1) == -signal.SIGKILL


async def test_stop_asks_as_it_is_told(spawn: Spawn) -> None:
    """ffmpeg wants SIGINT."""
    child = await spawn(SLEEP)
    await line(child, "up")
    assert await child.stop(ask=signal.SIGINT) in (-signal.SIGINT, 1)


async def test_stop_twice_and_after_the_end_is_fine(spawn: Spawn) -> None:
    """Whoever comes second gets the same exit code."""
    child = await spawn("import sys; sys.exit(5)")
    assert await child.wait() == 5
    assert await child.stop() == 5
    assert await child.stop() == 5


async def test_stop_takes_the_grandchildren_along(spawn: Spawn) -> None:
    """The whole session is killed, so a helper that is deaf to SIGTERM does not stay."""
    child = await spawn(WITH_GRANDCHILD)
    grandchild = int((await line(child, r"grandchild \d+")).split()[1])
    assert not gone(grandchild)
    await child.stop()
    async with asyncio.timeout(5):
        await wait_for_exit(identify(grandchild))
    assert gone(grandchild)


async def test_end_is_noticed_though_a_grandchild_holds_the_output(spawn: Spawn) -> None:
    """A helper that lives on must not hide that the program itself has died."""
    child = await spawn(
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print('child', p.pid)"
    )
    helper = int((await line(child, r"child \d+")).split()[1])
    try:
        async with asyncio.timeout(5):
            assert await child.wait() == 0
        assert not gone(helper)
    finally:
        kill(identify(helper))


async def test_waiting_can_be_given_up_without_harm(spawn: Spawn) -> None:
    """One who stops waiting for the end does not take it from the others."""
    child = await spawn(SLEEP)
    await line(child, "up")
    first, second = asyncio.create_task(child.wait()), asyncio.create_task(child.wait())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    await child.stop()
    assert await second == -signal.SIGTERM


async def test_child_dies_with_its_recorder_however_that_dies(tmp_path: Path) -> None:
    """The kernel kills the child when its parent is killed with SIGKILL and can clean up nothing."""
    code = f"""
import asyncio, os, sys
from recorder_fsm.system.process import ChildProcess

async def main():
    child = await ChildProcess.spawn("child", [sys.executable, "-c", {SLEEP!r}], env=dict(os.environ))
    await child.ready(child.line_matching("up"), limit_s=20)
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    recorder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE, env={**ENV, "HOME": str(tmp_path)}
    )
    assert recorder.stdout is not None
    child = int(await recorder.stdout.readline())
    assert not gone(child)
    recorder.kill()
    await recorder.wait()
    async with asyncio.timeout(5):
        await wait_for_exit(identify(child))
    assert gone(child)


async def test_spawn_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    """A start cut short at any of its first steps leaves nothing running."""
    marker = str(tmp_path / "marker")
    for rounds in range(6):
        task = asyncio.create_task(
            ChildProcess.spawn("child", [sys.executable, "-c", SLEEP, marker], env=ENV), name="spawn"
        )
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            await task.result().stop(wait_s=0)
    assert kill_orphans(marker) == 0


# --- processes that are not ours ----------------------------------------------------------------------------------


async def test_end_of_a_foreign_process_is_noticed(spawn: Spawn) -> None:
    """A grandchild, which only init or its parent may reap."""
    child = await spawn(WITH_GRANDCHILD)
    grandchild = int((await line(child, r"grandchild \d+")).split()[1])
    waiting = asyncio.create_task(wait_for_exit(identify(grandchild)))
    await asyncio.sleep(0)
    assert not waiting.done()
    kill(identify(grandchild))
    async with asyncio.timeout(5):
        await waiting
    assert gone(grandchild)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A seccomp filter that knows no pidfd_open(2), as calls-offloader v0.9.0 to v0.9.4 has; returns who was asked."""
    asked: list[int] = []

    def pidfd_open(pid: int) -> int:
        asked.append(pid)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    monkeypatch.setattr(process_table, "EXIT_POLL_S", 0.01)
    return asked


async def test_end_is_noticed_where_a_filter_refuses_the_handle(spawn: Spawn, refused: list[int]) -> None:
    """By looking again and again: of a child, and of one that has gone."""
    child = await spawn(SLEEP)
    await line(child, "up")
    assert not child.exited.done()
    kill(identify(child.pid))
    async with asyncio.timeout(5):
        assert await child.wait() == -signal.SIGKILL
        await wait_for_exit(identify(child.pid))
    assert refused == [child.pid, child.pid]


async def test_end_of_a_foreign_process_is_noticed_where_a_filter_refuses_the_handle(
    spawn: Spawn, refused: list[int]
) -> None:
    """One that has ended and waits for its parent, who does not look, has ended too."""
    child = await spawn(WITH_GRANDCHILD)
    grandchild = int((await line(child, r"grandchild \d+")).split()[1])
    waiting = asyncio.create_task(wait_for_exit(identify(grandchild)))
    await asyncio.sleep(0)
    assert not waiting.done()
    kill(identify(grandchild))
    async with asyncio.timeout(5):
        await waiting
    assert child.running
    assert grandchild in refused


async def test_end_of_one_that_has_gone_is_known_at_once(spawn: Spawn) -> None:
    """No such process is an ended process; killing it is fine too."""
    child = await spawn("pass")
    await child.wait()
    async with asyncio.timeout(5):
        await wait_for_exit(identify(child.pid))
    kill(identify(child.pid))
    kill(None)


async def test_given_up_waiting_closes_its_handle(spawn: Spawn) -> None:
    """A watch that is cancelled leaks no descriptor: there is one per resource and job."""
    child = await spawn(SLEEP)
    await line(child, "up")
    before = psutil.Process().num_fds()
    waiting = asyncio.create_task(wait_for_exit(identify(child.pid)))
    await asyncio.sleep(0)
    assert psutil.Process().num_fds() == before + 1
    waiting.cancel()
    await asyncio.wait({waiting})
    assert psutil.Process().num_fds() == before


async def test_descendant_is_found_by_its_command_line(spawn: Spawn, tmp_path: Path) -> None:
    """Also one that a child of ours has started; nothing is found where nothing matches."""
    word = str(tmp_path)
    child = await spawn(
        f"import subprocess, sys\n"
        f"says = 'import os, time; print(\"child\", os.getpid()); time.sleep(60)'\n"
        f"subprocess.run([sys.executable, '-c', says, {word!r}])"
    )
    pid = int((await line(child, r"child \d+")).split()[1])
    assert find_descendant(lambda words: words[-1:] == [word]) == identify(pid)
    assert find_descendant(lambda words: "no such word" in words) is None


async def test_orphans_that_mention_the_marker_are_killed_and_nothing_else(tmp_path: Path) -> None:
    """A word of the command line or a value of the environment gives a process away."""
    marker = str(tmp_path / "recorder-fsm-abc")
    command = [sys.executable, "-c", SLEEP]
    by_argument = await ChildProcess.spawn("a", [*command, f"--user-data-dir={marker}/profile"], env=ENV)
    by_environment = await ChildProcess.spawn("e", command, env={**ENV, "HOME": marker})
    other = await ChildProcess.spawn("o", command, env={**ENV, "HOME": str(tmp_path)})
    try:
        for child in (by_argument, by_environment, other):
            await line(child, "up")
        assert kill_orphans(marker) == 2
        assert await by_argument.wait() == await by_environment.wait() == -signal.SIGKILL
        assert other.running
        assert kill_orphans(marker) == 0
    finally:
        await other.stop(wait_s=0)


async def test_orphan_is_found_though_its_words_were_written_anew(spawn: Spawn, tmp_path: Path) -> None:
    """As Chromium's do: one string with blanks in it, which looks like many words; so does a directory with a blank."""
    marker = str(tmp_path / "a b" / "recorder-fsm.x")
    title = ctypes.create_string_buffer(f"chromium --type=renderer --user-data-dir={marker}/profile".encode())
    child = await spawn(
        "import ctypes\n"
        "fields = open('/proc/self/stat').read().rpartition(')')[2].split()\n"
        "start, end = int(fields[45]), int(fields[46])\n"  # arg_start, arg_end (proc(5))
        f"ctypes.memset(start, 0, end - start)\nctypes.memmove(start, {title.raw!r}, {len(title)})\n"
        f"ctypes.memset(end - 1, 46, 1)\n{SLEEP}"  # no NUL at the end: the kernel shows the first string alone
    )
    await line(child, "up")
    assert marker.encode() in Path(f"/proc/{child.pid}/cmdline").read_bytes()
    assert not any(marker in word for word in psutil.Process(child.pid).cmdline())
    assert kill_orphans(marker) == 1
    assert await child.wait() == -signal.SIGKILL


LOSES_ITS_PARENT = """
import asyncio, os, sys
import psutil
from recorder_fsm.system.parent_death import adopt_orphans
from recorder_fsm.system.process_table import kill_descendants

SLEEP = "import sys; print('up', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"

async def main():
    adopt_orphans()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE
    )
    await child.stdout.readline()
    await child.wait()
    (orphan,) = psutil.Process().children()
    print(kill_descendants(spare=[orphan.pid]), kill_descendants(), os.waitpid(orphan.pid, 0)[1], kill_descendants())

asyncio.run(main())
"""


async def test_what_lost_its_parent_is_found_by_its_descent() -> None:
    """In a session of its own, with nothing in its words; but what is to be spared lives."""
    done = await run("python", [sys.executable, "-c", LOSES_ITS_PARENT], env={**ENV, "PYTHONPATH": ROOT}, limit_s=20)
    assert (done.stdout, done.stderr) == (b"0 1 9 0\n", "")


# --- programs that run to their end -------------------------------------------------------------------------------


async def test_run_gives_exit_code_and_both_outputs() -> None:
    """Bytes on standard output, text on standard error."""
    code = "import sys; sys.stdout.buffer.write(b'\\x00\\xff'); print('oops', file=sys.stderr); sys.exit(4)"
    done = await run("python", [sys.executable, "-c", code], env=ENV, limit_s=20)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"\x00\xff", "oops\n")


async def test_run_keeps_the_end_of_what_is_complained_about() -> None:
    """Of 30 MB of complaints the last are kept, and the program is not held up meanwhile."""
    code = "import sys; [sys.stderr.write('complaint' * 1000) for _ in range(3000)]; sys.stderr.write('the end')"
    done = await run("python", [sys.executable, "-c", code], env=ENV, limit_s=20)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.endswith("complaintthe end")
    assert len(done.stderr) == process_module.WORDS_BYTES


async def test_run_over_its_limit_kills(tmp_path: Path) -> None:
    """The program is gone when the error comes, though it was deaf."""
    marker = str(tmp_path)
    with pytest.raises(ProgramError, match=r"took too long.*0\.3 s"):
        await run("python", [sys.executable, "-c", DEAF, marker], env=ENV, limit_s=0.3)
    assert kill_orphans(marker) == 0


async def test_cancelled_run_kills(tmp_path: Path) -> None:
    """The program is gone when the cancelled call returns."""
    marker, up = str(tmp_path), tmp_path / "up"
    os.mkfifo(up)
    code = f"open({str(up)!r}, 'w').close(); import time; time.sleep(60)"
    running = asyncio.create_task(run("python", [sys.executable, "-c", code, marker], env=ENV, limit_s=20))
    await asyncio.to_thread(up.read_bytes)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert kill_orphans(marker) == 0


async def test_run_of_a_missing_program_says_so() -> None:
    """As for a child that stays."""
    with pytest.raises(ProgramError, match="no-such-program is missing"):
        await run("x", ["no-such-program"], env=ENV, limit_s=5)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with code 0"),
        (1, "ended with code 1"),
        (-9, "was killed by SIGKILL"),
        (-11, "was killed by SIGSEGV"),
        (-99, "was killed by signal 99"),
    ],
)
def test_exit_is_described_in_words(code: int, words: str) -> None:
    """A number alone says little to who reads the report."""
    assert describe_exit(code) == words


async def test_pipe_of_a_program_that_has_ended_is_left_alone() -> None:
    """A program may end before its pipes are widened: that is no failure of its start."""
    process = await asyncio.create_subprocess_exec("true", stdout=asyncio.subprocess.PIPE)
    await process.communicate()
    process_module._widen(process, 1)


REUSE = """
import asyncio, os, subprocess, sys
from pathlib import Path
from recorder_fsm.system.process import ChildProcess
from recorder_fsm.system.process_table import identify, kill, wait_for_exit

def another_with(number):
    for _ in range(100):  # a thread of ours may take the number
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
        other = subprocess.Popen(["sleep", "60"], start_new_session=True)
        if other.pid == number:
            return other
        other.kill()
        other.wait()
    raise SystemExit("the number was not given again")

async def main():
    child = await ChildProcess.spawn("child", [sys.executable, "-c", "pass"], env={{"PATH": os.environ["PATH"]}})
    known = identify(child.pid)
    await child.wait()
    assert known is not None and not known.there
    other = another_with(child.pid)
    os.killpg(other.pid, 0)
    await child.stop()
    kill(known)
    async with asyncio.timeout(10):
        await wait_for_exit(known)
    if {refuses}:
        os.pidfd_open = refuse
        kill(known)
    try:
        print("killed", other.wait(0.5))
    except subprocess.TimeoutExpired:
        kill(identify(other.pid))
        print("spared, then", other.wait(10))

def refuse(*_):
    raise PermissionError

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace of processes needs root")
@pytest.mark.parametrize("refuses", [False, True], ids=["pidfd", "without pidfd"])
async def test_process_that_got_the_number_of_ours_is_spared(refuses: bool) -> None:
    """Numbers are given again: what we signal is what we started, or nothing; in a namespace that counts as we say."""
    code = REUSE.format(refuses=refuses)
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", code]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    assert output.decode().splitlines()[-1] == "spared, then -9"
