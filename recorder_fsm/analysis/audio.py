"""What is heard in a recording: its level, its silence, its samples.

All times are seconds on the file's own clock, the same for video and audio, edit lists applied.
"""

from __future__ import annotations

import array
import math
import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from recorder_fsm.analysis.arithmetic import share
from recorder_fsm.analysis.ffmpeg import ffmpeg
from recorder_fsm.errors import RecordingError

PCM_RATE_HZ = 16_000
QUIETEST_DB = -200.0
LEVELS_RATE_HZ = 8000
LEVELS = re.compile(r"pts_time:(\S+)\s+lavfi.astats.Overall.Peak_level=(\S+)\s+lavfi.astats.Overall.RMS_level=(\S+)")


@attrs.frozen
class Loudness:
    """Hold RMS over the whole file and the highest sample, in dB relative to full scale; -91 is digital silence."""

    mean_dbfs: float
    peak_dbfs: float


async def loudness(path: Path) -> Loudness:
    """Return mean and peak level of the sound; raises `RecordingError` if there is none."""
    said = (await ffmpeg(path, "-vn", "-af", "volumedetect", "-f", "null", "-")).stderr
    mean, peak = (re.search(rf"{name}_volume: (\S+) dB", said) for name in ("mean", "max"))
    if mean is None or peak is None:
        raise RecordingError("The recording has no sound.")
    return Loudness(float(mean[1]), float(peak[1]))


@attrs.frozen
class Level:
    """Hold RMS and the highest sample of a short stretch, in dB relative to full scale; -200 is digital silence."""

    rms_dbfs: float
    peak_dbfs: float


async def levels(path: Path, length_s: float, count: int, *, most_s: float | None = None) -> list[Level | None]:
    """Return the highest levels in `count` equal stretches of the first `length_s` seconds, None where is no audio."""
    samples = max(1, int(length_s * LEVELS_RATE_HZ / count))  # at least one measurement begins in each stretch
    chain = (
        f"aresample={LEVELS_RATE_HZ},asetnsamples=n={samples}:p=0"
        ",astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=Peak_level+RMS_level"
        ",ametadata=mode=print:file=-"
    )
    read = await ffmpeg(
        path, "-vn", "-map", "0:a:0", "-af", chain, "-f", "null", "-", before=("-copyts",), most_s=most_s
    )
    found: list[Level | None] = [None] * count
    for at, peak, rms in LEVELS.findall(read.stdout.decode(errors="replace")):
        place = int(float(at) / length_s * count + 1e-6)
        if 0 <= place < count:
            before = found[place] or Level(QUIETEST_DB, QUIETEST_DB)
            found[place] = Level(max(before.rms_dbfs, _decibels(rms)), max(before.peak_dbfs, _decibels(peak)))
    return found


def _decibels(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else QUIETEST_DB


async def silent_share(path: Path, floor_db: float = -60.0) -> float:
    """Return the share (0 to 1) of seconds whose RMS is below `floor_db` dBFS; a last part second is left out."""
    samples = await pcm(path)
    whole = range(0, len(samples) - PCM_RATE_HZ + 1, PCM_RATE_HZ)
    seconds = [samples[i : i + PCM_RATE_HZ] for i in whole]
    return share(sum(_rms_db(second) < floor_db for second in seconds), len(seconds))


async def pcm(path: Path) -> array.array[int]:
    """Return the sound as mono samples (16 bit, PCM_RATE_HZ); the first is heard at 0 s, holes are silence."""
    even = f"aresample={PCM_RATE_HZ}:async=1:min_hard_comp=0.02:first_pts=0"
    decoded = await ffmpeg(path, "-vn", "-af", even, "-ac", "1", "-f", "s16le", "-", before=("-copyts",))
    samples = array.array("h")
    samples.frombytes(decoded.stdout[: len(decoded.stdout) // 2 * 2])
    return samples


def _rms_db(samples: Sequence[int]) -> float:
    power = sum(sample * sample for sample in samples) / (len(samples) * 32768**2)
    return 10 * math.log10(power) if power else QUIETEST_DB
