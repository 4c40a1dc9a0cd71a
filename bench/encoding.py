"""The two encoders on the same frames: the recorder's own command, and the reference's.

Both read raw frames from a pipe, so neither pays for the decoding of the capture. The recorder's gets them as its
grabber sends them, each with its time; the reference's gets them as it has them from x11grab, at a constant rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from bench.lossless import Lossless
from bench.programs import ENV, QUIET, CpuTime, ended_well
from bench.reference import encoder_words
from bench.scenes import Point
from recorder_fsm.media.encode import CaptureSettings, encoder_command
from recorder_fsm.media.raw_stream import frame_head, stream_head
from recorder_fsm.system.process import ChildProcess

AUDIO_RATE_KBPS = 64
AUDIO_BYTES_PER_S = 48_000 * 4


@attrs.frozen
class Encoded:
    """A file that an encoder made, the seconds of CPU and of time that it took."""

    path: Path
    cpu_s: float
    took_s: float


def settings_of(point: Point) -> CaptureSettings:
    """Return what the encoder is told; display and audio are none of its business."""
    return CaptureSettings(
        width=point.width,
        height=point.height,
        frame_rate=point.frame_rate,
        video_rate_kbps=point.video_rate_kbps,
        audio_rate_kbps=AUDIO_RATE_KBPS,
        preset=point.preset,
        display="",
        audio_server="",
        audio_source="",
    )


def changed(command: Sequence[str], extra: Sequence[str], drop: Sequence[str]) -> list[str]:
    """Return an ffmpeg command without the options `drop` and their values, and with `extra` before its output."""
    words: list[str] = []
    left = iter(command[:-1])
    for word in left:
        if word in drop:
            next(left, None)
        else:
            words.append(word)
    return [*words, *extra, command[-1]]


async def encode_ours(
    source: Lossless, point: Point, target: Path, *, extra: Sequence[str] = (), drop: Sequence[str] = ()
) -> Encoded:
    """Encode a capture by the recorder's own command."""
    frames_out, frames_in = os.pipe()
    audio_out, audio_in = os.pipe()
    command = encoder_command(settings_of(point), target, video_fd=frames_out, audio_fd=audio_out, from_s=0.0)
    silence = str(round(source.seconds * AUDIO_BYTES_PER_S))
    began, cpu = time.monotonic(), CpuTime()
    try:
        encoder = await ChildProcess.spawn(
            "encoder",
            ["ffmpeg", "-benchmark", *changed(command, extra, drop)[1:]],
            env=ENV,
            pass_fds=(frames_out, audio_out),
            on_line=cpu.hear,
        )
        audio = await ChildProcess.spawn("silence", ["head", "-c", silence, "/dev/zero"], env=ENV, stdout=audio_in)
    finally:
        for descriptor in (frames_out, audio_out, audio_in):
            os.close(descriptor)
    raw_out, raw_in = os.pipe()
    try:
        reader = await _decode(source, raw_in, ("-fps_mode", "passthrough"))
    finally:
        os.close(raw_in)
    await asyncio.to_thread(_stamp, source, raw_out, frames_in)
    await asyncio.gather(*(ended_well(child) for child in (reader, audio, encoder)))
    await encoder.drained()
    return Encoded(target, cpu.seconds, time.monotonic() - began)


async def encode_reference(source: Lossless, point: Point, target: Path) -> Encoded:
    """Encode a capture as the original does, at a constant rate."""
    raw_out, raw_in = os.pipe()
    size = ("-video_size", f"{point.width}x{point.height}", "-framerate", str(point.frame_rate))
    began, cpu = time.monotonic(), CpuTime()
    try:
        encoder = await ChildProcess.spawn(
            "reference",
            [
                *("ffmpeg", "-benchmark", "-hide_banner", "-nostats", "-loglevel", "info", "-y"),
                *("-f", "rawvideo", "-pix_fmt", "yuv420p", *size, "-i", "pipe:0", "-map", "0:v"),
                *encoder_words(point, AUDIO_RATE_KBPS),
                str(target),
            ],
            env=ENV,
            stdin=raw_out,
            on_line=cpu.hear,
        )
        reader = await _decode(source, raw_in, ("-vf", constant(point)))
    finally:
        os.close(raw_out)
        os.close(raw_in)
    await asyncio.gather(ended_well(reader), ended_well(encoder))
    await encoder.drained()
    return Encoded(target, cpu.seconds, time.monotonic() - began)


def constant(point: Point) -> str:
    """Return ffmpeg's filter that shows a capture at a constant rate, from its begin."""
    return f"fps={point.frame_rate}:start_time=0"


async def _decode(source: Lossless, target_fd: int, words: Sequence[str]) -> ChildProcess:
    """Start what writes the frames of a capture raw, one after another."""
    command = [*QUIET, "-copyts", "-i", str(source.path), *words, "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"]
    return await ChildProcess.spawn("reader", command, env=ENV, stdout=target_fd)


def _stamp(source: Lossless, raw_fd: int, target_fd: int) -> None:
    """Send raw frames on as the video grabber does: each behind its time. Closes both descriptors."""
    size = source.width * source.height * 3 // 2
    ended = contextlib.suppress(BrokenPipeError)  # an encoder that ended has its own words
    with ended, os.fdopen(raw_fd, "rb", buffering=0) as raw, os.fdopen(target_fd, "wb", buffering=0) as target:
        frame = bytearray(size)
        _write(target.fileno(), stream_head(source.width, source.height, source.frame_rate))
        for stamp_us in source.stamps_us:
            view = memoryview(frame)
            while view and (count := raw.readinto(view)):
                view = view[count:]
            if view:
                return
            _write(target.fileno(), frame_head(stamp_us, size))
            _write(target.fileno(), frame)


def _write(target_fd: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(target_fd, left) :]
