"""Sampling: looks every few seconds at what the job uses and does, for the report and for whoever watches.

It decides nothing, and nothing waits for it. A look takes about a millisecond.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from loguru import logger

from recorder_fsm.media.measures import measures
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.report import SAMPLE_EVERY_S, JobReport
from recorder_fsm.storage.samples import Sample
from recorder_fsm.system.usage import Usage


class Sampler:
    """Fills the report's samples while `running`.

    `parts` tells which process is the root of which part (`system.usage`).
    """

    def __init__(
        self,
        report: JobReport,
        directory: JobDirectory,
        timeline: Timeline,
        began: float,
        parts: Callable[[], Mapping[int, str]],
    ) -> None:
        self._report = report
        self._samples = report.samples
        self._directory = directory
        self._timeline = timeline
        self._began = began
        self._usage = Usage(parts)
        self._captured: tuple[float, float, float, int] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look while the block runs."""
        looking = asyncio.create_task(self._look_on(), name="samples")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def look(self) -> None:
        """Take one sample."""
        uses = self._usage.read()
        speed, level_dbfs = self._since_last_look()
        progress, segments = self._timeline.progress, self._timeline.segments
        capturing = self._timeline.captures and segments[-1].progress.position_s > 0
        free_bytes = self._directory.free_bytes()
        if capturing:
            self._report.measured(measures(self._timeline))
        self._samples.add(
            Sample(
                at_s=time.monotonic() - self._began,
                cpu={part: use.cpu for part, use in uses.items()},
                memory_bytes={part: use.memory_bytes for part, use in uses.items()},
                machine=self._usage.machine(),
                speed=speed if capturing else None,
                behind_s=self._timeline.behind_s if capturing else None,
                level_dbfs=level_dbfs if capturing else None,
                frames=progress.frames if segments else None,
                size_bytes=progress.size_bytes if segments else None,
                free_bytes=free_bytes if free_bytes < sys.maxsize else None,
                cpu_s={part: use.cpu_s for part, use in uses.items()},
            )
        )

    async def _look_on(self) -> None:
        try:
            while True:
                self.look()
                await asyncio.sleep(SAMPLE_EVERY_S)
        except Exception:  # noqa: BLE001 - a recording needs no samples
            logger.opt(exception=True).warning("no more samples are taken")

    def _since_last_look(self) -> tuple[float | None, float | None]:
        """Return the encoder's speed and the audio's level since the last look, None where they are not known."""
        progress = self._timeline.progress
        now = (self._timeline.captured_s, progress.position_s, progress.power, progress.measured_s)
        last, self._captured = self._captured, now
        if last is None:
            return None, None
        lasted_s, advanced_s, power, measured_s = (one - other for one, other in zip(now, last, strict=True))
        same_segment = last[1] > 0 and advanced_s >= 0
        speed = advanced_s / lasted_s if lasted_s > 0 and same_segment else None
        level_dbfs = 10 * math.log10(power / measured_s) if measured_s > 0 and power > 0 else None
        return speed, level_dbfs
