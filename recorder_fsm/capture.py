"""The capture: a grabber and an encoder (see `ffmpeg`), the pipe between them, and what they say of themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs
from loguru import logger

from recorder_fsm.errors import CaptureError, ProgramError, RecorderError
from recorder_fsm.ffmpeg import BLACK_KEYS, LEVEL_KEYS, CaptureSettings, encoder_command, grabber_command
from recorder_fsm.processes import ChildProcess, describe_exit

START_LIMIT_S = 10.0
STALL_LIMIT_S = 10.0
"""An encoder that has written nothing for so long is frozen, or its grabber is."""
SETTLE_S = 0.5
"""From the start of the programs to the begin of the file: they need as long to open the screen and the sound, whose
clock has settled then."""
GRABBER_STOP_S = 1.0
ENCODER_DRAIN_S = 5.0
CHECK_EVERY_S = 1.0
CLOCK_STEP_S = 0.5
"""The wall clock and the monotonic clock drift apart by less; more is somebody who set the clock."""
SILENCE_DBFS = -90.0


@attrs.define
class Progress:
    """What ffmpeg said last: pictures written, position in seconds, bytes written, speed against real time.

    `level_dbfs` is the sound of the last second (root mean square), `loudest_dbfs` its highest peak so far, `heard_s`
    the number of seconds that were not silent, of `measured_s`. `black`: the picture is black now.
    """

    frames: int = 0
    position_s: float = 0.0
    size_bytes: int = 0
    dropped: int = 0
    speed: float = 0.0
    level_dbfs: float = float("-inf")
    loudest_dbfs: float = float("-inf")
    heard_s: int = 0
    measured_s: int = 0
    black: bool = False
    advanced_at: float = 0.0
    measured_at: float = 0.0


class Capture:
    """Holds grabber and encoder; ready when the first picture and the first sound are in the encoder.

    Leaving stops the grabber at once and lets the encoder finish what is in the pipe; `ended` is set then, and nothing
    that comes after can add to or take from the live file.
    """

    def __init__(self, settings: CaptureSettings, live: Path, env: Mapping[str, str]) -> None:
        self._settings = settings
        self._live = live
        self._env = dict(env)
        self._grabber: ChildProcess | None = None
        self._encoder: ChildProcess | None = None
        self._pipe: BinaryIO | None = None
        self._clock_lead_s = 0.0
        self._clock_shift_s = 0.0
        self._running = asyncio.Event()
        self.progress = Progress()
        self.ended = asyncio.Event()
        self.begin_s = 0.0
        self.started_at = 0.0
        self.stopped_at = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException as error:
            await self._end()
            if isinstance(error, ProgramError):
                raise CaptureError(detail=error.detail or error.sentence, code=error.code) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    @property
    def duration_s(self) -> float:
        """Seconds by the monotonic clock from the begin of the file to the stop, or to now."""
        return (self.stopped_at or time.monotonic()) - self.started_at if self.started_at else 0.0

    @property
    def behind_s(self) -> float:
        """How far the encoder is behind the clock, in seconds: it is slower than real time where this grows."""
        return self.duration_s - self.progress.position_s

    async def lost(self) -> RecorderError:
        """Wait until a program of the capture ends by itself, or nothing moves on; returns the cause."""
        while True:
            encoder, grabber = self._programs()
            waited: list[asyncio.Future[Any]] = [encoder.exited, grabber.exited]
            await asyncio.wait(waited, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            # A broken encoder takes the grabber with it (broken pipe), so ask it first.
            for child in (encoder, grabber):
                if child.exited.done():
                    cause = f"ffmpeg ({child.name}) {describe_exit(child.exited.result())}: {child.last_words()}"
                    return CaptureError(detail=cause, code="capture_ended")
            now = time.monotonic()
            if now - self.progress.advanced_at > STALL_LIMIT_S:
                return CaptureError(detail=f"no picture was written for {STALL_LIMIT_S:g} s", code="picture_stalled")
            if now - max(self.progress.measured_at, self.started_at) > STALL_LIMIT_S:
                return CaptureError(detail=f"no sound came for {STALL_LIMIT_S:g} s", code="sound_stalled")
            shift_s = clock_lead_s() - self._clock_lead_s
            if abs(shift_s - self._clock_shift_s) > CLOCK_STEP_S:
                await self._follow_clock(shift_s)

    def _programs(self) -> tuple[ChildProcess, ChildProcess]:
        if self._encoder is None or self._grabber is None:
            raise RuntimeError("the capture is not held")
        return self._encoder, self._grabber

    async def _follow_clock(self, shift_s: float) -> None:
        """Start the grabber anew after the system clock was set: ffmpeg's devices stamp by that clock.

        The new one takes the step out of its stamps; the encoder goes on reading the same pipe. What is lost is the
        second that this takes, not the place of everything after it.
        """
        logger.warning(
            "the system clock was set by {:+.1f} s; the grabber is started anew", shift_s - self._clock_shift_s
        )
        self._clock_shift_s = shift_s
        _, grabber = self._programs()
        await grabber.stop(ask=signal.SIGINT, wait_s=GRABBER_STOP_S)
        if self._pipe is not None:
            self._grabber = await self._spawn_grabber(self._pipe)

    async def _spawn_grabber(self, pipe: BinaryIO) -> ChildProcess:
        command = grabber_command(self._settings, clock_shift_s=self._clock_shift_s)
        return await ChildProcess.spawn("grabber", command, env=self._env, stdout=pipe.fileno())

    async def _start(self) -> None:
        read_end, write_end = os.pipe()
        # Ours to keep: the encoder's input ends when we close it, not when a grabber is replaced.
        pipe = self._pipe = os.fdopen(write_end, "wb")
        try:
            self._clock_lead_s = clock_lead_s()
            self.started_at = time.monotonic() + SETTLE_S
            self.begin_s = self.started_at + self._clock_lead_s
            self._encoder = await ChildProcess.spawn(
                "encoder",
                encoder_command(self._settings, self._live, begin_s=self.begin_s),
                env=self._env,
                stdin=read_end,
                on_line=self._read_line,
            )
            self._grabber = await self._spawn_grabber(pipe)
        finally:
            os.close(read_end)
        running = asyncio.ensure_future(self._running.wait())
        try:
            # An encoder without a grabber would wait for its input until the limit: end that input.
            self._grabber.exited.add_done_callback(self._close_pipe)
            await self._encoder.ready(running, limit_s=START_LIMIT_S)
            self._grabber.exited.remove_done_callback(self._close_pipe)
        except ProgramError as error:
            if not self._grabber.running:  # the grabber's words say more than those of an encoder without input
                raise ProgramError(detail=f"ffmpeg ({self._grabber.name}): {self._grabber.last_words()}") from error
            raise

    async def _end(self) -> None:
        self.stopped_at = self.stopped_at or time.monotonic()
        try:
            if self._grabber is not None:
                await self._grabber.stop(ask=signal.SIGINT, wait_s=GRABBER_STOP_S)
            self._close_pipe()
            if self._encoder is not None:
                # It ends by itself at the end of its input; SIGINT is for one whose grabber never wrote.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ENCODER_DRAIN_S):
                        await self._encoder.wait()
                code = await self._encoder.stop(ask=signal.SIGINT, wait_s=GRABBER_STOP_S)
                if code != 0:
                    logger.warning("the encoder {}; the live file holds all that was written", describe_exit(code))
        finally:
            self.ended.set()

    def _close_pipe(self, _: object = None) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def _read_line(self, line: str) -> bool:
        """Take one line of the encoder's standard output: progress (`key=value`) or a level; False for any other."""
        key, separator, value = line.partition("=")
        if not separator:
            return line.startswith("frame:")  # the head of a level, which says nothing new
        if key in LEVEL_KEYS:
            self._read_level(key, _number(value))
            return True
        if key in BLACK_KEYS:
            self.progress.black = key == BLACK_KEYS[0]
            return True
        if " " in key:
            return False
        self._read_progress(key, value.strip())
        return True

    def _read_progress(self, key: str, value: str) -> None:
        progress = self.progress
        match key:
            case "frame":
                frames = int(_number(value))
                if frames > progress.frames:
                    progress.advanced_at = time.monotonic()
                progress.frames = frames
            case "out_time_us":
                progress.position_s = _number(value) / 1e6
            case "total_size":
                progress.size_bytes = int(_number(value))
            case "drop_frames":
                progress.dropped = int(_number(value))
            case "speed":
                progress.speed = _number(value.rstrip("x"))
            case "progress":
                if progress.frames:  # it also reports while it still waits for the first picture
                    self._running.set()

    def _read_level(self, key: str, level_dbfs: float) -> None:
        progress = self.progress
        if key == LEVEL_KEYS[0]:
            progress.measured_at = time.monotonic()
            progress.level_dbfs = level_dbfs
            progress.measured_s += 1
            progress.heard_s += level_dbfs > SILENCE_DBFS
        else:
            progress.loudest_dbfs = max(progress.loudest_dbfs, level_dbfs)


def clock_lead_s() -> float:
    """Return by how much the wall clock is ahead of the monotonic one, which nobody can set."""
    return time.time() - time.monotonic()


def _number(text: str) -> float:
    """Return a number of ffmpeg's; what it does not know (`N/A`) is 0, silence is minus infinity."""
    try:
        return float(text)
    except ValueError:
        return 0.0
