"""What the encoder spends: never more than it was asked for, and next to nothing on what does not change."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from bench.figures import highest_rate_kbps, mean_rate_kbps
from bench.programs import packets
from recorder_fsm.analysis.packets import tracks
from recorder_fsm.config.settings import PRESETS
from recorder_fsm.media.encode import (
    KEY_FRAMES,
    KEYFRAME_EVERY_FRAMES,
    KEYFRAME_EVERY_S,
    CaptureSettings,
    frames_that_wait,
    rate_control,
    x264_params,
)
from recorder_fsm.system.process import run
from tests.programs import ENV, soon

RATE_KBPS = 500
SECONDS = 24
KEYS = ["-force_key_frames", KEY_FRAMES]
NOISE = "nullsrc=s=192x108:r=30,format=gray,noise=alls=100:allf=t,format=yuv420p"
STILL = "color=gray:s=192x108:r=2,format=yuv420p"
MOVING = "mandelbrot=s=640x360:rate=15,format=yuv420p,trim=duration=6"
MOVING_ON = "testsrc2=s=192x108:r=30,format=yuv420p"
BURSTS = f"{NOISE},select='lt(mod(t,8),2)+not(mod(n,15))'"
"""Two seconds of noise in eight, two frames a second in between."""


def settings(preset: str, frame_rate: int = 30) -> CaptureSettings:
    return CaptureSettings(
        width=192,
        height=108,
        frame_rate=frame_rate,
        video_rate_kbps=RATE_KBPS,
        audio_rate_kbps=64,
        preset=preset,
        display="",
        audio_server="",
        audio_source="",
    )


def words(preset: str, frame_rate: int = 30) -> list[str]:
    """Return what ffmpeg is told of x264."""
    asked = settings(preset, frame_rate)
    return ["-c:v", "libx264", "-preset", preset, "-x264-params", x264_params(asked), *rate_control(asked), *KEYS]


async def encode(picture: str, target: Path, preset: str, frame_rate: int = 30) -> Path:
    """Encode a picture of ffmpeg's own as the recorder does, each frame at its own time."""
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-t", str(SECONDS), *words(preset, frame_rate)]
    command += ["-enc_time_base", "1:90000", "-fps_mode", "passthrough", str(target)]
    done = await run("ffmpeg", command, env=ENV, limit_s=60)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize(("preset", "frame_rate"), [("ultrafast", 30), ("veryfast", 30), ("veryfast", 20)])
@pytest.mark.parametrize("picture", [NOISE, BURSTS], ids=["noise", "bursts"])
async def test_rate_is_not_exceeded_over_any_ten_seconds(
    tmp_path: Path, picture: str, preset: str, frame_rate: int
) -> None:
    """Of a picture that would take many times as much; nor is what may be spent left unused."""
    picture = picture.replace("r=30", f"r={frame_rate}")
    sent = await packets(await encode(picture, tmp_path / "file.mp4", preset, frame_rate))
    assert RATE_KBPS / 4 < highest_rate_kbps(sent) <= RATE_KBPS


@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
async def test_still_picture_costs_next_to_nothing(tmp_path: Path, preset: str) -> None:
    """Where an average rate would be spent on it."""
    sent = await packets(await encode(STILL, tmp_path / "file.mp4", preset))
    assert mean_rate_kbps(sent, SECONDS) < RATE_KBPS / 50


@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
async def test_key_frames_come_by_time_where_nothing_changes_and_by_number_where_much_does(
    tmp_path: Path, preset: str
) -> None:
    """A player that jumps has little to decode; and a still call has few of them: they are most of its bytes."""
    (still,) = await tracks(await encode(STILL, tmp_path / "still.mp4", preset), 0)
    assert still.keys_s == pytest.approx([0, KEYFRAME_EVERY_S], abs=0.01)
    (moving,) = await tracks(await encode(MOVING_ON, tmp_path / "moving.mp4", preset), 0)
    assert moving.keys_s == pytest.approx([0, KEYFRAME_EVERY_FRAMES / 30, 2 * KEYFRAME_EVERY_FRAMES / 30], abs=0.01)


async def test_quickest_preset_shows_what_moves_better_than_by_itself(tmp_path: Path) -> None:
    """At the same limit, by more than can be chance: it leaves out what costs little there."""
    alone = ["-c:v", "libx264", "-preset", "ultrafast", *rate_control(settings("ultrafast"))]
    found = []
    for number, said in enumerate((alone, words("ultrafast"))):
        target = tmp_path / f"{number}.mp4"
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", MOVING, *said, str(target)]
        assert (await run("ffmpeg", command, env=ENV, limit_s=60)).returncode == 0
        compare = ["ffmpeg", "-i", str(target), "-f", "lavfi", "-i", MOVING, "-lavfi", "ssim", "-f", "null", "-"]
        told = (await run("ffmpeg", compare, env=ENV, limit_s=60)).stderr
        found.append(float(told.rpartition("Y:")[2].split()[1].strip("()")))
    assert found[1] > found[0] + 0.3


@pytest.mark.parametrize("frame_rate", [10, 20, 30])
@pytest.mark.parametrize("preset", PRESETS)
async def test_no_frame_waits_for_more_than_it_is_said(preset: str, frame_rate: int) -> None:
    """An encoder that has so many frames more has given the first one back."""
    most = frames_that_wait(settings(preset, frame_rate))
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-s",
        "192x108",
        "-r",
        "30",
        "-i",
        "pipe:0",
    ]
    command += [*words(preset, frame_rate), "-f", "h264", "-flush_packets", "1", "pipe:1"]
    encoder = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert encoder.stdin
    assert encoder.stdout
    try:
        encoder.stdin.write(bytes(192 * 108) * (most + 1))
        assert await soon(encoder.stdout.read(1))
    finally:
        encoder.kill()
        await encoder.communicate()
