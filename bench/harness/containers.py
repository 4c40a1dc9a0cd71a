"""A recorder in a container under test: started by the engine's own client, followed by its log."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.harness.environment import job_variables
from bench.harness.recorder_process import RecorderProcess
from recorder_fsm.standin.state import CallIds

IMAGE = os.environ.get("RECORDER_FSM_IMAGE", "")
HERE = Path(__file__).parent
SECCOMP = HERE.parent.parent / "deploy" / "seccomp.json"
SMALL = {"WIDTH": "1280", "HEIGHT": "720", "FRAME_RATE": "20", "VIDEO_RATE": "1000", "VIDEO_PRESET": "ultrafast"}

# As calls-offloader creates its containers, apart from the name: no capabilities added, 64 MB of shared memory, no
# init, no limits, one fresh named volume (contract 4.5).
OFFLOADER = ("--shm-size", "64m", "--label", "app=mattermost-calls-offloader")
HARDENED = (
    *("--security-opt", f"seccomp={SECCOMP}", "--security-opt", "no-new-privileges", "--cap-drop", "ALL"),
    *("--read-only", "--tmpfs", "/tmp", "--shm-size", "64m"),  # noqa: S108 - in the container
)


async def docker(*words: str, check: bool = True, limit_s: float = 120.0) -> str:
    """Run the engine's client; returns what it printed on both channels."""
    process = await asyncio.create_subprocess_exec(
        "docker", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(limit_s):
        out, _ = await process.communicate()
    text = out.decode(errors="replace")
    assert not check or process.returncode == 0, f"docker {' '.join(words)}: {text}"
    return text


def job(url: str, ids: CallIds, **more: str) -> dict[str, str]:
    """Return the variables of a job as the offloader sets them (contract 1.3), for a small frame and a log in JSON."""
    return job_variables(url, ids, **{**SMALL, "LOG_FORMAT": "json", **more})


class Container(RecorderProcess):
    """One container, as its attached client sees it; `name` is its name and that of its volume."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ids: CallIds) -> None:
        super().__init__(process, ids, Path("/data"))
        self.name = name

    async def inspect(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(await docker("inspect", self.name))[0]
        return state

    async def execute(self, *words: str, user: str = "root") -> str:
        """Run a program in the container."""
        return await docker("exec", "--user", user, self.name, *words)

    async def stop(self, grace_s: int = 300) -> None:
        """Ask the container to end, as the offloader does at the maximum duration (contract 4.2)."""
        await docker("stop", "--time", str(grace_s), self.name)

    async def files(self) -> dict[str, tarfile.TarInfo]:
        """Return what lies in the job's directory on the volume, by name."""
        return {info.name.split("/", 1)[-1]: info for info in (await self._archive(str(self.job_dir))).getmembers()[1:]}

    async def on_volume(self) -> list[str]:
        """Return the paths of all that lies on the volume, itself included."""
        return [info.name.rstrip("/") for info in (await self._archive("/data")).getmembers()]

    async def read(self, name: str) -> bytes:
        """Return a file of the job's directory."""
        archive = await self._archive(f"{self.job_dir}/{name}")
        file = archive.extractfile(archive.getmembers()[0])
        assert file is not None
        return file.read()

    async def _archive(self, path: str) -> tarfile.TarFile:
        process = await asyncio.create_subprocess_exec(
            *("docker", "cp", f"{self.name}:{path}", "-"), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, f"there is no {path} in {self.name}"
        return tarfile.open(fileobj=BytesIO(out))


@asynccontextmanager
async def container(
    *options: str, env: dict[str, str], ids: CallIds, volume: bool = True, command: tuple[str, ...] = ()
) -> AsyncIterator[Container]:
    """Run a container of the image with a volume of its own; both are removed afterwards."""
    name = f"recorder-fsm-test-{secrets.token_hex(4)}"
    mounts = ("--volume", f"{name}:/data") if volume else ()
    # The values stay out of the client's command line, as they stay out of the offloader's.
    variables = [word for variable in env for word in ("--env", variable)]
    run = await _attached(
        name, ids, env, "run", "--name", name, "--network", "host", *mounts, *variables, *options, IMAGE, *command
    )
    try:
        yield run
    finally:
        await docker("rm", "--force", name, check=False)
        await run.exit_code()
        await docker("volume", "rm", "--force", name, check=False)


async def started_again(before: Container) -> Container:
    """Start a container that ended once more, on its volume and with what is left in its file system."""
    return await _attached(before.name, before.ids, {}, "start", "--attach", before.name)


async def _attached(name: str, ids: CallIds, env: dict[str, str], *words: str) -> Container:
    process = await asyncio.create_subprocess_exec(
        "docker",
        *words,
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=4 * 1024 * 1024,
    )
    return Container(name, process, ids)


def offloader_profile(directory: Path, version: str = "") -> tuple[str, str]:
    """Write calls-offloader's allow-list (contract 4.5) as a profile; returns the options that select it.

    That of `version`, or the present one.
    """
    names = [name for name in _names("offloader_syscalls.txt") if name not in offloader_lacks(version)]
    rules = [{"name": name, "action": "SCMP_ACT_ALLOW", "args": None} for name in names]
    path = directory / "offloader-seccomp.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    return ("--security-opt", f"seccomp={path}")


def offloader_lacks(version: str) -> list[str]:
    """Return what the allow-list of an older calls-offloader lacks that the present one has."""
    return _names("offloader_syscalls_since_0.9.5.txt") if version == "0.9.4" else []


def _names(file: str) -> list[str]:
    return (HERE / file).read_text().split()
