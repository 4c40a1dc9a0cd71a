"""Real programs for unit tests: a display and a sound server, small, and what looks at them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import psutil

from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.capture import Capture
from recorder_fsm.resources.display import Display
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.system.process import ChildProcess, Finished, run

ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
WIDTH, HEIGHT = 640, 480
RATE = 20


@attrs.frozen
class Stage:
    """A display and a sound server that are up."""

    display: Display
    audio: AudioServer
    runtime: Path
    notes: list[str] = attrs.Factory(list)

    def capture(self, folder: Path, timeline: Timeline, *, preset: str = "ultrafast", **more: str) -> Capture:
        """Return a capture that writes its segment into `folder`; its programs have `more` in their environment."""
        settings = CaptureSettings(
            width=WIDTH,
            height=HEIGHT,
            frame_rate=RATE,
            video_rate_kbps=500,
            audio_rate_kbps=64,
            preset=preset,
            display=self.display.env["DISPLAY"],
            audio_server=self.audio.address,
            audio_source=self.audio.monitor,
        )
        env = {**ENV, **self.display.env, **self.audio.env, "HOME": str(self.runtime), **more}
        return Capture(settings, timeline, JobDirectory(folder).segment, env, self.notes.append)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start both in a short path: a Unix socket's is limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        runtime = Path(folder)
        async with (
            Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display,
            AudioServer(runtime=runtime, env=ENV) as audio,
        ):
            # As in a call: a sink that nobody plays into sleeps, and wakes up slowly.
            player = await ChildProcess.spawn(
                "pacat", ["pacat", "--raw", "--latency-msec=20", "/dev/zero"], env={**ENV, **audio.env}
            )
            try:
                yield Stage(display, audio, runtime)
            finally:
                await player.stop()


@asynccontextmanager
async def moving_screen(up: Stage) -> AsyncIterator[None]:
    """Show a test image that changes with each frame, as often as it is captured."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", f"testsrc=s={WIDTH}x{HEIGHT}:r={RATE}"]
    env = {**ENV, **up.display.env, **up.audio.env}
    window = await ChildProcess.spawn("window", [*command, "-pix_fmt", "yuv420p", "-f", "sdl2", "screen"], env=env)
    try:
        yield
    finally:
        await window.stop()


def slow_encoder(width: int, height: int) -> str:
    """Return an ffmpeg that takes its time for the preset `veryfast`: four frames of that size in a second."""
    return f"""#!{sys.executable} -IS
import os, sys, time
arguments = sys.argv[1:]
if "veryfast" in arguments:
    at = next(n for n, word in enumerate(arguments) if word.startswith("pipe:"))
    video, (read_end, write_end) = int(arguments[at][5:]), os.pipe()
    arguments[at] = f"pipe:{{read_end}}"
    if not os.fork():
        os.close(read_end)
        while data := os.read(video, {width * height * 3 // 2 // 16}):
            while data:
                data = data[os.write(write_end, data):]
            time.sleep(1 / 64)
        os._exit(0)
    os.close(write_end)
    os.close(video)
    os.set_inheritable(read_end, True)
os.execv({shutil.which("ffmpeg")!r}, ["ffmpeg", *arguments])
"""


async def ask(*command: str, env: Mapping[str, str]) -> Finished:
    """Run a program to its end, with a limit."""
    return await run(command[0], command, env={**ENV, **env}, limit_s=20)


def child(*words: str) -> psutil.Process:
    """Return the one child of ours whose command line has all `words`."""
    (found,) = children(*words)
    return found


def children(*words: str) -> list[psutil.Process]:
    """Return the children of ours whose command line has all `words`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.status() != psutil.STATUS_ZOMBIE and all(word in line for word in words):
                found.append(process)
    return found


async def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    """Wait for what nothing tells us of: what a program does, or the system with it."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def soon(awaitable: object) -> object:
    """Wait for what must come within two seconds, with room for a busy machine."""
    async with asyncio.timeout(10):
        return await awaitable  # type: ignore[misc]
