"""Recordings whose truth is known, because ffmpeg was told to make them so; what several tests look at is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from recorder_fsm.analysis.examination import Examination, examine
from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.system.process import run

T = TypeVar("T")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac", "-b:a", "64k")
BT709 = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
FASTSTART = ("-movflags", "+faststart")
KNOWN_VIDEO = (
    r"testsrc2=s=320x180:r=25:d=12,drawbox=c=black:t=fill:enable='gte(t\,1.999)*lt(t\,3.999)'"
    r",select='not(gt(t\,6.01)*lt(t\,8.99))',fps=25"
)
KNOWN_AUDIO = r"aevalsrc=exprs='{0}|{0}':s=48000:d=12".format(
    r"0.0708*sin(2*PI*1000*t)*(lt(t\,8)+gte(t\,10.5))"  # -23 dBFS at the peak is -23 LUFS: EBU Tech 3341
)


async def make(path: Path, *arguments: str) -> Path:
    """Run ffmpeg to make `path`."""
    argv = ["ffmpeg", "-hide_banner", "-v", "error", "-nostdin", "-y", *arguments, f"file:{path}"]
    done = await run("ffmpeg", argv, env=PROGRAM_ENV, limit_s=60)
    assert done.returncode == 0, done.stderr
    return path


def lavfi(*sources: str) -> list[str]:
    """Return the options of generated inputs."""
    return [word for source in sources for word in ("-f", "lavfi", "-i", source)]


@pytest.fixture(scope="session")
def known_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s: black from 2 to 4 s, frozen from 6 to 9 s, silent from 8 to 10.5 s, else moving and at -23 LUFS."""
    path = tmp_path_factory.mktemp("recordings") / "known.mp4"
    made = make(path, *lavfi(KNOWN_VIDEO, KNOWN_AUDIO), *H264, *BT709, "-g", "50", *AAC, *FASTSTART)
    return _to_end(made)


@pytest.fixture(scope="session")
def known(known_file: Path) -> Examination:
    """All that is measured of it."""
    return _to_end(examine(known_file))


def _to_end(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine beside the event loop of the test that asks first."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()
