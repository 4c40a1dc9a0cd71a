"""Starting: from nothing to a call that is recorded. The work of `init`, `display_up` and `browser_joined`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from loguru import logger

from recorder_fsm.browser import Browser
from recorder_fsm.capture import Capture
from recorder_fsm.chromium import CallPageAddress
from recorder_fsm.directory import recordings_in
from recorder_fsm.errors import CallError, DirectoryError, JobOver, MattermostError, RecordingError, ServerUnavailable
from recorder_fsm.holdings import Holdings
from recorder_fsm.lifecycle import BY_MOVE, Event, Resource, State
from recorder_fsm.work import NAME_LIMIT_S, Work

STARTED_LIMIT_S = 10.0
STARTED_RETRY_S = 40.0


class Starting:
    """The first three steps. `seconds_left` tells how long the present one may still take."""

    def __init__(self, work: Work, seconds_left: Callable[[State], float]) -> None:
        self._work = work
        self._seconds_left = seconds_left
        self._reporting: asyncio.Task[None] | None = None
        self._captured_here = False

    def discard(self) -> None:
        """Remove what this process captured: the job ended before anybody knew of a recording."""
        if self._captured_here:
            with contextlib.suppress(OSError):
                self._work.directory.live.unlink()

    async def raise_stage(self, holdings: Holdings) -> Event:
        if leftover := self._leftover():
            return leftover
        if self._work.recover_only:
            raise RecordingError("Nothing was left to recover.", code="nothing_left")
        free = self._work.directory.free_bytes()
        if free < self._work.settings.min_free_bytes:
            raise DirectoryError(
                "The recorder's disk is full.",
                detail=f"{free} bytes are free in {self._work.directory.path}, MIN_FREE_BYTES is "
                f"{self._work.settings.min_free_bytes}",
                code="disk_full",
            )
        name = asyncio.create_task(self._work.bot.filename(NAME_LIMIT_S))
        try:
            await holdings.bring_up(BY_MOVE[State.INIT, Event.DISPLAY_READY].starts)
            self._work.name = await name
        finally:
            name.cancel()
            await asyncio.gather(name, return_exceptions=True)
        self._work.journal.write("named", name=self._work.name)
        logger.info("the recording will be called {}", self._work.final.name)
        return Event.DISPLAY_READY

    def _leftover(self) -> Event | None:
        """Look for what an earlier process of this job left; one that nobody knew of is removed."""
        if self._work.memory.saved:
            self._remove_recordings()
            return Event.LEFTOVER_PUBLISHED
        left = self._work.kept
        if left is None:
            return None
        if self._work.memory.refused or (self._work.memory.starts > 1 and not self._work.memory.reached_recording):
            logger.info("an earlier start ended before anybody knew of its recording; what it left is removed")
            self._remove_recordings()
            return None
        if left != self._work.directory.live:
            self._work.name = left.stem
        logger.info("an earlier start left {} ({} bytes); it is finished now", left.name, left.stat().st_size)
        return Event.LEFTOVER_FOUND

    def _remove_recordings(self) -> None:
        for path in recordings_in(self._work.directory.path):
            path.unlink(missing_ok=True)

    async def join_call(self, holdings: Holdings) -> Event:
        await holdings.bring_up(BY_MOVE[State.DISPLAY_UP, Event.CALL_JOINED].starts)
        browser: Browser = holdings[Resource.BROWSER]
        if browser.page is None:
            raise CallError(detail="the browser has no page")
        address = CallPageAddress(
            site_url=self._work.settings.site_url,
            origin=self._work.settings.origin,
            call_id=self._work.settings.call_id,
            recording_id=self._work.settings.recording_id,
            token=self._work.settings.auth_token,
        )
        logger.info("joining the call at {}", address.without_token)
        await browser.page.join(address.url, max(1.0, self._seconds_left(State.DISPLAY_UP) - 1))
        return Event.CALL_JOINED

    async def start_capture(self, holdings: Holdings) -> Event:
        self._captured_here = True
        await holdings.bring_up(BY_MOVE[State.BROWSER_JOINED, Event.CAPTURE_STARTED].starts)
        capture: Capture = holdings[Resource.CAPTURE]
        try:
            await self._work.bot.report_started(
                min(STARTED_LIMIT_S, max(1.0, self._seconds_left(State.BROWSER_JOINED)))
            )
        except ServerUnavailable as error:
            # A healthy capture is not thrown away for a server that is busy: go on, and keep saying it.
            logger.warning("`started` could not be reported yet: {}", error)
            self._work.report.note(f"`started` was reported late: {error.sentence}")
            self._reporting = asyncio.create_task(self._report_started_late(holdings), name="report started")
        except JobOver as error:
            if not error.maybe_started:
                raise
            # The call may have seen that it is recorded: what there is of it is published. The next step says so, since
            # an end of the call that is noted here would fail the start and discard the capture.
            self._work.over = True
        else:
            self._work.report.started(time.monotonic() - self._work.began, capture.duration_s)
        self._work.journal.note("capture_started", begin_s=round(capture.begin_s, 3))
        return Event.CAPTURE_STARTED

    async def _report_started_late(self, holdings: Holdings) -> None:
        try:
            await self._work.bot.report_started(STARTED_RETRY_S)
        except JobOver as error:
            holdings.happened(Event.CALL_ENDED if error.maybe_started else Event.JOB_REFUSED, error)
        except MattermostError as error:
            logger.error("`started` was never accepted: {}", error)
            self._work.report.note("`started` was never accepted: the call did not show that it was recorded")
