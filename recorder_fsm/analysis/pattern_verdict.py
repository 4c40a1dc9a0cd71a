"""What the stand-in's test pattern says of a recorder: frames that were lost, and how far video and audio are apart."""

from __future__ import annotations

import math
from collections.abc import Iterator

from recorder_fsm.analysis.check import Check, Rating
from recorder_fsm.analysis.examination import Examination
from recorder_fsm.analysis.pattern import AvOffsets

MISSED_WARN, MISSED_BAD = 0.01, 0.05
"""What an idle machine may lose, and what people see as jerks."""
NOTICED_MS, ACCEPTED_MS = (-45.0, 125.0), (-90.0, 185.0)
"""How early and how late audio may be before people notice, and before they object: ITU-R BT.1359-1."""
DRIFT_MS = (20.0, 60.0)
CHANCE = 2.0
"""So many standard errors are chance: of few flashes that scatter, a drift means nothing."""


def judge_pattern(found: Examination) -> Iterator[Check]:
    """Say how many of the page's frames are there, and how late the video is; nothing where nobody asked."""
    if found.pattern is None:
        return
    lost, offsets = found.pattern.lost, found.pattern.offsets
    if lost is None and offsets is None:
        yield Check(
            "pattern", "not found", "bad", "There is no frame counter, and no flash with a beep.",
            "Record the stand-in's call with the scene `pattern`, at a scale of 1, or leave out --pattern.",
        )  # fmt: skip
        return
    if lost is not None:
        value = (
            f"{lost.missed} of {lost.in_file + lost.missed} lost ({lost.missed_share:.1%}); the page drew "
            f"{lost.drawn}, {lost.usual_step:g} for each in the file; "
            f"longest standstill {lost.longest_standstill_s:.3f} s"
        )
        if lost.unreadable_share > 0:
            value += f"; {lost.unreadable_share:.1%} not readable"
        rating = _rating(lost.missed_share, MISSED_WARN, MISSED_BAD)
        yield Check(
            "counter", value, rating, *(
                () if rating == "ok" else (
                    "Frames of the page are not in the file: movement jerks.",
                    "See whether the machine was busy: `frames` and `speed` in the job's report.",
                )
            ),
        )  # fmt: skip
    if offsets is not None:
        yield from offset_checks(offsets)


def offset_checks(found: AvOffsets) -> Iterator[Check]:
    """Say how far video and audio are apart, and whether that changes."""
    median, count = found.median_ms, len(found.offsets_ms)
    what = "video late" if median >= 0 else "video early"
    value = (
        f"{median:+.1f} ms ({what}), {found.offsets_ms[0]:+.1f} to {found.offsets_ms[-1]:+.1f} ms in {count} flashes"
    )
    audio_late_ms = -median
    rating: Rating = "ok"
    if not NOTICED_MS[0] <= audio_late_ms <= NOTICED_MS[1]:
        rating = "warning" if ACCEPTED_MS[0] <= audio_late_ms <= ACCEPTED_MS[1] else "bad"
    yield Check(
        "A/V offset", value, rating, *(
            () if rating == "ok" else (
                "Lips and voice are apart, as far as people notice." if rating == "warning" else
                "Lips and voice are so far apart that people object.",
                "Measure again on an idle machine, without `rtc` in the scene: its jitter buffer delays the audio.",
            )
        ),
    )  # fmt: skip
    error_ms = found.drift_error_ms
    if math.isinf(error_ms):
        return  # too few flashes for a line
    rating = _rating(abs(found.drift_ms) - CHANCE * error_ms, *DRIFT_MS)
    length_s = found.pairs[-1][0] - found.pairs[0][0] if found.pairs else 0.0
    yield Check(
        "A/V drift", f"{found.drift_ms:+.1f} ms, give or take {error_ms:.1f}, over {length_s:.1f} s", rating, *(
            () if rating == "ok" else (
                "Video and audio drift apart: two clocks of different speed.",
                "Report it, with this output and the file.",
            )
        ),
    )  # fmt: skip


def _rating(value: float, warn_above: float, bad_above: float) -> Rating:
    return "ok" if value <= warn_above else "warning" if value <= bad_above else "bad"
