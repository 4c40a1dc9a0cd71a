"""What the monitor finds: audio and video that get lost between the page and the file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from recorder_fsm.steps.quality import BEHIND_S, BLACK_AFTER_S, FROZEN_AFTER_S, MUTE_AFTER_S, UNSEEN, Monitor, Signs

EVERY_S = 5.0
GOOD = Signs(at_s=0.0, level_dbfs=-20.0, black=False, shown=0, behind_s=0.3, energy=0.0, changes=0)


def meeting(seconds: float, *, energy: float = 0.05, shown: int = 5, changes: int = 5, **more: Any) -> list[Signs]:
    """Return the signs of a meeting, one for each look; each gains energy, frames that show something new, changes of
    the page, and has `more`."""
    return [
        attrs.evolve(
            GOOD, at_s=look * EVERY_S, energy=look * energy, shown=look * shown, changes=look * changes, **more
        )
        for look in range(int(seconds / EVERY_S) + 1)
    ]


def found(signs: Iterable[Signs]) -> list[tuple[float, str]]:
    """Return what the monitor finds, each with its time."""
    monitor = Monitor()
    return [(sign.at_s, text) for sign in signs for text in monitor.look(sign)]


def test_lively_meeting_has_no_findings() -> None:
    """Voices that are heard, frames that come."""
    assert found(meeting(600)) == []


def test_quiet_meeting_of_a_still_page_has_no_findings() -> None:
    """Nobody speaks and nothing changes: nothing is missing in the file."""
    assert found(meeting(600, energy=0.0, shown=0, changes=0, level_dbfs=-120.0)) == []


def test_voices_that_are_not_in_the_file_are_found_once() -> None:
    """After they have been missing for MUTE_AFTER_S seconds."""
    ((at_s, text),) = found(meeting(600, level_dbfs=-120.0))
    assert "silent" in text
    assert at_s == EVERY_S + MUTE_AFTER_S


def test_silence_that_ends_and_comes_again_is_found_again() -> None:
    """Each time is one that a person will look for."""
    signs = [attrs.evolve(sign, level_dbfs=-20.0 if 100 <= sign.at_s < 120 else -120.0) for sign in meeting(200)]
    assert [at_s for at_s, _ in found(signs)] == [EVERY_S + MUTE_AFTER_S, 120 + MUTE_AFTER_S]


def test_black_video_is_found_when_it_lasts() -> None:
    """A black slide of a few seconds is none."""
    ((at_s, text),) = found(meeting(100, black=True))
    assert (at_s, text) == (EVERY_S + BLACK_AFTER_S, "the video is black")
    short = [attrs.evolve(sign, black=50 <= sign.at_s < 50 + BLACK_AFTER_S) for sign in meeting(100)]
    assert found(short) == []


def test_black_video_of_a_page_that_is_not_is_another_finding() -> None:
    """What the call page draws does not arrive: people are to be told."""
    assert found(meeting(100, black=True, unseen=True)) == [(EVERY_S + BLACK_AFTER_S, UNSEEN)]


def test_encoder_that_is_behind_is_found_at_once() -> None:
    """With how far: the machine is too slow."""
    ((at_s, text),) = found(meeting(100, behind_s=BEHIND_S + 1))
    assert at_s == EVERY_S
    assert "6 s behind" in text
    assert found(meeting(100, behind_s=BEHIND_S)) == []


def test_page_that_changes_while_the_video_stands_still_is_found() -> None:
    """Frames that only repeat a still screen, while the page's document changes."""
    ((at_s, text),) = found(meeting(300, shown=0, changes=1))
    assert at_s == FROZEN_AFTER_S
    assert "the page changes, but the video has not for 75 s" in text


@pytest.mark.parametrize("changes", [0, 4])
def test_still_page_with_a_clock_is_not_frozen(changes: int) -> None:
    """A few changes may be none that can be seen."""
    signs = [attrs.evolve(sign, changes=min(sign.changes, changes)) for sign in meeting(300, shown=0)]
    assert found(signs) == []


@pytest.mark.parametrize("wrong", [{"black": True}, {"level_dbfs": -120.0}], ids=["black", "silent"])
def test_nothing_is_said_of_a_time_in_which_nobody_looked(wrong: dict[str, Any]) -> None:
    """The recorder stood still for a minute: what was so before and after need not have been so in between."""
    signs = meeting(BLACK_AFTER_S, **wrong)[:2]
    later = [attrs.evolve(sign, at_s=sign.at_s + 60, energy=sign.energy + 1, **wrong) for sign in meeting(5)]
    assert found([*signs, *later]) == []


def test_clock_that_stands_still_or_goes_back_tells_nothing() -> None:
    """A look at the same second, or after a restart, has no length to divide by."""
    monitor = Monitor()
    for at_s in (100.0, 100.0, 50.0):
        assert monitor.look(attrs.evolve(GOOD, at_s=at_s, energy=at_s, level_dbfs=-120.0)) == []
