"""Child processes: start, follow, stop.

Owns every subprocess of the recorder. A child lives in a session of its own, so a signal to the recorder never
reaches it by the terminal, and dies with the recorder (`setpriv --pdeathsig`), however the recorder dies. What a
child means for the recording is left to the resource that starts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from weakref import WeakSet

import attrs
from loguru import logger

from recorder_fsm.errors import ProgramError
from recorder_fsm.system.clock import running_timeout, running_wait
from recorder_fsm.system.last_words import SHOWN_LINES, LastWords
from recorder_fsm.system.parent_death import dying_with_us
from recorder_fsm.system.process_table import identify, kill, kill_group, wait_for_exit

TERM_WAIT_S = 3.0
KILL_WAIT_S = 2.0
DRAIN_WAIT_S = 0.5
LINE_LIMIT_BYTES = 64 * 1024
PIPE_BYTES = 256 * 1024
WORDS_BYTES = 64 * 1024
REAP_POLL_S = 0.01
GUARD_WAIT_S = 2.0
PACKAGES = {"Xvfb": "xvfb", "ffprobe": "ffmpeg", "certutil": "libnss3-tools", "parec": "pulseaudio-utils"}
"""Where a program comes in a Debian package of another name."""

T = TypeVar("T")
LineListener = Callable[[str], bool]


def find_program(name: str) -> str:
    """Return the path of `name`; raises `ProgramError` naming the Debian package to install."""
    path = shutil.which(name)
    if path is None:
        package = PACKAGES.get(name, name)
        raise ProgramError(
            f"The program {name} is missing on the recorder's machine.",
            detail=f"{name} is not found on PATH; on Debian: apt-get install {package}",
            code="program_missing",
        )
    return path


class ChildProcess:
    """One running program. Ready at once; `exited` completes when it ends; `stop()` ends it.

    Its output goes to the log line by line at debug level; the last lines are kept in `words` for causes and reports.
    """

    _all: ClassVar[WeakSet[ChildProcess]] = WeakSet()

    def __init__(self, name: str, process: asyncio.subprocess.Process, on_line: LineListener | None = None) -> None:
        self._all.add(self)
        self.name = name
        self._on_line = on_line
        self.pid = process.pid
        self._known = identify(process.pid)
        self.words = LastWords()
        self._process = process
        self._listeners: list[tuple[re.Pattern[str], asyncio.Future[re.Match[str]]]] = []
        self._pumps = [
            asyncio.create_task(self._pump(stream), name=f"{name} output")
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]
        self.exited: asyncio.Task[int] = asyncio.create_task(self._exit(), name=f"{name} exit")

    @classmethod
    async def spawn(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        pass_fds: Sequence[int] = (),
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.PIPE,
        cwd: Path | None = None,
        on_line: LineListener | None = None,
    ) -> Self:
        """Start `argv` with exactly the environment `env`; raises `ProgramError` if it cannot be started.

        `on_line` sees each line of output first; a line for which it returns True is not logged and not kept.
        """
        program = find_program(argv[0])
        try:
            process = await asyncio.create_subprocess_exec(
                *dying_with_us([program, *argv[1:]]),
                env=dict(env),
                stdin=stdin,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                limit=LINE_LIMIT_BYTES,
                cwd=cwd,
            )
        except OSError as error:
            raise ProgramError(f"The program {name} did not start.", detail=str(error)) from error
        for number in (1, 2):
            _widen(process, number)
        logger.debug("{} started as process {}", name, process.pid)
        return cls(name, process, on_line)

    @classmethod
    def names(cls) -> dict[int, str]:
        """Return the name of each program that runs, by its number."""
        return {one.pid: one.name for one in cls._all if one.running}

    @property
    def tail(self) -> list[str]:
        """The last lines that the program printed and that tell something."""
        return self.words.lines

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for the number of a signal, None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the program's end; returns its exit code. Who stops waiting does not disturb others who wait."""
        return await asyncio.shield(self.exited)

    def last_words(self, lines: int = SHOWN_LINES) -> str:
        """Return the last few of `tail` on one line, for a cause."""
        return self.words.shown(lines)

    def line_matching(self, pattern: str) -> asyncio.Future[re.Match[str]]:
        """Return a future for the first line from now on that matches `pattern`."""
        future: asyncio.Future[re.Match[str]] = asyncio.get_running_loop().create_future()
        self._listeners.append((re.compile(pattern), future))
        return future

    async def ready(self, signal_of_life: asyncio.Future[T], *, limit_s: float) -> T:
        """Wait for `signal_of_life`; raises `ProgramError` if the program ends first or `limit_s` passes."""
        try:
            waited: list[asyncio.Future[Any]] = [signal_of_life, self.exited]
            await running_wait(waited, limit_s, return_when=asyncio.FIRST_COMPLETED)
            if signal_of_life.done():
                return signal_of_life.result()
            if self.exited.done():
                await self.drained()
                what = f"{describe_exit(self.exited.result())} while starting"
            else:
                what = f"was not ready within {limit_s:g} s"
            raise ProgramError(f"The program {self.name} did not start.", detail=f"{what}: {self.last_words()}")
        finally:
            signal_of_life.cancel()

    def ask(self, number: signal.Signals) -> None:
        """Send the program a signal, where it still runs."""
        if self.running:
            kill(self._known, number)

    async def stop(self, *, ask: signal.Signals = signal.SIGTERM, wait_s: float = TERM_WAIT_S) -> int:
        """End the program: `ask`, wait, then kill its whole session; returns its exit code. Safe to call twice."""
        if self.running:
            self.ask(ask)
            await running_wait({self.exited}, wait_s)
        if self.running:
            logger.warning("{} did not end within {:g} s and is killed", self.name, wait_s)
        if self._known is not None:
            kill_group(self._known)
        await running_wait({self.exited}, KILL_WAIT_S)
        await self.drained()
        return self.returncode if self.returncode is not None else -signal.SIGKILL

    async def drained(self) -> None:
        """Let the pumps read what the program still had in its pipes; a grandchild may hold them open for ever."""
        if self._pumps:
            await running_wait(self._pumps, DRAIN_WAIT_S)
            for pump in self._pumps:
                pump.cancel()

    async def _pump(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:  # a line longer than the limit: asyncio has dropped it
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip()
            if line and not self._listener_takes(line):
                self._heard(line)

    def _listener_takes(self, line: str) -> bool:
        try:
            return self._on_line is not None and self._on_line(line)
        except Exception:  # noqa: BLE001 - a program whose output nobody reads would wait for ever
            logger.opt(exception=True).error("a line of {} was not understood", self.name)
            return False

    async def _exit(self) -> int:
        """Wait for the end of the program itself: `Process.wait` waits for all who hold its output, too."""
        await wait_for_exit(self._known)
        while (code := self._process.returncode) is None:  # noqa: ASYNC110 - asyncio is about to reap it
            await asyncio.sleep(REAP_POLL_S)
        return code

    def _heard(self, line: str) -> None:
        self.words.heard(line)
        logger.debug("{}: {}", self.name, line)
        for pattern, future in list(self._listeners):
            if future.done():
                self._listeners.remove((pattern, future))
            elif match := pattern.search(line):
                future.set_result(match)


def _widen(process: asyncio.subprocess.Process, descriptor: int) -> None:
    """Give the pipe of a child's output room for minutes: a recorder that stands still must not stop its encoder."""
    transport = process._transport.get_pipe_transport(descriptor)  # type: ignore[attr-defined]
    if transport is not None:
        # A limit of the system (the usual 64 KiB last for two minutes), or a program that has ended already.
        with contextlib.suppress(OSError, ValueError):
            fcntl.fcntl(transport.get_extra_info("pipe"), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class Guard:
    """A small program that outlives us for a moment, to clear up: its standard input ends when we do.

    It is in a session of its own, so that no signal to ours reaches it; it holds none of our files, outputs included,
    so that nobody waits for it; and it does not die with us.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    def start(cls, program: Path, lines: Sequence[Path]) -> Self | None:
        """Start `program` and tell it `lines`; returns None where it cannot be started, which is logged."""
        try:
            process = subprocess.Popen(
                [program],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except OSError as error:
            logger.warning(
                "{} did not start ({}): after a kill, the next start clears up", program.name, error.strerror
            )
            return None
        guard = cls(process)
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"".join(os.fsencode(line) + b"\n" for line in lines))
                process.stdin.flush()
        return guard

    def end(self) -> None:
        """Let it see our end, and wait for its own."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(GUARD_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@attrs.frozen
class Finished:
    """What a program that ran to its end left: exit code, standard output, the end of standard error as text."""

    returncode: int
    stdout: bytes
    stderr: str


async def run(
    name: str, argv: Sequence[str], *, env: Mapping[str, str], limit_s: float, words_bytes: int = WORDS_BYTES
) -> Finished:
    """Run a program to its end; raises `ProgramError` if it cannot start or takes longer than `limit_s` seconds.

    Of its standard error the last `words_bytes` are kept. A cancelled call kills the program before it returns.
    """
    program = find_program(argv[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *dying_with_us([program, *argv[1:]]),
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramError(f"The program {name} did not start.", detail=str(error)) from error
    known = identify(process.pid)
    try:
        async with running_timeout(limit_s):
            # A damaged file makes ffmpeg complain for as long as it reads.
            words = _end_of(process.stderr, words_bytes)
            stdout, stderr, _ = await asyncio.gather(_all_of(process.stdout), words, process.wait())
    except TimeoutError as error:
        raise ProgramError(f"The program {name} took too long.", detail=f"over {limit_s:g} s") from error
    finally:
        if process.returncode is None:
            if known is not None:
                kill_group(known)
            # A helper of its own session may hold the pipes, and with them asyncio's notion of the end.
            await running_wait({asyncio.ensure_future(process.wait())}, KILL_WAIT_S)
    return Finished(process.returncode or 0, stdout, stderr.decode(errors="replace"))


async def _all_of(stream: asyncio.StreamReader | None) -> bytes:
    return await stream.read() if stream is not None else b""


async def _end_of(stream: asyncio.StreamReader | None, size: int) -> bytes:
    """Return the last `size` bytes of what comes."""
    end = bytearray()
    while stream is not None and (more := await stream.read(WORDS_BYTES)):
        end += more
        del end[:-size]
    return bytes(end)


def describe_exit(returncode: int) -> str:
    """Say an exit code in words: `ended with code 1`, `was killed by SIGKILL`."""
    if returncode >= 0:
        return f"ended with code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
