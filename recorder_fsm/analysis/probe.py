"""What a finished recording says about itself: container, streams, brands, order of its boxes.

Reads with ffprobe and by walking the MP4 boxes (ISO/IEC 14496-12). What is seen and heard in it
is left to `video` and `audio`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV, limit_s, opened, reason, require_file
from recorder_fsm.errors import RecordingError
from recorder_fsm.system.process import run

BRANDS_BYTES = 1024
LOOKED_AT_BOXES = 100_000
"""A live file of eight hours; what has more is no MP4 that a program wrote."""

Colours = tuple[str, str, str, str]


@attrs.frozen
class VideoStream:
    """Hold the video's stream; sizes in pixels, times in seconds on the file's own clock.

    `frames` is 0 where the file does not say how many there are. `colours` are range, matrix, primaries and transfer,
    each "" where the file does not name it. `rotation_deg`: how a player is told to turn it.
    """

    codec: str
    width: int
    height: int
    pix_fmt: str
    frames: int
    start_s: float
    duration_s: float
    profile: str = ""
    rate_fps: float = 0.0
    bit_rate_bps: int = 0
    colours: Colours = ("", "", "", "")
    rotation_deg: int = 0
    index: int = 0


@attrs.frozen
class AudioStream:
    """Hold the audio's stream; `sample_rate` in Hz, times in seconds on the file's own clock."""

    codec: str
    sample_rate: int
    channels: int
    start_s: float
    duration_s: float
    profile: str = ""
    bit_rate_bps: int = 0
    index: int = 0


@attrs.frozen
class Container:
    """Hold one file's description; `faststart` says that a player can begin before it has the whole file.

    `streams` are the kinds of all its streams, also of those that are none of a recording.
    """

    duration_s: float
    size_bytes: int
    brands: tuple[str, ...]
    faststart: bool
    video: VideoStream | None
    audio: AudioStream | None
    kind: str = ""
    start_s: float = 0.0
    streams: tuple[str, ...] = ()


async def probe(path: Path, *, count: bool = True) -> Container:
    """Describe the file; raises `RecordingError` if it is not a playable file.

    `brands` is the major brand followed by the compatible ones, empty for a container other than MP4. `count`: read all
    of the file to count its frames; else its index is believed.
    """
    size_bytes = require_file(path)
    counted = ["-count_packets"] if count else []
    argv = ["ffprobe", "-v", "error", *counted, "-show_format", "-show_streams", "-of", "json", *opened(path)]
    found = await run("ffprobe", argv, env=PROGRAM_ENV, limit_s=limit_s(size_bytes))
    if found.returncode:
        raise RecordingError("The recording cannot be read.", detail=reason(found.stderr, path), code="unreadable")
    described = json.loads(found.stdout)
    streams: list[dict[str, Any]] = described.get("streams", [])
    pictures = [stream for stream in streams if stream.get("disposition", {}).get("attached_pic")]
    of_kind = {stream.get("codec_type", ""): stream for stream in reversed(streams) if stream not in pictures}
    boxes = list(islice(top_level_boxes(path), LOOKED_AT_BOXES))
    about = described.get("format", {})
    return Container(
        duration_s=_number(about, "duration"),
        size_bytes=size_bytes,
        brands=_brands(path, boxes),
        faststart=_moov_first([kind for kind, _, _ in boxes]),
        video=_video(of_kind["video"]) if "video" in of_kind else None,
        audio=_audio(of_kind["audio"]) if "audio" in of_kind else None,
        kind=str(about.get("format_name", "")),
        start_s=_number(about, "start_time"),
        streams=tuple(str(stream.get("codec_type", "unknown")) for stream in streams),
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
        body = file.read(min(boxes[0][2], BRANDS_BYTES))[8:]
    major, compatible = body[:4], body[8:]
    codes = [major, *(compatible[i : i + 4] for i in range(0, len(compatible), 4))]
    return tuple(code.decode("latin-1") for code in codes)


def _video(stream: Mapping[str, Any]) -> VideoStream:
    colours = [stream.get(f"color_{name}", "") for name in ("range", "space", "primaries", "transfer")]
    turned = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    return VideoStream(
        codec=str(stream.get("codec_name", "unknown")),
        width=int(_number(stream, "width")),
        height=int(_number(stream, "height")),
        pix_fmt=str(stream.get("pix_fmt", "")),
        frames=int(_number(stream, "nb_read_packets") or _number(stream, "nb_frames")),
        start_s=_number(stream, "start_time"),
        duration_s=_number(stream, "duration"),
        profile=str(stream.get("profile", "")),
        rate_fps=_ratio(stream.get("avg_frame_rate", "")),
        bit_rate_bps=int(_number(stream, "bit_rate")),
        colours=(colours[0], colours[1], colours[2], colours[3]),
        rotation_deg=int(turned[0]) if turned else 0,
        index=int(_number(stream, "index")),
    )


def _audio(stream: Mapping[str, Any]) -> AudioStream:
    return AudioStream(
        codec=str(stream.get("codec_name", "unknown")),
        sample_rate=int(_number(stream, "sample_rate")),
        channels=int(_number(stream, "channels")),
        start_s=_number(stream, "start_time"),
        duration_s=_number(stream, "duration"),
        profile=str(stream.get("profile", "")),
        bit_rate_bps=int(_number(stream, "bit_rate")),
        index=int(_number(stream, "index")),
    )


def _number(described: Mapping[str, Any], name: str) -> float:
    """Return a number that ffprobe may have left out, or given as `N/A`; then 0."""
    try:
        value = float(described.get(name, 0))
    except (TypeError, ValueError):
        return 0.0
    return value if math.isfinite(value) else 0.0


def _ratio(text: str) -> float:
    above, _, below = text.partition("/")
    return int(above) / int(below) if above.isdigit() and below.isdigit() and int(below) else 0.0
