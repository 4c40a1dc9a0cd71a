"""The segment writer: a video grabber and the encoder that it feeds, from their start to the last byte of the segment.

One of them makes the recording; while another preset is taken, there are two. The audio comes from outside
(`audio_relay`), since it goes on from one to the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import attrs
from loguru import logger

from recorder_fsm.errors import ProgramError
from recorder_fsm.media.encode import CaptureSettings, encoder_command
from recorder_fsm.media.grab import video_grabber_command
from recorder_fsm.media.timeline import Segment
from recorder_fsm.system.clock import Stopwatch
from recorder_fsm.system.process import ChildProcess, describe_exit

GRABBER_STOP_S = 2.0
"""After so long in which nothing gets into the segment the grabber is ended, which waits for the encoder with the frame
that it has."""
DRAIN_LIMIT_S = 60.0
DRAIN_LOOK_S = 0.25
ENDED_S = 1.0
"""How long a program may take to end when it is told to."""


class SegmentWriter:
    """Writes one segment. `running` is set with the first frame in the encoder, `written` with the first on the disk.

    `wishes`: those for another preset that may be followed (`governor`); `heard` takes the lines of the grabber.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        segment: Segment,
        env: Mapping[str, str],
        wishes: Sequence[str],
        heard: Callable[[SegmentWriter, str], bool],
    ) -> None:
        self.segment = segment
        self.running, self.written = asyncio.Event(), asyncio.Event()
        self.grabber: ChildProcess | None = None
        self.encoder: ChildProcess | None = None
        self._settings = attrs.evolve(settings, preset=segment.preset or settings.preset)
        self._env = env
        self._wishes = wishes
        self._heard = heard
        self._frames_fd: int | None = None

    async def grab(self, begin_s: float) -> None:
        """Start the grabber, which begins at that time by `system.clock.now_s`; raises `ProgramError`."""
        with contextlib.ExitStack() as handed_over:  # the child has them then
            told_fd, start = pipe()
            handed_over.callback(os.close, told_fd)
            handed_over.callback(start.close)
            start.write(f"{begin_s:.6f}\n".encode())
            self._frames_fd, frames = pipe()
            handed_over.callback(frames.close)
            self.grabber = await ChildProcess.spawn(
                "video grabber",
                video_grabber_command(sys.executable, self._settings, self._wishes),
                env=self._env,
                stdin=told_fd,
                stdout=frames.fileno(),
                on_line=self._hear_grabber,
            )

    async def encode(self, audio_fd: int) -> None:
        """Start the encoder, with audio from there; raises `ProgramError`. The grabber has been started."""
        if self._frames_fd is None:
            raise RuntimeError("nothing is grabbed")
        segment = self.segment
        command = encoder_command(
            self._settings, segment.path, video_fd=self._frames_fd, audio_fd=audio_fd, from_s=segment.from_s
        )
        fds = (self._frames_fd, audio_fd)
        self.encoder = await ChildProcess.spawn(
            "encoder", command, env=self._env, pass_fds=fds, on_line=self._hear_encoder
        )
        self._close()

    async def ready(self, event: asyncio.Event, limit_s: float) -> None:
        """Wait for `running` or `written`; raises `ProgramError` where a program ends first, or after `limit_s`."""
        if self.encoder is None or self.grabber is None:
            raise RuntimeError("nothing is encoded")
        try:
            await self.encoder.ready(asyncio.ensure_future(event.wait()), limit_s=limit_s)
        except ProgramError as error:
            # The words of a grabber that failed say more than those of an encoder without input, but not those of one
            # that merely lost its encoder.
            if not self.grabber.running and "Broken pipe" not in self.grabber.last_words():
                raise ProgramError(detail=f"{self.grabber.name}: {self.grabber.last_words()}") from error
            raise

    async def finish(self, drain_s: float) -> None:
        """Stop the grabber, and let the encoder finish what is in the pipes; it ends with its audio, too.

        After `drain_s` seconds in which nothing gets into the segment both are ended.
        """
        self._close()
        try:
            ending = []
            if self.encoder is not None:
                ending.append(self.drained(self.encoder, drain_s, signal.SIGINT))
            if self.grabber is not None:
                self.grabber.ask(signal.SIGINT)
                ending.append(self.drained(self.grabber, min(GRABBER_STOP_S, drain_s), signal.SIGKILL))
            await asyncio.gather(*ending)
            if self.encoder is not None and self.encoder.returncode:
                how = describe_exit(self.encoder.returncode)
                logger.warning("the encoder {}; the segment holds all that was written", how)
        finally:
            self.segment.ended.set()

    async def abandon(self) -> None:
        """End both at once; what they wrote is removed."""
        self._close()
        try:
            both = [program for program in (self.grabber, self.encoder) if program is not None]
            await asyncio.gather(*(program.stop(ask=signal.SIGKILL) for program in both))
        finally:
            with contextlib.suppress(OSError):
                self.segment.path.unlink(missing_ok=True)
            self.segment.ended.set()

    async def drained(self, program: ChildProcess, quiet_s: float, ask: signal.Signals) -> None:
        """Let a program end by itself while anything gets into the segment; after `quiet_s` seconds without, end it."""
        progress = self.segment.progress
        quiet, whole, seen = Stopwatch(), Stopwatch(), (0, 0)
        while program.running and quiet.elapsed_s() < quiet_s and whole.elapsed_s() < DRAIN_LIMIT_S:
            if seen != (now := (progress.frames, progress.size_bytes)):
                quiet.restart()
                seen = now
            await asyncio.wait({program.exited}, timeout=min(DRAIN_LOOK_S, quiet_s))
        await program.stop(ask=ask, wait_s=min(ENDED_S, quiet_s))

    def _close(self) -> None:
        """Let go of the pipe between the two: they have it."""
        if self._frames_fd is not None:
            os.close(self._frames_fd)
            self._frames_fd = None

    def _hear_encoder(self, line: str) -> bool:
        progress = self.segment.progress
        taken = progress.take(line)
        if progress.frames and line.startswith("progress="):  # it also reports while it waits for the first frame
            self.running.set()
            if progress.size_bytes:
                self.written.set()
        return taken

    def _hear_grabber(self, line: str) -> bool:
        return self._heard(self, line)


def pipe() -> tuple[int, BinaryIO]:
    """Return a pipe: the descriptor to read from, and the file to write into."""
    read_end, write_end = os.pipe()
    return read_end, os.fdopen(write_end, "wb", buffering=0)
