"""Publishing: from a finished file to a recording that is posted. The step of `uploading`."""

from __future__ import annotations

import time

from loguru import logger

from recorder_fsm.errors import RecordingError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.machine.runner import Ahead, Happened
from recorder_fsm.media.output_file import Verified
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.finish import Finish

STALL_S = 1200.0
"""Without a stop signal there is no known end of the grace: give up after so long without any progress."""


class Publish:
    """The last step. `finish` has made the file."""

    def __init__(self, job: JobContext, finish: Finish) -> None:
        self._job = job
        self._finish = finish
        self._advanced_at = 0.0

    async def publish(self, _: Ahead) -> Happened:
        """Upload the file, have it posted, and remove it."""
        file = self._finish.file
        if file is None:
            raise RecordingError(detail="there is no finished file")
        self._advanced_at = time.monotonic()  # what counted until now was the recording
        bot, memory, journal = self._job.bot, self._job.memory, self._job.journal
        file_id = memory.file_id
        if file_id is None:
            file_id = await bot.upload(
                file.path,
                session_id=memory.session_id,
                on_session=lambda session: journal.note("upload_session", id=session),
                time_left=self._time_left_s,
                on_progress=self._on_upload_progress,
            )
            journal.note("uploaded", file_id=file_id)
            await self._save(file, file_id)
        elif await bot.already_saved():
            logger.info("an earlier start had published the recording already")
        else:
            await self._save(file, file_id)
        journal.note("saved")
        self._job.report.published(file_id, file.size_bytes)
        self._job.directory.remove(file.path)
        logger.info("published {} ({} bytes) as file {}", file.path.name, file.size_bytes, file_id)
        return Happened(Event.PUBLISHED)

    async def _save(self, file: Verified, file_id: str) -> None:
        size = await self._job.bot.published_size(file_id)
        if size is not None and size != file.size_bytes:
            self._job.journal.note("uploaded", file_id=None)  # the next start uploads it anew
            raise RecordingError(
                "The published file is not complete.",
                detail=f"the server has {size} bytes, the recording {file.size_bytes}",
                code="size_differs",
            )
        await self._job.bot.save(file_id, self._time_left_s)

    def _on_upload_progress(self, sent: int, total: int) -> None:
        self._advanced_at = time.monotonic()
        logger.debug("uploaded {} of {} bytes", sent, total)

    def _time_left_s(self) -> float:
        """Return how long publishing may still take: until nothing advances, and never beyond a launcher's grace."""
        return min(self._advanced_at + STALL_S - time.monotonic(), self._job.grace_left_s())
