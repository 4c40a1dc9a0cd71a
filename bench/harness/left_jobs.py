"""Directories as jobs leave them, made of facts and not of recordings: for tests of their readers, and for pictures."""

from __future__ import annotations

import json
import math
import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recorder_fsm import __version__

RECORDING = "q1b8k3mzt7ny5cfwuxdsahrgpe"
BEGAN = datetime(2026, 3, 10, 14, 0, 2, 250_000, UTC)
PARTS_CPU = {
    "browser": 0.42,
    "encoder": 0.31,
    "grabber": 0.06,
    "display": 0.05,
    "audio": 0.04,
    "driver": 0.01,
    "recorder": 0.02,
}
PARTS_MB = {"browser": 430, "encoder": 118, "display": 82, "driver": 104, "grabber": 34, "audio": 15, "recorder": 52}

Facts = dict[str, Any]


def leave(
    folder: Path,
    *,
    report: Mapping[str, Any] | None = None,
    journal: Sequence[Mapping[str, Any]] = (),
    log: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Make the directory of a job with these files in it; returns it."""
    folder.mkdir(parents=True)
    if report is not None:
        (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
    if journal:
        (folder / "journal.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in journal), encoding="utf-8")
    if log:
        (folder / "recorder.log").write_text("".join(f"{line}\n" for line in log), encoding="utf-8")
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)
    return folder


def at(after_s: float) -> str:
    """Return the moment so many seconds after the recorder began, as a journal and a log in JSON write it."""
    return (BEGAN + timedelta(seconds=after_s)).isoformat(timespec="milliseconds")


def log_line(after_s: float, level: str, state: str, message: str) -> str:
    """Return a line of a log in the form for people."""
    moment = (BEGAN + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return f"{moment} {level:<7} {RECORDING} {state:<14} {message}"


def meeting(folder: Path, *, minutes: int = 47, kept: bool = False) -> Path:
    """Leave a meeting in which the encoder was killed once and the sound server once.

    `kept`: the server refused the file in the end, and the recording waits on the volume.
    """
    end_s = minutes * 60.0
    moments: list[tuple[float, str, str, str, list[str]]] = [
        (1.48, "display_ready", "display_up", "", []),
        (3.21, "call_joined", "browser_joined", "", []),
        (3.97, "capture_started", "recording", "", []),
        (end_s * 0.38, "capture_lost", "recording", "The screen capture failed. (the encoder was killed by SIGKILL)",
         ["capture"]),
        (end_s * 0.71, "audio_lost", "recording", "The sound server failed. (PulseAudio ended with code 1)", ["audio"]),
        (end_s, "call_ended", "stopping", "", []),
        (end_s + 6.4, "file_ready", "uploading", "", []),
    ]  # fmt: skip
    refusal = {
        "code": "access_refused",
        "sentence": "Mattermost refused the recorder's access.",
        "detail": "POST /plugins/com.mattermost.calls/bot/uploads: 403 Forbidden",
    }
    if kept:
        cause = f"{refusal['sentence']} ({refusal['detail']})"
        moments.append((end_s + 7.9, "step_failed", "failed", cause, []))
    else:
        moments.append((end_s + 19.7, "published", "done", "", []))
    report = _report(moments, end_s, refusal if kept else None)
    lines = [
        log_line(0.02, "INFO", "init", f"recorder-fsm {__version__} records 1920x1080"),
        log_line(0.05, "DEBUG", "init", "Xvfb started as process 41"),
        log_line(1.48, "INFO", "init", "display_ready: init -> display_up"),
        log_line(3.21, "INFO", "display_up", "call_joined: display_up -> browser_joined"),
        log_line(3.97, "INFO", "browser_joined", "capture_started: browser_joined -> recording"),
        log_line(4.06, "INFO", "recording", "`started` was reported 4.06 s after the start of the process"),
    ]
    for second in range(10, int(end_s), 30):
        words = f"recorded {second}.0 s, {second * 9} frames, {second * 130_000} bytes, audio -27.1 dBFS, speed 1.0"
        lines.append(log_line(second + 4, "DEBUG", "recording", words))
    lines.append(log_line(end_s * 0.38, "WARNING", "recording", "capture_lost: recording -> recording, restarting"))
    lines.sort()
    if kept:
        lines.append(log_line(end_s + 7.9, "ERROR", "uploading", f"step_failed: uploading -> failed ({cause})"))
    else:
        lines.append(log_line(end_s + 19.7, "INFO", "uploading", "published: uploading -> done"))
    files = {"Weekly_meeting.mp4": bytes(100_000)} if kept else {}
    return leave(folder, report=report, log=lines, files=files)


def failed_at_the_start(folder: Path) -> Path:
    """Leave a job whose browser did not start."""
    cause = {
        "code": "program_missing",
        "sentence": "The program chromium is missing on the recorder's machine.",
        "detail": "chromium is not found on PATH; on Debian: apt-get install chromium",
    }
    words = f"{cause['sentence']} ({cause['detail']})"
    report = {
        **_head(),
        "cause": cause,
        "outcome": "failed",
        "exit_code": 0,
        "states_s": {"init": 1.2, "display_up": 0.1},
        "transitions": [
            {"after_s": 1.2, "event": "display_ready", "to": "display_up", "cause": ""},
            {"after_s": 1.3, "event": "step_failed", "to": "failed", "cause": words},
        ],
        "gaps": [],
        "notes": [],
    }
    return leave(folder, report=report, log=[log_line(1.3, "ERROR", "display_up", words)])


def killed(folder: Path, *, segment: bool = True) -> Path:
    """Leave a job that was killed while it recorded: no report, a journal whose last line was cut, a segment."""
    journal: list[Facts] = [
        {"at": at(0.03), "fact": "process_started", "version": __version__, "call_id": "c" * 26},
        {"at": at(1.1), "fact": "named", "name": "Weekly_meeting"},
        {"at": at(1.4), "fact": "moved", "event": "display_ready", "to": "display_up", "cause": "", "keeps": True},
        {"at": at(3.0), "fact": "moved", "event": "call_joined", "to": "browser_joined", "cause": "", "keeps": True},
        {"at": at(3.9), "fact": "capture_started", "begin_s": 1.0},
        {"at": at(3.9), "fact": "moved", "event": "capture_started", "to": "recording", "cause": "", "keeps": True},
        {"at": at(4.0), "fact": "announced", "notice": "given", "head_s": 0.1},
    ]
    lines = [log_line(second, "DEBUG", "recording", f"recorded {second}.0 s") for second in range(5, 60)]
    leave(folder, journal=journal, log=lines, files={"live.mp4": bytes(5000)} if segment else {})
    with (folder / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"at": "2026-03-10T14:01:')
    return folder


def picture(width: int = 64, height: int = 36) -> bytes:
    """Return a small PNG with a gradient."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x * 255 // width, y * 255 // height, 128))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _head() -> Facts:
    return {
        "recording_id": RECORDING,
        "version": __version__,
        "began_at": at(0),
        "settings": {"SITE_URL": "https://mattermost.example.com", "WIDTH": 1920, "HEIGHT": 1080, "FRAME_RATE": 30,
                     "VIDEO_PRESET": "fast", "DEV_MODE": "false"},
        "machine": {"system": "Linux 6.1.0 x86_64", "python": "3.11.2", "cpus": 4, "memory_bytes": 8_192_000_000},
    }  # fmt: skip


def _report(moments: Sequence[tuple[float, str, str, str, list[str]]], end_s: float, cause: Facts | None) -> Facts:
    transitions = []
    for after_s, event, state, words, restarts in moments:
        transition: Facts = {"after_s": round(after_s, 3), "event": event, "to": state, "cause": words}
        transitions.append({**transition, "restarts": restarts} if restarts else transition)
    length_s = end_s - 4
    size = round(length_s * 128_000)
    report = {
        **_head(),
        "started_after_s": 4.06,
        "started_lag_s": 0.05,
        "capture": {"clock_s": length_s, "frames": round(length_s * 9), "dropped": 0, "size_bytes": size, "speed": 1.0,
                    "mean_dbfs": -27.4, "loudest_dbfs": -4.1, "heard_s": round(length_s * 0.8)},
        "file_ready_after_s": 6.31,
        "file": {"size_bytes": size, "duration_s": length_s, "video_s": length_s, "audio_s": length_s, "width": 1920,
                 "height": 1080, "frames": round(length_s * 9)},
        "outcome": "failed" if cause else "done",
        "exit_code": 1 if cause else 0,
        "states_s": {"recording": end_s - 4},
        "transitions": transitions,
        "gaps": [{"what": "video", "at_s": round(end_s * 0.38 - 4, 3), "length_s": 2.104},
                 {"what": "audio", "at_s": round(end_s * 0.38 - 4, 3), "length_s": 2.104},
                 {"what": "audio", "at_s": round(end_s * 0.71 - 4, 3), "length_s": 1.37}],
        "notes": [f"at {end_s * 0.55:.0f} s: the encoder is 6 s behind: this machine is too slow for these settings"],
        "samples": _samples(end_s),
    }  # fmt: skip
    return {**report, "cause": cause} if cause else {**report, "published": {"file_id": "f" * 26, "size_bytes": size}}


def _samples(end_s: float) -> Facts:
    """Return what a meeting looks like: a start, a shared screen in its middle, a restart, a machine that is busy."""
    chance = random.Random(7)  # noqa: S311 - the same picture each time
    every_s = max(5.0, end_s / 560)
    times = [round(0.6 + number * every_s, 3) for number in range(int(end_s / every_s))]

    def load(at_s: float) -> float:
        shared = 1.0 if 0.45 < at_s / end_s < 0.68 else 0.0
        return (1 + 1.1 * shared) * (0.85 + 0.3 * chance.random())

    def capturing(at_s: float) -> bool:
        return at_s > 5

    loads = [load(at_s) for at_s in times]
    cpu = {
        part: [
            None if place == 0 or (part == "encoder" and not capturing(at_s)) else round(share * loads[place], 3)
            for place, at_s in enumerate(times)
        ]
        for part, share in PARTS_CPU.items()
    }
    memory = {
        part: [round(1e6 * megabytes * (0.9 + 0.25 * at_s / end_s)) for at_s in times]
        for part, megabytes in PARTS_MB.items()
    }
    behind = [
        round(0.3 + 6 * math.exp(-(((at_s / end_s - 0.55) * 28) ** 2)), 2) if capturing(at_s) else None
        for at_s in times
    ]
    return {
        "every_s": every_s,
        "at_s": times,
        "cpu": cpu,
        "memory_bytes": memory,
        "machine": [None, *(round(min(1.0, 0.12 + 0.27 * one), 3) for one in loads[1:])],
        "speed": [round(1 - 0.2 * (one or 0) / 6 * chance.random(), 3) if one is not None else None for one in behind],
        "behind_s": behind,
        "level_dbfs": [
            round(-27 + 9 * math.sin(at_s / 47) + 6 * chance.random(), 1) if capturing(at_s) else None for at_s in times
        ],
        "frames": [int(at_s * 9) for at_s in times],
        "free_bytes": [round(41e9 - at_s * 130_000) for at_s in times],
    }
