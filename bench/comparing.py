"""How close an encoded file is to its lossless capture, frame by frame, and what rate it has.

Both are compared with what the grabber saw, weighted by time: of a file with a variable rate each frame counts as long
as it is shown. So an encoder gains nothing by repeating a frame that it has sharpened.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from bench.encoding import Encoded, constant
from bench.figures import highest_rate_kbps, mean_rate_kbps, psnr_db, shown_for_s, ssim_db, weighted_mean
from bench.lossless import Lossless
from bench.programs import BenchError, ffmpeg, packets
from bench.scenes import Point

SSIM = re.compile(r"\bY:([0-9.]+)")
ERROR = re.compile(r"\bmse_avg:([0-9.]+)")
BY_NUMBER = "settb=1/25,setpts=N,format=yuv420p"
"""Frames are paired by their number, not by times that each container rounds in its own way."""


@attrs.frozen
class Quality:
    """Of one encoded file: kbit/s over all and over the worst ten seconds, SSIM of luma and PSNR in dB, CPU seconds."""

    kbps: float
    highest_kbps: float
    ssim_db: float
    psnr_db: float
    cpu_s: float
    frames: int


async def compare(source: Lossless, encoded: Encoded, point: Point, *, constant_rate: bool) -> Quality:
    """Compare a file with the capture it was made of; raises `BenchError` where frames are missing."""
    sent = await packets(encoded.path)
    chain = f"{constant(point)},{BY_NUMBER}" if constant_rate else BY_NUMBER
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ssim_file, error_file = Path(folder) / "ssim", Path(folder) / "psnr"
        graph = (
            f"[0:v]{chain},split[a][b];[1:v]{BY_NUMBER},split[c][d];"
            f"[c][a]ssim=stats_file={ssim_file}[s];[d][b]psnr=stats_file={error_file}[p]"
        )
        inputs = ("-copyts", "-i", str(source.path), "-copyts", "-i", str(encoded.path))
        sinks = ("-map", "[s]", "-f", "null", "-", "-map", "[p]", "-f", "null", "-")
        await ffmpeg(*inputs, "-filter_complex", graph, "-fps_mode", "passthrough", *sinks)
        similar = _column(SSIM, ssim_file)
        errors = _column(ERROR, error_file)
    weights = [1.0] * len(sent)
    if not constant_rate:
        if len(sent) != len(source.stamps_us):
            raise BenchError(f"{len(source.stamps_us)} frames were given to the encoder, {len(sent)} are in its file")
        weights = shown_for_s([stamp / 1e6 for stamp in source.stamps_us], source.seconds)
    if not len(similar) == len(errors) == len(weights):
        raise BenchError(f"{len(weights)} frames in the file, {len(similar)} were compared")
    return Quality(
        kbps=mean_rate_kbps(sent, source.seconds),
        highest_kbps=highest_rate_kbps(sent),
        ssim_db=ssim_db(weighted_mean(similar, weights)),
        psnr_db=psnr_db(weighted_mean(errors, weights)),
        cpu_s=encoded.cpu_s,
        frames=len(sent),
    )


def _column(pattern: re.Pattern[str], path: Path) -> Sequence[float]:
    return [float(value) for value in pattern.findall(path.read_text(encoding="utf-8"))]
