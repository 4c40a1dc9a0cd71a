"""What a finished recording says about itself: container, streams, brands, order of its boxes.

Reads with ffprobe and by walking the MP4 boxes (ISO/IEC 14496-12). What is seen and heard in it
is left to `video` and `audio`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV, PROGRAM_LIMIT_S
from recorder_fsm.errors import RecordingError
from recorder_fsm.system.process import run


@attrs.frozen
class VideoStream:
    """Hold the picture's stream; sizes in pixels, times in seconds on the file's own clock."""

    codec: str
    width: int
    height: int
    pix_fmt: str
    frames: int
    start_s: float
    duration_s: float


@attrs.frozen
class AudioStream:
    """Hold the sound's stream; `sample_rate` in Hz, times in seconds on the file's own clock."""

    codec: str
    sample_rate: int
    channels: int
    start_s: float
    duration_s: float


@attrs.frozen
class Container:
    """Hold one file's description; `faststart` says that a player can begin before it has the whole file."""

    duration_s: float
    size_bytes: int
    brands: tuple[str, ...]
    faststart: bool
    video: VideoStream | None
    audio: AudioStream | None


async def probe(path: Path) -> Container:
    """Describe the file; raises `RecordingError` if it is not a playable file.

    `brands` is the major brand followed by the compatible ones, empty for a container other than MP4.
    """
    found = await run(
        "ffprobe",
        ["ffprobe", "-v", "error", "-count_packets", "-show_format", "-show_streams", "-of", "json", str(path)],
        env=PROGRAM_ENV,
        limit_s=PROGRAM_LIMIT_S,
    )
    if found.returncode:
        raise RecordingError("The recording cannot be read.", detail=found.stderr.strip())
    described = json.loads(found.stdout)
    of_kind = {stream["codec_type"]: stream for stream in reversed(described["streams"])}
    boxes = list(top_level_boxes(path))
    return Container(
        duration_s=float(described["format"].get("duration", 0.0)),
        size_bytes=int(described["format"]["size"]),
        brands=_brands(path, boxes),
        faststart=_moov_first([kind for kind, _, _ in boxes]),
        video=_video(of_kind["video"]) if "video" in of_kind else None,
        audio=_audio(of_kind["audio"]) if "audio" in of_kind else None,
    )


def top_level_boxes(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yield kind, offset and size in bytes of each top-level box; ends quietly where the file is no MP4."""
    length = path.stat().st_size
    offset = 0
    with path.open("rb") as file:
        while offset + 8 <= length:
            file.seek(offset)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size == 1 and offset + 16 <= length:
                (size,) = struct.unpack(">Q", file.read(8))
            elif size == 0:  # to the end of the file
                size = length - offset
            if size < 8 or not kind.isalnum():
                return
            yield kind.decode("latin-1"), offset, size
            offset += size


def _moov_first(kinds: list[str]) -> bool:
    return "moov" in kinds and "mdat" in kinds and kinds.index("moov") < kinds.index("mdat")


def _brands(path: Path, boxes: list[tuple[str, int, int]]) -> tuple[str, ...]:
    if not boxes or boxes[0][0] != "ftyp":
        return ()
    with path.open("rb") as file:
        body = file.read(boxes[0][2])[8:]
    major, compatible = body[:4], body[8:]
    codes = [major, *(compatible[i : i + 4] for i in range(0, len(compatible), 4))]
    return tuple(code.decode("latin-1") for code in codes)


def _video(stream: dict[str, Any]) -> VideoStream:
    return VideoStream(
        codec=stream["codec_name"],
        width=int(stream["width"]),
        height=int(stream["height"]),
        pix_fmt=stream.get("pix_fmt", ""),
        frames=int(stream.get("nb_read_packets", 0)),
        start_s=float(stream.get("start_time", 0.0)),
        duration_s=float(stream.get("duration", 0.0)),
    )


def _audio(stream: dict[str, Any]) -> AudioStream:
    return AudioStream(
        codec=stream["codec_name"],
        sample_rate=int(stream["sample_rate"]),
        channels=int(stream["channels"]),
        start_s=float(stream.get("start_time", 0.0)),
        duration_s=float(stream.get("duration", 0.0)),
    )
