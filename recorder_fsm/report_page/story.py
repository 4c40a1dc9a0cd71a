"""What happened to a job, as plain facts: how it ended, what a person should do, its states, restarts and gaps.

Pure: made from the evidence, whatever is missing of it. Times are in seconds since the process began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from recorder_fsm.error_catalogue import Entry, entries
from recorder_fsm.machine.lifecycle import State
from recorder_fsm.plain_text import plain
from recorder_fsm.report_page.evidence import Evidence, seconds_of
from recorder_fsm.report_page.words import length

STATE_WORDS: Mapping[str, str] = {
    State.INIT.value: "starts display and sound",
    State.DISPLAY_UP.value: "joins the call",
    State.BROWSER_JOINED.value: "starts the capture",
    State.RECORDING.value: "records",
    State.STOPPING.value: "makes the file",
    State.UPLOADING.value: "publishes",
    State.DONE.value: "ended",
    State.FAILED.value: "failed",
}
"""What a job does in each state."""
EVENT_WORDS: Mapping[str, str] = {
    "display_ready": "Display and sound are ready",
    "pending_found": "A recording of an earlier start was found",
    "pending_published": "An earlier start had published the recording",
    "call_joined": "The browser joined the call",
    "capture_started": "The capture began",
    "stop_requested": "The recorder was told to stop",
    "call_ended": "The call or the recording was ended",
    "call_lost": "The call was lost",
    "plugin_gone": "The Calls plugin went away",
    "job_refused": "The plugin had ended the job already",
    "capture_lost": "The capture was lost",
    "browser_lost": "The browser was lost",
    "driver_lost": "The browser's driver was lost",
    "driver_not_restored": "The browser's driver could not be restarted",
    "display_lost": "The display was lost",
    "audio_lost": "The sound server was lost",
    "audio_not_restored": "The sound server could not be restarted",
    "picture_lost": "The picture was lost",
    "disk_low": "The disk was nearly full",
    "limit_reached": "The longest time of a recording was reached",
    "file_ready": "The file is ready",
    "nobody_told": "Nobody in the call was told of the recording",
    "published": "The recording was published",
    "step_failed": "A step failed",
}
"""What each event says to people, those of earlier versions too."""
ORDINARY = frozenset(
    {"display_ready", "call_joined", "capture_started", "call_ended", "stop_requested", "file_ready", "published"}
)
MOST_GAPS = 500
SHORTEST_S = 0.001


@attrs.frozen
class Span:
    """A state, from when to when."""

    state: str
    from_s: float
    to_s: float


@attrs.frozen
class Moment:
    """Something that happened: the words for it, the words of the program, what was restarted. `fault`: none of those
    that belong to every job."""

    at_s: float
    what: str
    event: str
    state: str
    cause: str
    restarts: tuple[str, ...] = ()
    fault: bool = False


@attrs.frozen
class Gap:
    """A stretch of the recording without video or audio, from its begin and from the begin of the process."""

    what: str
    in_file_s: float
    length_s: float
    at_s: float | None


@attrs.frozen
class Story:
    """All of it. `mood` is "good", "warn", "bad" or "open" (it has not ended). `starts`: how often the job began.

    `begin_s`: where the recording begins, None where it did not. `entry`: what the catalogue of errors says of `code`;
    `help`: where more is said, as the report has it. `steps`: what to do, in this order.
    """

    mood: str
    headline: str
    meaning: str
    code: str
    sentence: str
    detail: str
    entry: Entry | None
    help: str
    steps: tuple[str, ...]
    spans: tuple[Span, ...]
    moments: tuple[Moment, ...]
    gaps: tuple[Gap, ...]
    begin_s: float | None
    total_s: float
    began_at: float | None
    starts: int


def story_of(evidence: Evidence) -> Story:
    """Return the story that the evidence tells."""
    report = evidence.report
    facts = _of_last_start(evidence.journal)
    moments = _from_report(report) or _from_journal(facts)
    began_at = seconds_of(text(report.get("began_at"))) or _first_moment(facts)
    spans = _spans(report, moments, evidence, began_at)
    begin_s = _begin_s(report, facts)
    cause = mapping(report.get("cause"))
    code, sentence, detail = (text(cause.get(key)) for key in ("code", "sentence", "detail"))
    entry = entries().get(code)
    cure = entry.cure if entry is not None else filter(None, [text(cause.get("advice"))])
    mood, headline, meaning = _ending(evidence, facts, cause=bool(cause), announced=begin_s is not None)
    gaps = tuple(_gaps(report, begin_s))
    if mood == "good" and (flaws := _flaws(gaps, report)):
        mood, meaning = "warn", f"{meaning} {flaws}"
    return Story(
        mood=mood,
        headline=headline,
        meaning=meaning,
        code=code,
        sentence=sentence,
        detail=detail,
        entry=entry,
        help=text(cause.get("help")),
        steps=_steps(evidence, mood, tuple(cure)),
        spans=spans,
        moments=moments,
        gaps=gaps,
        begin_s=begin_s,
        total_s=max((span.to_s for span in spans), default=0.0),
        began_at=began_at,
        starts=sum(fact.get("fact") == "process_started" for fact in evidence.journal),
    )


def text(value: Any) -> str:
    """Return a text that a file had, "" for what is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """Return a number that a file had, None for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping that a file had, {} for what is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """Return a list that a file had, [] for what is none."""
    return value if isinstance(value, list) else []


def _ending(
    evidence: Evidence, facts: Sequence[Mapping[str, Any]], *, cause: bool, announced: bool
) -> tuple[str, str, str]:
    """Return the mood, the headline, and what it means for the recording."""
    report = evidence.report
    published = bool(report.get("published")) or any(fact.get("fact") == "saved" for fact in facts)
    if evidence.running:
        return "open", "This job is still running", "What is shown is what it has written down until now."
    if published or text(report.get("outcome")) == State.DONE.value:
        if "pending_published" in _events(report):
            return "good", "The recording had been published before", "An earlier start of this job published it."
        if cause:
            return "warn", "The recording was published, and something went wrong on the way", "People can play it."
        return "good", "The recording was published", "People can play it in the channel of the call."
    return "bad", *_unpublished(evidence, announced=announced)


def _unpublished(evidence: Evidence, *, announced: bool) -> tuple[str, str]:
    report = evidence.report
    if evidence.recordings:
        ended = "" if report else " The recorder ended without a report: it was killed, or its machine went down."
        return (
            "The recording is kept on the volume and was not published",
            f"Nothing of it is lost, and nobody can see it yet.{ended}",
        )
    if not report:
        return (
            "The recorder ended without a report",
            "It was killed, or its machine went down. No recording is on the volume.",
        )
    if announced:  # such a recording is kept: the files of the job were copied without it, or it was moved
        return (
            "No recording is in this directory",
            "People in the call wait for it. Look where the job ran, or where its files were moved.",
        )
    if report.get("capture") or "capture_started" in _events(report):
        return "Nothing was kept of the recording", "It had not been announced, so nobody in the call waits for it."
    return "Nothing was recorded", "The job ended before the recording began."


def _events(report: Mapping[str, Any]) -> set[str]:
    return {text(mapping(one).get("event")) for one in items(report.get("transitions"))}


RECOVER = "recorder-fsm recover"


def _steps(evidence: Evidence, mood: str, cure: Sequence[str]) -> tuple[str, ...]:
    """Return what to do: against the cause, then with what is kept. Commands stand between backticks."""
    if mood == "open":
        return tuple(cure)
    if not evidence.recordings:
        return (*cure, "Start the recording again in the call.") if mood == "bad" else tuple(cure)
    place = plain(str(evidence.folder.absolute().parent)).replace("`", "'")
    if any(RECOVER in step for step in cure):
        return tuple(step.replace(f"{RECOVER} DATA_DIR", f"{RECOVER} {place}") for step in cure)
    return (*cure, f"Publish what is kept: `{RECOVER} {place}` with the token of the Calls bot in `AUTH_TOKEN`.")


def _of_last_start(journal: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    starts = [at for at, fact in enumerate(journal) if fact.get("fact") == "process_started"]
    return journal[starts[-1] :] if starts else journal


def _first_moment(facts: Sequence[Mapping[str, Any]]) -> float | None:
    return next((at for fact in facts if (at := seconds_of(text(fact.get("at")))) is not None), None)


def _from_report(report: Mapping[str, Any]) -> tuple[Moment, ...]:
    return tuple(
        _moment(after_s, one)
        for one in map(mapping, items(report.get("transitions")))
        if (after_s := number(one.get("after_s"))) is not None
    )


def _from_journal(facts: Sequence[Mapping[str, Any]]) -> tuple[Moment, ...]:
    return tuple(_moment(at_s, fact) for at_s, fact in _named(facts, "moved"))


def _named(facts: Sequence[Mapping[str, Any]], name: str) -> Iterable[tuple[float, Mapping[str, Any]]]:
    """Return the facts of this name, each behind the seconds from the first fact of all to it."""
    began_at = _first_moment(facts)
    for fact in facts:
        at = seconds_of(text(fact.get("at")))
        if fact.get("fact") == name and at is not None and began_at is not None:
            yield max(0.0, at - began_at), fact


def _moment(at_s: float, fact: Mapping[str, Any]) -> Moment:
    event, cause = text(fact.get("event")), text(fact.get("cause"))
    restarts = tuple(filter(None, map(text, items(fact.get("restarts")))))
    return Moment(
        at_s=max(0.0, at_s),
        what=EVENT_WORDS.get(event, event or "Something happened"),
        event=event,
        state=text(fact.get("to")),
        cause=cause,
        restarts=restarts,
        fault=event not in ORDINARY or bool(cause),
    )


def _spans(
    report: Mapping[str, Any], moments: Sequence[Moment], evidence: Evidence, began_at: float | None
) -> tuple[Span, ...]:
    """Return the states one after another. The last state of a killed job lasts until something was written last."""
    spans: list[Span] = []
    state, since_s = State.INIT.value, 0.0
    for moment in moments:
        if moment.at_s >= since_s and moment.state != state:
            spans.append(Span(state, since_s, moment.at_s))
            state, since_s = moment.state, moment.at_s
    if state not in (State.DONE.value, State.FAILED.value):
        ended_s = since_s
        if evidence.ended_at is not None and began_at is not None and not report.get("outcome"):
            ended_s = max(since_s, evidence.ended_at - began_at)
        spans.append(Span(state, since_s, ended_s))
    return tuple(span for span in spans if span.to_s - span.from_s >= SHORTEST_S)


def _begin_s(report: Mapping[str, Any], facts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return when the recording begins: it is the moment at which `started` left, so the reply came `lag` later."""
    after_s, lag_s = number(report.get("started_after_s")), number(report.get("started_lag_s"))
    if after_s is not None:
        return max(0.0, after_s - (lag_s or 0.0))
    return next((at_s for at_s, _ in _named(facts, "announced")), None)


def missing_s(gaps: Iterable[Gap]) -> Mapping[str, float]:
    """Return how many seconds of video and of audio are missing in all; only what is missing is named."""
    missing: dict[str, float] = {}
    for gap in gaps:
        if gap.what in ("video", "audio"):
            missing[gap.what] = missing.get(gap.what, 0.0) + gap.length_s
    return missing


def _flaws(gaps: Sequence[Gap], report: Mapping[str, Any]) -> str:
    """Return in a sentence what a person should know of a recording that is fine on the whole, "" for nothing."""
    missing = [f"{length(seconds)} of {what}" for what, seconds in missing_s(gaps).items()]
    if missing:
        return f"It has gaps: {' and '.join(missing)} are missing in all."
    return "There are notes on it below." if report.get("notes") else ""


def _gaps(report: Mapping[str, Any], begin_s: float | None) -> Iterable[Gap]:
    for one in map(mapping, items(report.get("gaps"))[:MOST_GAPS]):
        at_s, length_s = number(one.get("at_s")), number(one.get("length_s"))
        if at_s is not None and length_s is not None and length_s > 0:
            yield Gap(text(one.get("what")), at_s, length_s, None if begin_s is None else begin_s + at_s)
