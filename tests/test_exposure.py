"""What the machine shows of a process that was given a secret, read from outside, by real processes."""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recorder_fsm.system import exposure
from tests import refusing

ROOT = Path(__file__).parent.parent
TOKEN = "0123456789tokentokentoken9"
CHILD = "import sys; print('up', flush=True); sys.stdin.read()"
STARTED = """
import os, resource, subprocess, sys
from recorder_fsm import cli

if {unlimited}:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
taken = cli._take_environment()
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdin=subprocess.PIPE)
print(taken["AUTH_TOKEN"], taken["COPY"], os.environ.get("AUTH_TOKEN"), os.environ.get("COPY"), flush=True)
print(child.pid, flush=True)
sys.stdin.readline()
os.abort()
"""
needs_filter = pytest.mark.skipif(not refusing.SUPPORTED, reason="no numbers of system calls for this processor")


@asynccontextmanager
async def started(
    *prefix: str, cwd: Path = ROOT, unlimited: bool = False, **more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str]]]:
    """A process that has taken its environment, and what it printed of it; it crashes when it is spoken to."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-c", STARTED.format(unlimited=unlimited, child=CHILD)),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AUTH_TOKEN": TOKEN, "COPY": f"a {TOKEN}", **more},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        lines = [(await process.stdout.readline()).decode().strip() for _ in range(3)]
        yield process, sorted(lines, key=len)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def shown(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])  # for the first, Python changes the environment by itself
async def test_environment_of_the_start_shows_no_secret(locale: str) -> None:
    """Neither our own, as the kernel shows it, nor a child's; the rest of it stays to be seen."""
    private, public = "http://me:wordofaproxy@p:1", "http://p:2"
    starting = started(LANG=locale, OTHER="stays", https_proxy=private, HTTP_PROXY=public)
    async with starting as (process, (_up, child, said)):
        assert said == f"{TOKEN} a {TOKEN} None None"
        for pid in (process.pid, int(child)):
            assert TOKEN.encode() not in shown(pid)
            assert b"OTHER=stays\0" in shown(pid)
            assert b"HTTP_PROXY=http://p:2\0" in shown(pid)
        assert b"wordofaproxy" not in shown(process.pid)
        assert b"AUTH_TOKEN=" + b"*" * len(TOKEN) + b"\0" in shown(process.pid)


@pytest.mark.parametrize(
    ("number", "taken"), [("", TOKEN), ("none", ""), ("77", "")], ids=["a pipe", "no number", "nothing there"]
)
async def test_token_is_read_from_a_pipe(number: str, taken: str) -> None:
    """As the container's entrypoint hands it over: it was in no environment, and the pipe is closed."""
    script = (
        "import os; from recorder_fsm import cli; taken = cli._take_environment().get('AUTH_TOKEN', ''); "
        "print(repr(taken), [name for name in os.environ if 'TOKEN' in name], os.listdir('/proc/self/fd'))"
    )
    read_end, write_end = os.pipe()
    os.write(write_end, base64.b64encode(TOKEN.encode()) + b"\n")
    os.close(write_end)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AUTH_TOKEN_DESCRIPTOR": number or str(read_end)},
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[read_end],
    )
    os.close(read_end)
    output, _ = await process.communicate()
    said, _, rest = output.decode().partition(" ")
    assert said == repr(taken)
    assert rest.startswith("[] ")
    assert (f"'{read_end}'" in rest) == bool(number)


async def test_secrets_of_the_webhook_are_covered_like_the_token() -> None:
    """Handed over by name or by the pipe: the recorder has them, and neither it nor a child shows them."""
    key, url = "the key of the webhook", "https://host/secretpath"
    async with started(WEBHOOK_SECRET=key, WEBHOOK_URL=url, SECOND=f"a copy: {key}") as (process, (_up, child, _said)):
        for pid in (process.pid, int(child)):
            assert b"key of the webhook" not in shown(pid)
            assert b"secretpath" not in shown(pid)
    script = (
        "from recorder_fsm import cli; taken = cli._take_environment(); "
        "print([*map(taken.get, ('AUTH_TOKEN', 'WEBHOOK_SECRET', 'WEBHOOK_URL'))])"
    )
    read_end, write_end = os.pipe()
    os.write(write_end, base64.b64encode(TOKEN.encode()) + b"\n" + base64.b64encode(b"key\n\xe9") + b"\n\n")
    os.close(write_end)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AUTH_TOKEN_DESCRIPTOR": str(read_end)},
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[read_end],
    )
    os.close(read_end)
    output, _ = await process.communicate()
    assert output.decode().strip() == repr([TOKEN, "key\n\udce9", None])


def test_short_word_is_looked_for_in_its_own_variable_alone() -> None:
    """A wrong token of a letter or two is a part of many values, PATH among them."""
    assert exposure.holds("/", "/")
    assert not exposure.holds("/usr/bin", "/")
    assert exposure.holds(f"--x={TOKEN}", TOKEN)
    assert not exposure.holds("", "")


async def test_crash_leaves_no_core_dump(tmp_path: Path) -> None:
    """Also where the launcher allows dumps of any size; and no other program gets a part of the memory either."""
    async with started(cwd=tmp_path, unlimited=True) as (process, (_up, child, _said)):
        for pid in (process.pid, int(child)):
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
            assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0
        await process.communicate(b"\n")
        assert process.returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_memory_is_for_nobody_of_the_same_user(tmp_path: Path) -> None:
    """A program of the same user, such as a browser that was broken into, cannot read our memory; our child it can."""
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
    async with started(*nobody) as (process, (_up, child, _said)):
        assert await reads(nobody, process.pid) == ["refused", "refused"]
        assert await reads(nobody, int(child)) == ["read", "read"]


async def reads(prefix: Sequence[str], pid: int) -> list[str]:
    """Return what another program gets that opens the memory and the environment of a process."""
    script = f"for name in mem environ; do (: < /proc/{pid}/$name) 2> /dev/null && echo read || echo refused; done"
    other = await asyncio.create_subprocess_exec(*prefix, "sh", "-c", script, stdout=asyncio.subprocess.PIPE)
    output, _ = await other.communicate()
    return output.decode().split()


@needs_filter
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
async def test_refused_call_is_no_reason_not_to_start(error: str) -> None:
    """A filter without prctl(2) or prlimit(2): the environment is covered all the same."""
    names = ("being dumpable", "prlimit64")
    async with started(sys.executable, "-m", "tests.refusing", error, *names, "--") as (process, (_up, _child, said)):
        assert said.startswith(TOKEN)
        assert TOKEN.encode() not in shown(process.pid)
