"""The governor: a quicker preset, then fewer frames where an encoder does not keep up; all again when there is room."""

from __future__ import annotations

import pytest

from recorder_fsm.media.governor import (
    PATIENT_WINDOWS,
    QUICKER,
    ROOMY_WINDOWS,
    SLOW_WINDOWS,
    SLOWER,
    STEADY_WINDOWS,
    WINDOW_S,
    Governor,
    rates,
)


def play(governor: Governor, seconds: float, *, takes_s: float, begin_s: float = 100.0) -> float:
    """Record a moving screen with an encoder that needs `takes_s` for a frame; returns when that was over."""
    at_s, end_s = begin_s, begin_s + seconds
    while at_s < end_s:
        period_s = 1 / governor.rate
        governor.take(at_s, lost=max(0.0, takes_s - period_s) * governor.rate, waited_s=takes_s)
        at_s += max(period_s, takes_s)
    return at_s


def test_rate_stays_while_the_encoder_keeps_up() -> None:
    """However long a recording is, and also where an encoder is busy most of the time."""
    governor = Governor(30)
    play(governor, 120, takes_s=0.030)
    assert governor.rate == 30


@pytest.mark.parametrize(("takes_s", "rate"), [(0.045, 20), (0.060, 15), (0.090, 10), (0.5, 10)])
def test_rate_falls_to_what_the_encoder_manages(takes_s: float, rate: int) -> None:
    """Step by step, and no further."""
    governor = Governor(30)
    play(governor, 60, takes_s=takes_s)
    assert governor.rate == rate


def test_rate_rises_again_when_there_is_room() -> None:
    """All the way, one step after another."""
    governor = Governor(30)
    at_s = play(governor, 60, takes_s=0.090)
    assert governor.rate == 10
    play(governor, 4 * STEADY_WINDOWS * WINDOW_S, takes_s=0.005, begin_s=at_s)
    assert governor.rate == 30


def test_rate_does_not_swing() -> None:
    """An encoder that manages 20 frames a second, and not 30, is left at 20."""
    governor = Governor(30)
    at_s = play(governor, 30, takes_s=0.045)
    seen = set()
    for _ in range(40):
        at_s = play(governor, WINDOW_S, takes_s=0.045, begin_s=at_s)
        seen.add(governor.rate)
    assert seen == {20}


def test_one_bad_moment_changes_nothing() -> None:
    """A second in which nothing was accepted is forgotten."""
    governor = Governor(30)
    at_s = play(governor, 20, takes_s=0.005)
    governor.take(at_s + 0.4, lost=12, waited_s=0.4)
    play(governor, 20, takes_s=0.005, begin_s=at_s + 0.4)
    assert governor.rate == 30


def test_screen_that_hardly_changes_proves_nothing() -> None:
    """Neither that there is room, nor that there is none."""
    governor = Governor(30)
    at_s = play(governor, 60, takes_s=0.5)
    low = governor.rate
    for step in range(200):
        governor.take(at_s + step, lost=0, waited_s=0.001)
    assert governor.rate == low


@pytest.mark.parametrize("asked", [10, 15, 20, 30, 60])
def test_rates_begin_with_the_one_asked_for_and_fall(asked: int) -> None:
    """And none is so low that nobody could follow."""
    found = rates(asked)
    assert found[0] == asked
    assert found == sorted(set(found), reverse=True)
    assert found[-1] >= 5


# --- another preset -----------------------------------------------------------------------------------------------


def windows(governor: Governor, count: int, *, takes_s: float, at_s: float = 100.0) -> list[tuple[str, int]]:
    """Return wish and rate after each of so many windows."""
    governor.take(at_s, lost=0, waited_s=0)  # a window begins with it
    seen = []
    for _ in range(count):
        at_s = play(governor, WINDOW_S, takes_s=takes_s, begin_s=at_s)
        seen.append((governor.wish, governor.rate))
    return seen


def test_quicker_preset_is_wished_for_before_the_rate_falls() -> None:
    """Not for one bad window; where nothing comes of it the rate falls, and the wish is not repeated."""
    seen = windows(Governor(30, quicker=True), 12, takes_s=0.045)
    begin = seen.index((QUICKER, 30))
    assert begin >= SLOW_WINDOWS - 1
    assert seen[:begin] == [("", 30)] * begin
    assert seen[begin : begin + PATIENT_WINDOWS] == [(QUICKER, 30)] * PATIENT_WINDOWS
    assert set(seen[begin + PATIENT_WINDOWS :]) == {("", 20)}


def test_rate_falls_at_once_where_there_is_no_quicker_preset() -> None:
    """As ever."""
    assert ("", 20) in windows(Governor(30, slower=True), 3, takes_s=0.045)


def test_wish_is_over_when_frames_are_lost_no_more() -> None:
    """A machine that was busy for ten seconds keeps its preset, where nobody was quicker."""
    governor = Governor(30, quicker=True)
    assert windows(governor, 3, takes_s=0.045)[-1] == (QUICKER, 30)
    assert windows(governor, 3, takes_s=0.005, at_s=200.0)[-1] == ("", 30)


def test_slower_preset_is_wished_for_after_long_and_with_room() -> None:
    """A minute without a lost frame, of which the encoder is waited for a little."""
    seen = windows(Governor(30, slower=True), ROOMY_WINDOWS + 3, takes_s=0.004)
    assert [wish for wish, _ in seen].index(SLOWER) in (ROOMY_WINDOWS - 1, ROOMY_WINDOWS)
    assert seen[-1] == (SLOWER, 30)


def test_slower_preset_is_not_wished_for_without_room() -> None:
    """An encoder that is waited for half the time would not do with twice the work."""
    assert set(windows(Governor(30, slower=True), 40, takes_s=0.016)) == {("", 30)}


def test_rate_rises_before_a_slower_preset_is_wished_for() -> None:
    """First what was given up last."""
    governor = Governor(30, slower=True)
    windows(governor, 3, takes_s=0.045)
    assert governor.rate < 30
    seen = windows(governor, 60, takes_s=0.002, at_s=200.0)
    assert [rate for wish, rate in seen if wish] == [30] * sum(wish == SLOWER for wish, _ in seen)
    assert seen[-1] == (SLOWER, 30)


def test_slower_preset_is_not_wished_for_of_a_screen_that_hardly_changes() -> None:
    """It proves nothing."""
    governor = Governor(30, slower=True)
    for step in range(400):
        governor.take(100.0 + step, lost=0, waited_s=0.001)
    assert governor.wish == ""
