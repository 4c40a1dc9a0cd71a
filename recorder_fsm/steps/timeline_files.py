"""Who spoke when, beside the recording: what finishing makes of the events of a call, where that is asked for.

None of it is a reason to fail, or to be late: a recording is published without chapters, too.
"""

from __future__ import annotations

import json
from pathlib import Path

from loguru import logger

from recorder_fsm.media.call_timeline import STEP_S, CallTimeline
from recorder_fsm.media.people import PeopleEvent, is_coarse, read_events
from recorder_fsm.steps.context import JobContext

NAMES_LIMIT_S = 3.0
"""For the names of all; without them people are numbers."""
MODE = 0o600


class TimelineFiles:
    """The timeline of one job's recording. Nothing is done where `TIMELINE` is off, or the page told nothing."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._events: list[PeopleEvent] = []
        self._names: dict[str, str] = {}

    async def chapters(self, head_s: float, length_s: float | None) -> Path | None:
        """Return a file with the chapters, for `media.join`; None where there are none. Never raises."""
        if self._job.settings.timeline == "off":
            return None
        try:
            return await self._chapters(head_s, length_s)
        except Exception as error:  # noqa: BLE001 - the recording matters, not who spoke
            logger.opt(exception=error).warning("the recording has no timeline")
            self._events = []
            return None

    async def _chapters(self, head_s: float, length_s: float | None) -> Path | None:
        self._events = read_events(self._job.directory.people)
        if not self._events:
            logger.info("the page told nothing of who is in the call: there is no timeline")
            return None
        self._names = await self._job.bot.names({one.user for one in self._events}, NAMES_LIMIT_S)
        bots = [user for user, name in self._names.items() if not name]
        self._events = [one for one in self._events if one.user not in bots]
        until_s = max((one.at_s for one in self._events), default=0.0) - head_s + STEP_S
        chapters = self._timeline(head_s, until_s if length_s is None else length_s).chapters()
        if not chapters:
            return None
        path = self._job.directory.runtime / "chapters.json"
        path.write_text(json.dumps([[one.at_s, one.title] for one in chapters]), encoding="utf-8")
        return path

    def write(self, head_s: float, length_s: float) -> None:
        """Write the timeline of the finished file beside it, as JSON and as WebVTT. Never raises."""
        if not self._events:
            return
        try:
            timeline, gaps = self._timeline(head_s, length_s), self._job.report.facts()["gaps"]
            texts = timeline.to_json(self._job.settings.recording_id, gaps), timeline.to_webvtt()
            for path, text in zip(self._job.directory.timeline, texts, strict=True):
                path.touch(mode=MODE)
                path.write_text(text, encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - as above
            logger.opt(exception=error).warning("the timeline could not be written")

    def _timeline(self, head_s: float, length_s: float) -> CallTimeline:
        coarse = is_coarse(self._job.directory.people)
        return CallTimeline.of(self._events, head_s=head_s, length_s=length_s, names=self._names, coarse=coarse)
