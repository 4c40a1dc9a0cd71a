"""What the steps of one job share: what the job is given, and what it has found out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from recorder_fsm.config.settings import Settings
from recorder_fsm.errors import CallLost
from recorder_fsm.machine.lifecycle import START_BUDGET_S, Change
from recorder_fsm.mattermost.file_names import safe_stem
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.storage.job_dir import JobDirectory, recordings_in
from recorder_fsm.storage.journal import Journal, Remembered
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.signals import StopRequest

if TYPE_CHECKING:
    from recorder_fsm.mattermost.channel import ChannelBot

NAME_LIMIT_S = 10.0
"""How long the server may take to tell the recording's name."""
STOP_TAKES_S = 15.0
"""For so long there must be room on the disk after it was decided to stop."""
GRACE_RESERVE_S = 10.0
"""Kept of the grace for leaving in order."""


class Reports(Protocol):
    """Whom the job reports to: the Calls plugin's bot (`CallsBot`), or nobody, where there is no call (`NoCall`)."""

    async def filename(self, limit_s: float) -> str: ...

    async def plugin_is_off(self) -> bool: ...

    async def report_started(self, announce: Callable[[Notice], None]) -> None: ...

    async def report_failed(self, text: str, limit_s: float) -> bool: ...

    async def post_in_thread(self, text: str, limit_s: float) -> bool: ...

    async def post_failure(self, text: str, limit_s: float) -> bool: ...

    async def post_of(self, file_id: str) -> str | None: ...

    async def names(self, user_ids: Collection[str], limit_s: float) -> dict[str, str]: ...

    def close(self) -> None: ...


async def _nobody_else() -> None:
    """Know of no other recorder."""


@attrs.define(slots=False)
class JobContext:
    """One job. `began` is the start of the process, in seconds of the monotonic clock.

    `memory` is what earlier processes of the job wrote down; `name` the recording's name, "" until it is known;
    `notice`: whether people may know of a recording of this process.
    `still_ours` raises `DirectoryError` where another recorder has the directory now (`storage.lease`).
    `make_bot` makes `bot`, which is loaded when it is first needed.
    `keeps_published`: the file of a published recording stays until the job's very end.
    `quiet_s`: for how long nothing had come from the call when it was lost.
    `on_upload` is called with the bytes of the file that are delivered, and all of them.
    `make_channel` makes `channel`, who posts the recording; None where the Calls plugin does, asked by `bot` then.
    """

    settings: Settings
    directory: JobDirectory
    journal: Journal
    make_bot: Callable[[], Reports]
    report: JobReport
    stop: StopRequest
    began: float
    make_channel: Callable[[], ChannelBot] | None = None
    recover_only: bool = False
    keeps_published: bool = False
    still_ours: Callable[[], Awaitable[None]] = _nobody_else
    timeline: Timeline = attrs.Factory(Timeline)
    notice: Notice = Notice.NONE
    quiet_s: float = 0.0
    on_upload: Callable[[int, int], None] | None = None
    memory: Remembered = attrs.field(init=False)
    name: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = self.journal.remembered()
        self.name = safe_stem(self.memory.name or "")  # a journal may be damaged, or somebody's who means us harm

    @cached_property
    def bot(self) -> Reports:
        """Who speaks to Mattermost for this job."""
        return self.make_bot()

    @cached_property
    def channel(self) -> ChannelBot:
        """Who posts the recording; only where it is posted by Mattermost's own API."""
        if self.make_channel is None:
            raise RuntimeError("the Calls plugin posts this recording")
        return self.make_channel()

    def close(self) -> None:
        """End the connections to Mattermost."""
        for name in ("bot", "channel"):
            if made := self.__dict__.get(name):  # one that nobody asked for need not be made to be closed
                made.close()

    @property
    def kept(self) -> Path | None:
        """The file that waits for the next start, if there is one."""
        return next(iter(recordings_in(self.directory.path)), None)

    @property
    def final(self) -> Path:
        """Where the finished file goes."""
        final = self.directory.workspace / f"{self.name or self.settings.recording_id}.mp4"
        if self.directory.is_segment(final):  # a call of that name must not be written over itself
            final = self.directory.workspace / f"{self.settings.recording_id}.mp4"
        return final

    def changed(self, change: Change) -> None:
        """Take what finishing must know of the end of a recording."""
        if isinstance(change.cause, CallLost):
            self.quiet_s = change.cause.quiet_s

    @property
    def announced(self) -> bool:
        """Whether a `started` of this process may have left us for the plugin: then the recording exists."""
        return self.notice is not Notice.NONE

    @property
    def untold(self) -> bool:
        """Whether the recording exists, and nobody can be thought to have been told of it."""
        return self.notice is Notice.DOUBTED if self.timeline.segments else self.memory.doubted

    def announce(self, notice: Notice) -> None:
        """Write down, before a `started` leaves us, that people may know of the recording; or what is known since.

        The recording begins with the first one that may be heard.
        """
        if notice is self.notice:
            return
        begins = not self.announced
        head_s = self.timeline.captured_s if begins else self.timeline.head_s
        self.journal.note("announced", notice=notice.name.lower(), head_s=round(head_s, 3))
        if begins:
            self.timeline.begin()  # after the disk, which takes its time
        self.notice = notice

    def least_free_bytes(self) -> int:
        """Return how much must stay free: MIN_FREE_BYTES, or what is written in the time that stopping takes."""
        if not (elapsed_s := self.timeline.captured_s):
            rate = (self.settings.video_rate_kbps + self.settings.audio_rate_kbps) * 1000 / 8
        else:
            rate = self.timeline.progress.size_bytes / max(1.0, elapsed_s)
        return max(self.settings.min_free_bytes, int(rate * STOP_TAKES_S))

    def remove_published(self) -> None:
        """Remove what was published: the server has it."""
        for path in recordings_in(self.directory.workspace):
            self.directory.remove(path)

    def discard(self) -> None:
        """Remove what this process captured: nobody knows of it."""
        for segment in self.timeline.segments:
            with contextlib.suppress(OSError):
                segment.path.unlink()

    def start_left_s(self) -> float:
        """Return what is left of the time in which a start is worth while, in seconds."""
        return self.began + START_BUDGET_S - time.monotonic()

    def grace_left_s(self) -> float:
        """Return what is left of the time between a launcher's SIGTERM and its SIGKILL; infinity before a SIGTERM."""
        if self.stop.requested_at is None:
            return math.inf
        return self.stop.requested_at + self.settings.stop_grace_s - GRACE_RESERVE_S - time.monotonic()
