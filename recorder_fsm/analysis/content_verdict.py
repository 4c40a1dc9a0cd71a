"""Whether something is to be seen and heard in a recording. The limits stand here, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator

from recorder_fsm.analysis.check import SHOWN, Check, counted, listed_spans, longest_s, total_s
from recorder_fsm.analysis.examination import Examination

BLACK_WARN_S, BLACK_BAD_SHARE = 1.0, 0.5
FROZEN_WARN_S = 600.0
"""In a call nothing may move for minutes: who listens to one person sees one badge, which stays lit."""
FROZEN_ALL_S = 60.0
QUIET_LUFS = -40.0
"""Speech in calls has -30 to -16 LUFS; below -40 people cannot turn it up far enough."""
CLIPS_DBTP = 0.5
SILENT_ALL_S = 10.0


def judge_black(found: Examination) -> Iterator[Check]:
    """Say where the screen was black."""
    if not found.video:
        return
    spans = found.played.black
    total = total_s(spans)
    value = f"{total:.1f} s: {listed_spans(spans)}" if spans else "none"
    if _share_of(total, found) > BLACK_BAD_SHARE:
        yield Check(
            "black", value, "bad", "Most of the video is black: the call's page was not on the screen.",
            "Look at last-screen.png and the log of the job. A call's page is dark grey, never black.",
        )  # fmt: skip
    elif longest_s(spans) >= BLACK_WARN_S:
        yield Check(
            "black", value, "warning", "The screen was black. A call's page is dark grey, so something covered it.",
            "Nothing, if somebody shared a black screen then; else look in the job's log at these times.",
        )  # fmt: skip
    else:
        yield Check("black", value)


def judge_frozen(found: Examination) -> Iterator[Check]:
    """Say where nothing moved, which in a call is no fault by itself."""
    if not found.video:
        return
    spans = found.played.frozen
    longest = longest_s(spans)
    value = "never for 2 s"
    if spans:
        by_length = sorted(sorted(spans, key=lambda span: span[0] - span[1])[:SHOWN])
        total = total_s(spans)
        listed = listed_spans(by_length, len(spans))
        value = f"{total:.1f} s in {counted(len(spans), 'span')}, longest {longest:.1f} s: {listed}"
    whole = _share_of(longest, found) > 0.99 and longest >= FROZEN_ALL_S
    if whole or longest > FROZEN_WARN_S:
        yield Check(
            "frozen", value, "warning",
            "Nothing moved at all." if whole else f"Nothing moved for more than {FROZEN_WARN_S / 60:.0f} minutes.",
            "Look at the contact sheet (--sheet). A call in which nobody speaks or shares may be like that.",
        )  # fmt: skip
    else:
        yield Check("frozen", value)


def judge_silent(found: Examination) -> Iterator[Check]:
    """Say where nothing is to be heard, which is no fault unless it is everywhere."""
    if not found.audio:
        return
    spans = found.played.silent
    total = total_s(spans)
    value = f"{total:.1f} s: {listed_spans(spans)}" if spans else "never for 2 s"
    if _share_of(total, found) > 0.99 and found.length_s >= SILENT_ALL_S:
        yield Check(
            "silent", "all of it", "bad", "Nothing is to be heard from beginning to end.",
            "If people spoke in the call, look for `audio` in the job's log. If all were muted, nothing is wrong.",
        )  # fmt: skip
    else:
        yield Check("silent", value)


def judge_loudness(found: Examination) -> Iterator[Check]:
    """Say how loud it is."""
    loud = found.played.loudness
    if not found.audio or loud is None:
        return
    integrated, peak = loud.integrated_lufs, loud.true_peak_dbtp
    parts = [
        "too short to tell" if integrated is None else f"{integrated:.1f} LUFS",
        "" if loud.range_lu is None else f"range {loud.range_lu:.1f} LU",
        "" if peak is None else f"true peak {peak:.1f} dBTP",
    ]
    value = ", ".join(part for part in parts if part)
    if peak is not None and peak > CLIPS_DBTP:
        yield Check(
            "loudness",
            value,
            "warning",
            "It is louder than full scale: it may crackle.",
            "Nothing, if it sounds well; else lower it: ffmpeg -i IN -c:v copy -af volume=-3dB OUT.mp4",
        )
    elif integrated is not None and integrated < QUIET_LUFS and _share_of(total_s(found.played.silent), found) < 0.99:
        yield Check(
            "loudness", value, "warning", "It is very quiet: many people will not understand it.",
            "Raise it: ffmpeg -i IN -c:v copy -af loudnorm=I=-18 OUT.mp4",
        )  # fmt: skip
    else:
        yield Check("loudness", value)


def _share_of(total_s: float, found: Examination) -> float:
    """Return a time as a share (0 to 1) of the recording."""
    return total_s / found.length_s if found.length_s else 0.0
