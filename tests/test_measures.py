"""The measures of a recording, from what its programs said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorder_fsm.media import timeline as timeline_module
from recorder_fsm.media.measures import measures
from recorder_fsm.media.timeline import Timeline


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the timeline, in its one element."""
    now = [1000.0]
    monkeypatch.setattr(timeline_module, "now_s", lambda: now[0])
    return now


def test_measures_are_shares_of_what_was_captured(clock: list[float]) -> None:
    """Frames of those that were wanted, stillness and blackness of the time."""
    timeline = Timeline()
    progress = timeline.open(Path("a"), 0.0).progress
    timeline.audio_from_s = 0.25
    for line in ("frame=380", "out_time_us=100000000"):
        progress.take(line)
    progress.take_grabbed("dropped=20 late_ms=120 still_ms=60000 changes=0 rate=15 black=0 black_ms=10000")
    progress.take_relayed("drift_ms=-5.0")
    clock[0] += 100.0
    found = measures(timeline)
    assert (found["dropped_frames"], found["dropped_share"], found["longest_wait_s"]) == (20, 0.05, 0.12)
    assert (found["still_share"], found["black_share"], found["lowest_frame_rate"]) == (0.6, 0.1, 15)
    assert (found["audio_start_skew_s"], found["audio_clock_drift_ppm"]) == (0.25, -50.0)
    assert json.dumps(found, allow_nan=False)


def test_audio_that_flowed_before_the_begin_has_no_skew(clock: list[float]) -> None:
    """The head is not in the file."""
    timeline = Timeline()
    timeline.open(Path("a"), 0.0)
    timeline.audio_from_s = 0.1
    clock[0] += 0.5
    timeline.begin()
    assert measures(timeline)["audio_start_skew_s"] == 0.0


def test_presets_are_told_with_the_time_of_each(clock: list[float]) -> None:
    """In seconds of the recording; a restart with the same preset is no change."""
    timeline = Timeline()
    timeline.open(Path("a"), 0.0, "fast")
    clock[0] += 2.0
    timeline.begin()
    for at_s, preset in ((10.0, "veryfast"), (20.0, "veryfast"), (30.0, "fast")):
        clock[0] = 1002.0 + at_s
        timeline.take_over(timeline.planned(Path("b"), 0.0, preset))
    found = measures(timeline)
    assert found["presets"] == [
        {"preset": "fast", "from_s": 0.0},
        {"preset": "veryfast", "from_s": 10.0},
        {"preset": "fast", "from_s": 30.0},
    ]
    assert (found["lowest_preset"], found["preset_changes"]) == ("veryfast", 2)
    assert json.dumps(found, allow_nan=False)


def test_recording_without_anything_has_measures_too(clock: list[float]) -> None:
    """No audio came, and nothing was measured."""
    found = measures(Timeline())
    assert (found["audio_start_skew_s"], found["mean_dbfs"], found["dropped_share"]) == (None, None, 0.0)
