"""Recording: report that it has started, then look at disk, limits, audio and video until something ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from loguru import logger

from recorder_fsm.browser.shown_page import PageSigns
from recorder_fsm.errors import DirectoryError, DisplayError, JobOver
from recorder_fsm.machine.lifecycle import Event, Resource
from recorder_fsm.machine.resources import ResourceStack
from recorder_fsm.machine.runner import Ahead, Happened
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.plugin_watch import PluginWatch
from recorder_fsm.steps.quality import BLACK, UNSEEN, Monitor, Signs

CHECK_EVERY_S = 1.0
PROGRESS_LOG_EVERY = 2
MONITOR_EVERY = 5


class Record:
    """The step of `recording`. It is run again after each restart of a resource, and goes on where it was."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._reported = False
        self._monitor = Monitor()
        self._plugin = PluginWatch(self._plugin_is_off)
        self._rounds = 0
        self._known = Notice.NONE
        self._told_unseen = False

    async def record(self, ahead: Ahead) -> Happened:
        """Do all side by side; returns what ends the recording."""
        doing: list[Coroutine[Any, Any, Happened | None]] = [
            self._watch(ahead.resources),
            self._watch_plugin(),
            self._watch_notice(ahead.resources),
        ]
        if not self._reported:
            doing.append(self._report_started())
        tasks = {asyncio.create_task(one) for one in doing}
        try:
            while True:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if happened := task.result():
                        return happened
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _report_started(self) -> Happened | None:
        """Report `started`, for as long as it takes: a healthy capture is not thrown away for a busy server."""
        self._known = self._job.notice  # by the tries before a restart

        def announce(notice: Notice) -> None:
            self._job.announce(max(notice, self._known))

        try:
            await self._job.bot.report_started(announce)
        except JobOver as error:
            # Where an earlier try may have been heard, people may have seen that they are recorded.
            return Happened(Event.CALL_ENDED if self._job.announced else Event.JOB_REFUSED, error)
        self._reported = True
        self._job.report.started(time.monotonic() - self._job.began, self._job.timeline.elapsed_s)
        return None

    async def _watch_notice(self, resources: ResourceStack) -> None:
        """Take the page's word that people were told, where the reply to `started` says nothing yet."""
        await resources[Resource.BROWSER].page.notice_given.wait()
        if self._job.announced:
            self._known = Notice.GIVEN
            self._job.announce(Notice.GIVEN)

    async def _watch(self, resources: ResourceStack) -> Happened:
        timeline, settings = self._job.timeline, self._job.settings
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            self._rounds += 1
            if self._rounds % PROGRESS_LOG_EVERY == 0:
                self._job.report.progress(timeline.elapsed_s, timeline.progress.facts())
            if self._rounds % MONITOR_EVERY == 0:
                signs = await self._signs(resources)
                self._plugin.look(signs)
                findings = self._monitor.look(signs) if signs is not None else []
                for finding in findings:
                    logger.warning("{}", finding)
                    self._job.report.note(f"at {timeline.elapsed_s:.0f} s: {finding}")
                if UNSEEN in findings and not self._told_unseen:
                    self._told_unseen = True
                    return Happened(Event.PICTURE_LOST, DisplayError(BLACK, detail=UNSEEN, code="picture_black"))
            if settings.max_duration_s is not None and timeline.elapsed_s >= settings.max_duration_s:
                logger.info("the recording reached MAX_DURATION_SECONDS ({} s)", settings.max_duration_s)
                return Happened(Event.LIMIT_REACHED)
            if (low := self._job.least_free_bytes()) > (free := self._job.directory.free_bytes()):
                return Happened(
                    Event.DISK_LOW,
                    DirectoryError(
                        "The recorder's disk is nearly full.",
                        detail=f"{free} bytes are free, {low} are kept for finishing",
                        code="disk_full",
                    ),
                )

    async def _plugin_is_off(self) -> bool:
        return await self._job.bot.plugin_is_off()

    async def _watch_plugin(self) -> Happened:
        return Happened(Event.PLUGIN_GONE, await self._plugin.gone())

    async def _signs(self, resources: ResourceStack) -> Signs | None:
        """Look at the call now; None where the page does not answer."""
        call_page = resources[Resource.BROWSER].page
        page: PageSigns | None = await call_page.signs()
        if page is None:
            return None
        progress, black = self._job.timeline.progress, self._job.timeline.segments[-1].progress.black
        return Signs(
            at_s=self._job.timeline.elapsed_s,
            level_dbfs=progress.level_dbfs,
            black=black,
            unseen=black and await call_page.is_lit(),
            shown=progress.changes,
            behind_s=self._job.timeline.behind_s,
            energy=page.energy,
            changes=page.changes,
            packets=page.packets,
        )
