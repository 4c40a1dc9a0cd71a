"""What the call's thread is told of a recording that failed: what happened, what was saved, what to do.

Details stay in the log: people in a channel read this, and details may quote programs.
"""

from __future__ import annotations

NEVER_MENTION = str.maketrans({"@": "(at)"})
"""A text that quotes somebody must call nobody."""
NO_FAILURES = frozenset({"call_ended", "job_over", "nothing_left"})
"""Causes of an end that people wanted."""


def failure_text(code: str, sentence: str, advice: str, *, published: bool, kept: bool, length_s: float | None) -> str:
    """Return the post. `length_s`: of what was saved, None where that is not known."""
    how_much = "What was recorded until then" if length_s is None else f"The first {duration(length_s)}"
    if published:
        begin, saved = "The recording ended early.", f"{how_much} {'was' if length_s is None else 'were'} published."
    elif kept:
        begin = "The recording could not be published."
        how_long = "" if length_s is None else f" ({duration(length_s)})"
        saved = f"It is kept{how_long}; the next start of this job, or `recorder-fsm recover`, publishes it."
    else:
        begin, saved = "The recording failed.", "Nothing was saved."
    to_do = f" For administrators: {advice}" if advice else ""
    return f"{begin} {sentence} {saved}{to_do} (Error code: {code})".translate(NEVER_MENTION)


def duration(seconds: float) -> str:
    """Return a length as people say it."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} seconds"
    return f"{minutes} minutes"
