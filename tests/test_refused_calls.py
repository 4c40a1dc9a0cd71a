"""Each convenience of the system, refused: by a real filter, a real kernel, or a real /proc, and the way without it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from recorder_fsm.mattermost.client import SOCKET_OPTIONS, accepted
from recorder_fsm.resources.driver import LAUNCHER
from recorder_fsm.storage.journal import Journal
from recorder_fsm.system import disk
from tests import refusing
from tests.faults.programs import path_without

ROOT = Path(__file__).parent.parent
NOBODY = "65534"

needs_filter = pytest.mark.skipif(not refusing.SUPPORTED, reason="no numbers of system calls for this processor")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")

STARTS_A_CHILD = """
import asyncio, os, sys
from recorder_fsm.system.process import ChildProcess, run

async def main():
    child = await ChildProcess.spawn("child", [sys.executable, "-c", "print('up')"], env=dict(os.environ))
    code = await child.wait()
    done = await run("other", ["echo", "done"], env=dict(os.environ), limit_s=20)
    print(code, list(child.tail), done.stdout)

asyncio.run(main())
"""
FINDS_A_GRANDCHILD = """
import asyncio, subprocess, sys
from recorder_fsm.system.process_table import find_descendant, kill, kill_orphans, wait_for_exit

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}, 'the-grandchild'])"
child = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
child.stdout.readline()

async def main():
    found = find_descendant(lambda words: "the-grandchild" in words)
    print("found" if found is not None and found.pid != child.pid else "missing")
    waiting = asyncio.create_task(wait_for_exit(found))
    await asyncio.sleep(0)
    print("ended early" if waiting.done() else "lives")
    print(kill_orphans("the-grandchild"))
    await waiting

asyncio.run(main())
"""


async def output_of(*words: str, **more: str) -> str:
    """Return what a program prints on both channels; it must end with 0."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        env={**os.environ, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@needs_filter
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
async def test_child_starts_though_it_cannot_die_with_us(error: str) -> None:
    """prctl(2) is refused that use: the program runs, and that it may stay is said once."""
    names = ("dying with a parent", "pidfd_open", "the size of a pipe")
    output = await output_of(
        *(sys.executable, "-m", "tests.refusing", error, *names, "--", sys.executable, "-c", STARTS_A_CHILD)
    )
    assert output.endswith("0 ['up'] b'done\\n'\n")
    assert output.count("programs do not die with the recorder here") == 1


async def test_child_starts_though_setpriv_is_missing(tmp_path: Path) -> None:
    """The same where nothing can ask the kernel for it."""
    path = path_without(tmp_path / "bin", "setpriv")
    output = await output_of(sys.executable, "-c", STARTS_A_CHILD, PATH=path)
    assert output.endswith("0 ['up'] b'done\\n'\n")
    assert output.count("setpriv is missing") == 1


async def test_nothing_is_said_where_children_die_with_us() -> None:
    """The usual case is no news."""
    output = await output_of(sys.executable, "-c", STARTS_A_CHILD)
    assert output.endswith("0 ['up'] b'done\\n'\n")
    assert "die with" not in output


@needs_filter
async def test_driver_starts_though_it_cannot_die_with_us(tmp_path: Path) -> None:
    """Its launcher is a script of its own; both ways."""
    words = ("--v8-pool-size=1", "run-driver")
    for refused in ((), (sys.executable, "-m", "tests.refusing", "EPERM", "dying with a parent", "--")):
        said = await output_of(*refused, str(LAUNCHER), "run-driver", RECORDER_FSM_NODE="echo")
        assert all(word in said for word in words)
    said = await output_of(
        str(LAUNCHER), "run-driver", RECORDER_FSM_NODE="echo", PATH=path_without(tmp_path / "bin", "setpriv")
    )
    assert all(word in said for word in words)


@needs_root
@pytest.mark.parametrize("hidden", ["hidepid=1", "hidepid=2"])
async def test_own_processes_are_found_where_those_of_others_are_hidden(hidden: str) -> None:
    """A /proc that shows each user their own alone: what descends from us is found, watched and killed."""
    of_root = "sleep 60 > /dev/null 2>&1 &"
    as_nobody = f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups -- "$@"'
    inside = f"mount -t proc -o {hidden} proc /proc || exit 1; {of_root} {as_nobody}"
    output = await output_of(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside, "sh"),
        *(sys.executable, "-c", FINDS_A_GRANDCHILD),
    )
    assert output.split() == ["found", "lives", "2"]  # its parent's command line names it, too


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_journal_is_written_where_nothing_brings_it_onto_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A filter, a kernel or a file system without fsync(2)."""

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write("named", name="Call")
    assert journal.remembered().name == "Call"


def test_disk_that_fails_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO is the disk's own word."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync(0)


def test_socket_option_that_the_kernel_does_not_know_is_left_out() -> None:
    """A connection without it is better than none; the others are set."""
    known = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert accepted([known, (socket.IPPROTO_TCP, 9999, 1)]) == [known]
    assert accepted(SOCKET_OPTIONS) == SOCKET_OPTIONS
