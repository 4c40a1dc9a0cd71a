"""Whether a recording is fit to be watched: all lines of the verdict, in the order in which people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from recorder_fsm.analysis import content_verdict as content
from recorder_fsm.analysis import structure_verdict as structure
from recorder_fsm.analysis.check import Check
from recorder_fsm.analysis.examination import Examination
from recorder_fsm.analysis.pattern_verdict import judge_pattern

JUDGES: tuple[Callable[[Examination], Iterator[Check]], ...] = (
    structure.judge_video, structure.judge_audio, structure.judge_length, structure.judge_begin, structure.judge_gaps,
    content.judge_black, content.judge_frozen, content.judge_silent, content.judge_loudness,
    structure.judge_lengths, structure.judge_seeking, structure.judge_plays, judge_pattern,
)  # fmt: skip


def checks(found: Examination) -> list[Check]:
    """Return all lines."""
    return [check for judge in JUDGES for check in judge(found)]
