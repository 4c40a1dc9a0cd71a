"""Real programs for unit tests: a display and a sound server, small, and what asks them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import psutil

from recorder_fsm.media.ffmpeg import CaptureSettings
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.capture import Capture
from recorder_fsm.resources.display import Display
from recorder_fsm.system.process import ChildProcess, Finished, run

ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
WIDTH, HEIGHT = 640, 480


@attrs.frozen
class Stage:
    """A display and a sound server that are up."""

    display: Display
    sound: AudioServer
    runtime: Path

    def capture(self, live: Path) -> Capture:
        settings = CaptureSettings(
            width=WIDTH,
            height=HEIGHT,
            frame_rate=20,
            video_rate_kbps=500,
            audio_rate_kbps=64,
            preset="ultrafast",
            display=self.display.env["DISPLAY"],
            sound_server=self.sound.address,
            sound_source=self.sound.monitor,
        )
        return Capture(settings, live, {**ENV, **self.display.env, **self.sound.env, "HOME": str(self.runtime)})


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Raise both in a short path: a Unix socket's is limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        runtime = Path(folder)
        async with (
            Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV) as display,
            AudioServer(runtime=runtime, env=ENV) as sound,
        ):
            # As in a call: a sink that nobody plays into sleeps, and wakes up slowly.
            player = await ChildProcess.spawn(
                "pacat", ["pacat", "--raw", "--latency-msec=20", "/dev/zero"], env={**ENV, **sound.env}
            )
            try:
                yield Stage(display, sound, runtime)
            finally:
                await player.stop()


async def ask(*command: str, env: Mapping[str, str]) -> Finished:
    """Run a program to its end, with a limit."""
    return await run(command[0], command, env={**ENV, **env}, limit_s=20)


def child(*words: str) -> psutil.Process:
    """Return the one child of ours whose command line has all `words`."""
    (found,) = (
        process
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE and all(word in " ".join(process.cmdline()) for word in words)
    )
    return found


async def soon(awaitable: object) -> object:
    """Wait for what must come within two seconds, with room for a busy machine."""
    async with asyncio.timeout(10):
        return await awaitable  # type: ignore[misc]
