"""The capture: two grabbers and an encoder (`media.grab`, `media.encode`), the pipes between them, one segment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from loguru import logger

from recorder_fsm.errors import CaptureError, ProgramError, RecorderError
from recorder_fsm.media.encode import CaptureSettings, encoder_command
from recorder_fsm.media.grab import LEAP_S, audio_grabber_command, silence_command, video_grabber_command
from recorder_fsm.media.timeline import Segment, Timeline
from recorder_fsm.system.clock import Stopwatch, now_s, running_timeout
from recorder_fsm.system.process import ChildProcess, describe_exit

START_LIMIT_S = 10.0
STALL_LIMIT_S = 10.0
"""An encoder that has written no frame for so long is frozen, or its grabber is."""
STALL_AFTER_PAUSE_S = 2.0
"""The same after the recorder, and perhaps the machine, stood still: the grabbers drop what comes after a leap."""
SETTLE_S = 0.5
"""From the start of the programs to the begin of the recording: they need as long to open the screen and the audio,
whose clock has settled then."""
GRABBER_STOP_S = 1.0
ENCODER_DRAIN_S = 5.0
BROKEN_DRAIN_S = 0.5
"""What an encoder may take to end when the capture is stopped for a fault: a new one waits."""
CHECK_EVERY_S = 0.5
CLOCK_STEP_S = 0.5
"""The wall clock and the steady one drift apart by less; more is somebody who set the clock."""
AUDIO_RETRY_S = 5.0
"""How long silence is fed before the audio grabber is tried again, unless the audio server's restart is told first."""


class AudioFeed:
    """Keeps the encoder's audio pipe flowing: with what the call plays, or with silence while that cannot be had.

    An audio grabber that ends is no fault of the capture: the video goes on, and audio is tried again.
    """

    def __init__(
        self, settings: CaptureSettings, env: Mapping[str, str], pipe: BinaryIO, clock_shift_s: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._env = env
        self._pipe = pipe
        self._clock_shift_s = clock_shift_s
        self._program: ChildProcess | None = None
        self._restored = asyncio.Event()
        self._feeding = asyncio.create_task(self._feed(), name="audio feed")

    def restored(self) -> None:
        """Try the audio grabber now: the audio server is back."""
        self._restored.set()

    async def renew(self) -> None:
        """Start the audio grabber anew, after the clock was set."""
        await self.stop()
        self._feeding = asyncio.create_task(self._feed(), name="audio feed")

    async def stop(self) -> None:
        """Stop what feeds the pipe, and wait for it."""
        self._feeding.cancel()
        await asyncio.wait({self._feeding})

    async def _feed(self) -> None:
        while True:
            try:
                grabber = await self._run("audio grabber", audio_grabber_command)
                words = f"{describe_exit(grabber.returncode or 0)}: {grabber.last_words()}"
            except ProgramError as error:
                words = str(error)
            logger.warning("the audio grabber {}; silence is recorded until it is back", words)
            self._restored.clear()
            silence = asyncio.create_task(self._run("silence", silence_command), name="silence")
            try:
                async with asyncio.timeout(AUDIO_RETRY_S):
                    await self._restored.wait()
            except TimeoutError:
                logger.debug("the audio grabber is tried again")
            finally:
                silence.cancel()
                await asyncio.wait({silence})

    async def _run(self, name: str, command: Callable[..., list[str]]) -> ChildProcess:
        shift = {"clock_shift_s": self._clock_shift_s()}
        argv = command(**shift) if command is silence_command else command(self._settings, **shift)
        program = await ChildProcess.spawn(name, argv, env=self._env, stdout=self._pipe.fileno())
        try:
            await program.wait()
        finally:
            await program.stop(ask=signal.SIGINT, wait_s=GRABBER_STOP_S)
        return program


class Capture:
    """Holds grabbers and encoder; ready when the first frame and the first audio are in the encoder.

    Leaving stops the grabbers at once and lets the encoder finish what is in the pipes; the segment's `ended` is set
    then, and nothing that comes after can add to it or take from it. `segment_path` gives the path for a number.
    """

    def __init__(
        self, settings: CaptureSettings, timeline: Timeline, segment_path: Callable[[int], Path], env: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._segment_path = segment_path
        self._env = dict(env)
        self._pipes: list[BinaryIO] = []
        self._encoder: ChildProcess | None = None
        self._grabber: ChildProcess | None = None
        self._audio: AudioFeed | None = None
        self._clock_shift_s = 0.0
        self._running = asyncio.Event()
        self._segment: Segment | None = None

    async def __aenter__(self) -> Self:
        self._segment = self._timeline.open(self._segment_path(len(self._timeline.segments) + 1), SETTLE_S)
        try:
            await self._start(self._segment)
        except BaseException as error:
            await self._end(self._segment, BROKEN_DRAIN_S)
            if isinstance(error, ProgramError):
                raise CaptureError(detail=error.detail or error.sentence, code=error.code) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._segment is not None:
            await self._end(self._segment, BROKEN_DRAIN_S if isinstance(error, CaptureError) else ENCODER_DRAIN_S)

    @property
    def behind_s(self) -> float:
        """How far the encoder is behind the clock, in seconds: it is slower than real time where this grows."""
        return self._timeline.elapsed_s - self._timeline.progress.position_s

    async def lost(self) -> RecorderError:
        """Wait until encoder or video grabber end by themselves, or no frame is written any more; returns the cause."""
        encoder, grabber = self._programs()
        progress = self._held_segment().progress
        quiet, frames, limit_s = Stopwatch(), progress.frames, STALL_LIMIT_S
        while True:
            looked_at = now_s()
            waited: list[asyncio.Future[Any]] = [encoder.exited, grabber.exited]
            await asyncio.wait(waited, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            # A broken encoder takes the grabber with it (broken pipe), so ask it first.
            for child in (encoder, grabber):
                if child.exited.done():
                    cause = f"ffmpeg ({child.name}) {describe_exit(child.exited.result())}: {child.last_words()}"
                    return CaptureError(detail=cause, code="capture_ended")
            if now_s() - looked_at > LEAP_S:
                logger.warning("the recorder stood still for {:.0f} s", now_s() - looked_at)
                quiet.restart()
                limit_s = STALL_AFTER_PAUSE_S
            if progress.frames > frames:
                quiet.restart()
                frames, limit_s = progress.frames, STALL_LIMIT_S
            elif quiet.elapsed_s() > limit_s:
                return CaptureError(detail=f"no frame was written for {limit_s:g} s", code="video_stalled")
            shift_s = self._timeline.clock_shift_s
            if abs(shift_s - self._clock_shift_s) > CLOCK_STEP_S:
                grabber = await self._follow_clock(shift_s)

    async def audio_restarted(self) -> None:
        """Read the audio server again, which was restarted under its old address."""
        if self._audio is not None:
            self._audio.restored()

    def _programs(self) -> tuple[ChildProcess, ChildProcess]:
        if self._encoder is None or self._grabber is None:
            raise RuntimeError("the capture is not held")
        return self._encoder, self._grabber

    def _held_segment(self) -> Segment:
        if self._segment is None:
            raise RuntimeError("the capture is not held")
        return self._segment

    async def _follow_clock(self, shift_s: float) -> ChildProcess:
        """Start the grabbers anew after the system clock was set: ffmpeg's devices stamp by that clock.

        The new ones take the step out of their stamps; the encoder goes on reading the same pipes. What is lost is the
        second that this takes, not the place of everything after it.
        """
        logger.warning(
            "the system clock was set by {:+.1f} s; the grabbers are started anew", shift_s - self._clock_shift_s
        )
        self._clock_shift_s = shift_s
        _, grabber = self._programs()
        await grabber.stop(ask=signal.SIGINT, wait_s=GRABBER_STOP_S)
        self._grabber = grabber = await self._spawn_grabber(self._pipes[0])
        if self._audio is not None:
            await self._audio.renew()
        return grabber

    async def _spawn_grabber(self, pipe: BinaryIO) -> ChildProcess:
        command = video_grabber_command(self._settings, clock_shift_s=self._clock_shift_s)
        return await ChildProcess.spawn("video grabber", command, env=self._env, stdout=pipe.fileno())

    async def _start(self, segment: Segment) -> None:
        if len(self._timeline.segments) > 1:
            self._clock_shift_s = self._timeline.clock_shift_s
        video_fd, video = _pipe()
        audio_fd, audio = _pipe()
        # Ours to keep: the encoder's input ends when we close it, not when a grabber is replaced.
        self._pipes = [video, audio]
        try:
            self._encoder = await ChildProcess.spawn(
                "encoder",
                encoder_command(
                    self._settings,
                    segment.path,
                    video_fd=video_fd,
                    audio_fd=audio_fd,
                    begin_s=self._timeline.begin_s,
                    from_s=segment.from_s,
                ),
                env=self._env,
                pass_fds=(video_fd, audio_fd),
                on_line=self._read_line,
            )
            self._grabber = await self._spawn_grabber(video)
            self._audio = AudioFeed(self._settings, self._env, audio, lambda: self._clock_shift_s)
        finally:
            os.close(video_fd)
            os.close(audio_fd)
        running = asyncio.ensure_future(self._running.wait())
        try:
            # An encoder without a grabber would wait for its input until the limit: end that input.
            self._grabber.exited.add_done_callback(self._close_pipes)
            await self._encoder.ready(running, limit_s=START_LIMIT_S)
            self._grabber.exited.remove_done_callback(self._close_pipes)
        except ProgramError as error:
            if not self._grabber.running:  # the grabber's words say more than those of an encoder without input
                raise ProgramError(detail=f"ffmpeg ({self._grabber.name}): {self._grabber.last_words()}") from error
            raise

    async def _end(self, segment: Segment, drain_s: float) -> None:
        self._timeline.stopped(segment)
        try:
            stopping: list[Awaitable[object]] = []
            if self._grabber is not None:
                stopping.append(self._grabber.stop(ask=signal.SIGINT, wait_s=min(GRABBER_STOP_S, drain_s)))
            if self._audio is not None:
                stopping.append(self._audio.stop())
            await asyncio.gather(*stopping)
            self._close_pipes()
            if self._encoder is not None:
                # It ends by itself at the end of its input; SIGINT is for one whose grabbers never wrote.
                with contextlib.suppress(TimeoutError):
                    async with running_timeout(drain_s):
                        await self._encoder.wait()
                code = await self._encoder.stop(ask=signal.SIGINT, wait_s=min(GRABBER_STOP_S, drain_s))
                if code != 0:
                    logger.warning("the encoder {}; the segment holds all that was written", describe_exit(code))
        finally:
            self._close_pipes()
            segment.ended.set()

    def _close_pipes(self, _: object = None) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _read_line(self, line: str) -> bool:
        progress = self._held_segment().progress
        taken = progress.take(line)
        if progress.frames and line.startswith("progress="):  # it also reports while it waits for the first frame
            self._running.set()
        return taken


def _pipe() -> tuple[int, BinaryIO]:
    """Return a pipe: the descriptor to read from, and the file to write into."""
    read_end, write_end = os.pipe()
    return read_end, os.fdopen(write_end, "wb")
