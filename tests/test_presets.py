"""The presets of a recording: which wish is followed, and when it is not."""

from __future__ import annotations

import pytest

from recorder_fsm.media.governor import QUICKER, SLOWER
from recorder_fsm.media.presets import MOST_CHANGES, REST_S, PresetLadder, presets, quickest


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        ("medium", ["medium", "veryfast", "superfast"]),
        ("faster", ["faster", "veryfast", "superfast"]),
        ("veryfast", ["veryfast", "superfast"]),
        ("superfast", ["superfast"]),
        ("ultrafast", ["ultrafast"]),
    ],
)
def test_presets_begin_with_the_one_asked_for_and_get_quicker(asked: str, steps: list[str]) -> None:
    """Two steps at most, and none where nothing is quicker."""
    assert presets(asked) == steps


def test_quickest_of_some_is_named() -> None:
    """It is what a recording had to be content with."""
    assert quickest(["veryfast", "fast"]) == "veryfast"
    assert quickest([]) is None


def test_quicker_preset_is_taken_at_once_down_to_the_last_one() -> None:
    """There is no rest on the way down: frames are being lost."""
    ladder, taken = PresetLadder("fast"), []
    while preset := ladder.answer(QUICKER, 1000.0):
        ladder.changed(preset, 1000.0)
        taken.append(preset)
    assert taken == ["veryfast", "superfast"]
    assert ladder.wishes == (SLOWER,)


def test_preset_that_was_asked_for_is_the_slowest() -> None:
    """Nothing slower may be wished for."""
    ladder = PresetLadder("veryfast")
    assert ladder.wishes == (QUICKER,)
    assert ladder.answer(SLOWER, 1e6) is None


def test_way_up_rests_after_each_change_and_longer_after_one_that_led_down_again() -> None:
    """A machine that manages one preset and not the next would else go up and down for hours."""
    ladder, now_s, rests = PresetLadder("veryfast"), 0.0, []
    ladder.changed("superfast", now_s)
    for _ in range(4):
        began_s = now_s
        while ladder.answer(SLOWER, now_s) is None:
            now_s += 5.0
        rests.append(now_s - began_s)
        ladder.changed("veryfast", now_s)
        ladder.changed("superfast", now_s)
    assert rests == [REST_S, 2 * REST_S, 4 * REST_S, 8 * REST_S]


def test_number_of_changes_has_an_end_and_the_last_one_leads_down() -> None:
    """However long the recording is; what is too slow never stays."""
    ladder, now_s = PresetLadder("veryfast"), 0.0
    for _ in range(100):
        now_s += 1e6
        for wish in (QUICKER, SLOWER):
            if preset := ladder.answer(wish, now_s):
                ladder.changed(preset, now_s)
                now_s += 1e6
    assert ladder.preset == "superfast"
    assert ladder.wishes == ()
    assert ladder._changes == MOST_CHANGES - 1


def test_change_that_failed_is_the_last_one() -> None:
    """The encoder that runs is kept, and is not put at risk again."""
    ladder = PresetLadder("fast")
    ladder.give_up()
    assert ladder.answer(QUICKER, 1e6) is None
    assert (ladder.preset, ladder.wishes) == ("fast", ())
