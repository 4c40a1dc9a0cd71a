"""What encoder and relay print, line by line, and what several of them add up to."""

from __future__ import annotations

import json
import math

import pytest

from recorder_fsm.media.progress import Progress


@pytest.fixture
def progress() -> Progress:
    return Progress()


def read(progress: Progress, *lines: str) -> list[bool]:
    """Take lines; returns which of them were the encoder's measurements."""
    return [progress.take(line) for line in lines]


def test_progress_is_read(progress: Progress) -> None:
    """One block, as ffmpeg prints it; what it does not know changes no count and is 0 for a speed."""
    assert all(
        read(
            progress, "frame=10", "fps=9.8", "bitrate= 400.1kbits/s", "total_size=123456", "out_time_us=1500000",
            "out_time=00:00:01.500000", "dup_frames=0", "speed=1.01x", "progress=continue",
        )
    )  # fmt: skip
    assert (progress.frames, progress.size_bytes, progress.position_s) == (10, 123456, 1.5)
    assert progress.speed == 1.01
    assert all(read(progress, "total_size=N/A", "out_time_us=N/A", "speed=N/A"))
    assert (progress.size_bytes, progress.position_s, progress.speed) == (123456, 1.5, 0)


def test_count_of_frames_never_goes_back(progress: Progress) -> None:
    """Only a new frame counts as one: a capture that stands still is noticed by this count."""
    read(progress, "frame=5", "frame=5", "frame=4")
    assert progress.frames == 5


def test_levels_are_read(progress: Progress) -> None:
    """Of the last second, the loudest so far, and how much was heard; silence is minus infinity."""
    assert progress.take_relayed("level=-inf peak=-inf")
    assert (progress.level_dbfs, progress.loudest_dbfs) == (-math.inf, -math.inf)
    assert progress.take_relayed("level=-20.5 peak=-3.0")
    assert progress.take_relayed("level=-95.0 peak=-90.0")
    assert (progress.level_dbfs, progress.loudest_dbfs) == (-95.0, -3.0)
    assert (progress.heard_s, progress.measured_s) == (1, 3)


@pytest.mark.parametrize(
    "line", ["", "level=x peak=y", "level=-1.0", "audio comes", "Traceback (most recent call last):"]
)
def test_other_words_of_the_relay_are_left_to_the_log(progress: Progress, line: str) -> None:
    """They may explain its failure."""
    assert not progress.take_relayed(line)
    assert progress == Progress()


def test_tally_of_the_grabber_is_read(progress: Progress) -> None:
    """What it says last counts, and the lowest rate so far."""
    for line in (
        "dropped=0 late_ms=0 still_ms=500 changes=0 rate=30 black=0 black_ms=0",
        "dropped=7 late_ms=81 still_ms=1500 changes=0 rate=20 black=0 black_ms=0",
        "dropped=7 late_ms=81 still_ms=2000 changes=0 rate=30 black=1 black_ms=1500",
    ):
        assert progress.take_grabbed(line)
    assert (progress.black, progress.black_s) == (True, 1.5)
    assert (progress.dropped, progress.late_s, progress.still_s) == (7, 0.081, 2.0)
    assert (progress.rate, progress.lowest_rate) == (30, 20)
    assert not progress.take_grabbed("the display closed the connection")


def test_drift_of_the_sound_is_read(progress: Progress) -> None:
    """In seconds, late or early."""
    assert progress.take_relayed("drift_ms=-41.7")
    assert progress.drift_s == -0.0417


@pytest.mark.parametrize(
    "line",
    [
        "Input #0, nut, from 'pipe:0':",
        "[libx264 @ 0x1] profile = High",
        "  Duration: N/A, start: 1.0",
        "frame=   99 fps= 20 q=28.0 size=     512kB time=00:00:05.00 bitrate= 838.9kbits/s speed=1x",
        "words of trouble",
    ],
)
def test_words_are_left_to_the_log(progress: Progress, line: str) -> None:
    """What is no measurement may explain a failure."""
    assert read(progress, line) == [False]
    assert progress == Progress()


def test_encoders_one_after_another_add_up() -> None:
    """Counts are summed, the loudest of all counts, and where it is and how fast is said by the last."""
    first, second = Progress(), Progress()
    assert first.take_grabbed("dropped=1 late_ms=250 still_ms=1500 changes=4 rate=15 black=1 black_ms=700")
    read(first, "frame=20", "total_size=1000", "out_time_us=2000000", "speed=1.0x")
    first.take_relayed("level=-20.0 peak=-3.0")
    assert second.take_grabbed("dropped=2 late_ms=40 still_ms=500 changes=3 rate=30 black=0 black_ms=200")
    read(second, "frame=30", "total_size=500", "out_time_us=9000000", "speed=0.5x")
    second.take_relayed("level=-inf peak=-inf")
    whole = Progress.total([first, second])
    assert (whole.frames, whole.size_bytes, whole.dropped, whole.changes) == (50, 1500, 3, 7)
    assert (whole.position_s, whole.speed, whole.level_dbfs) == (9.0, 0.5, -math.inf)
    assert (whole.loudest_dbfs, whole.heard_s, whole.measured_s) == (-3.0, 1, 2)
    assert (whole.late_s, whole.still_s, whole.rate, whole.lowest_rate) == (0.25, 2.0, 30, 15)
    assert whole.facts()["mean_dbfs"] == pytest.approx(-23.0, abs=0.1)
    assert Progress.total([]) == Progress()


def test_facts_are_fit_for_json(progress: Progress) -> None:
    """Digital silence, and a recording of no second, have no level."""
    progress.take_relayed("level=-inf peak=-inf")
    for one in (progress, Progress()):
        facts = one.facts()
        assert (facts["mean_dbfs"], facts["loudest_dbfs"]) == (None, None)
        assert json.dumps(facts, allow_nan=False)
