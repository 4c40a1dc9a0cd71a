"""Finishing: from a capture that ended to a recording that is posted. The work of `stopping` and `uploading`.

Works on files and the server alone: it waits for no browser and no display.
"""

from __future__ import annotations

import time
from pathlib import Path

from loguru import logger

from recorder_fsm.capture import Capture
from recorder_fsm.errors import MattermostError, RecordingError
from recorder_fsm.holdings import Holdings
from recorder_fsm.lifecycle import Event, Resource
from recorder_fsm.recording import Recording, Verified
from recorder_fsm.work import NAME_LIMIT_S, Work

PUBLISH_STALL_S = 1200.0
"""Without a stop signal there is no known end of the grace: give up after so long without any progress."""


class Finishing:
    """The last two steps."""

    def __init__(self, work: Work, recording: Recording) -> None:
        self._work = work
        self._recording = recording
        self._file: Verified | None = None
        self._advanced_at: float | None = None

    async def finish_file(self, holdings: Holdings) -> Event:
        began = time.monotonic()
        expected_s = self._work.memory.capture_s
        if Resource.CAPTURE in holdings:
            capture: Capture = holdings[Resource.CAPTURE]
            await capture.ended.wait()
            expected_s = capture.duration_s
            self._work.report.capture_ended(expected_s, capture.progress)
            self._work.journal.note("capture_ended", seconds=round(expected_s, 3))
        if not self._work.name:
            self._work.name = await self._name_of_leftover()
            self._work.journal.note("named", name=self._work.name)
        self._file = await self._finished_file(expected_s)
        self._work.report.file_ready(self._file, time.monotonic() - (capture_stop(holdings) or began))
        self._work.journal.note("file_ready", file=self._file.path.name, bytes=self._file.size_bytes)
        return Event.FILE_READY

    async def _finished_file(self, expected_s: float | None) -> Verified:
        """Return the file to publish: the rewritten one, or the live one where only that is fit."""
        live, final = self._work.directory.live, self._work.final
        if live.exists() or not final.exists():
            await self._recording.finalise(live, final)
        try:
            facts = await self._checked(final, expected_s)
        except RecordingError as error:
            if not live.exists():
                raise
            logger.warning("the rewritten file is not fit ({}); the live file is looked at", error)
            facts = await self._checked(live, expected_s, salvaged=True)
            live.replace(final)
            return facts.at(final)
        live.unlink(missing_ok=True)
        return facts

    async def _checked(self, path: Path, expected_s: float | None, *, salvaged: bool = False) -> Verified:
        facts = await self._recording.verify(path, expected_s=expected_s, salvaged=salvaged)
        for defect in facts.defects:
            logger.warning("the recording: {}", defect)
            self._work.report.note(defect)
        await self._recording.take_poster(path, self._work.directory.poster, facts.duration_s)
        return facts

    async def _name_of_leftover(self) -> str:
        try:
            return await self._work.bot.filename(NAME_LIMIT_S)
        except MattermostError as error:
            logger.warning("the recording keeps its id as its name: {}", error)
            return self._work.settings.recording_id

    async def publish(self, _: Holdings) -> Event:
        if self._file is None:
            raise RecordingError(detail="there is no finished file")
        self._advanced_at = time.monotonic()
        file_id = self._work.memory.file_id
        if file_id is None:
            file_id = await self._work.bot.upload(
                self._file.path,
                session_id=self._work.memory.session_id,
                on_session=lambda session: self._work.journal.note("upload_session", id=session),
                give_up=self.publish_seconds_left,
                on_progress=self._on_upload_progress,
            )
            self._work.journal.note("uploaded", file_id=file_id)
            await self._save(file_id)
        elif await self._work.bot.already_saved():
            logger.info("an earlier start had published the recording already")
        else:
            await self._save(file_id)
        self._work.journal.note("saved")
        self._work.report.published(file_id, self._file.size_bytes)
        self._file.path.unlink(missing_ok=True)
        logger.info("published {} ({} bytes) as file {}", self._file.path.name, self._file.size_bytes, file_id)
        return Event.PUBLISHED

    async def _save(self, file_id: str) -> None:
        if self._file is None:
            raise RecordingError(detail="there is no finished file")
        size = await self._work.bot.published_size(file_id)
        if size is not None and size != self._file.size_bytes:
            self._work.journal.note("uploaded", file_id=None)  # the next start uploads it anew
            raise RecordingError(
                "The published file is not complete.",
                detail=f"the server has {size} bytes, the recording {self._file.size_bytes}",
                code="size_differs",
            )
        await self._work.bot.save(file_id, self.publish_seconds_left)

    def _on_upload_progress(self, sent: int, total: int) -> None:
        self._advanced_at = time.monotonic()
        logger.debug("uploaded {} of {} bytes", sent, total)

    def publish_seconds_left(self) -> float:
        """Return how long publishing may still take: until nothing moves, and never beyond a launcher's grace."""
        now = time.monotonic()
        # The loop asks before the step has begun: what counted until then was the recording.
        return min((self._advanced_at or now) + PUBLISH_STALL_S - now, self._work.grace_left_s())


def capture_stop(holdings: Holdings) -> float | None:
    """Return when the capture was stopped, in seconds of the monotonic clock; None where there was none."""
    return holdings[Resource.CAPTURE].stopped_at if Resource.CAPTURE in holdings else None
