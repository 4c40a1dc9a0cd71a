"""What the steps of one job share: what it is given, and what it has found out."""

from __future__ import annotations

import math
import time
from pathlib import Path

import attrs

from recorder_fsm.directory import JobDirectory, recordings_in
from recorder_fsm.journal import Journal, Remembered
from recorder_fsm.mattermost import CallsBot
from recorder_fsm.report import JobReport
from recorder_fsm.settings import Settings
from recorder_fsm.signals import StopRequest

NAME_LIMIT_S = 10.0
"""How long the server may take to tell the recording's name."""
GRACE_RESERVE_S = 10.0
"""Kept of the grace for leaving in order."""


@attrs.define
class Work:
    """One job. `began` is the start of the process, in seconds of the monotonic clock.

    `memory` is what earlier processes of the job wrote down; `name` the recording's name, "" until it is known; `over`:
    the plugin ended the job while `started` was on its way.
    """

    settings: Settings
    directory: JobDirectory
    journal: Journal
    bot: CallsBot
    report: JobReport
    stop: StopRequest
    began: float
    recover_only: bool = False
    over: bool = False
    memory: Remembered = attrs.field(init=False)
    name: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = self.journal.remembered()
        self.name = self.memory.name or ""

    @property
    def kept(self) -> Path | None:
        """The file that waits for the next start, if there is one."""
        return next(iter(recordings_in(self.directory.path)), None)

    @property
    def final(self) -> Path:
        name = f"{self.name or self.settings.recording_id}.mp4"
        if name == self.directory.live.name:  # a call of that name must not be written over itself
            name = f"{self.settings.recording_id}.mp4"
        return self.directory.path / name

    def grace_left_s(self) -> float:
        """Return what is left of the time between a launcher's SIGTERM and its SIGKILL; infinity before a SIGTERM."""
        if self.stop.requested_at is None:
            return math.inf
        return self.stop.requested_at + self.settings.stop_grace_s - GRACE_RESERVE_S - time.monotonic()
