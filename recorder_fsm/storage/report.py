"""The report of a job: what happened, in one JSON file in its directory, for people who ask afterwards.

Collects what the lifecycle and the steps announce; decides nothing. Also writes the progress lines of the log.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger

from recorder_fsm import __version__, error_catalogue
from recorder_fsm.errors import RecorderError
from recorder_fsm.plain_text import plain_facts
from recorder_fsm.storage.samples import Samples

Facts = Mapping[str, Any]

SAMPLE_EVERY_S = 5.0


class JobReport:
    """The facts of one job. Times are in seconds, sizes in bytes, levels in dBFS (null: digital silence)."""

    def __init__(self, recording_id: str, began: float) -> None:
        self._began = began
        self._entered = began
        self._states: dict[str, float] = {}
        ran_s = max(0.0, time.monotonic() - began)
        began_at = datetime.now(UTC) - timedelta(seconds=ran_s)
        self._facts: dict[str, Any] = {
            "recording_id": recording_id,
            "version": __version__,
            "began_at": began_at.isoformat(timespec="milliseconds"),
        }
        self._notes: list[str] = []
        self._transitions: list[dict[str, str | float | list[str]]] = []
        self._gaps: list[dict[str, str | float]] = []
        self.samples = Samples(SAMPLE_EVERY_S)
        """What the job used and did over time; `sampling` fills it."""
        self.upload_bytes: tuple[int, int] | None = None
        """Of the upload: how much is delivered, and the whole; None before it."""

    @property
    def gaps(self) -> Sequence[Facts]:
        """The stretches without video or audio, known once the file was made."""
        return self._gaps

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know of the recording."""
        return self._notes

    def runs_in(self, settings: Facts, machine: Facts) -> None:
        """Take what the job was told, nothing secret in it, and what it runs on."""
        self._facts["settings"], self._facts["machine"] = dict(settings), dict(machine)

    def changed(self, event: str, source: str, target: str, cause: str, restarts: Sequence[str] = ()) -> None:
        """Take a transition; `cause` is "" where the event says it all, `restarts` the resources that start anew."""
        now = time.monotonic()
        self._states[source] = round(self._states.get(source, 0) + now - self._entered, 3)
        self._entered = now
        after_s = round(now - self._began, 3)
        fact: dict[str, str | float | list[str]] = {"after_s": after_s, "event": event, "to": target, "cause": cause}
        if restarts:
            fact["restarts"] = list(restarts)
        self._transitions.append(fact)

    def started(self, after_s: float, lag_s: float) -> None:
        """`started` was accepted so long after the process began, and after the begin of the file."""
        self._facts["started_after_s"] = round(after_s, 3)
        self._facts["started_lag_s"] = round(lag_s, 3)
        logger.info("`started` was reported {:.2f} s after the start of the process", after_s)

    def progress(self, elapsed_s: float, facts: Facts) -> None:
        """Write a line of the log; `facts` are those of the encoders (`media.progress.Progress.facts`)."""
        data = {"elapsed_s": round(elapsed_s, 1), **facts}
        logger.bind(data=data).debug(
            "recorded {elapsed_s} s, {frames} frames, {size_bytes} bytes, audio {mean_dbfs} dBFS, speed {speed}", **data
        )

    def gap(self, what: str, at_s: float, length_s: float) -> None:
        """Note a stretch of the recording without video or audio (`what`), in seconds from its begin."""
        self._gaps.append({"what": what, "at_s": round(at_s, 3), "length_s": round(length_s, 3)})

    def measured(self, measures: Facts) -> None:
        """Take the recording's measures so far (`media.measures`)."""
        self._facts["measures"] = dict(measures)

    def capture_ended(self, clock_s: float, facts: Facts, measures: Facts) -> None:
        """Take the length of the recording by the clock, what all encoders together wrote, and its last measures."""
        self._facts["capture"] = {"clock_s": round(clock_s, 3), **facts}
        self.measured(measures)

    def file_ready(self, facts: Facts, after_s: float) -> None:
        """Take what is known of the finished file; it was finished so long after the capture was told to stop."""
        self._facts["file_ready_after_s"] = round(after_s, 3)
        self._facts["file"] = dict(facts)
        logger.info(
            "the file is ready: {duration_s} s, {width}x{height}, {size_bytes} bytes, {after_s:.2f} s after the stop",
            **facts,
            after_s=after_s,
        )

    def uploading(self, sent_bytes: int, total_bytes: int) -> None:
        """Take how much of the file is delivered; after a fault that may be less than before."""
        self.upload_bytes = (sent_bytes, total_bytes)
        logger.debug("uploaded {} of {} bytes", sent_bytes, total_bytes)

    def published(self, file_id: str, size_bytes: int) -> None:
        self._facts["published"] = {"file_id": file_id, "size_bytes": size_bytes}

    def posted(self, parts: Sequence[Facts]) -> None:
        """Take the posts of a recording by Mattermost's own API, in their order; ids and bytes of each."""
        size_bytes = sum(part["size_bytes"] for part in parts)
        self._facts["published"] = {**parts[0], "size_bytes": size_bytes, "parts": [dict(part) for part in parts]}

    def at_the_fault(self, console_errors: list[str], screenshot: str | None) -> None:
        """Keep what the page said last, and the file name of a screenshot of the display."""
        self._facts["console_errors"] = console_errors
        self._facts["screenshot"] = screenshot

    def screenshot_removed(self) -> None:
        """Forget the screenshot: it went with all else that shows the meeting."""
        if "screenshot" in self._facts:
            self._facts["screenshot"] = None

    def note(self, text: str) -> None:
        """Keep something that a person should know of the recording."""
        self._notes.append(text)

    def facts(self) -> dict[str, Any]:
        """Return what is known so far, for those who tell others."""
        return {**self._facts, "gaps": list(self._gaps), "notes": list(self._notes)}

    def write(self, path: Path, *, exit_code: int, state: str, cause: RecorderError | None, docs_url: str = "") -> None:
        """Write the report; a volume that refuses is logged, and no more. `docs_url`: where the documentation is."""
        if cause is not None:
            self._facts["cause"] = _cause_facts(cause, docs_url)
        whole = {
            **self._facts,
            "outcome": state,
            "exit_code": exit_code,
            "states_s": self._states,
            "transitions": self._transitions,
            "gaps": self._gaps,
            "notes": self._notes,
        }
        part = path.with_suffix(".part")
        try:
            part.touch(mode=0o600)
            part.write_text(_text(plain_facts(whole), plain_facts(self.samples.facts())), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            logger.warning("the report cannot be written: {}", error.strerror)
            with contextlib.suppress(OSError):
                part.unlink()


def _text(whole: object, samples: object) -> str:
    """Return the report as people read it: a fact on each line, and a column of samples on one."""
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    if not isinstance(samples, dict) or not samples:
        return text + "\n"
    columns = ",\n".join(f"    {json.dumps(name)}: {json.dumps(values)}" for name, values in samples.items())
    head = text.removesuffix("\n}")
    return head + ',\n  "samples": {\n' + columns + "\n  }\n}\n"


def _cause_facts(cause: RecorderError, docs_url: str) -> Facts:
    return {
        "code": cause.code,
        "sentence": cause.sentence,
        "detail": cause.detail,
        "advice": error_catalogue.advice(cause.code),
        "help": error_catalogue.address(cause.code, docs_url),
    }
