"""The audio feed: a reader of the sound server, and the relay that makes a stream without a gap of what it reads.

It goes on while one encoder follows another: for a while the relay writes to both (`audio_relay`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import BinaryIO

from loguru import logger

from recorder_fsm.errors import CaptureError, ProgramError
from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.grab import audio_grabber_command, relay_command
from recorder_fsm.system.process import ChildProcess, describe_exit

RETRY_S = 1.0
"""When an audio grabber that ended is started again, unless the sound server's restart is told first."""
PIPE_BYTES = 1024 * 1024
"""Five seconds: an encoder that is busy with video must not hold up the relay."""
ENDED_S = 1.0
"""How long the reader may take to end when it is told to."""
SECOND, OPEN, CLOSED = "second=", "open", "closed"
"""What the relay says of its second output: also `late` and `lost`."""


class AudioFeed:
    """Keeps a reader of the sound server running; one that ends is started again. `relay` is there once it is started.

    That the reader ends is no fault of the capture: the relay writes silence until audio is back, and the video goes
    on. `heard` takes the relay's lines.
    """

    def __init__(self, settings: CaptureSettings, env: Mapping[str, str], heard: Callable[[str], bool]) -> None:
        self.relay: ChildProcess | None = None
        self._settings = settings
        self._env = env
        self._heard = heard
        # Ours to keep: it ends when we close it, not when a reader of the sound server is replaced.
        self._relay_fd, self._pipe = os.pipe()
        self._control, self._told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._second = CLOSED
        self._second_said = asyncio.Event()
        self._restored = asyncio.Event()
        self._grabbing = asyncio.create_task(self._grab(), name="audio grabber")

    async def start(self, begin_s: float, target: BinaryIO) -> None:
        """Start the relay, which begins at that time by `system.clock.now_s`; raises `ProgramError`."""
        self.relay = await ChildProcess.spawn(
            "audio relay",
            relay_command(sys.executable, begin_s, self._told.fileno()),
            env=self._env,
            stdin=self._relay_fd,
            stdout=target.fileno(),
            pass_fds=(self._told.fileno(),),
            on_line=self._hear,
        )
        self._let_go()

    def restored(self) -> None:
        """Try again now: the sound server is back."""
        self._restored.set()

    async def branch(self, target: BinaryIO, frame: int) -> None:
        """Have the relay write to `target`, too, from that frame since its begin on.

        Raises `CaptureError` where that has passed, `OSError` where the relay does not listen.
        """
        self._second_said.clear()
        self._tell(f"also {frame}", target.fileno())
        await self._second_said.wait()
        self.check_branch()

    def check_branch(self) -> None:
        """Raise `CaptureError` where the second output has not got everything."""
        if self._second != OPEN:
            raise CaptureError(detail=f"the relay's second output is {self._second}")

    def follow_branch(self) -> None:
        """Have the relay write to its second output alone; raises as `branch` does."""
        self.check_branch()
        self._tell("only")

    def drop_branch(self) -> None:
        """Have the relay write to its first output alone, where it still does."""
        with contextlib.suppress(OSError):
            self._tell("not")

    def end(self) -> None:
        """End the relay's input: it ends once it has written what it has."""
        self._let_go()
        if self._pipe >= 0:
            os.close(self._pipe)  # the reader has it, too: its end is the end of the pipe
            self._pipe = -1

    async def stop(self) -> None:
        """Stop the reader, and wait for its end."""
        self._grabbing.cancel()
        await asyncio.wait({self._grabbing})
        self._control.close()

    def _let_go(self) -> None:
        """Close what the relay has."""
        self._told.close()
        if self._relay_fd >= 0:
            os.close(self._relay_fd)
            self._relay_fd = -1

    def _tell(self, words: str, *descriptors: int) -> None:
        socket.send_fds(self._control, [words.encode()], list(descriptors))

    def _hear(self, line: str) -> bool:
        if not line.startswith(SECOND):
            return self._heard(line)
        self._second = line.removeprefix(SECOND)
        self._second_said.set()
        return True

    async def _grab(self) -> None:
        while True:
            self._restored.clear()
            try:
                words = await self._read()
            except ProgramError as error:
                words = str(error)
            logger.warning("the audio grabber {}", words)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._restored.wait()

    async def _read(self) -> str:
        """Run the reader until it ends by itself; returns how."""
        command = audio_grabber_command(self._settings)
        reader = await ChildProcess.spawn("audio grabber", command, env=self._env, stdout=self._pipe)
        try:
            return f"{describe_exit(await reader.wait())}: {reader.last_words()}"
        finally:
            await reader.stop(wait_s=ENDED_S)


def audio_pipe() -> tuple[int, BinaryIO]:
    """Return a pipe that holds some seconds of audio: the descriptor to read from, and the file to write into."""
    read_end, write_end = os.pipe()
    with contextlib.suppress(OSError):  # a limit of the system; the usual size lasts for a third of a second
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, os.fdopen(write_end, "wb", buffering=0)
