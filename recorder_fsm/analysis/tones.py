"""Tones in a recording's audio, and when each begins."""

from __future__ import annotations

import cmath
import math
import statistics
from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from recorder_fsm.analysis.audio import PCM_RATE_HZ, pcm

TONE_WINDOW_S = 0.01
TONE_STEP_S = 0.0005  # a whole number of samples; so is the window
TONE_MIN_S = 0.03
TONE_FLOOR = 0.002  # of full scale, -54 dBFS: whatever is quieter is no tone


async def beeps(path: Path, freq_hz: int) -> list[float]:
    """Return the onset of each tone of `freq_hz`, to about 1 ms.

    The strength of the tone is measured in a sliding window. It passes half of its full value exactly when half of
    the window lies in the tone, that is when the window's middle is at the onset.
    """
    strength = _strengths(await pcm(path), freq_hz)
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


def _strengths(samples: Sequence[int], freq_hz: int) -> array[float]:
    """Return what `_tone_strength` returns for all samples, minute by minute: hours of it would not fit in memory."""
    step = int(TONE_STEP_S * PCM_RATE_HZ)
    window = 2 * int(TONE_WINDOW_S * PCM_RATE_HZ)
    minute = 60 * PCM_RATE_HZ
    strength = array("f")
    for begin in range(0, len(samples), minute):
        strength.extend(_tone_strength(samples[begin : begin + minute + window - 2 * step], freq_hz))
    return strength


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
