"""The report: one JSON file that a person can trust, written whatever happened."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recorder_fsm import __version__
from recorder_fsm.errors import CaptureError
from recorder_fsm.machine.lifecycle import BY_MOVE, Change, Event, State
from recorder_fsm.media.output_file import Verified
from recorder_fsm.resources.capture import Progress
from recorder_fsm.storage.logs import Redactor
from recorder_fsm.storage.report import JobReport, progress_facts

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that the report sees."""
    now = [1000.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


def written(report: JobReport, path: Path, **more: Any) -> dict[str, Any]:
    options = {"exit_code": 0, "state": State.DONE, "cause": None, "redact": Redactor(TOKEN), **more}
    report.write(path, **options)
    content: dict[str, Any] = json.loads(path.read_text(), parse_constant=_refuse)
    return content


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


def test_report_of_nothing_is_whole(tmp_path: Path) -> None:
    """A job that failed at once has its id, its version, its outcome and its cause."""
    cause = CaptureError("It broke.", detail="ffmpeg", code="capture_ended")
    report = written(JobReport("rec", 0.0), tmp_path / "report.json", exit_code=1, state=State.FAILED, cause=cause)
    assert (report["recording_id"], report["version"]) == ("rec", __version__)
    assert (report["outcome"], report["exit_code"]) == ("failed", 1)
    assert report["cause"] == {"code": "capture_ended", "sentence": "It broke.", "detail": "ffmpeg"}
    assert (report["moves"], report["notes"], report["states_s"]) == ([], [], {})


def test_moves_and_times_in_states_are_kept(tmp_path: Path, clock: list[float]) -> None:
    """When what happened, and how long each state lasted."""
    report = JobReport("rec", 999.0)
    for event, seconds in [(Event.DISPLAY_READY, 2.0), (Event.CALL_JOINED, 3.5)]:
        clock[0] += seconds
        state = State.INIT if event is Event.DISPLAY_READY else State.DISPLAY_UP
        report.changed(Change(BY_MOVE[state, event], "why"))
    content = written(report, tmp_path / "report.json")
    assert content["states_s"] == {"init": 3.0, "display_up": 3.5}
    assert content["moves"] == [
        {"after_s": 3.0, "event": "display_ready", "to": "display_up", "cause": "why"},
        {"after_s": 6.5, "event": "call_joined", "to": "browser_joined", "cause": "why"},
    ]


def test_fault_is_what_the_call_is_told() -> None:
    """A normal end is none."""
    report = JobReport("rec", 0.0)
    faults = []
    moves = [
        (State.RECORDING, Event.CALL_ENDED), (State.RECORDING, Event.BROWSER_LOST), (State.STOPPING, Event.FILE_READY),
    ]  # fmt: skip
    for move in moves:
        report.changed(Change(BY_MOVE[move]))
        faults.append(report.fault)
    assert faults == [False, True, True]


def test_facts_of_a_recording_are_kept(tmp_path: Path) -> None:
    """What was captured, what the file is, what was published, what a person should know."""
    report = JobReport("rec", time.monotonic())
    report.started(12.3456, 0.5)
    report.capture_ended(61.23456, Progress(frames=7, level_dbfs=-20.04, loudest_dbfs=-3.0, heard_s=5, size_bytes=9))
    file = Verified(tmp_path / "Call.mp4", 123, 61.2, 61.1, 61.2, 1280, 720, 600)
    report.file_ready(file, 1.23456)
    report.note("a defect")
    report.published("file-1", 123)
    content = written(report, tmp_path / "report.json")
    assert (content["started_after_s"], content["started_lag_s"]) == (12.346, 0.5)
    assert content["capture"]["clock_s"] == 61.235
    assert (content["capture"]["level_dbfs"], content["capture"]["heard_s"]) == (-20.0, 5)
    assert content["file"]["name"] == "Call.mp4"
    assert content["published"] == {"file_id": "file-1", "size_bytes": 123}
    assert content["notes"] == ["a defect"]


def test_silence_is_null_in_json() -> None:
    """Minus infinity is not JSON."""
    facts = progress_facts(Progress())
    assert facts["level_dbfs"] is None
    assert facts["loudest_dbfs"] is None
    json.dumps(facts, allow_nan=False)


def test_secret_is_not_in_the_report(tmp_path: Path) -> None:
    """Neither from a cause nor from the page's console."""
    report = JobReport("rec", 0.0)
    report.note(f"console: {TOKEN}")
    report.at_the_fault([f"error {TOKEN}"], None)
    written(report, tmp_path / "report.json", cause=CaptureError(detail=TOKEN))
    assert TOKEN not in (tmp_path / "report.json").read_text()


def test_report_is_for_its_user_alone_and_written_in_one_piece(tmp_path: Path) -> None:
    """A second start replaces it; no part stays."""
    path = tmp_path / "report.json"
    written(JobReport("one", 0.0), path)
    assert written(JobReport("two", 0.0), path)["recording_id"] == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_volume_that_refuses_the_report_is_only_logged(tmp_path: Path, log: list[str]) -> None:
    """It must not change the exit code of a job that published its recording."""
    JobReport("rec", 0.0).write(
        tmp_path / "nowhere" / "report.json", exit_code=0, state=State.DONE, cause=None, redact=Redactor()
    )
    assert any(line.startswith("WARNING the report cannot be written") for line in log)
