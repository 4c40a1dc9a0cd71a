"""The report of a job: what happened, in one JSON file in its directory, for people who ask afterwards.

Collects what the lifecycle and the steps announce; decides nothing. Also writes the progress lines of the log.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loguru import logger

from recorder_fsm import __version__
from recorder_fsm.capture import Progress
from recorder_fsm.errors import RecorderError
from recorder_fsm.lifecycle import Change, State
from recorder_fsm.recording import Verified


class JobReport:
    """The facts of one job. Times are in seconds, sizes in bytes, levels in dBFS (null: digital silence)."""

    def __init__(self, recording_id: str, began: float) -> None:
        self._began = began
        self._entered = began
        self._states: dict[str, float] = {}
        self._facts: dict[str, Any] = {"recording_id": recording_id, "version": __version__}
        self._notes: list[str] = []
        self._moves: list[dict[str, str | float]] = []
        self.fault = False
        """Whether something went wrong that the people in the call are told."""

    def changed(self, change: Change) -> None:
        """Take a move of the lifecycle."""
        self.fault = self.fault or change.row.tells
        now = time.monotonic()
        source = change.row.source.value
        self._states[source] = round(self._states.get(source, 0) + now - self._entered, 3)
        self._entered = now
        self._moves.append(
            {
                "after_s": round(now - self._began, 3),
                "event": change.row.event.value,
                "to": change.row.target.value,
                "cause": change.cause,
            }
        )

    def started(self, after_s: float, lag_s: float) -> None:
        """`started` was accepted so long after the process began, and after the begin of the file."""
        self._facts["started_after_s"] = round(after_s, 3)
        self._facts["started_lag_s"] = round(lag_s, 3)
        logger.info("`started` was reported {:.2f} s after the start of the process", after_s)

    def progress(self, elapsed_s: float, progress: Progress) -> None:
        data = {"elapsed_s": round(elapsed_s, 1), **progress_facts(progress)}
        logger.bind(data=data).debug(
            "recorded {elapsed_s} s, {frames} pictures, {size_bytes} bytes, sound {level_dbfs} dBFS, speed {speed}",
            **data,
        )

    def capture_ended(self, seconds: float, progress: Progress) -> None:
        self._facts["capture"] = {"clock_s": round(seconds, 3), **progress_facts(progress)}

    def file_ready(self, file: Verified, after_s: float) -> None:
        """The file was finished so long after the capture was told to stop."""
        self._facts["file_ready_after_s"] = round(after_s, 3)
        self._facts["file"] = {
            "name": file.path.name,
            "size_bytes": file.size_bytes,
            "duration_s": round(file.duration_s, 3),
            "video_s": round(file.video_s, 3),
            "audio_s": round(file.audio_s, 3),
            "width": file.width,
            "height": file.height,
            "frames": file.frames,
        }
        logger.info(
            "the file is ready: {} s, {}x{}, {} bytes, {:.2f} s after the stop",
            *(round(file.duration_s, 2), file.width, file.height, file.size_bytes, after_s),
        )

    def published(self, file_id: str, size_bytes: int) -> None:
        self._facts["published"] = {"file_id": file_id, "size_bytes": size_bytes}

    def at_the_fault(self, console_errors: list[str], screenshot: Path | None) -> None:
        """Keep what the page said last, and a picture of what was on the screen."""
        self._facts["console_errors"] = console_errors
        self._facts["screenshot"] = screenshot.name if screenshot is not None else None

    def note(self, text: str) -> None:
        """Keep something that a person should know of the recording."""
        self._notes.append(text)

    def write(self, path: Path, *, exit_code: int, state: State, cause: RecorderError | None, redact: Redact) -> None:
        """Write the report; a volume that refuses is logged, and no more."""
        if cause is not None:
            self._facts["cause"] = {"code": cause.code, "sentence": cause.sentence, "detail": cause.detail}
        whole = {
            **self._facts,
            "outcome": state.value,
            "exit_code": exit_code,
            "states_s": self._states,
            "moves": self._moves,
            "notes": self._notes,
        }
        part = path.with_suffix(".part")
        try:
            part.touch(mode=0o600)
            part.write_text(redact(json.dumps(whole, indent=2, ensure_ascii=False)) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            logger.warning("the report cannot be written: {}", error.strerror)
            with contextlib.suppress(OSError):
                part.unlink()


Redact = Callable[[str], str]


def progress_facts(progress: Progress) -> dict[str, float | int | None]:
    """Return what the encoder said, fit for JSON."""

    def level(value: float) -> float | None:
        return round(value, 1) if math.isfinite(value) else None

    return {
        "frames": progress.frames,
        "dropped": progress.dropped,
        "size_bytes": progress.size_bytes,
        "speed": progress.speed,
        "level_dbfs": level(progress.level_dbfs),
        "loudest_dbfs": level(progress.loudest_dbfs),
        "heard_s": progress.heard_s,
    }
