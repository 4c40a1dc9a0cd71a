"""What is seen and heard in a finished recording of the stand-in's call page.

Reads the pattern that `pages/pattern_view.js` draws and the tones of `pages/sound.js`. The recording has to show the
page pixel for pixel; places are in pixels from the top left corner:

    corners        16x16   at the four corners: red, green / blue, yellow
    frame counter  20 blocks of 32x32 from (64, 64): white, black, 16 bits of Gray code (highest first), even parity,
                   its inverse; one more on every frame that the page prepares
    flash          128x128 at (64, 128), white for 100 ms from every whole second, with a beep of 1 kHz (100 ms)
    sync           32x32   at (24, 24) in a call with `sync`, white for 100 ms, with a tick of 3 kHz (60 ms)

With `rtc` the sound passes a peer connection and is late by its jitter buffer, 60 to 150 ms; the lights are not.
Measure offsets without it.

All times are seconds on the file's own clock, the same for picture and sound, edit lists applied. ffmpeg decodes and
shrinks; the rest is arithmetic in Python.
"""

from __future__ import annotations

import array
import cmath
import math
import re
import statistics
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

import attrs

from recorder_fsm.errors import RecordingError
from recorder_fsm.standin.probing import (
    MEASURES_BYTES,
    PROGRAM_ENV,
    PROGRAM_LIMIT_S,
    AudioStream,
    Container,
    VideoStream,
    probe,
)
from recorder_fsm.system.process import Finished, run

__all__ = [
    "AudioStream", "AvOffsets", "Container", "Corners", "Counters", "Gap", "Loudness", "Reading", "Region",
    "VideoStream", "av_offsets", "beeps", "black_share", "black_spans", "black_tail_s", "corners", "counters",
    "decode", "flashes", "longest_freeze_s", "loudness", "probe", "silent_share",
]  # fmt: skip

Kind = Literal["pattern", "sync"]
Rgb = tuple[int, int, int]


@attrs.frozen
class Region:
    """Hold a rectangle of the picture, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    def crop(self) -> str:
        """Return it as ffmpeg's crop filter; `exact` keeps odd places where they are."""
        return f"crop={self.width}:{self.height}:{self.x}:{self.y}:exact=1"


BLOCKS = 20
COUNTER_BITS = 16
COUNTER = Region(64, 64, BLOCKS * 32, 32)
LIGHTS: dict[Kind, Region] = {"pattern": Region(64, 128, 128, 128), "sync": Region(24, 24, 32, 32)}
TONES_HZ: dict[Kind, int] = {"pattern": 1000, "sync": 3000}

LIT_CONTRAST = 96  # grey levels between a light that is on and one that is off
PAIR_WITHIN_S = 0.5
PCM_RATE_HZ = 16_000
TONE_WINDOW_S = 0.01
TONE_STEP_S = 0.0005  # a whole number of samples; so is the window
TONE_MIN_S = 0.03
TONE_FLOOR = 0.002  # of full scale, -54 dBFS: whatever is quieter is no tone
BLACK_PIXEL = 0.06  # of the luma range; the call's #1E1E1E is at 0.12
BLACK_MIN_S = 0.02
FREEZE_MIN_S = 0.5
QUIETEST_DB = -200.0


@attrs.frozen
class Corners:
    """Hold the mean colours of the outermost 4x4 pixels, 0 to 255.

    `edge_rows_black` says that the last column or the last row is black while the picture beside it is not: the sign
    of a window that is one pixel smaller than the screen.
    """

    top_left: Rgb
    top_right: Rgb
    bottom_left: Rgb
    bottom_right: Rgb
    edge_rows_black: bool


@attrs.frozen
class Reading:
    """Hold the counter (0 to 65535) of the frame shown from `pts_s` on, None where it cannot be read."""

    pts_s: float
    value: int | None


@attrs.frozen
class Gap:
    """Hold a jump: the counter went on by `counts` between the frame at `at_s` and the next, `duration_s` later."""

    at_s: float
    duration_s: float
    counts: int


@attrs.frozen
class Counters:
    """Hold all readings; shares are 0 to 1 of all frames.

    A frame repeats if its counter is that of the frame before. `gaps` are steps of more than three usual ones.
    `longest_standstill_s` is the longest time with one and the same counter.
    """

    readings: tuple[Reading, ...]
    repeat_share: float
    unreadable_share: float
    gaps: tuple[Gap, ...]
    longest_standstill_s: float


@attrs.frozen
class AvOffsets:
    """Hold flash minus beep for every pair, in milliseconds: positive means that the picture is late.

    A flash is seen in the first frame that shows it, so a perfect recording of `frame_ms` per frame measures 0 to
    `frame_ms`, half a frame on average. That half is not subtracted.
    """

    offsets_ms: tuple[float, ...]
    median_ms: float
    p5_ms: float
    p95_ms: float
    frame_ms: float

    @property
    def spread_ms(self) -> float:
        return self.p95_ms - self.p5_ms


@attrs.frozen
class Loudness:
    """Hold RMS over the whole file and the highest sample, in dB relative to full scale; -91 is digital silence."""

    mean_dbfs: float
    peak_dbfs: float


async def corners(path: Path, at_s: float) -> Corners:
    """Return the corner colours of the first frame at or after `at_s` seconds; raises `RecordingError` without one."""
    video = (await probe(path)).video
    if video is None:
        raise RecordingError("The recording has no picture.")
    size, row = 4, video.width * 3
    decoded = await _ffmpeg(
        "-ss", str(at_s), "-i", str(path), "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"
    )
    frame = decoded.stdout
    if len(frame) != row * video.height:
        raise RecordingError("The recording has no such frame.", detail=f"no picture at {at_s} s")

    def mean(left: int, top: int, width: int = size, height: int = size) -> Rgb:
        cut = b"".join(frame[row * y + left * 3 : row * y + (left + width) * 3] for y in range(top, top + height))
        red, green, blue = (round(statistics.fmean(cut[channel::3])) for channel in range(3))
        return red, green, blue

    def light(left: int, top: int, width: int, height: int) -> float:
        return statistics.fmean(mean(left, top, width, height))

    right, bottom = video.width - size, video.height - size
    edges = (
        (light(video.width - 1, 0, 1, video.height), light(video.width - 4, 0, 1, video.height)),
        (light(0, video.height - 1, video.width, 1), light(0, video.height - 4, video.width, 1)),
    )
    return Corners(
        top_left=mean(0, 0),
        top_right=mean(right, 0),
        bottom_left=mean(0, bottom),
        bottom_right=mean(right, bottom),
        edge_rows_black=any(edge < 16 and beside > edge + 10 for edge, beside in edges),
    )


async def counters(path: Path) -> Counters:
    """Read the frame counter of every frame, whatever the frame rate does."""
    frames = await _shrunk(path, COUNTER, BLOCKS)
    readings = tuple(Reading(pts_s, decode(blocks)) for pts_s, blocks in frames)
    read = [(one.pts_s, one.value) for one in readings if one.value is not None]
    steps = [
        (at_s, next_s - at_s, (after - before) % 2**COUNTER_BITS) for (at_s, before), (next_s, after) in pairwise(read)
    ]
    moves = [counts for _, _, counts in steps if counts]
    usual = statistics.median(moves) if moves else 0
    return Counters(
        readings=readings,
        repeat_share=_share(sum(not counts for _, _, counts in steps), len(readings)),
        unreadable_share=_share(len(readings) - len(read), len(readings)),
        gaps=tuple(Gap(*step) for step in steps if step[2] > 3 * usual),
        longest_standstill_s=_longest_standstill(read),
    )


async def flashes(path: Path, kind: Kind = "pattern") -> list[float]:
    """Return the time of the first lit frame of each flash; a flash that the file begins with has none."""
    frames = await _shrunk(path, LIGHTS[kind], 1)
    levels = [blocks[0] for _, blocks in frames]
    if not levels or max(levels) - min(levels) < LIT_CONTRAST:
        return []
    middle = (max(levels) + min(levels)) / 2
    return [frames[i][0] for i in range(1, len(frames)) if levels[i] > middle >= levels[i - 1]]


async def beeps(path: Path, freq_hz: int) -> list[float]:
    """Return the onset of each tone of `freq_hz`, to about 1 ms.

    The strength of the tone is measured in a sliding window. It passes half of its full value exactly when half of
    the window lies in the tone, that is when the window's middle is at the onset.
    """
    strength = _tone_strength(await _pcm(path), freq_hz)
    second = int(1 / TONE_STEP_S)
    per_second = [max(strength[i : i + second]) for i in range(0, len(strength), second)]
    full = statistics.median(sorted(per_second)[len(per_second) // 2 :]) if per_second else 0.0
    half = full / 2
    if full < TONE_FLOOR:
        return []
    onsets = []
    shortest = int(TONE_MIN_S / TONE_STEP_S)
    i = 1
    while i < len(strength):
        before, now = strength[i - 1], strength[i]
        if now > half >= before and min(strength[i : i + shortest]) > half * 0.8:
            passed = i - 1 + (half - before) / (now - before)
            onsets.append(passed * TONE_STEP_S + TONE_WINDOW_S)
            i += shortest
        i += 1
    return onsets


async def av_offsets(path: Path, kind: Kind = "pattern") -> AvOffsets:
    """Pair each beep with the nearest flash within half a second; raises `RecordingError` if nothing pairs."""
    lit = await flashes(path, kind)
    heard = await beeps(path, TONES_HZ[kind])
    nearest = [min((flash - beep for flash in lit), key=abs, default=math.inf) for beep in heard]
    offsets = sorted(1000 * offset for offset in nearest if abs(offset) < PAIR_WITHIN_S)
    if not offsets:
        raise RecordingError("Picture and sound cannot be compared.", detail=f"{len(lit)} flashes, {len(heard)} beeps")
    frames = await _shrunk(path, LIGHTS[kind], 1)
    intervals = [after - before for (before, _), (after, _) in pairwise(frames)]
    return AvOffsets(
        offsets_ms=tuple(offsets),
        median_ms=statistics.median(offsets),
        p5_ms=_percentile(offsets, 5),
        p95_ms=_percentile(offsets, 95),
        frame_ms=1000 * statistics.median(intervals) if intervals else 0.0,
    )


async def loudness(path: Path) -> Loudness:
    """Return mean and peak level of the sound; raises `RecordingError` if there is none."""
    said = (await _ffmpeg("-i", str(path), "-vn", "-af", "volumedetect", "-f", "null", "-")).stderr
    mean, peak = (re.search(rf"{name}_volume: (\S+) dB", said) for name in ("mean", "max"))
    if mean is None or peak is None:
        raise RecordingError("The recording has no sound.")
    return Loudness(float(mean[1]), float(peak[1]))


async def silent_share(path: Path, floor_db: float = -60.0) -> float:
    """Return the share (0 to 1) of seconds whose RMS is below `floor_db` dBFS; a last part second is left out."""
    samples = await _pcm(path)
    whole = range(0, len(samples) - PCM_RATE_HZ + 1, PCM_RATE_HZ)
    seconds = [samples[i : i + PCM_RATE_HZ] for i in whole]
    return _share(sum(_rms_db(second) < floor_db for second in seconds), len(seconds))


async def black_spans(path: Path) -> list[tuple[float, float]]:
    """Return begin and end, in seconds, of each time in which practically all of the picture is black."""
    detect = f"blackdetect=d={BLACK_MIN_S}:pix_th={BLACK_PIXEL}"
    said = (await _ffmpeg("-copyts", "-i", str(path), "-an", "-vf", detect, "-f", "null", "-")).stderr
    return [(float(begin), float(end)) for begin, end in re.findall(r"black_start:(\S+) black_end:(\S+)", said)]


async def black_share(path: Path) -> float:
    """Return the share (0 to 1) of the file's duration that is black."""
    spans = await black_spans(path)
    return min(1.0, sum(end - begin for begin, end in spans) / ((await probe(path)).duration_s or 1.0))


async def black_tail_s(path: Path) -> float:
    """Return for how many seconds the picture is black at the end of the file."""
    video = (await probe(path)).video
    spans = await black_spans(path)
    if video is None or not spans:
        return 0.0
    end_s = video.start_s + video.duration_s
    begin, end = spans[-1]
    # The last frame's own duration is not part of the span that ffmpeg reports.
    return end_s - begin if end_s - end < 1.5 else 0.0


async def longest_freeze_s(path: Path, region: Region | None = None, *, noise_db: float = -60.0) -> float:
    """Return the longest time, in seconds, in which the picture or one region of it does not change.

    Half a second is the shortest that counts. The difference is a mean over the area: a clock's digits vanish in a
    whole picture, so give the clock's region.
    """
    crop = f"{region.crop()}," if region else ""
    detect = f"{crop}freezedetect=n={noise_db}dB:d={FREEZE_MIN_S}"
    said = (await _ffmpeg("-copyts", "-i", str(path), "-an", "-vf", detect, "-f", "null", "-")).stderr
    lengths = [float(length) for length in re.findall(r"freeze_duration: (\S+)", said)]
    starts = [float(start) for start in re.findall(r"freeze_start: (\S+)", said)]
    video = (await probe(path)).video
    if len(starts) > len(lengths) and video is not None:  # frozen to the end
        lengths.append(video.start_s + video.duration_s - starts[-1])
    return max(lengths, default=0.0)


def decode(blocks: bytes) -> int | None:
    """Return the counter that 20 grey levels show, None if references or parity do not fit."""
    white, black = blocks[0], blocks[1]
    if white - black < LIT_CONTRAST:
        return None
    bits = [level > (white + black) / 2 for level in blocks[2:]]
    code, parity, inverse = bits[:COUNTER_BITS], bits[COUNTER_BITS], bits[COUNTER_BITS + 1]
    if parity == inverse or sum(code) % 2 != parity:
        return None
    value = bit = 0
    for gray in code:
        bit ^= gray
        value = value * 2 + bit
    return value


async def _ffmpeg(*arguments: str) -> Finished:
    finished = await run(
        "ffmpeg",
        ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", *arguments],
        env=PROGRAM_ENV,
        limit_s=PROGRAM_LIMIT_S,
        words_bytes=MEASURES_BYTES,
    )
    if finished.returncode:
        raise RecordingError("The recording cannot be read.", detail=finished.stderr[-500:].strip())
    return finished


async def _shrunk(path: Path, region: Region, blocks: int) -> list[tuple[float, bytes]]:
    """Return for every frame its time in seconds and the mean grey (0 to 255) of `blocks` parts, left to right."""
    chain = f"{region.crop()},format=gray,scale={blocks}:1:flags=area,showinfo"
    decoded = await _ffmpeg(
        "-copyts", "-i", str(path), "-an", "-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", "-"
    )
    times = [float(time) for time in re.findall(r" n: *\d+ pts: *\S+ pts_time:(\S+)", decoded.stderr)]
    rows = [decoded.stdout[i : i + blocks] for i in range(0, len(decoded.stdout), blocks)]
    return list(zip(times, rows, strict=True))


def _longest_standstill(read: Sequence[tuple[float, int]]) -> float:
    longest, since_s, held = 0.0, 0.0, -1
    for pts_s, value in read:
        if value != held:
            since_s, held = pts_s, value
        longest = max(longest, pts_s - since_s)
    return longest


async def _pcm(path: Path) -> array.array[int]:
    """Return the sound as mono samples (16 bit, PCM_RATE_HZ); the first is heard at 0 s, holes are silence."""
    even = f"aresample={PCM_RATE_HZ}:async=1:min_hard_comp=0.02:first_pts=0"
    decoded = await _ffmpeg("-copyts", "-i", str(path), "-vn", "-af", even, "-ac", "1", "-f", "s16le", "-")
    samples = array.array("h")
    samples.frombytes(decoded.stdout[: len(decoded.stdout) // 2 * 2])
    return samples


def _tone_strength(samples: Sequence[int], freq_hz: int) -> list[float]:
    """Return the amplitude (1 is full scale) of `freq_hz` in windows that start TONE_STEP_S apart.

    The window is a triangle of twice TONE_WINDOW_S: two sliding means, one of the other. Voices leak into a plain
    window of that length ten times as much.
    """
    step = int(TONE_STEP_S * PCM_RATE_HZ)
    steps = int(TONE_WINDOW_S / TONE_STEP_S)
    scale = 2 / (step * steps * steps * 32768)
    period = PCM_RATE_HZ // math.gcd(PCM_RATE_HZ, freq_hz)
    waves = [scale * cmath.exp(2j * math.pi * freq_hz * i / PCM_RATE_HZ) for i in range(period)]
    blocks = [
        sum((samples[i] * waves[i % period] for i in range(start, start + step)), 0j)
        for start in range(0, len(samples) - step + 1, step)
    ]
    return [abs(value) for value in _sliding(_sliding(blocks, steps), steps)]


def _sliding(values: Sequence[complex], length: int) -> list[complex]:
    """Return the sums of each `length` values in a row."""
    sums = list(accumulate(values, initial=0j))
    return [after - before for before, after in zip(sums, sums[length:], strict=False)]


def _rms_db(samples: Sequence[int]) -> float:
    power = sum(sample * sample for sample in samples) / (len(samples) * 32768**2)
    return 10 * math.log10(power) if power else QUIETEST_DB


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of ascending values, between the two nearest where it falls between them."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
