"""What the live page is told of a board, as JSON: numbers in base units, and texts that are for people."""

from __future__ import annotations

import json
import math
from typing import Any

from recorder_fsm import __version__
from recorder_fsm.error_catalogue import address, advice
from recorder_fsm.errors import RecorderError
from recorder_fsm.machine.lifecycle import Audience, State
from recorder_fsm.plain_text import plain, plain_facts
from recorder_fsm.status.board import Board, Happening

TEXT_CHARS = 600
SHOWN_NOTES = 10
ENCODER_STANDS = "Look at the CPU time that the machine leaves to the recorder; the capture is started anew by itself."


def page_facts(board: Board, *, ended: bool = False) -> dict[str, Any]:
    """Return what there is to see. `ended`: nothing will change any more, since the recorder ends now."""
    progress, health, timeline, job = board.progress, board.health, board.timeline, board.job
    gaps, report = board.gaps, board.job.report
    return {
        "version": __version__,
        "recording_id": job.settings.recording_id,
        "name": job.name,
        "state": board.state.value,
        "since_s": round(board.state_age_s, 1),
        "uptime_s": round(board.uptime_s, 1),
        "ok": health.ok,
        "problem": _problem(board),
        "ended": ended,
        "taken": [[source.value, target.value] for source, target in board.taken],
        "events": [_event(board, happening) for happening in board.events],
        "recording_s": round(timeline.elapsed_s, 1),
        "captures": board.captures,
        "written_bytes": progress.size_bytes,
        "frames": progress.frames,
        "dropped": progress.dropped,
        "speed": progress.speed if board.captures else None,
        "behind_s": round(timeline.behind_s, 1),
        "black": board.captures and timeline.segments[-1].progress.black,
        "size": [job.settings.capture_width, job.settings.capture_height],
        "level_dbfs": _level(progress.level_dbfs) if board.captures else None,
        "loudest_dbfs": _level(progress.loudest_dbfs),
        "heard_s": progress.heard_s,
        "disk_free_bytes": board.sample.free_bytes,
        "disk_reserve_bytes": job.least_free_bytes(),
        "bytes_per_s": _rate(board),
        "gaps": {"count": gaps.count, "seconds": round(gaps.length_s, 1)},
        "restarts": {resource.value: count for resource, count in board.restarts.items()},
        "upload": _upload(report.upload_bytes),
        "programs": _programs(board),
        "machine": board.sample.machine,
        "notes": [plain(note, TEXT_CHARS) for note in list(board.notes)[-SHOWN_NOTES:]],
    }


def as_json(facts: dict[str, Any]) -> bytes:
    """Return facts as one line of JSON; whatever they are made of, no secret is in it."""
    return json.dumps(plain_facts(facts), ensure_ascii=False, separators=(",", ":")).encode()


def health_facts(board: Board) -> dict[str, Any]:
    """Return what /healthz says."""
    health = board.health
    facts: dict[str, Any] = {
        "ok": health.ok,
        "state": board.state.value,
        "since_s": round(board.state_age_s, 1),
        "recording_id": board.job.settings.recording_id,
    }
    return facts if health.ok else {**facts, "code": health.code, "cause": health.cause}


def _level(dbfs: float) -> float | None:
    return round(dbfs, 1) if math.isfinite(dbfs) else None


def _rate(board: Board) -> float | None:
    elapsed_s = board.timeline.captured_s
    return round(board.progress.size_bytes / elapsed_s) if elapsed_s > 1 else None


def _upload(bytes_: tuple[int, int] | None) -> dict[str, int] | None:
    return None if bytes_ is None else {"sent_bytes": bytes_[0], "total_bytes": bytes_[1]}


def _programs(board: Board) -> list[dict[str, Any]]:
    sample = board.sample
    return [
        {"part": part, "cpu": sample.cpu.get(part), "memory_bytes": memory_bytes}
        for part, memory_bytes in sample.memory_bytes.items()
    ]


def _event(board: Board, happening: Happening) -> dict[str, Any]:
    transition, cause = happening.transition, happening.cause
    told = transition.tells in (Audience.CALL, Audience.THREAD)
    bad = transition.target is State.FAILED or (told and transition.target is not State.RECORDING)
    return {
        "at_s": round(happening.at_s, 1),
        "at": board.began_at_s + happening.at_s,
        "event": transition.event.value,
        "from": transition.source.value,
        "to": transition.target.value,
        "restarts": [one.value for one in transition.restarts],
        "told": transition.tells.value if told else "",
        "cause": "" if cause is None else plain(str(cause), TEXT_CHARS),
        "code": happening.code,
        "kind": "bad" if bad else "warn" if told or transition.restarts or cause is not None else "fine",
    }


def _problem(board: Board) -> dict[str, str] | None:
    """Return what is wrong now and what to do; None where nothing is, or where it was overcome."""
    health, last = board.health, board.last_fault
    if health.code == "encoder_stands":
        return {"code": health.code, "sentence": health.cause, "detail": "", "advice": ENCODER_STANDS}
    if last is None or (last.transition.target is State.RECORDING and last.transition.restarts):
        return None
    cause = last.cause
    sentence = cause.sentence if isinstance(cause, RecorderError) else "The recorder failed."
    return {
        "code": last.code,
        "sentence": plain(sentence, TEXT_CHARS),
        "detail": plain(getattr(cause, "detail", "") or str(cause), TEXT_CHARS),
        "advice": advice(last.code),
        "more": address(last.code, board.job.settings.docs_url) if advice(last.code) else "",
        "then": _then(last),
    }


def _then(happening: Happening) -> str:
    """Say what became of the recording."""
    transition = happening.transition
    if transition.target is State.RECORDING:
        return "The recording goes on."
    if transition.target is State.STOPPING:
        return "What was recorded until then is published."
    if not transition.keeps:
        return "Nothing was recorded."
    return "What was recorded is kept on the volume; start the same job again, or run `recorder-fsm recover`."
