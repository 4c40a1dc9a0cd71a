"""The small sums of the measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of ascending values, between the two nearest where it falls between them."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
