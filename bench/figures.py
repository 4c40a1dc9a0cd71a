"""Arithmetic of measurements: medians, ranges, ratios, slopes, the highest rate over a window. Nothing is run here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise

import attrs

WINDOW_S = 10.0
PEAK = 255.0


@attrs.frozen
class Spread:
    """The median of several runs, and their lowest and highest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])

    def shown(self, digits: int = 0) -> str:
        """Return it as a person reads it: the median, and the range where there is one."""
        median, low, high = (f"{value:.{digits}f}" for value in (self.median, self.low, self.high))
        return median if low == high else f"{median} ({low} to {high})"


def ratio(ours: Sequence[float], reference: Sequence[float]) -> Spread | None:
    """Return ours by the reference's, run by run as they alternated; None where there is no pair, or a zero."""
    pairs = [(a, b) for a, b in zip(ours, reference, strict=False) if b]
    return Spread.of(a / b for a, b in pairs) if pairs else None


def highest_rate_kbps(packets: Sequence[tuple[float, int]], window_s: float = WINDOW_S) -> float:
    """Return the highest rate over any `window_s` seconds, in kbit/s; `packets` are time (s) and size (bytes).

    A window that holds most begins at a packet. A stream that is shorter than the window is not scaled up.
    """
    ordered = sorted(packets)
    most = inside = first = 0
    for at_s, size in ordered:
        inside += size
        while ordered[first][0] <= at_s - window_s:
            inside -= ordered[first][1]
            first += 1
        most = max(most, inside)
    return most * 8 / 1000 / window_s


def mean_rate_kbps(packets: Sequence[tuple[float, int]], duration_s: float) -> float:
    """Return the mean rate of a stream of `duration_s` seconds in kbit/s."""
    return sum(size for _, size in packets) * 8 / 1000 / duration_s


def shown_for_s(stamps_s: Sequence[float], end_s: float) -> list[float]:
    """Return for how long each frame is shown: until the next one, the last one until `end_s`."""
    return [after - before for before, after in pairwise([*stamps_s, max(end_s, stamps_s[-1])])]


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the mean of `values`, each counted as much as its weight."""
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def ssim_db(ssim: float) -> float:
    """Return a structural similarity (0 to 1) in dB, as ffmpeg's filter prints it."""
    return math.inf if ssim >= 1 else -10 * math.log10(1 - ssim)


def psnr_db(mean_square: float) -> float:
    """Return the peak signal-to-noise ratio in dB of a mean squared error of 8-bit samples."""
    return math.inf if mean_square <= 0 else 10 * math.log10(PEAK * PEAK / mean_square)


def slope_per_min(samples: Sequence[tuple[float, float]]) -> float:
    """Return by how much a value grows in a minute: the least squares line through (seconds, value)."""
    if len(samples) < 2:
        return 0.0
    fit = statistics.linear_regression([at_s for at_s, _ in samples], [value for _, value in samples])
    return fit.slope * 60
