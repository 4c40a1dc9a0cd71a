"""The board: what there is to see of a job now. Listens to its lifecycle, and looks at the rest when it is asked.

Knows no server and no form: `metrics` and `page_facts` say what it holds. What takes time to look at (processes, the
disk) is looked at by `sampling` anyway, every few seconds.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import attrs

from recorder_fsm.errors import RecorderError
from recorder_fsm.machine.lifecycle import Change, Lifecycle, Resource, State, Transition
from recorder_fsm.media.progress import Progress
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.steps.context import JobContext
from recorder_fsm.storage.samples import Sample

SHOWN_EVENTS = 20
STANDS_AFTER_S = 10.0
"""An encoder that is so far behind the clock stands, or its grabber does: a slow one skips frames and keeps up. Their
watch ends such a capture after 10 s as well (`resources.capture`), so this lasts where the restart does not help."""


@attrs.frozen
class Happening:
    """A transition that was made: when, in seconds since the start of the process, and the error behind it."""

    at_s: float
    transition: Transition
    cause: Exception | None

    @property
    def code(self) -> str:
        """The code of the error, "" without one."""
        return "" if self.cause is None else getattr(self.cause, "code", "internal")


@attrs.frozen
class Health:
    """Whether the job does what it should; if not, the code of what is wrong and a sentence."""

    ok: bool
    code: str = ""
    cause: str = ""


@attrs.frozen
class Gaps:
    """Stretches of the recording in which nothing could be captured: how many, and seconds of all together."""

    count: int = 0
    length_s: float = 0.0


class Board:
    """What there is to see of one job. `changed` is a listener of its lifecycle."""

    def __init__(self, job: JobContext, lifecycle: Lifecycle) -> None:
        self.job = job
        self.began_at_s = time.time() - (time.monotonic() - job.began)
        """The start of the process, in seconds since 1970."""
        self.state = lifecycle.state
        self.events: deque[Happening] = deque(maxlen=SHOWN_EVENTS)
        self.taken: dict[tuple[State, State], None] = {}
        """The arrows of the diagram that were taken, in order."""
        self.restarts: Counter[Resource] = Counter()
        self.faults: Counter[str] = Counter()
        self.last_fault: Happening | None = None
        self.states_s: dict[State, float] = {}
        """Seconds spent in each state that was left."""
        self._entered = job.began

    def changed(self, change: Change) -> None:
        """Take a transition."""
        transition, now = change.transition, time.monotonic()
        happening = Happening(now - self.job.began, transition, change.cause)
        self.events.append(happening)
        self.restarts.update(transition.restarts)
        if change.cause is not None:
            self.faults[happening.code] += 1
            self.last_fault = happening
        if transition.source is not transition.target:
            self.states_s[transition.source] = self.states_s.get(transition.source, 0.0) + now - self._entered
            self._entered = now
        self.taken[transition.source, transition.target] = None
        self.state = transition.target

    @property
    def timeline(self) -> Timeline:
        return self.job.timeline

    @property
    def progress(self) -> Progress:
        """What all encoders together have written."""
        return self.timeline.progress

    @property
    def sample(self) -> Sample:
        """What the job used when it was looked at last, some seconds ago (`sampling`)."""
        return self.job.report.samples.latest or Sample(0.0)

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.job.began

    @property
    def state_age_s(self) -> float:
        """Seconds since the present state was entered."""
        return time.monotonic() - self._entered

    @property
    def time_in_states_s(self) -> Mapping[State, float]:
        """Seconds in each state until now."""
        return {**self.states_s, self.state: self.states_s.get(self.state, 0.0) + self.state_age_s}

    @property
    def captures(self) -> bool:
        """Whether a capture is told to write."""
        return self.timeline.captures

    @property
    def gaps(self) -> Gaps:
        """Those between two captures while it records; those in the file once that is made."""
        if self.job.report.gaps:
            lengths = [float(gap["length_s"]) for gap in self.job.report.gaps]
        else:
            segments = self.timeline.segments
            ends = [one.stopped_at_s if one.stopped_at_s is not None else one.from_s for one in segments]
            # Where another encoder has followed the two overlap.
            between = (after.from_s - end for end, after in zip(ends, segments[1:], strict=False))
            lengths = [length_s for length_s in between if length_s > 0]
        return Gaps(len(lengths), sum(lengths))

    @property
    def notes(self) -> Sequence[str]:
        return self.job.report.notes

    @property
    def health(self) -> Health:
        """Say whether the job does what it should: it has not failed, and while it records the encoder writes."""
        if self.state is State.FAILED:
            cause = self.last_fault.cause if self.last_fault is not None else None
            words = cause.sentence if isinstance(cause, RecorderError) else "The job failed."
            return Health(False, self.last_fault.code if self.last_fault else "failed", words)
        if self.state is State.RECORDING and self.timeline.behind_s > STANDS_AFTER_S:
            return Health(False, "encoder_stands", f"The encoder is {self.timeline.behind_s:.0f} s behind the clock.")
        return Health(True)
