"""What lies under a fault: the same words for the same surroundings, whichever program met them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from recorder_fsm.errors import (
    AudioError,
    BrowserError,
    CallError,
    CallLost,
    CaptureError,
    DisplayError,
    RecorderError,
    RequestRejected,
    SettingsError,
)
from recorder_fsm.machine.lifecycle import State
from recorder_fsm.steps.deeper_cause import DeeperCause
from recorder_fsm.system.cgroup import GroupWatch, Trouble
from tests.fakes import FakeJob

QUIET = Trouble(killed=False, refused=False, memory_bytes=2**30, processes=100)


class Group(GroupWatch):
    """A control group that a test fills."""

    def __init__(self, **trouble: bool) -> None:
        self.trouble = attrs.evolve(QUIET, **trouble)

    def look(self) -> Trouble:
        return self.trouble


def deeper(error: RecorderError, *places: Path, proxy: str = "", **trouble: bool) -> RecorderError:
    return DeeperCause(Group(**trouble), places, proxy)(error)


@pytest.mark.parametrize("kind", [DisplayError, AudioError, BrowserError, CaptureError])
def test_kill_for_memory_is_said_of_each_program(kind: type[RecorderError]) -> None:
    """The error stays one of its kind: what is stopped for it looks at that."""
    error = deeper(kind(detail="it was killed by SIGKILL", code="ended"), killed=True)
    assert type(error) is kind
    assert (error.code, error.sentence) == ("memory", "The recorder ran out of memory.")
    assert "its limit is 1024 MiB" in error.detail
    assert error.detail.endswith(": it was killed by SIGKILL")


SAID = {
    "fork: Resource temporarily unavailable": "pids",
    "RuntimeError: can't start new thread": "pids",
    "[Errno 12] Cannot allocate memory": "memory",
    "socket: Read-only file system": "",
    "the page crashed": "",
}


@pytest.mark.parametrize("detail", SAID)
def test_words_tell_where_no_group_does(detail: str) -> None:
    """A limit of the user's, or of the machine, is counted nowhere."""
    given = BrowserError(detail=detail)
    error = deeper(given)
    assert error.code == (SAID[detail] or given.code)
    assert detail in error.detail


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A real file system that cannot be written."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("kind", [DisplayError, AudioError, BrowserError, CaptureError])
@pytest.mark.parametrize("words", ["mkdir(/tmp/.X11-unix) failed, errno = 30", "bind(): Read-only file system"])
def test_place_that_is_read_only_is_named(read_only: Path, kind: type[RecorderError], words: str) -> None:
    """Each program says it in its own way, and none says what to do."""
    error = deeper(kind(detail=words), read_only, Path("/nowhere"))
    assert (error.code, error.sentence) == ("read_only", "The recorder cannot write its temporary files.")
    assert f"--tmpfs {read_only} (Kubernetes" in error.detail
    assert error.detail.endswith(words)
    assert deeper(kind(detail=words), Path("/nowhere")).detail == words
    assert deeper(kind(detail="something else"), read_only).detail == "something else"


def test_refused_processes_are_said() -> None:
    """Whatever the program made of it."""
    error = deeper(CallError(detail="the page made no client"), refused=True)
    assert error.code == "pids"
    assert "the limit is 100" in error.detail


UNTOUCHED: list[RecorderError] = [
    SettingsError(detail="WIDTH"),
    RequestRejected(detail="400"),
    BrowserError(detail="no chromium", code="program_missing"),
    BrowserError(detail="no sandbox", code="sandbox_refused"),
]


@pytest.mark.parametrize("error", UNTOUCHED, ids=lambda error: error.code)
def test_cause_that_is_whole_stays(error: RecorderError) -> None:
    """A refusal of the server is none of the machine's, and a missing program needs no memory."""
    assert deeper(error, killed=True, refused=True) is error


def test_loss_of_the_call_keeps_what_it_knows() -> None:
    """How long nothing had come is needed to finish the file."""
    error = deeper(CallLost(detail="the page said: no memory", quiet_s=7.5), killed=True)
    assert isinstance(error, CallLost)
    assert error.quiet_s == 7.5


PROXIED = {
    "the page could not be loaded (net::ERR_PROXY_CONNECTION_FAILED)": "does not let it through",
    "the page could not be loaded (net::ERR_TUNNEL_CONNECTION_FAILED)": "does not let it through",
    "the page could not be loaded (net::ERR_PROXY_AUTH_UNSUPPORTED)": "asks for a password",
    "the server answered HTTP 407 for the call page": "asks for a password",
}


@pytest.mark.parametrize("detail", PROXIED)
def test_proxy_that_keeps_the_page_away_is_named(detail: str) -> None:
    """Chromium's own words do not name it."""
    error = deeper(CallError(detail=detail), proxy="http://proxy:3128")
    assert error.code == "proxy"
    assert PROXIED[detail] in error.sentence
    assert "the proxy http://proxy:3128" in error.detail
    assert detail in error.detail
    assert deeper(CallError(detail=detail)).code == "call"


async def test_each_cause_of_a_job_passes() -> None:
    """That of a step that fails, that of a resource that is lost, and that of one that does not start."""
    for harm in ("step", "loss", "start"):
        job = FakeJob(explain=lambda cause: DisplayError(f"deeper than {cause.detail}"))
        if harm == "step":
            job.fail_in(State.DISPLAY_UP, CallError(detail="step"))
            await job.run()
        elif harm == "loss":
            browser = job.resources[next(one for one in job.resources if one.value == "browser")]
            job.hang_in(State.RECORDING)
            await job.run_until(State.RECORDING, lambda: browser.lose(BrowserError(detail="loss")))  # noqa: B023
        else:
            display = job.resources[next(one for one in job.resources if one.value == "display")]
            display.enter = _raise
            await job.run()
        assert [str(change.cause) for change in job.changes if change.cause is not None] == [f"deeper than {harm}"]


async def _raise() -> None:
    await asyncio.sleep(0)
    raise DisplayError(detail="start")
