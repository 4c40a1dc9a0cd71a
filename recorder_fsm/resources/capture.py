"""The capture: audio feed, video grabber and encoder (`media`), and the pipes between them.

It writes one segment. Where the governor wishes for another preset, a second encoder with a grabber of its own begins
beside the first one, and hears the same audio. Once it has written to the disk it takes over: the first one ends, and
`join` finds the seam. Until then the first one has everything, and nothing that happens to the second one matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loguru import logger

from recorder_fsm.errors import CaptureError, ProgramError, RecorderError
from recorder_fsm.media.audio_feed import AudioFeed, audio_pipe
from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.governor import SLOWER
from recorder_fsm.media.presets import PresetLadder
from recorder_fsm.media.segment_writer import SegmentWriter
from recorder_fsm.media.timeline import SAMPLES_IN_A_SECOND, Segment, Timeline
from recorder_fsm.system.cgroup import memory_room_bytes
from recorder_fsm.system.clock import Stopwatch, now_s, running_timeout
from recorder_fsm.system.process import describe_exit

START_LIMIT_S = 10.0
STALL_LIMIT_S = 10.0
"""An encoder that has written no frame for so long is frozen, or its grabber is."""
SETTLE_S = 0.25
"""From the start of the programs to the begin of the segment: as long as they take on a machine with room."""
TAKE_OVER_SETTLE_S = 1.0
"""The same for a second encoder: the machine has no room, and nobody waits for it."""
TAKE_OVER_BYTES = 256 * 2**20
"""What a second grabber and encoder take at 1080p, while the first ones still run (docs/performance.md)."""
TAKE_OVER_LIMIT_S = 15.0
"""A second encoder that has written nothing by then is given up."""
ENCODER_DRAIN_S = 5.0
"""After so long in which nothing gets into the segment nothing more will come, when the capture is stopped. An encoder
that is only slow encodes all that is queued: eight frames, and what is in the pipes."""
BROKEN_DRAIN_S = 0.5
"""What an encoder may take to end when the capture is stopped for a fault: a new one waits."""
CHECK_EVERY_S = 0.5
TOO_SLOW, ROOM = "this machine is too slow for more", "there is room again"


class Capture:
    """Holds audio feed, grabber and encoder; ready when the first frame and the first audio are in the encoder.

    Leaving stops the grabbers at once and lets the encoder finish what is in the pipes; the segment's `ended` is set
    then, and nothing that comes after can add to it or take from it. `segment_path` gives the path for a number;
    `note` takes what a person should know of the recording; `ladder` is the recording's preset, and outlives us.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        timeline: Timeline,
        segment_path: Callable[[int], Path],
        env: Mapping[str, str],
        note: Callable[[str], None],
        *,
        ladder: PresetLadder | None = None,
    ) -> None:
        self._settings = settings
        self._timeline = timeline
        self._segment_path = segment_path
        self._env = dict(env)
        self._note = note
        self._ladder = ladder or PresetLadder(settings.preset)
        self._writer: SegmentWriter | None = None
        self._audio: AudioFeed | None = None
        self._heard: Segment | None = None
        """The segment with which the audio feed began: what is measured of the audio belongs to it."""
        self._changing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        """Writers that make no part of the recording any more, until they have ended."""

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
        while True:
            if cause := await self._lost(self._held()):
                return cause

    async def audio_restarted(self) -> None:
        """Read the sound server again, which was restarted under its old address."""
        if self._audio is not None:
            self._audio.restored()

    async def _lost(self, writer: SegmentWriter) -> RecorderError | None:
        """Wait until the capture is lost, or another writer has taken over from this one: None."""
        encoder, relay, grabber = writer.encoder, self._feed().relay, writer.grabber
        if encoder is None or relay is None or grabber is None:
            raise RuntimeError("the capture is not held")
        progress = writer.segment.progress
        quiet, frames = Stopwatch(), progress.frames
        while True:
            looked_at = now_s()
            waited: list[asyncio.Future[Any]] = [encoder.exited, relay.exited, grabber.exited]
            await asyncio.wait(waited, timeout=CHECK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if self._writer is not writer:
                return None
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

    def _held(self) -> SegmentWriter:
        if self._writer is None:
            raise RuntimeError("the capture is not held")
        return self._writer

    async def _start(self) -> None:
        # All start at once, and begin at a time that lies ahead: one that is late then is late alone.
        segment = self._heard = self._timeline.open(self._next_path(), SETTLE_S, self._ladder.preset)
        writer = self._writer = self._writer_of(segment)
        audio = self._audio = AudioFeed(self._settings, self._env, self._hear_relay)
        begin_s = self._timeline.at_s(segment.from_s)
        with contextlib.ExitStack() as handed_over:  # the children have them then
            audio_fd, relayed = audio_pipe()
            handed_over.callback(os.close, audio_fd)
            handed_over.callback(relayed.close)
            await writer.grab(begin_s)
            await audio.start(begin_s, relayed)
            await writer.encode(audio_fd)
        await writer.ready(writer.running, START_LIMIT_S)

    def _next_path(self) -> Path:
        return self._segment_path(len(self._timeline.segments) + 1)

    def _writer_of(self, segment: Segment) -> SegmentWriter:
        return SegmentWriter(self._settings, segment, self._env, self._ladder.wishes, self._hear_grabber)

    async def _end(self, drain_s: float) -> None:
        if self._writer is not None:
            self._timeline.stopped(self._writer.segment)
        ending: list[Coroutine[Any, Any, Any]] = []
        if self._writer is not None:
            ending.append(self._writer.finish(drain_s))
        if self._audio is not None:
            self._audio.end()
            ending.append(self._audio.stop())
            if self._audio.relay is not None and self._writer is not None:
                ending.append(self._writer.drained(self._audio.relay, drain_s, signal.SIGINT))
        if self._changing is not None:
            self._changing.cancel()
            ending.append(asyncio.wait({self._changing}))
        await asyncio.gather(*ending)
        await asyncio.gather(*self._ending)

    # --- another preset -------------------------------------------------------------------------------------------

    async def _change(self, preset: str, wish: str) -> None:
        """Have another encoder take over. The one that runs is not touched before the other one has written."""
        room = memory_room_bytes()
        if room is not None and room < TAKE_OVER_BYTES:
            self._changing = None
            self._give_up(preset, CaptureError(detail=f"it needs memory, and {round(room / 2**20)} MiB are left"))
            return
        first = self._held()
        second = self._writer_of(self._timeline.planned(self._next_path(), TAKE_OVER_SETTLE_S, preset))
        logger.info("another encoder is started, with the preset {}", preset)
        try:
            async with running_timeout(TAKE_OVER_LIMIT_S):
                await self._begin(second)
                await second.ready(second.written, TAKE_OVER_LIMIT_S)
            self._feed().follow_branch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the first one goes on
            self._give_up(preset, error)
            self._leave(second.abandon())
        except asyncio.CancelledError:
            self._leave(second.abandon())
            raise
        else:
            self._timeline.take_over(second.segment)
            self._writer = second
            self._leave(first.finish(ENCODER_DRAIN_S))
            self._ladder.changed(preset, now_s())
            self._say_preset(preset, wish)
        finally:
            self._changing = None

    async def _begin(self, writer: SegmentWriter) -> None:
        """Start a second writer, with the audio that the first one has; raises where anything of it does not start."""
        begin_s = writer.segment.from_s
        frame = round((begin_s - (self._heard.from_s if self._heard else 0.0)) * SAMPLES_IN_A_SECOND)
        with contextlib.ExitStack() as handed_over:
            audio_fd, relayed = audio_pipe()
            handed_over.callback(os.close, audio_fd)
            handed_over.callback(relayed.close)
            await self._feed().branch(relayed, frame)
            await writer.grab(self._timeline.at_s(begin_s))
            await writer.encode(audio_fd)

    def _feed(self) -> AudioFeed:
        if self._audio is None:
            raise RuntimeError("the capture is not held")
        return self._audio

    def _leave(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let a writer end by itself, within its own limits; the capture does not end before it."""
        task = asyncio.create_task(ending, name="end of a segment")
        self._ending.add(task)

    def _give_up(self, preset: str, error: Exception) -> None:
        self._feed().drop_branch()
        self._ladder.give_up()
        if isinstance(error, RecorderError):
            words = error.detail or error.sentence
        else:
            words = "it wrote nothing in time" if isinstance(error, TimeoutError) else type(error).__name__
        logger.warning("no encoder with the preset {} could take over, the one before goes on: {}", preset, words)
        self._note(f"at {self._timeline.elapsed_s:.0f} s: the preset could not be changed to {preset}: {words}")

    def _say_preset(self, preset: str, wish: str) -> None:
        why = ROOM if wish == SLOWER else TOO_SLOW
        logger.warning("the preset is {} from now on: {}", preset, why)
        if all(one.preset != preset for one in self._timeline.segments[:-1]):  # once for each
            self._note(f"at {self._timeline.elapsed_s:.0f} s: the preset is {preset}: {why}")

    def _hear_relay(self, line: str) -> bool:
        if line.startswith("audio "):
            if line == "audio comes" and self._timeline.audio_from_s is None:
                self._timeline.audio_from_s = self._timeline.captured_s
            logger.info("{} at {:.1f} s", line, self._timeline.elapsed_s)
            return True
        return self._heard is not None and self._heard.progress.take_relayed(line)

    def _hear_grabber(self, writer: SegmentWriter, line: str) -> bool:
        """Take a tally, say what has changed, and follow the governor's wish."""
        progress, asked = writer.segment.progress, self._settings.frame_rate
        before, lowest = progress.rate or asked, self._timeline.progress.lowest_rate or asked
        if not progress.take_grabbed(line):
            return False
        if progress.rate != before:
            why = TOO_SLOW if progress.rate < before else ROOM
            logger.warning("{} frames are captured in a second from now on: {}", progress.rate, why)
            if progress.lowest_rate < lowest:  # once for each step: a machine may be at its limit for hours
                self._note(f"at {self._timeline.elapsed_s:.0f} s: {progress.rate} frames in a second: {why}")
        if progress.wish and writer is self._writer and self._changing is None:
            preset = self._ladder.answer(progress.wish, now_s())
            if preset is not None:
                self._changing = asyncio.create_task(self._change(preset, progress.wish), name="another preset")
        return True
