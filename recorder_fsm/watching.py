"""Watching: the work of `recording`. Looks at disk, limits, sound and picture until something ends the recording."""

from __future__ import annotations

import asyncio

from loguru import logger

from recorder_fsm.capture import Capture
from recorder_fsm.errors import DirectoryError
from recorder_fsm.ffmpeg import LONGEST_STILL_S
from recorder_fsm.holdings import Holdings
from recorder_fsm.lifecycle import Event, Resource
from recorder_fsm.monitor import Monitor, Signs
from recorder_fsm.work import Work

CHECK_EVERY_S = 1.0
PROGRESS_LOG_EVERY = 2
MONITOR_EVERY = 5
STOP_TAKES_S = 15.0


class Watching:
    """The step that ends only when the recording does."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def await_end(self, holdings: Holdings) -> Event:
        if self._work.over:
            return Event.CALL_ENDED
        capture: Capture = holdings[Resource.CAPTURE]
        monitor = Monitor()
        rounds = 0
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            rounds += 1
            if rounds % PROGRESS_LOG_EVERY == 0:
                self._work.report.progress(capture.duration_s, capture.progress)
            if rounds % MONITOR_EVERY == 0:
                for finding in monitor.look(await self._signs(holdings)):
                    logger.warning("{}", finding)
                    self._work.report.note(f"at {capture.duration_s:.0f} s: {finding}")
            limit_s = self._work.settings.max_duration_s
            if limit_s is not None and capture.duration_s >= limit_s:
                logger.info("the recording reached MAX_DURATION_SECONDS ({} s)", limit_s)
                return Event.LIMIT_REACHED
            if (low := self._low_water_bytes(capture)) > (free := self._work.directory.free_bytes()):
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
        return max(self._work.settings.min_free_bytes, int(rate * STOP_TAKES_S))
