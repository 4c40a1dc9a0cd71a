"""Recordings whose truth is known, because ffmpeg was told to make them so; each is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.system.process import run

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "64k")


async def make(path: Path, *arguments: str) -> Path:
    """Run ffmpeg to make `path`."""
    argv = ["ffmpeg", "-hide_banner", "-v", "error", "-nostdin", "-y", *arguments, f"file:{path}"]
    done = await run("ffmpeg", argv, env=PROGRAM_ENV, limit_s=60)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they lie."""
    return tmp_path_factory.mktemp("recordings")
