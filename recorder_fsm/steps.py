"""The work of each state: one coroutine per state, returning the event that happened.

Steps decide nothing about what may follow (`lifecycle` does), and start and stop no resource by themselves (`holdings`
does, by the rows of the table).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from loguru import logger

from recorder_fsm.browser import Browser
from recorder_fsm.capture import Capture
from recorder_fsm.chromium import CallPageAddress
from recorder_fsm.directory import JobDirectory, recordings_in
from recorder_fsm.errors import (
    CallError,
    DirectoryError,
    JobOver,
    MattermostError,
    RecordingError,
    ServerUnavailable,
)
from recorder_fsm.ffmpeg import LONGEST_STILL_S
from recorder_fsm.holdings import Holdings
from recorder_fsm.journal import Journal
from recorder_fsm.lifecycle import BY_MOVE, Event, Resource, State
from recorder_fsm.mattermost import CallsBot
from recorder_fsm.monitor import Monitor, Signs
from recorder_fsm.recording import Recording, Verified
from recorder_fsm.report import JobReport
from recorder_fsm.settings import Settings
from recorder_fsm.signals import StopRequest

START_BUDGET_S = 45.0
"""From the start of the process to `started`: the plugin gives up at 60 s (contract 4.3)."""
LIMITS_S = {
    State.INIT: 15.0,
    State.DISPLAY_UP: 25.0,
    State.BROWSER_JOINED: 20.0,
    State.RECORDING: math.inf,
    State.STOPPING: 240.0,
}
STARTED_LIMIT_S = 10.0
STARTED_RETRY_S = 40.0
TELL_LIMIT_S = 5.0
NAME_LIMIT_S = 10.0
PUBLISH_STALL_S = 1200.0
"""Without a stop signal there is no known end of the grace: give up after so long without any progress."""
GRACE_RESERVE_S = 10.0
"""Kept of the grace for leaving in order."""
CHECK_EVERY_S = 1.0
PROGRESS_LOG_EVERY = 2
MONITOR_EVERY = 5
STOP_TAKES_S = 15.0


class JobSteps:
    """The steps of one real job. `began` is the start of the process, in seconds of the monotonic clock."""

    def __init__(
        self,
        *,
        settings: Settings,
        directory: JobDirectory,
        journal: Journal,
        bot: CallsBot,
        recording: Recording,
        report: JobReport,
        stop: StopRequest,
        began: float,
        recover_only: bool = False,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._journal = journal
        self._bot = bot
        self._recording = recording
        self._report = report
        self._stop = stop
        self._began = began
        self._recover_only = recover_only
        self._entered = (State.INIT, time.monotonic())
        self._memory = journal.remembered()
        self._name = self._memory.name or ""
        self._file: Verified | None = None
        self._advanced_at = time.monotonic()
        self._reporting: asyncio.Task[None] | None = None
        self._captured_here = False

    async def take(self, state: State, holdings: Holdings) -> Event:
        self._entered = (state, time.monotonic())
        work: Mapping[State, Callable[[Holdings], Awaitable[Event]]] = {
            State.INIT: self._raise_stage,
            State.DISPLAY_UP: self._join_call,
            State.BROWSER_JOINED: self._start_capture,
            State.RECORDING: self._await_end,
            State.STOPPING: self._finish_file,
            State.UPLOADING: self._publish,
        }
        return await work[state](holdings)

    def seconds_left(self, state: State) -> float:
        """Return how long the step may still take, by its own limit and by the budget that it is part of."""
        now = time.monotonic()
        since = self._entered[1] if self._entered[0] is state else now
        if state is State.UPLOADING:
            return self._publish_seconds_left()
        left_s = since + LIMITS_S[state] - now
        if state in (State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED):
            left_s = min(left_s, self._began + START_BUDGET_S - now)
        return left_s

    async def tell(self, sentence: str) -> None:
        logger.info("telling the call: {}", sentence)
        await self._bot.report_failed(sentence, TELL_LIMIT_S)

    def discard(self) -> None:
        """Remove what this process captured: the job ended before anybody knew of a recording."""
        if self._captured_here:
            with contextlib.suppress(OSError):
                self._directory.live.unlink()

    @property
    def kept(self) -> Path | None:
        """The file that waits for the next start, if there is one."""
        return next(iter(recordings_in(self._directory.path)), None)

    @property
    def _final(self) -> Path:
        name = f"{self._name or self._settings.recording_id}.mp4"
        if name == self._directory.live.name:  # a call of that name must not be written over itself
            name = f"{self._settings.recording_id}.mp4"
        return self._directory.path / name

    # --- init -------------------------------------------------------------------------------------------------------

    async def _raise_stage(self, holdings: Holdings) -> Event:
        if leftover := self._leftover():
            return leftover
        if self._recover_only:
            raise RecordingError("Nothing was left to recover.", code="nothing_left")
        free = self._directory.free_bytes()
        if free < self._settings.min_free_bytes:
            raise DirectoryError(
                "The recorder's disk is full.",
                detail=f"{free} bytes are free in {self._directory.path}, MIN_FREE_BYTES is "
                f"{self._settings.min_free_bytes}",
                code="disk_full",
            )
        name = asyncio.create_task(self._bot.filename(NAME_LIMIT_S))
        try:
            await holdings.bring_up(BY_MOVE[State.INIT, Event.DISPLAY_READY].starts)
            self._name = await name
        finally:
            name.cancel()
            await asyncio.gather(name, return_exceptions=True)
        self._journal.write("named", name=self._name)
        logger.info("the recording will be called {}", self._final.name)
        return Event.DISPLAY_READY

    def _leftover(self) -> Event | None:
        """Look for what an earlier process of this job left; one that nobody knew of is removed."""
        if self._memory.saved:
            self._remove_recordings()
            return Event.LEFTOVER_PUBLISHED
        left = self.kept
        if left is None:
            return None
        if self._memory.refused or (self._memory.starts > 1 and not self._memory.reached_recording):
            logger.info("an earlier start ended before anybody knew of its recording; what it left is removed")
            self._remove_recordings()
            return None
        if left != self._directory.live:
            self._name = left.stem
        logger.info("an earlier start left {} ({} bytes); it is finished now", left.name, left.stat().st_size)
        return Event.LEFTOVER_FOUND

    def _remove_recordings(self) -> None:
        for path in recordings_in(self._directory.path):
            path.unlink(missing_ok=True)

    # --- display_up -------------------------------------------------------------------------------------------------

    async def _join_call(self, holdings: Holdings) -> Event:
        await holdings.bring_up(BY_MOVE[State.DISPLAY_UP, Event.CALL_JOINED].starts)
        browser: Browser = holdings[Resource.BROWSER]
        if browser.page is None:
            raise CallError(detail="the browser has no page")
        address = CallPageAddress(
            site_url=self._settings.site_url,
            origin=self._settings.origin,
            call_id=self._settings.call_id,
            recording_id=self._settings.recording_id,
            token=self._settings.auth_token,
        )
        logger.info("joining the call at {}", address.without_token)
        await browser.page.join(address.url, max(1.0, self.seconds_left(State.DISPLAY_UP) - 1))
        return Event.CALL_JOINED

    # --- browser_joined ---------------------------------------------------------------------------------------------

    async def _start_capture(self, holdings: Holdings) -> Event:
        self._captured_here = True
        await holdings.bring_up(BY_MOVE[State.BROWSER_JOINED, Event.CAPTURE_STARTED].starts)
        capture: Capture = holdings[Resource.CAPTURE]
        try:
            await self._bot.report_started(min(STARTED_LIMIT_S, max(1.0, self.seconds_left(State.BROWSER_JOINED))))
        except ServerUnavailable as error:
            # A healthy capture is not thrown away for a server that is busy: go on, and keep saying it.
            logger.warning("`started` could not be reported yet: {}", error)
            self._report.note(f"`started` was reported late: {error.sentence}")
            self._reporting = asyncio.create_task(self._report_started_late(holdings), name="report started")
        else:
            self._report.started(time.monotonic() - self._began, capture.duration_s)
        self._journal.note("capture_started", begin_s=round(capture.begin_s, 3))
        return Event.CAPTURE_STARTED

    async def _report_started_late(self, holdings: Holdings) -> None:
        try:
            await self._bot.report_started(STARTED_RETRY_S)
        except JobOver as error:
            holdings.happened(Event.CALL_ENDED if error.maybe_started else Event.JOB_REFUSED, error)
        except MattermostError as error:
            logger.error("`started` was never accepted: {}", error)
            self._report.note("`started` was never accepted: the call did not show that it was recorded")

    # --- recording --------------------------------------------------------------------------------------------------

    async def _await_end(self, holdings: Holdings) -> Event:
        capture: Capture = holdings[Resource.CAPTURE]
        monitor = Monitor()
        rounds = 0
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            rounds += 1
            if rounds % PROGRESS_LOG_EVERY == 0:
                self._report.progress(capture.duration_s, capture.progress)
            if rounds % MONITOR_EVERY == 0:
                for finding in monitor.look(await self._signs(holdings)):
                    logger.warning("{}", finding)
                    self._report.note(f"at {capture.duration_s:.0f} s: {finding}")
            limit_s = self._settings.max_duration_s
            if limit_s is not None and capture.duration_s >= limit_s:
                logger.info("the recording reached MAX_DURATION_SECONDS ({} s)", limit_s)
                return Event.LIMIT_REACHED
            if (low := self._low_water_bytes(capture)) > (free := self._directory.free_bytes()):
                cause = DirectoryError(
                    "The recorder's disk is nearly full.",
                    detail=f"{free} bytes are free, {low} are kept for finishing",
                    code="disk_full",
                )
                holdings.happened(Event.DISK_LOW, cause)
                await asyncio.Event().wait()  # the loop takes the event up and cancels this step

    async def _signs(self, holdings: Holdings) -> Signs:
        capture: Capture = holdings[Resource.CAPTURE]
        page = holdings[Resource.BROWSER].page
        energy, changes = await page.signs()
        progress = capture.progress
        return Signs(
            at_s=capture.duration_s,
            level_dbfs=progress.level_dbfs,
            black=progress.black,
            frames=progress.frames,
            behind_s=capture.behind_s,
            energy=energy,
            changes=changes,
            stills_per_s=1 / LONGEST_STILL_S,
        )

    def _low_water_bytes(self, capture: Capture) -> int:
        """Return how much must stay free: MIN_FREE_BYTES, or what is written in the time that stopping takes."""
        rate = capture.progress.size_bytes / max(1.0, capture.duration_s)
        return max(self._settings.min_free_bytes, int(rate * STOP_TAKES_S))

    # --- stopping ---------------------------------------------------------------------------------------------------

    async def _finish_file(self, holdings: Holdings) -> Event:
        began = time.monotonic()
        expected_s = None
        if Resource.CAPTURE in holdings:
            capture: Capture = holdings[Resource.CAPTURE]
            await capture.ended.wait()
            expected_s = capture.duration_s
            self._report.capture_ended(expected_s, capture.progress)
            self._journal.note("capture_ended", seconds=round(expected_s, 3))
        if not self._name:
            self._name = await self._name_of_leftover()
            self._journal.note("named", name=self._name)
        self._file = await self._finished_file(expected_s)
        self._report.file_ready(self._file, time.monotonic() - (capture_stop(holdings) or began))
        self._journal.note("file_ready", file=self._file.path.name, bytes=self._file.size_bytes)
        return Event.FILE_READY

    async def _finished_file(self, expected_s: float | None) -> Verified:
        """Return the file to publish: the rewritten one, or the live one where only that is fit."""
        live, final = self._directory.live, self._final
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
            self._report.note(defect)
        await self._recording.take_poster(path, self._directory.poster, facts.duration_s)
        return facts

    async def _name_of_leftover(self) -> str:
        try:
            return await self._bot.filename(NAME_LIMIT_S)
        except MattermostError as error:
            logger.warning("the recording keeps its id as its name: {}", error)
            return self._settings.recording_id

    # --- uploading --------------------------------------------------------------------------------------------------

    async def _publish(self, _: Holdings) -> Event:
        if self._file is None:
            raise RecordingError(detail="there is no finished file")
        self._advanced_at = time.monotonic()
        file_id = self._memory.file_id
        if file_id is None:
            file_id = await self._bot.upload(
                self._file.path,
                session_id=self._memory.session_id,
                on_session=lambda session: self._journal.note("upload_session", id=session),
                give_up=self._publish_seconds_left,
                on_progress=self._on_upload_progress,
            )
            self._journal.note("uploaded", file_id=file_id)
            await self._save(file_id)
        elif await self._bot.already_saved():
            logger.info("an earlier start had published the recording already")
        else:
            await self._save(file_id)
        self._journal.note("saved")
        self._report.published(file_id, self._file.size_bytes)
        self._file.path.unlink(missing_ok=True)
        logger.info("published {} ({} bytes) as file {}", self._file.path.name, self._file.size_bytes, file_id)
        return Event.PUBLISHED

    async def _save(self, file_id: str) -> None:
        if self._file is None:
            raise RecordingError(detail="there is no finished file")
        size = await self._bot.published_size(file_id)
        if size is not None and size != self._file.size_bytes:
            self._journal.note("uploaded", file_id=None)  # the next start uploads it anew
            raise RecordingError(
                "The published file is not complete.",
                detail=f"the server has {size} bytes, the recording {self._file.size_bytes}",
                code="size_differs",
            )
        await self._bot.save(file_id, self._publish_seconds_left)

    def _on_upload_progress(self, sent: int, total: int) -> None:
        self._advanced_at = time.monotonic()
        logger.debug("uploaded {} of {} bytes", sent, total)

    def _publish_seconds_left(self) -> float:
        now = time.monotonic()
        # The loop asks before the step has begun: what counted until then was the recording.
        advanced_at = self._advanced_at if self._entered[0] is State.UPLOADING else now
        left_s = advanced_at + PUBLISH_STALL_S - now
        if self._stop.requested_at is not None:
            left_s = min(left_s, self._stop.requested_at + self._settings.stop_grace_s - GRACE_RESERVE_S - now)
        return left_s


def capture_stop(holdings: Holdings) -> float | None:
    """Return when the capture was stopped, in seconds of the monotonic clock; None where there was none."""
    return holdings[Resource.CAPTURE].stopped_at if Resource.CAPTURE in holdings else None
