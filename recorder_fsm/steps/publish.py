"""Publishing: from a finished file to a recording that the Calls plugin has posted. The step of `uploading`.

`post_parts` is the other way, by Mattermost's own API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from loguru import logger

from recorder_fsm.errors import RecordingError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.machine.runner import Ahead, Happened
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.media.output_file import Verified
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.finish import Finish
from recorder_fsm.system.clock import Stopwatch

if TYPE_CHECKING:
    from recorder_fsm.mattermost.bot import CallsBot

STALL_S = 1200.0
"""Without a stop signal there is no known end of the grace: give up after so long without any progress."""


class Publish:
    """The last step. `finish` has made the file."""

    def __init__(self, job: JobContext, finish: Finish) -> None:
        self._job = job
        self._finish = finish
        self._still = Stopwatch()
        """Since something advanced."""

    @property
    def _bot(self) -> CallsBot:
        return cast("CallsBot", self._job.bot)  # `steps_of` takes this step where the plugin posts

    async def publish(self, _: Ahead) -> Happened:
        """Upload the file, have it posted, and remove it."""
        file = self._finish.file
        if file is None:
            raise RecordingError(detail="there is no finished file")
        self._still.restart()  # what counted until now was the recording
        with self._still.ticking():
            return await self._publish(file)

    async def _publish(self, file: Verified) -> Happened:
        bot, memory, journal = self._bot, self._job.memory, self._job.journal
        file_id, may_be_posted = memory.file_id, False
        await self._job.still_ours()
        if not self._job.timeline.segments:  # recorded by an earlier process, which may have had it posted
            evidence = await bot.posted(file_id, self._time_left_s)
            if evidence.shown:
                return await self._published_before(file, file_id or evidence.file_id)
            may_be_posted = evidence.shown is None and file_id is not None
        if file_id is None:
            file_id = await bot.upload(
                file.path,
                begun=Begun(memory.session_id, memory.session_file_id or "") if memory.session_id else None,
                on_session=lambda begun: journal.note("upload_session", id=begun.session_id, file_id=begun.file_id),
                time_left=self._time_left_s,
                on_progress=self._on_upload_progress,
            )
            journal.note("uploaded", file_id=file_id)
        await self._check_size(file, file_id)
        await self._job.still_ours()
        await bot.save(file_id, self._time_left_s, may_be_posted=may_be_posted)
        return self._done(file, file_id)

    async def _published_before(self, file: Verified, file_id: str) -> Happened:
        logger.info("an earlier start had published the recording already")
        if self._job.memory.file_id is None and file_id:
            await self._check_size(file, file_id)
        return self._done(file, file_id)

    def _done(self, file: Verified, file_id: str) -> Happened:
        self._job.report.published(file_id, file.size_bytes)
        logger.info("published {} bytes as file {}", file.size_bytes, file_id)
        return self._finished(file)

    def _finished(self, file: Verified) -> Happened:
        """Write down that nothing is left to do, and remove the recording, unless the hooks want it first."""
        self._job.journal.note("saved")
        if not self._job.keeps_published:
            for path in (file.path, *self._job.directory.segments()):
                self._job.directory.remove(path)
        return Happened(Event.PUBLISHED)

    async def _check_size(self, file: Verified, file_id: str) -> None:
        size = await self._bot.stored_size(file_id)
        if size is not None and size != file.size_bytes:
            self._job.journal.note("upload_session", id=None)  # the next start uploads it anew
            self._job.journal.note("uploaded", file_id=None)
            raise RecordingError(
                "The published file is not complete.",
                detail=f"the server has {size} bytes, the recording {file.size_bytes}",
                code="size_differs",
            )

    def _on_upload_progress(self, sent: int, total: int) -> None:
        self._still.restart()
        if self._job.on_upload is not None:
            self._job.on_upload(sent, total)
        self._job.report.uploading(sent, total)

    def _time_left_s(self) -> float:
        """Return how long publishing may still take: until nothing advances, and never beyond a launcher's grace."""
        return min(STALL_S - self._still.elapsed_s(), self._job.grace_left_s())
