"""Starting: from nothing to a call that is captured. The steps of `init`, `display_up` and `browser_joined`."""

from __future__ import annotations

import asyncio
from importlib import import_module

from loguru import logger

from recorder_fsm.browser.subject import subject_of
from recorder_fsm.errors import CallError, DirectoryError, DisplayError, RecordingError
from recorder_fsm.machine.lifecycle import Event, Resource
from recorder_fsm.machine.runner import Ahead, Happened
from recorder_fsm.resources.browser import Browser
from recorder_fsm.steps.context import NAME_LIMIT_S, JobContext
from recorder_fsm.steps.quality import BLACK, UNSEEN
from recorder_fsm.storage.job_dir import recordings_in
from recorder_fsm.system.clock import Stopwatch
from recorder_fsm.system.threads import in_daemon_thread

SEEN_LIMIT_S = 4.0
"""How long the picture may be black at first while the page is not: an unchanged one comes twice a second at least."""
SEEN_POLL_S = 0.25
CLIENT = "recorder_fsm.mattermost.routes"
"""Loads the HTTP client, which nothing else needs before."""
CHECK_LIMIT_S = 8.0
"""How long the server may take to tell whether the recording could be posted."""


class Start:
    """The first three steps of one job."""

    def __init__(self, job: JobContext) -> None:
        self._job = job

    async def prepare(self, ahead: Ahead) -> Happened:
        """Look for a pending recording; else learn the recording's name while display and audio start."""
        if pending := self._pending():
            return pending
        if self._job.recover_only:
            raise RecordingError("Nothing was left to recover.", code="nothing_left")
        if self._job.directory.read_only:
            raise DirectoryError(detail=f"{self._job.directory.path} cannot be written")
        self._check_disk()
        name = asyncio.create_task(self._learn_name())
        try:
            await ahead.start()
            self._job.name = await name
        finally:
            name.cancel()
            await asyncio.gather(name, return_exceptions=True)
        self._job.journal.write("named", name=self._job.name)
        return Happened(Event.DISPLAY_READY)

    async def _learn_name(self) -> str:
        await in_daemon_thread(import_module, CLIENT)  # it takes a moment: others start meanwhile
        name = await self._job.bot.filename(NAME_LIMIT_S)
        if self._job.make_channel is not None:  # nobody should find out after an hour that it cannot be posted
            await self._job.channel.check(CHECK_LIMIT_S)
        return name

    async def join_call(self, ahead: Ahead) -> Happened:
        """Load the call page, by the driver that starts beside Chromium, and wait until its client has joined."""
        await ahead.start()
        browser: Browser = ahead.resources[Resource.BROWSER]
        if browser.page is None:
            raise CallError(detail="the browser has no page")
        await browser.connect(ahead.resources[Resource.DRIVER].playwright)
        subject = subject_of(self._job.settings)
        logger.info("opening {}", subject.shown)
        await browser.page.join(subject.url, max(1.0, ahead.time_left_s() - 1))
        await browser.page.fill_picture()
        return Happened(Event.CALL_JOINED)

    async def start_capture(self, ahead: Ahead) -> Happened:
        """Start the capture, and write down where the recording begins."""
        await ahead.start()
        await self._see(ahead.resources[Resource.BROWSER])
        self._job.journal.note("capture_started", begin_s=round(self._job.timeline.begin_s, 3))
        return Happened(Event.CAPTURE_STARTED)

    async def _see(self, browser: Browser) -> None:
        """Wait until what the page draws is in the picture; raises `DisplayError` where that stays black.

        A black picture of a black page is right.
        """
        segment, waited = self._job.timeline.segments[-1], Stopwatch()
        while segment.progress.black and browser.page is not None and await browser.page.is_lit():
            if waited.elapsed_s() > SEEN_LIMIT_S:
                raise DisplayError(
                    BLACK,
                    detail=f"{UNSEEN}: nothing of it arrives on the display that is recorded",
                    code="picture_black",
                )
            await asyncio.sleep(SEEN_POLL_S)

    def _check_disk(self) -> None:
        free, least = self._job.directory.free_bytes(), self._job.least_free_bytes()
        if free < least:
            raise DirectoryError(
                "The recorder's disk is full.",
                detail=f"{free} bytes are free in {self._job.directory.path}, stopping in order needs {least} "
                f"(MIN_FREE_BYTES is {self._job.settings.min_free_bytes})",
                code="disk_full",
            )

    def _pending(self) -> Happened | None:
        """Look for a recording that an earlier process of this job left; one that nobody knew of is removed."""
        memory = self._job.memory
        if memory.saved:
            if not self._job.keeps_published:
                self._remove_recordings()
            return Happened(Event.PENDING_PUBLISHED)
        pending = self._job.kept
        if pending is None:
            return None
        if memory.nobody_knew:
            logger.info("an earlier start ended before anybody knew of its recording; what it left is removed")
            self._remove_recordings()
            return None
        if not self._job.directory.is_segment(pending):
            self._job.name = pending.stem
        logger.info("an earlier start left a recording ({} bytes); it is finished now", pending.stat().st_size)
        return Happened(Event.PENDING_FOUND)

    def _remove_recordings(self) -> None:
        for path in recordings_in(self._job.directory.path):
            self._job.directory.remove(path)
