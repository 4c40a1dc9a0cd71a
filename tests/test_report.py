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
from recorder_fsm.media.output_file import Verified
from recorder_fsm.media.progress import Progress
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.storage.report import JobReport

TOKEN = "q7xk2p9m4n8r5t6w3y1z0abcde"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that the report sees."""
    now = [1000.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


def written(report: JobReport, path: Path, **more: Any) -> dict[str, Any]:
    options = {"exit_code": 0, "state": "done", "cause": None, **more}
    report.write(path, **options)
    content: dict[str, Any] = json.loads(path.read_text(), parse_constant=_refuse)
    return content


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


def test_report_of_nothing_is_whole(tmp_path: Path) -> None:
    """A job that failed at once has its id, its version, its outcome and its cause."""
    cause = CaptureError("It broke.", detail="ffmpeg", code="capture_ended")
    report = written(JobReport("rec", 0.0), tmp_path / "report.json", exit_code=1, state="failed", cause=cause)
    assert (report["recording_id"], report["version"]) == ("rec", __version__)
    assert (report["outcome"], report["exit_code"]) == ("failed", 1)
    assert (report["cause"]["code"], report["cause"]["sentence"]) == ("capture_ended", "It broke.")
    assert report["cause"]["detail"] == "ffmpeg"
    assert report["cause"]["advice"].startswith("Look for the reason")
    assert report["cause"]["help"] == "recorder-fsm explain capture_ended"
    assert (report["transitions"], report["gaps"], report["notes"], report["states_s"]) == ([], [], [], {})


def test_transitions_and_times_in_states_are_kept(tmp_path: Path, clock: list[float]) -> None:
    """When what happened and why, and how long each state lasted in all."""
    report = JobReport("rec", 999.0)
    for event, source, target, seconds in [
        ("display_ready", "init", "display_up", 2.0),
        ("capture_lost", "recording", "recording", 3.5),
        ("call_ended", "recording", "stopping", 1.0),
    ]:
        clock[0] += seconds
        report.changed(event, source, target, "why" if event == "capture_lost" else "")
    content = written(report, tmp_path / "report.json")
    assert content["states_s"] == {"init": 3.0, "recording": 4.5}
    assert content["transitions"] == [
        {"after_s": 3.0, "event": "display_ready", "to": "display_up", "cause": ""},
        {"after_s": 6.5, "event": "capture_lost", "to": "recording", "cause": "why"},
        {"after_s": 7.5, "event": "call_ended", "to": "stopping", "cause": ""},
    ]


def test_facts_of_a_recording_are_kept(tmp_path: Path) -> None:
    """What was captured, what the file is, what was published, what a person should know."""
    report = JobReport("rec", time.monotonic())
    report.started(12.3456, 0.5)
    progress = Progress(frames=7, loudest_dbfs=-3.04, power=0.02, measured_s=2, heard_s=1, size_bytes=9)
    report.capture_ended(61.23456, progress.facts(), {"dropped_frames": 2})
    file = Verified(tmp_path / "Call.mp4", 123, 61.2, 61.1, 61.2, 1280, 720, 600)
    report.file_ready(file.facts(), 1.23456)
    report.gap("audio", 30.12345, 1.98765)
    report.note("a defect")
    report.published("file-1", 123)
    content = written(report, tmp_path / "report.json")
    assert (content["started_after_s"], content["started_lag_s"]) == (12.346, 0.5)
    assert content["capture"]["clock_s"] == 61.235
    assert (content["capture"]["mean_dbfs"], content["capture"]["loudest_dbfs"]) == (-20.0, -3.0)
    assert (content["capture"]["heard_s"], content["capture"]["frames"]) == (1, 7)
    assert (content["file"]["frames"], content["file_ready_after_s"]) == (file.frames, 1.235)
    assert content["gaps"] == [{"what": "audio", "at_s": 30.123, "length_s": 1.988}]
    assert content["published"] == {"file_id": "file-1", "size_bytes": 123}
    assert content["notes"] == ["a defect"]
    assert content["measures"] == {"dropped_frames": 2}


def test_silence_is_null_in_json(tmp_path: Path) -> None:
    """Minus infinity is not JSON."""
    report = JobReport("rec", 0.0)
    report.capture_ended(1.0, Progress().facts(), {})
    capture = written(report, tmp_path / "report.json")["capture"]
    assert (capture["mean_dbfs"], capture["loudest_dbfs"]) == (None, None)


def test_progress_is_a_line_of_the_log(log: list[str]) -> None:
    """What all encoders together have written, in one line."""
    JobReport("rec", 0.0).progress(12.345, Progress(frames=7, size_bytes=9, speed=1.0).facts())
    assert log == ["DEBUG recorded 12.3 s, 7 frames, 9 bytes, audio None dBFS, speed 1.0"]


def test_secret_is_not_in_the_report(tmp_path: Path) -> None:
    """Neither from a cause nor from the page's console."""
    keep_secret(TOKEN)
    report = JobReport("rec", 0.0)
    report.note(f"console: {TOKEN}")
    report.at_the_fault([f"error {TOKEN}"], None)
    report.changed("call_lost", "recording", "stopping", f"the page said {TOKEN}")
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
    JobReport("rec", 0.0).write(tmp_path / "nowhere" / "report.json", exit_code=0, state="done", cause=None)
    assert any(line.startswith("WARNING the report cannot be written") for line in log)
