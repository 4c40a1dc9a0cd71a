"""The governor: fewer frames where the encoder does not keep up, the asked rate again when there is room."""

from __future__ import annotations

import pytest

from recorder_fsm.media.governor import STEADY_WINDOWS, WINDOW_S, Governor, rates


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
