"""Finishing: from a capture that ended to a file that is fit to publish. The step of `stopping`.

Works on files alone: it waits for the end of the capture, and for no browser and no display.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from loguru import logger

from recorder_fsm.errors import MattermostError, RecordingError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.machine.runner import Ahead, Happened
from recorder_fsm.media.join import Span
from recorder_fsm.media.measures import measures
from recorder_fsm.media.output_file import RecordingFiles, Verified
from recorder_fsm.steps.context import NAME_LIMIT_S, JobContext
from recorder_fsm.steps.timeline_files import TimelineFiles

REWRITE_RESERVE_BYTES = 64 * 1024 * 1024
"""Left to the other jobs on the volume while a file is rewritten: what they write in a minute at a high rate."""

KEPT_OF_TAIL_S = 1.0
SHORTEST_TAIL_S = 3.0
"""People do not mind less: a picture that stands still for a moment before it ends."""

NOBODY_TOLD = "Nobody in the call was told of this recording; it is kept, and not published."
NOBODY_TOLD_DETAIL = "Mattermost never took `started`; `recorder-fsm recover` publishes it all the same"


class Finish:
    """The step that makes the file. `file` is what it made."""

    def __init__(self, job: JobContext, files: RecordingFiles) -> None:
        self._job = job
        self._files = files
        self._timeline = TimelineFiles(job)
        self.file: Verified | None = None

    async def finish(self, _: Ahead) -> Happened:
        """Wait for the last byte of each segment, make one file of them, and check it."""
        began = time.monotonic()
        memory = self._job.memory
        expected_s, head_s = memory.capture_s, memory.head_s
        for segment in self._job.timeline.segments:
            await segment.ended.wait()
        await self._job.still_ours()
        if self._job.timeline.segments:
            expected_s, head_s = self._job.timeline.elapsed_s, self._job.timeline.head_s
            if tail_s := self._empty_tail_s(expected_s):
                expected_s -= tail_s
                logger.warning("the last {:.1f} s are left out: nothing came from the call any more", tail_s)
                self._job.report.note(f"the last {tail_s:.1f} s are left out: the call was lost, and nothing came")
            timeline = self._job.timeline
            self._job.report.capture_ended(expected_s, timeline.progress.facts(), measures(timeline))
            self._job.journal.note("capture_ended", seconds=round(expected_s, 3), head_s=round(head_s, 3))
        if not self._job.name:
            self._job.name = await self._name_of_pending()
            self._job.journal.note("named", name=self._job.name)
        end_s = None if expected_s is None else head_s + expected_s
        chapters = await self._timeline.chapters(head_s, expected_s)
        self.file = await self._finished_file(expected_s, Span(head_s, end_s), chapters)
        self._job.report.file_ready(self.file.facts(), time.monotonic() - began)
        self._timeline.write(head_s, self.file.duration_s)
        self._job.journal.note("file_ready", file=self.file.path.name, bytes=self.file.size_bytes)
        if self._job.untold and not self._job.recover_only:
            return Happened(
                Event.NOBODY_TOLD, RecordingError(NOBODY_TOLD, detail=NOBODY_TOLD_DETAIL, code="nobody_told")
            )
        return Happened(Event.FILE_READY)

    def _empty_tail_s(self, captured_s: float) -> float:
        """Return how much of the end holds nothing: from a second after something came last to the loss of the call."""
        if not self._job.quiet_s:
            return 0.0
        # What the relay hears counts for the segment with which it began, also where another encoder has followed.
        segments, head_s = self._job.timeline.segments, self._job.timeline.head_s
        heard_until_s = max(one.from_s + one.progress.heard_until_s for one in segments) - head_s
        tail_s = min(self._job.quiet_s, captured_s - heard_until_s) - KEPT_OF_TAIL_S
        return tail_s if tail_s >= SHORTEST_TAIL_S and captured_s - tail_s >= KEPT_OF_TAIL_S else 0.0

    async def _finished_file(self, expected_s: float | None, span: Span, chapters: Path | None) -> Verified:
        """Return the file to publish: the finished one, or the only segment where that alone is fit."""
        segments, final = self._job.directory.segments(), self._job.final
        if segments or not final.exists():
            await self._make(segments, final, span, chapters)
        try:
            facts = await self._checked(final, expected_s)
        except RecordingError as error:
            if len(segments) != 1:
                raise
            logger.warning("the finished file is not fit ({}); the segment is looked at", error)
            facts = await self._checked(segments[0], expected_s, salvaged=True)
            segments[0].replace(final)
            return facts.at(final)
        if facts.whole:  # else they stay until the file is published
            for segment in segments:
                segment.unlink(missing_ok=True)
        return facts

    async def _make(self, segments: Sequence[Path], final: Path, span: Span, chapters: Path | None) -> None:
        """Rewrite the segments into `final`; where that cannot be, a single one stays what is published."""
        try:
            self._check_room(segments)
            made = await self._files.finalise(
                segments, final, span, time_left_s=self._job.grace_left_s(), chapters=chapters
            )
        except RecordingError as error:
            if len(segments) != 1:
                raise
            logger.warning("the segment is published as it is: {}", error)
            self._job.report.note(f"the file was published as it was captured: {error.detail or error.sentence}")
            return
        for problem in made.problems:
            logger.warning("a segment: {}", problem)
            self._job.report.note(problem)
        for gap in made.gaps:
            logger.warning("no {} for {:.2f} s at {:.1f} s of the recording", gap.what, gap.length_s, gap.at_s)
            self._job.report.gap(gap.what, gap.at_s, gap.length_s)

    def _check_room(self, segments: Sequence[Path]) -> None:
        """Raise `RecordingError` where rewriting would take room that others on the volume need."""
        needed = sum(segment.stat().st_size for segment in segments)
        free = self._job.directory.free_bytes()
        least = needed + self._job.settings.min_free_bytes + REWRITE_RESERVE_BYTES
        if segments and free < least:
            raise RecordingError(
                "The recorder's disk has no room to finish the recording; it is kept.",
                detail=f"{free} bytes are free in {self._job.directory.path}, rewriting {needed} bytes needs {least}",
                code="no_room",
            )

    async def _checked(self, path: Path, expected_s: float | None, *, salvaged: bool = False) -> Verified:
        facts = await self._files.verify(path, expected_s=expected_s, salvaged=salvaged)
        for defect in facts.defects:
            logger.warning("the recording: {}", defect)
            self._job.report.note(defect)
        return facts

    async def _name_of_pending(self) -> str:
        try:
            return await self._job.bot.filename(NAME_LIMIT_S)
        except MattermostError as error:
            logger.warning("the recording keeps its id as its name: {}", error)
            return self._job.settings.recording_id
