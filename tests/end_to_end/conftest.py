"""Fixtures of the tests with real Xvfb, PulseAudio, Chromium and ffmpeg against the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from recorder_fsm.standin.server import StandIn


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    """A stand-in Mattermost on a free port."""
    async with StandIn(data_dir=tmp_path / "standin") as server:
        yield server


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume of the jobs."""
    path = tmp_path / "data"
    path.mkdir()
    return path
