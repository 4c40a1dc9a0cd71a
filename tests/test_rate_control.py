"""What the encoder spends: never more than it was asked for, and next to nothing on what does not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import highest_rate_kbps, mean_rate_kbps
from bench.programs import packets
from recorder_fsm.media.encode import X264_PARAMS, rate_control
from recorder_fsm.system.process import run
from tests.programs import ENV

RATE_KBPS = 500
SECONDS = 24
NOISE = "nullsrc=s=192x108:r=30,format=gray,noise=alls=100:allf=t,format=yuv420p"
STILL = "color=gray:s=192x108:r=2,format=yuv420p"
BURSTS = f"{NOISE},select='lt(mod(t,8),2)+not(mod(n,15))'"
"""Two seconds of noise in eight, two frames a second in between."""


async def encode(picture: str, target: Path) -> Path:
    """Encode a picture of ffmpeg's own as the recorder does, each frame at its own time."""
    words = ["-x264-params", X264_PARAMS, *rate_control(RATE_KBPS), "-fps_mode", "passthrough", str(target)]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-t", str(SECONDS), "-c:v", "libx264"]
    done = await run(
        "ffmpeg", [*command, "-preset", "ultrafast", "-enc_time_base", "1:90000", *words], env=ENV, limit_s=60
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("picture", [NOISE, BURSTS], ids=["noise", "bursts"])
async def test_rate_is_not_exceeded_over_any_ten_seconds(tmp_path: Path, picture: str) -> None:
    """Of a picture that would take many times as much; nor is what may be spent left unused."""
    sent = await packets(await encode(picture, tmp_path / "file.mp4"))
    assert RATE_KBPS / 4 < highest_rate_kbps(sent) <= RATE_KBPS


async def test_still_picture_costs_next_to_nothing(tmp_path: Path) -> None:
    """Where an average rate would be spent on it."""
    sent = await packets(await encode(STILL, tmp_path / "file.mp4"))
    assert mean_rate_kbps(sent, SECONDS) < RATE_KBPS / 50
