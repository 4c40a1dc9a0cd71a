"""A real recorder process under test: started as a launcher would, followed by its log, measured by what it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import psutil

from bench.harness.environment import job_environment
from recorder_fsm.standin.scene import RTC_CHROMIUM_ARG, scene_of
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds

JOB_PROGRAMS = ("Xvfb", "pulseaudio", "ffmpeg", "chromium", "run-driver")
STATE_LIMIT_S = 60.0
EXIT_LIMIT_S = 90.0


class RecorderProcess:
    """One run. `lines` are the log lines so far (JSON); `reached` and `seen` wait for one that comes."""

    def __init__(self, process: asyncio.subprocess.Process, ids: CallIds, data: Path) -> None:
        self.process = process
        self.ids = ids
        self.job_dir = data / ids.recording_id
        self.lines: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()
        self._ended = False
        self._journal: TextIO | None = None
        self._noted = ""
        self._pump = asyncio.create_task(self._read())

    @property
    def text(self) -> str:
        return "\n".join(f"{line['state']}: {line['message']}" for line in self.lines)

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.job_dir / "report.json").read_text())
        return report

    @property
    def runtime(self) -> str:
        """The runtime directory of the job's last start, as its journal says."""
        return str(re.findall(r'"fact": "process_started".*"runtime": "([^"]+)"', self.journal)[-1])

    @property
    def journal(self) -> str:
        """The job's journal, also after the job has removed it."""
        self._hold_journal()
        if self._journal is not None and not self._journal.closed:
            self._journal.seek(0)
            self._noted = self._journal.read()
        return self._noted

    def _hold_journal(self) -> None:
        if self._journal is None:
            with contextlib.suppress(OSError):
                self._journal = (self.job_dir / "journal.jsonl").open(encoding="utf-8", errors="replace")

    async def seen(self, accept: Callable[[dict[str, Any]], Any], limit_s: float = STATE_LIMIT_S) -> dict[str, Any]:
        """Wait for a log line that is accepted, one of those before included."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.lines if accept(line)), None)

        async with asyncio.timeout(limit_s), self._changed:
            await self._changed.wait_for(lambda: found() or self._ended)
        line = found()
        assert line is not None, f"the recorder ended without that line:\n{self.text}"
        return line

    async def reached(self, state: str) -> None:
        """Wait until the job is in `state`."""
        await self.seen(lambda line: line["state"] == state)

    async def recorded(self, seconds: float) -> None:
        """Wait until so many seconds have been recorded."""
        await self.seen(lambda line: line.get("data", {}).get("elapsed_s", 0) >= seconds)

    async def exit_code(self, limit_s: float = EXIT_LIMIT_S) -> int:
        """Wait for the end; what it printed has been read then."""
        async with asyncio.timeout(limit_s):
            code = await self.process.wait()
            await self._pump
        return code

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def child(self, program: str, *words: str) -> psutil.Process:
        """Return the job's process of `program` whose command line has all `words`."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if program in line and all(word in line for word in words):
                return process
        raise AssertionError(f"no process of {program} {words}")

    def all(self, word: str) -> list[psutil.Process]:
        """Return the job's processes whose command line has `word`."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # one that has just ended
                if word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def chromium(self) -> psutil.Process:
        """Return Chromium's main process."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            line = process.cmdline()
            if any("--user-data-dir=" in word for word in line) and not any("--type=" in word for word in line):
                return process
        raise AssertionError("no Chromium")

    async def close(self) -> None:
        """Let go of what was read from: the process has ended."""
        await self._pump
        if self.journal and self._journal is not None:
            self._journal.close()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            self._hold_journal()
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"state": "-", "message": raw.decode(errors="replace").rstrip(), "level": "RAW"}
            async with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()


@asynccontextmanager
async def recorder(
    standin: StandIn, ids: CallIds, data: Path, *, user: int | None = None, **more: str
) -> AsyncIterator[RecorderProcess]:
    """Run a recorder; one that still runs at the end of the test is killed."""
    if scene_of(standin.state, standin.state.calls.get(ids.call_id))["rtc"]:
        more.setdefault("EXTRA_CHROMIUM_ARGS", RTC_CHROMIUM_ARG)
    async with launched(job_environment(standin.url, ids, data, **more), ids, data, user=user) as run:
        yield run


@asynccontextmanager
async def launched(
    environment: Mapping[str, str],
    ids: CallIds,
    data: Path,
    *,
    user: int | None = None,
    prefix: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> AsyncIterator[RecorderProcess]:
    """Run `recorder-fsm` with exactly this environment, as another user or behind another program where asked."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", "recorder_fsm", *arguments),
        env=dict(environment),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=4 * 1024 * 1024,
    )
    run = RecorderProcess(process, ids, data)
    try:
        yield run
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await run.close()


def orphans(marker: str) -> list[str]:
    """Return the command lines of live processes that mention `marker` (a path of one job)."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(
                marker in word for word in (*process.cmdline(), *process.environ().values())
            ):
                found.append(" ".join(process.cmdline())[:120])
        except psutil.Error:
            continue
    return found


def assert_nothing_left(run: RecorderProcess) -> None:
    """No process, socket or temporary file of the job may outlive it."""
    assert orphans(run.runtime) == []
    assert not Path(run.runtime).exists()
