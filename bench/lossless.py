"""Lossless captures of the stand-in's scenes: what both encoders are given.

The frames and their times are those of the recorder's own video grabber, with nothing left out but what the machine had
no time for. A capture is `NAME.nut` (x264 without loss) and `NAME.json` (its size, rate, and times in microseconds).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs

from bench.harness.stage import Stage, stage
from bench.programs import ENV, BenchError, ended_well, packets
from bench.scenes import Point
from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.grab import video_grabber_command
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.clock import now_s
from recorder_fsm.system.process import ChildProcess

AHEAD_S = 0.5
"""From the order to the first frame."""
LOSSLESS = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p")


@attrs.frozen
class Lossless:
    """One capture: `stamps_us` says when each of its frames is shown first, `seconds` when the last one ends."""

    path: Path
    scene: str
    width: int
    height: int
    frame_rate: int
    seconds: float
    stamps_us: tuple[int, ...]

    @property
    def note(self) -> Path:
        return self.path.with_suffix(".json")


def path_of(folder: Path, scene: str, point: Point) -> Path:
    """Return where the capture of a scene for a point lies."""
    return folder / f"{scene}-{point.height}p{point.frame_rate}.nut"


def load(path: Path) -> Lossless:
    """Return a capture that was made before."""
    note: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Lossless(path=path, **{**note, "stamps_us": tuple(note["stamps_us"])})


async def capture(name: str, scene: dict[str, Any], point: Point, path: Path, seconds: float) -> Lossless:
    """Show `scene` and capture it into `path` for `seconds` seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with StandIn(data_dir=Path(folder), knobs={"start_limit_s": None}) as standin:
            ids = standin.create_call(scene=scene)
            async with stage(standin, ids, width=point.width, height=point.height) as held:
                await _grab(held, point, path, seconds)
    stamps = tuple(round(at_s * 1e6) for at_s, _ in await packets(path))
    if not stamps:
        raise BenchError(f"nothing of the scene {name} was captured")
    made = Lossless(path, name, point.width, point.height, point.frame_rate, seconds, stamps)
    note = {key: value for key, value in attrs.asdict(made).items() if key != "path"}
    made.note.write_text(json.dumps(note) + "\n", encoding="utf-8")
    return made


async def _grab(held: Stage, point: Point, path: Path, seconds: float) -> None:
    settings = CaptureSettings(
        width=point.width,
        height=point.height,
        frame_rate=point.frame_rate,
        video_rate_kbps=point.video_rate_kbps,
        audio_rate_kbps=64,
        preset=point.preset,
        display=held.display.env["DISPLAY"],
        audio_server=held.audio.address,
        audio_source=held.audio.monitor,
    )
    frames_out, frames_in = os.pipe()
    told, start = os.pipe()
    try:
        grabber = await ChildProcess.spawn(
            "grabber", video_grabber_command(sys.executable, settings), env=held.env, stdin=told, stdout=frames_in
        )
        writer = await ChildProcess.spawn(
            "writer",
            [
                *("ffmpeg", "-hide_banner", "-nostats", "-loglevel", "error", "-y", "-copyts"),
                *("-thread_queue_size", "60", "-probesize", "32", "-analyzeduration", "0", "-f", "matroska"),
                *("-i", "pipe:0", "-fps_mode", "passthrough", "-enc_time_base", "1:1000000", *LOSSLESS, str(path)),
            ],
            env=ENV,
            stdin=frames_out,
        )
    finally:
        for descriptor in (frames_out, frames_in, told):
            os.close(descriptor)
    os.write(start, f"{now_s() + AHEAD_S:.6f}\n".encode())
    os.close(start)
    await asyncio.wait({grabber.exited, writer.exited}, timeout=seconds + AHEAD_S, return_when="FIRST_COMPLETED")
    grabber.ask(signal.SIGINT)
    await ended_well(grabber)
    await ended_well(writer)
