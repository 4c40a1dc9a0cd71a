"""The arithmetic of the bench."""

from __future__ import annotations

import math

import pytest

from bench.encoding import changed
from bench.figures import (
    Spread,
    highest_rate_kbps,
    mean_rate_kbps,
    psnr_db,
    ratio,
    shown_for_s,
    slope_per_min,
    ssim_db,
    weighted_mean,
)


def test_spread_names_median_and_range() -> None:
    """A spread is the median with the lowest and the highest run; one value has no range."""
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert (Spread.of([1, 2, 4]).shown(1), Spread.of([2]).shown()) == ("2.0 (1.0 to 4.0)", "2")


def test_ratio_pairs_the_runs_in_their_order() -> None:
    """Each of our runs is divided by the reference's run beside it; a zero is no pair."""
    assert ratio([1, 4, 9], [2, 2, 0]) == Spread(1.25, 0.5, 2.0)
    assert ratio([1], [0]) is None


def test_highest_rate_finds_the_worst_window() -> None:
    """A burst that two windows of a fixed grid would share is found whole."""
    steady = [(second * 1.0, 1000) for second in range(30)]
    burst = [(9.5, 50_000), (10.5, 50_000)]
    assert highest_rate_kbps(steady) == 8.0
    assert highest_rate_kbps([*steady, *burst]) == pytest.approx((10 * 1000 + 100_000) * 8 / 1000 / 10)
    assert highest_rate_kbps(steady[:2]) == pytest.approx(2 * 8 / 10)
    assert mean_rate_kbps(steady, 30) == 8.0


def test_a_packet_at_the_windows_end_belongs_to_the_next_one() -> None:
    """A window of ten seconds that begins at 0 ends before 10."""
    assert highest_rate_kbps([(0.0, 1000), (10.0, 1000)]) == pytest.approx(0.8)


def test_frames_count_as_long_as_they_are_shown() -> None:
    """The last frame is shown until the end, and a mean is one over time."""
    assert shown_for_s([0.0, 0.5, 2.0], 3.0) == [0.5, 1.5, 1.0]
    assert weighted_mean([1.0, 0.0], [3.0, 1.0]) == 0.75


def test_quality_is_in_db() -> None:
    """SSIM and PSNR are what ffmpeg prints; without any difference they have no end."""
    assert ssim_db(0.999) == pytest.approx(30.0)
    assert psnr_db(1.0) == pytest.approx(48.13, abs=0.01)
    assert (ssim_db(1.0), psnr_db(0.0)) == (math.inf, math.inf)


def test_slope_is_that_of_the_line_through_all_samples() -> None:
    """Growth is in units per minute; one sample has none."""
    assert slope_per_min([(0, 100.0), (30, 101.0), (60, 102.0)]) == pytest.approx(2.0)
    assert slope_per_min([(0, 100.0)]) == 0.0


def test_extra_arguments_go_before_the_output_and_dropped_ones_go_with_their_value() -> None:
    """The encoder under judgement differs from the recorder's in what was asked for, and nothing else."""
    command = ["ffmpeg", "-i", "in", "-tune", "zerolatency", "-b:v", "1500k", "out.mp4"]
    assert changed(command, ["-crf", "20"], ["-tune"]) == [
        "ffmpeg",
        "-i",
        "in",
        "-b:v",
        "1500k",
        "-crf",
        "20",
        "out.mp4",
    ]
