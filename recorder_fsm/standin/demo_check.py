"""Whether a published recording is what it should be, found out from the file alone.

Nothing that the recorder says of its own work is taken on trust.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from recorder_fsm.analysis import audio, pattern, video
from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV, PROGRAM_LIMIT_S
from recorder_fsm.analysis.probe import Container, probe
from recorder_fsm.errors import RecordingError
from recorder_fsm.media.probe import decode_command
from recorder_fsm.system.process import run

CLOCK_DIFFERS_S = 2.0
CLOCK_DIFFERS_SHARE = 0.02
STREAMS_DIFFER_S = 1.0
QUIETEST_DBFS = -60.0
SILENT_SHARE = 0.5
"""The people of the demo call take turns, with pauses of less than a second."""
BLACK_SHARE = 0.02


@attrs.frozen
class Findings:
    """What was found in one file; `problems` are sentences, and none for a good recording."""

    container: Container
    sound: audio.Loudness | None
    offsets: pattern.AvOffsets | None
    problems: tuple[str, ...]


async def examine(path: Path, *, received_bytes: int, recorded_s: float, size: tuple[int, int]) -> Findings:
    """Look at all of the file. `received_bytes`: what the server got; `recorded_s`: from `started` to the stop.

    `size` is the width and height that were asked for. Raises `RecordingError` for what is no playable file.
    """
    container = await probe(path)
    problems = [*_streams(container, size), *_length(container, recorded_s)]
    if container.size_bytes != received_bytes:
        problems.append(f"the file has {container.size_bytes} bytes, the server got {received_bytes}")
    problems += await _decodes(path, container)
    sound = offsets = None
    if container.audio is not None:
        sound = await audio.loudness(path)
        silent = await audio.silent_share(path, QUIETEST_DBFS)
        if sound.mean_dbfs < QUIETEST_DBFS or silent > SILENT_SHARE:
            problems.append(f"it is silent: {sound.mean_dbfs:.0f} dBFS, {silent:.0%} of the seconds without sound")
    if container.video is not None:
        black = await video.black_share(path)
        if black > BLACK_SHARE:
            problems.append(f"{black:.0%} of it is black")
    if container.audio is not None and container.video is not None:
        try:
            offsets = await pattern.av_offsets(path, kind="sync")
        except RecordingError as error:
            problems.append(f"{error}")
    return Findings(container, sound, offsets, tuple(problems))


def _streams(container: Container, size: tuple[int, int]) -> list[str]:
    problems = []
    video, audio = container.video, container.audio
    if video is None:
        problems.append("there is no picture")
    elif (video.width, video.height) != size:
        problems.append(f"the picture is {video.width}x{video.height}, {size[0]}x{size[1]} was asked for")
    if audio is None:
        problems.append("there is no sound")
    if video is not None and audio is not None and abs(video.duration_s - audio.duration_s) > STREAMS_DIFFER_S:
        problems.append(f"picture ({video.duration_s:.1f} s) and sound ({audio.duration_s:.1f} s) differ in length")
    if not container.faststart:
        problems.append("its index comes last: it does not play while it loads")
    return problems


def _length(container: Container, recorded_s: float) -> list[str]:
    allowed_s = max(CLOCK_DIFFERS_S, recorded_s * CLOCK_DIFFERS_SHARE)
    if abs(container.duration_s - recorded_s) <= allowed_s:
        return []
    return [f"it lasts {container.duration_s:.1f} s, the call was recorded for {recorded_s:.1f} s"]


async def _decodes(path: Path, container: Container) -> list[str]:
    command = decode_command(path, from_s=0.0, for_s=container.duration_s + 1)
    done = await run("ffmpeg", command, env=PROGRAM_ENV, limit_s=PROGRAM_LIMIT_S)
    if done.returncode or done.stderr.strip():
        return [f"it does not decode: {done.stderr.strip()[-200:]}"]
    return []
