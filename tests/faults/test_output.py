"""Whoever takes the log stands still: a full pipe, a stopped terminal, a volume that hangs. The recording goes on."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import orphans
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.pending import Clip, leave
from tests.faults.scene import Row, published

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]

START_LIMIT_S = 60.0
EXIT_LIMIT_S = 60.0
RECORDED_BYTES = 150_000
"""Some seconds of the pattern."""


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """A pipe without any room that nobody reads."""
    read_end, write_end = os.pipe()
    fill(write_end)
    yield write_end
    for descriptor in (read_end, write_end):
        os.close(descriptor)


@pytest.fixture
def stopped_terminal() -> Iterator[int]:
    """A terminal that shows nothing any more, as after Ctrl-S."""
    screen, terminal = pty.openpty()
    fill(terminal)
    yield terminal
    for descriptor in (screen, terminal):
        os.close(descriptor)


def fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b".")
    except BlockingIOError:
        os.set_blocking(descriptor, True)


@asynccontextmanager
async def recorder_into(
    output: int, standin: StandIn, ids: CallIds, data: Path, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a recorder with this for both of its outputs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "recorder_fsm"),
        env=job_environment(standin.url, ids, data, **more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def records(standin: StandIn, ids: CallIds, data: Path) -> None:
    """Wait until some seconds are in the file."""
    await standin.wait_for(lambda: standin.state.statuses, START_LIMIT_S)
    live = data / ids.recording_id / "live.mp4"
    async with asyncio.timeout(START_LIMIT_S):
        while live.stat().st_size < RECORDED_BYTES:  # noqa: ASYNC110 - a file tells nobody that it grows
            await asyncio.sleep(0.1)
    assert [report.status for report in standin.state.statuses] == ["started"]


async def ends(made: Row, process: asyncio.subprocess.Process, standin: StandIn, ids: CallIds, data: Path) -> None:
    """The job must end with code 0, one post, and nothing left."""
    async with asyncio.timeout(EXIT_LIMIT_S):
        made.exit_code = await process.wait()
    assert made.exit_code == 0
    facts = await probe(published(standin, ids))
    assert facts.video is not None
    made.noticed, made.published, made.left = "no fault", f"{facts.duration_s:.1f} s", len(orphans(str(data)))
    assert made.left == 0


@pytest.mark.parametrize("end", ["the host stops", "SIGTERM"])
@pytest.mark.parametrize("output", ["full_pipe", "stopped_terminal"])
async def test_output_that_blocks_from_the_beginning_costs_nothing(
    standin: StandIn, data: Path, row: MakeRow, request: pytest.FixtureRequest, output: str, end: str
) -> None:
    """Standard output and standard error never take a byte: the call is recorded, stopped and published."""
    made = row("R17", f"standard output is a {output.replace('_', ' ')} from the beginning; {end}")
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder_into(request.getfixturevalue(output), standin, ids, data) as process:
        await records(standin, ids, data)
        if end == "SIGTERM":
            process.terminate()
        else:
            standin.stop_recording(ids.recording_id)
        await ends(made, process, standin, ids, data)


async def test_signal_at_the_start_is_heard_though_the_output_blocks(
    standin: StandIn, ids: CallIds, data: Path, row: MakeRow, full_pipe: int
) -> None:
    """SIGTERM while the page loads: the call is told, and the recorder goes."""
    made = row("R17", "standard output is a full pipe; SIGTERM while the page loads")
    standin.set_faults({"route": "page", "kind": "hang", "times": 0})
    async with recorder_into(full_pipe, standin, ids, data) as process:
        await standin.wait_for(lambda: standin.requests("page"), START_LIMIT_S)
        process.terminate()
        async with asyncio.timeout(EXIT_LIMIT_S):
            made.exit_code = await process.wait()
    assert made.exit_code == 0
    assert [report.status for report in standin.state.statuses] == ["failed"]
    made.noticed, made.published, made.left = "stop_requested", "nothing", len(orphans(str(data)))
    assert made.left == 0


async def test_reader_who_stands_still_and_goes_on_misses_nothing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A log driver that stalls: the recording goes on meanwhile, and its lines come afterwards, all of them."""
    made = row("R17", "the reader of standard output stands still, then goes on")
    ids = standin.create_call(scene={"mode": "pattern"})
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    reader = await asyncio.create_subprocess_exec("cat", stdin=read_end, stdout=asyncio.subprocess.PIPE)
    os.close(read_end)
    assert reader.stdout is not None
    try:
        async with recorder_into(write_end, standin, ids, data) as process:
            os.close(write_end)
            first = await reader.stdout.readline()
            reader.send_signal(signal.SIGSTOP)
            await records(standin, ids, data)
            reader.send_signal(signal.SIGCONT)
            standin.stop_recording(ids.recording_id)
            rest, _ = await reader.communicate()
            await ends(made, process, standin, ids, data)
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    printed = (first + rest).decode().splitlines()
    kept = (data / ids.recording_id / "recorder.log").read_text().splitlines()
    assert len(kept) > 20
    assert printed[-len(kept) :] == kept


async def test_log_file_that_does_not_open_costs_nothing(standin: StandIn, data: Path, row: MakeRow) -> None:
    """`recorder.log` on a volume that hangs, as a pipe that nobody reads does: nothing else waits for it."""
    made = row("R17", "`recorder.log` cannot be opened: it hangs")
    ids = standin.create_call(scene={"mode": "pattern"})
    (data / ids.recording_id).mkdir(mode=0o700)
    os.mkfifo(data / ids.recording_id / "recorder.log")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    async with recorder_into(nowhere, standin, ids, data) as process:
        os.close(nowhere)
        await records(standin, ids, data)
        standin.stop_recording(ids.recording_id)
        await ends(made, process, standin, ids, data)


@pytest.mark.slow
async def test_volume_that_hangs_keeps_nobody_for_ever(
    standin: StandIn, data: Path, row: MakeRow, small_clip: Clip
) -> None:
    """The journal does not open, and the recorder with it hangs: a SIGTERM ends it within the launcher's grace."""
    made = row("R17", "the journal cannot be opened: it hangs; SIGTERM, 10 s of grace")
    ids = standin.create_call()
    folder = leave(data, ids, standin.url, {"live.mp4": small_clip.live.read_bytes()})
    (folder / "journal.jsonl").unlink()
    os.mkfifo(folder / "journal.jsonl")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    async with recorder_into(nowhere, standin, ids, data, STOP_GRACE_SECONDS="10") as process:
        os.close(nowhere)
        async with asyncio.timeout(START_LIMIT_S):
            while not (folder / "recorder.log").exists():  # noqa: ASYNC110 - a file tells nobody that it is there
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(EXIT_LIMIT_S):
            made.exit_code = await process.wait()
    assert made.exit_code == 1
    assert (folder / "live.mp4").read_bytes() == small_clip.live.read_bytes()
    made.noticed, made.published, made.left = "the grace is over", "kept", len(orphans(str(data)))
    assert made.left == 0
