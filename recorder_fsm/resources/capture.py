"""The capture: grabbers, relay and encoder (`media`), the pipes between them, one segment."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from loguru import logger

from recorder_fsm.errors import CaptureError, ProgramError, RecorderError
from recorder_fsm.media.encode import CaptureSettings, Progress, encoder_command
from recorder_fsm.media.grab import audio_grabber_command, relay_command, video_grabber_command
from recorder_fsm.media.timeline import Segment, Timeline
from recorder_fsm.system.clock import Stopwatch, now_s
from recorder_fsm.system.process import ChildProcess, describe_exit

START_LIMIT_S = 10.0
STALL_LIMIT_S = 10.0
"""An encoder that has written no frame for so long is frozen, or its grabber is."""
SETTLE_S = 0.25
"""From the start of the programs to the begin of the segment: as long as they take on a machine with room."""
ENCODER_DRAIN_S = 5.0
"""After so long in which nothing gets into the segment nothing more will come, when the capture is stopped. An encoder
that is only slow encodes all that is queued: eight frames, and what is in the pipes."""
GRABBER_STOP_S = 2.0
"""The same for the video grabber, which waits for the encoder with the frame that it has."""
DRAIN_LIMIT_S = 60.0
BROKEN_DRAIN_S = 0.5
"""What an encoder may take to end when the capture is stopped for a fault: a new one waits."""
DRAIN_LOOK_S = 0.25
ENDED_S = 1.0
"""How long a program may take to end when it is told to."""
CHECK_EVERY_S = 0.5
AUDIO_RETRY_S = 1.0
"""When an audio grabber that ended is started again, unless the sound server's restart is told first."""
AUDIO_PIPE_BYTES = 1024 * 1024
"""Five seconds: an encoder that is busy with video must not hold up the relay."""


class AudioGrabber:
    """Keeps a reader of the sound server running, which writes to `pipe`; one that ends is started again.

    That it ends is no fault of the capture: the relay writes silence until audio is back, and the video goes on.
    """

    def __init__(self, settings: CaptureSettings, env: Mapping[str, str], pipe: BinaryIO) -> None:
        self._settings = settings
        self._env = env
        self._pipe = pipe
        self._restored = asyncio.Event()
        self._grabbing = asyncio.create_task(self._grab(), name="audio grabber")

    def restored(self) -> None:
        """Try again now: the sound server is back."""
        self._restored.set()

    async def stop(self) -> None:
        """Stop the reader, and wait for its end."""
        self._grabbing.cancel()
        await asyncio.wait({self._grabbing})

    async def _grab(self) -> None:
        while True:
            self._restored.clear()
            try:
                words = await self._read()
            except ProgramError as error:
                words = str(error)
            logger.warning("the audio grabber {}", words)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AUDIO_RETRY_S):
                    await self._restored.wait()

    async def _read(self) -> str:
        """Run the reader until it ends by itself; returns how."""
        command = audio_grabber_command(self._settings)
        reader = await ChildProcess.spawn("audio grabber", command, env=self._env, stdout=self._pipe.fileno())
        try:
            return f"{describe_exit(await reader.wait())}: {reader.last_words()}"
        finally:
            await reader.stop(wait_s=ENDED_S)


class Capture:
    """Holds grabbers, relay and encoder; ready when the first frame and the first audio are in the encoder.

    Leaving stops the grabbers at once and lets the encoder finish what is in the pipes; the segment's `ended` is set
    then, and nothing that comes after can add to it or take from it. `segment_path` gives the path for a number;
    `note` takes what a person should know of the recording.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        timeline: Timeline,
        segment_path: Callable[[int], Path],
        env: Mapping[str, str],
        note: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._segment_path = segment_path
        self._env = dict(env)
        self._note = note
        self._running = asyncio.Event()
        self._segment: Segment | None = None
        self._encoder: ChildProcess | None = None
        self._relay: ChildProcess | None = None
        self._grabber: ChildProcess | None = None
        self._audio: AudioGrabber | None = None
        # Ours to keep: it ends when we close it, not when a reader of the sound server is replaced.
        self._audio_pipe: BinaryIO | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self._end(BROKEN_DRAIN_S)
            if isinstance(error, ProgramError):
                raise CaptureError(detail=error.detail or error.sentence, code=error.code) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end(BROKEN_DRAIN_S if isinstance(error, CaptureError) else ENCODER_DRAIN_S)

    async def lost(self) -> RecorderError:
        """Wait until a program of the capture ends by itself, or no frame is written any more; returns the cause.

        The audio grabber is not one of them: audio that is missing does not end the video.
        """
        encoder, relay, grabber = self._programs()
        progress = self._held_segment().progress
        quiet, frames = Stopwatch(), progress.frames
        while True:
            looked_at = now_s()
            waited: list[asyncio.Future[Any]] = [encoder.exited, relay.exited, grabber.exited]
            await asyncio.wait(waited, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            # A broken encoder takes the others with it (broken pipe), so ask it first.
            for child in (encoder, relay, grabber):
                if child.exited.done():
                    cause = f"the {child.name} {describe_exit(child.exited.result())}: {child.last_words()}"
                    return CaptureError(detail=cause, code="capture_ended")
            if (stood_still_s := now_s() - looked_at) > STALL_LIMIT_S:
                logger.warning("the recorder stood still for {:.0f} s", stood_still_s)
            if progress.frames > frames or stood_still_s > STALL_LIMIT_S:
                quiet.restart()
                frames = progress.frames
            elif quiet.elapsed_s() > STALL_LIMIT_S:
                return CaptureError(detail=f"no frame was written for {STALL_LIMIT_S:g} s", code="video_stalled")

    async def audio_restarted(self) -> None:
        """Read the sound server again, which was restarted under its old address."""
        if self._audio is not None:
            self._audio.restored()

    def _programs(self) -> tuple[ChildProcess, ChildProcess, ChildProcess]:
        if self._encoder is None or self._relay is None or self._grabber is None:
            raise RuntimeError("the capture is not held")
        return self._encoder, self._relay, self._grabber

    def _held_segment(self) -> Segment:
        if self._segment is None:
            raise RuntimeError("the capture is not held")
        return self._segment

    async def _start(self) -> None:
        # All start at once, and begin at a time that lies ahead: one that is late then is late alone.
        number = len(self._timeline.segments) + 1
        segment = self._segment = self._timeline.open(self._segment_path(number), SETTLE_S)
        begin_s = self._timeline.at_s(segment.from_s)
        with contextlib.ExitStack() as handed_over:  # the children have them then
            relay_fd, self._audio_pipe = _pipe()
            handed_over.callback(os.close, relay_fd)
            self._audio = AudioGrabber(self._settings, self._env, self._audio_pipe)
            video_fd, frames = _pipe()
            handed_over.callback(os.close, video_fd)
            handed_over.callback(frames.close)
            audio_fd, relayed = _pipe(AUDIO_PIPE_BYTES)
            handed_over.callback(os.close, audio_fd)
            handed_over.callback(relayed.close)
            told_fd, start = _pipe()
            handed_over.callback(os.close, told_fd)
            handed_over.callback(start.close)
            start.write(f"{begin_s:.6f}\n".encode())
            grabber = self._grabber = await ChildProcess.spawn(
                "video grabber",
                video_grabber_command(sys.executable, self._settings),
                env=self._env,
                stdin=told_fd,
                stdout=frames.fileno(),
                on_line=self._hear_grabber,
            )
            self._relay = await ChildProcess.spawn(
                "audio relay",
                relay_command(sys.executable, begin_s),
                env=self._env,
                stdin=relay_fd,
                stdout=relayed.fileno(),
                on_line=self._hear_relay,
            )
            fds = (video_fd, audio_fd)
            command = encoder_command(
                self._settings, segment.path, video_fd=video_fd, audio_fd=audio_fd, from_s=segment.from_s
            )
            encoder = self._encoder = await ChildProcess.spawn(
                "encoder", command, env=self._env, pass_fds=fds, on_line=self._hear_encoder
            )
        running = asyncio.ensure_future(self._running.wait())
        try:
            await encoder.ready(running, limit_s=START_LIMIT_S)
        except ProgramError as error:
            # The words of a grabber that failed say more than those of an encoder without input, but not those of one
            # that merely lost its encoder.
            if not grabber.running and "Broken pipe" not in grabber.last_words():
                raise ProgramError(detail=f"{grabber.name}: {grabber.last_words()}") from error
            raise

    async def _end(self, drain_s: float) -> None:
        if self._segment is not None:
            self._timeline.stopped(self._segment)
        try:
            ending = [
                self._finish(program, drain_s, signal.SIGINT) for program in (self._relay, self._encoder) if program
            ]
            if self._grabber is not None:
                self._grabber.ask(signal.SIGINT)
                ending.append(self._finish(self._grabber, min(GRABBER_STOP_S, drain_s), signal.SIGKILL))
            if self._audio is not None:
                ending.append(self._audio.stop())
            if self._audio_pipe is not None:
                self._audio_pipe.close()  # the reader has it, too: its end is the end of the pipe
            await asyncio.gather(*ending)
            if self._encoder is not None and self._encoder.returncode:
                how = describe_exit(self._encoder.returncode)
                logger.warning("the encoder {}; the segment holds all that was written", how)
        finally:
            if self._segment is not None:
                self._segment.ended.set()

    async def _finish(self, program: ChildProcess, quiet_s: float, ask: signal.Signals) -> None:
        """Let a program end by itself while anything gets into the segment; after `quiet_s` seconds without, end it."""
        progress = self._segment.progress if self._segment else Progress()
        quiet, whole, seen = Stopwatch(), Stopwatch(), (0, 0)
        while program.running and quiet.elapsed_s() < quiet_s and whole.elapsed_s() < DRAIN_LIMIT_S:
            if seen != (now := (progress.frames, progress.size_bytes)):
                quiet.restart()
                seen = now
            await asyncio.wait({program.exited}, timeout=min(DRAIN_LOOK_S, quiet_s))
        await program.stop(ask=ask, wait_s=min(ENDED_S, quiet_s))

    def _hear_encoder(self, line: str) -> bool:
        progress = self._held_segment().progress
        taken = progress.take(line)
        if progress.frames and line.startswith("progress="):  # it also reports while it waits for the first frame
            self._running.set()
        return taken

    def _hear_relay(self, line: str) -> bool:
        if line.startswith("audio "):
            if line == "audio comes" and self._timeline.audio_from_s is None:
                self._timeline.audio_from_s = self._timeline.captured_s
            logger.info("{} at {:.1f} s", line, self._timeline.elapsed_s)
            return True
        return self._held_segment().progress.take_relayed(line)

    def _hear_grabber(self, line: str) -> bool:
        progress = self._held_segment().progress
        asked = self._settings.frame_rate
        before, lowest = progress.rate or asked, self._timeline.progress.lowest_rate or asked
        taken = progress.take_grabbed(line)
        if taken and progress.rate != before:
            lower = progress.rate < before
            why = "this machine is too slow for more" if lower else "there is room again"
            logger.warning("{} frames are captured in a second from now on: {}", progress.rate, why)
            if progress.lowest_rate < lowest:  # once for each step: a machine may be at its limit for hours
                self._note(f"at {self._timeline.elapsed_s:.0f} s: {progress.rate} frames in a second: {why}")
        return taken


def _pipe(size_bytes: int | None = None) -> tuple[int, BinaryIO]:
    """Return a pipe: the descriptor to read from, and the file to write into."""
    read_end, write_end = os.pipe()
    if size_bytes is not None:
        with contextlib.suppress(OSError):  # a limit of the system; the usual size lasts for a third of a second
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, size_bytes)
    return read_end, os.fdopen(write_end, "wb", buffering=0)
