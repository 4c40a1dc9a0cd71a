"""Who is told of each change of a job's state: the journal, the log, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loguru import logger

from recorder_fsm.machine.lifecycle import Audience, Change, State
from recorder_fsm.storage import logs
from recorder_fsm.storage.journal import Journal
from recorder_fsm.storage.report import JobReport

Listener = Callable[[Change], None]


def told_of_changes(journal: Journal, report: JobReport) -> Sequence[Listener]:
    """Return those who listen to the lifecycle, in the order in which they are told."""
    return _journal_change(journal), _log_change, _context_change, _report_change(report)


def _log_change(change: Change) -> None:
    transition = change.transition
    overcome = bool(transition.restarts)
    told = transition.tells in (Audience.CALL, Audience.THREAD)
    warn = overcome or told or transition.target is State.FAILED
    logger.log(
        "WARNING" if warn else "INFO",
        "{}: {} -> {}{}{}",
        transition.event.value,
        transition.source.value,
        transition.target.value,
        f", restarting the {' and the '.join(one.value for one in transition.restarts)}" if overcome else "",
        f" ({change.cause})" if change.cause else "",
    )


def _context_change(change: Change) -> None:
    logs.set_context(state=change.transition.target.value)


def _report_change(report: JobReport) -> Listener:
    def note(change: Change) -> None:
        transition = change.transition
        report.changed(
            transition.event.value,
            transition.source.value,
            transition.target.value,
            str(change.cause) if change.cause else "",
            [resource.value for resource in transition.restarts],
        )

    return note


def _journal_change(journal: Journal) -> Listener:
    def write(change: Change) -> None:
        transition, cause = change.transition, str(change.cause) if change.cause else ""
        journal.note(
            "moved", event=transition.event.value, to=transition.target.value, cause=cause, keeps=transition.keeps
        )

    return write
