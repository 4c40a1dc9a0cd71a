"""The end of a job, as others are told of it: what the message says, and when the hooks run.

They run when everything else is done: resources are given back, people in the call are told, the report is written.
Only then is the file of a published recording removed, so that a command may copy it. A later start that finds it does
the same (`steps.start`): the journal says that it is published.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from recorder_fsm import __version__
from recorder_fsm.config.settings import Hooks, usable_hooks
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import RecorderError
from recorder_fsm.hooks.message import Message, all_of, cause_of, make_message, rfc3339
from recorder_fsm.hooks.notice import NO_FAILURES, failure_text
from recorder_fsm.hooks.patience import within
from recorder_fsm.machine.lifecycle import State
from recorder_fsm.steps.context import GRACE_RESERVE_S, JobContext
from recorder_fsm.storage.job_dir import recordings_in
from recorder_fsm.system.clock import Stopwatch
from recorder_fsm.system.signals import StopRequest

LEAVING_S = 4.0
"""Kept of the launcher's grace behind the hooks: for what little is written then."""
THREAD_LIMIT_S = 10.0
POST_LIMIT_S = 10.0
"""For the id of the post, which the message can do without."""
HOOKS_S = 3.0
"""Kept of the grace for the hooks themselves."""
STOPPED_S = 3.0
"""How long hooks may take after a signal where the job never began."""
FILE_FACTS = ("duration_s", "size_bytes", "width", "height", "frames")
CODECS = {"container": "mp4", "video_codec": "h264", "audio_codec": "aac"}
"""There are no others (`media.encode`)."""


@attrs.frozen
class Ended:
    """How a job ended: in which state, with which exit code, of which cause; `kept` is what waits on the volume."""

    state: State
    exit_code: int
    cause: RecorderError | None
    kept: Path | None


async def tell_of_end(job: JobContext, hooks: Hooks, environment: Mapping[str, str], ended: Ended) -> None:
    """Run the hooks of a job that ended, then remove what it published. Never raises."""
    try:
        async with asyncio.TaskGroup() as telling:
            if hooks:
                telling.create_task(_tell(job, hooks, environment, ended))
            if hooks.notify_failures != "off":
                telling.create_task(_tell_thread(job, ended))
    except Exception as error:  # noqa: BLE001 - a defect of ours here is no reason to fail
        logger.opt(exception=error).error("telling others of the end failed unexpectedly")
    if ended.state is State.DONE and job.keeps_published:
        job.remove_published()


async def _tell(job: JobContext, hooks: Hooks, environment: Mapping[str, str], ended: Ended) -> None:
    from recorder_fsm.hooks.all_hooks import run_hooks  # noqa: PLC0415 - of no use to a job without hooks

    message, folder = await _message(job, ended), job.directory.path
    troubles = await run_hooks(
        hooks, message, folder=folder, environment=environment, left_s=lambda: _grace_left_s(job)
    )
    for trouble in troubles:
        job.report.note(trouble)


async def _tell_thread(job: JobContext, ended: Ended) -> None:
    """Post once in the life of a job what became of its failure; written down before, since one too many is worse."""
    cause = ended.cause
    if cause is None or cause.code in NO_FAILURES or job.memory.failure_told:
        return
    published = ended.state is State.DONE
    length_s = job.report.facts().get("file", {}).get("duration_s", job.timeline.elapsed_s or job.memory.capture_s)
    saved = {"published": published, "kept": ended.kept is not None, "length_s": length_s}
    job.journal.note("failure_told")
    limit_s = min(THREAD_LIMIT_S, _grace_left_s(job))
    text = failure_text(cause.code, cause.sentence, advice(cause.code), **saved)
    if limit_s > 0 and await job.bot.post_failure(text, limit_s):
        logger.info("the call's thread was told of the failure")


async def tell_of_refusal(
    environment: Mapping[str, str], error: RecorderError, stop: StopRequest, began: float
) -> None:
    """Run the hooks of a job that could not begin, and so has no directory and no report. Never raises."""
    try:
        if hooks := usable_hooks(environment):
            await _tell_of_refusal(hooks, environment, error, stop, began)
    except Exception as failure:  # noqa: BLE001 - a defect of ours here is no reason to lose the exit code
        logger.opt(exception=failure).error("telling others of the refusal failed unexpectedly")


async def _tell_of_refusal(
    hooks: Hooks, environment: Mapping[str, str], error: RecorderError, stop: StopRequest, began: float
) -> None:
    from recorder_fsm.hooks.all_hooks import run_hooks  # noqa: PLC0415 - as above

    data = {
        **_who(environment.get("SITE_URL", ""), environment),
        "exit_code": 1,
        "cause": _cause(error),
        "started_at": rfc3339(time.time() - (time.monotonic() - began)),
        "ended_at": rfc3339(),
        "version": __version__,
    }
    message = make_message(State.FAILED.value, data, run=f"{environment.get('RECORDING_ID', '')} {time.time()}")

    def left_s() -> float:
        return math.inf if stop.requested_at is None else stop.requested_at + STOPPED_S - time.monotonic()

    await run_hooks(hooks, message, folder=Path("/"), environment=environment, left_s=left_s)


async def _message(job: JobContext, ended: Ended) -> Message:
    settings, facts = job.settings, job.report.facts()
    published, done = facts.get("published", {}), ended.state is State.DONE
    file_id = published.get("file_id") or job.memory.file_id
    ids = {"CALL_ID": settings.call_id, "POST_ID": settings.post_id, "RECORDING_ID": settings.recording_id}
    begun = job.timeline.segments
    data = {
        **_who(settings.site_url, ids),
        "post_id": await _post_of(job, file_id) if done and file_id else None,
        "file_id": file_id if done else None,
        "exit_code": ended.exit_code,
        "cause": _cause(ended.cause),
        "recovered": job.recover_only,
        "name": job.name or None,
        "file": _file(job, facts.get("file", {})),
        "timeline": _timeline(job),
        "kept": None if ended.kept is None else str(ended.kept),
        "gaps": facts["gaps"],
        "notes": facts["notes"],
        "directory": str(job.directory.path),
        "report": str(job.directory.report),
        "started_at": rfc3339(time.time() - (time.monotonic() - job.began)),
        "recording_started_at": rfc3339(job.timeline.begin_s) if begun else None,
        "ended_at": rfc3339(),
        "version": __version__,
    }
    # A recording is published once; a job may fail at each of its starts.
    run = settings.recording_id if done else f"{settings.recording_id} {job.memory.starts}"
    return make_message(ended.state.value, data, run=run)


async def _post_of(job: JobContext, file_id: str) -> str | None:
    """Return the post that shows the recording; None where the server does not say it in time."""
    watch = Stopwatch()
    with contextlib.suppress(TimeoutError):
        return await within(
            lambda: min(POST_LIMIT_S - watch.elapsed_s(), _grace_left_s(job) - HOOKS_S), job.bot.post_of(file_id)
        )
    return None


def _who(site_url: str, ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "site_url": site_url or None,
        "channel_id": ids.get("CALL_ID") or None,
        "call_post_id": ids.get("POST_ID") or None,
        "recording_id": ids.get("RECORDING_ID") or None,
    }


def _cause(error: RecorderError | None) -> dict[str, str] | None:
    return None if error is None else cause_of(error.code, error.sentence, advice(error.code))


def _file(job: JobContext, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is known of the file, and where it lies now; None where there is none."""
    try:
        files = recordings_in(job.directory.workspace)
        path = job.final if job.final in files else next(iter(files), None)
        size = path.stat().st_size if path is not None else None
    except OSError:
        path, size = None, None
    if path is None and not facts:
        return None
    known = {"size_bytes": size, **facts}
    return {"path": None if path is None else str(path), **all_of(known, FILE_FACTS), **CODECS}


def _timeline(job: JobContext) -> dict[str, str] | None:
    """Return where it lies who spoke when, None where nothing does."""
    try:
        paths = [str(path) for path in job.directory.timeline if path.is_file()]
    except OSError:
        return None
    return dict(zip(("json", "webvtt"), paths, strict=True)) if len(paths) == 2 else None


def _grace_left_s(job: JobContext) -> float:
    return job.grace_left_s() + GRACE_RESERVE_S - LEAVING_S
