"""Raw frames with their times as a stream that ffmpeg reads from a pipe: Matroska (RFC 9559), a cluster for each frame.

Frames as they are have no times, and ffmpeg would stamp them when it reads them: late, where it is busy.
"""

from __future__ import annotations

TIMESTAMP_NS = 1000
"""The unit of the times: a microsecond."""
_UNKNOWN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_EBML, _DOC_TYPE, _DOC_TYPE_VERSION, _DOC_TYPE_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
_SEGMENT, _INFO, _TIMESTAMP_SCALE = 0x18538067, 0x1549A966, 0x2AD7B1
_TRACKS, _TRACK_ENTRY, _TRACK_NUMBER, _TRACK_UID, _TRACK_TYPE, _CODEC_ID = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83, 0x86
_DEFAULT_DURATION = 0x23E383
_VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT, _FOURCC = 0xE0, 0xB0, 0xBA, 0x2EB524
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
_BLOCK_HEAD = b"\x81\x00\x00\x80"
"""Track 1, at the cluster's own time, a key frame."""


def stream_head(width: int, height: int, frame_rate: int) -> bytes:
    """Return what the stream begins with: one track of yuv420p frames of that size, at most so many in a second."""
    versions = _element(_DOC_TYPE_VERSION, _number(4)) + _element(_DOC_TYPE_READ_VERSION, _number(2))
    size = _element(_PIXEL_WIDTH, _number(width)) + _element(_PIXEL_HEIGHT, _number(height))
    track = (
        _element(_TRACK_NUMBER, _number(1))
        + _element(_TRACK_UID, _number(1))
        + _element(_TRACK_TYPE, _number(1))
        + _element(_DEFAULT_DURATION, _number(1_000_000_000 // frame_rate))
        + _element(_CODEC_ID, b"V_UNCOMPRESSED")
        + _element(_VIDEO, size + _element(_FOURCC, b"I420"))
    )
    return (
        _element(_EBML, _element(_DOC_TYPE, b"matroska") + versions)
        + _id(_SEGMENT)
        + _UNKNOWN_SIZE
        + _element(_INFO, _element(_TIMESTAMP_SCALE, _number(TIMESTAMP_NS)))
        + _element(_TRACKS, _element(_TRACK_ENTRY, track))
    )


def frame_head(stamp_us: int, size_bytes: int) -> bytes:
    """Return what stands before the `size_bytes` of a frame that is shown from `stamp_us` microseconds on."""
    stamp = _element(_TIMESTAMP, _number(stamp_us))
    block = _id(_SIMPLE_BLOCK) + _size(len(_BLOCK_HEAD) + size_bytes) + _BLOCK_HEAD
    return _id(_CLUSTER) + _size(len(stamp) + len(block) + size_bytes) + stamp + block


def _element(number: int, content: bytes) -> bytes:
    return _id(number) + _size(len(content)) + content


def _id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _size(value: int) -> bytes:
    return (1 << 56 | value).to_bytes(8, "big")


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
