"""What the tests of the steps share: one start of a job, and the clocks that its steps see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder_fsm.media import timeline
from tests.steps.job import StepJob


@pytest.fixture
async def job(tmp_path: Path) -> StepJob:
    return StepJob(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The monotonic clock, in seconds; a test that sets it must wait for nothing."""
    now = [time.monotonic()]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the recording, in seconds, which stands still but for what a test adds."""
    now = [1000.0]
    monkeypatch.setattr(timeline, "now_s", lambda: now[0])
    return now
