"""A few seconds of tone and picture, captured as a call is, and measured: in step, heard, whole, and at what cost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from recorder_fsm.analysis.audio import loudness
from recorder_fsm.analysis.pattern import av_offsets, counters
from recorder_fsm.doctor.findings import Finding, Findings, Machine, Page
from recorder_fsm.errors import RecordingError
from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.capture import Capture
from recorder_fsm.system.cgroup import group_limits
from recorder_fsm.system.process import ChildProcess
from recorder_fsm.system.usage import Usage
from recorder_fsm.terminal.screen import Mark, size

SCRIPT = Path(__file__).with_name("pattern.js")
WARM_UP_S = 0.5
"""From the first frame: programs that start take more than programs that run."""
AUDIO_LATE_MS, AUDIO_EARLY_MS = 45.0, 125.0
"""ITU-R BT.1359: from which video that is early, or late, by so much is noticed."""
BEEP_DBFS = -12.0
"""The page's beep has a quarter of full scale."""
LEVEL_TOLERANCE_DB = 3.0
SILENT_DBFS = -50.0
LOST_SHARE, MANY_LOST_SHARE = 0.1, 0.35
CROWDED_SHARE = 0.25
"""From here on what was measured says more of the other programs than of the machine."""
BUSY_SHARE = 0.75
"""A quarter of the processor is left free (docs/scaling.md)."""
MEMORY_SHARE = 0.8


@attrs.frozen
class Cost:
    """What the capture took while it ran: processors and memory of the job, processors of everybody else."""

    cpus: float
    memory_bytes: int
    others_cpus: float


async def look(machine: Machine, page: Page, env: Mapping[str, str], display: str, audio: AudioServer) -> Findings:
    """Record and measure; raises `RecorderError` where nothing can be recorded or measured."""
    values = machine.wishes.values
    width, height = machine.wishes.capture_size
    timeline = Timeline()
    capture = Capture(
        CaptureSettings(
            width=width,
            height=height,
            frame_rate=int(values["frame_rate"]),
            video_rate_kbps=int(values["video_rate_kbps"]),
            audio_rate_kbps=int(values["audio_rate_kbps"]),
            preset=str(values["video_preset"]),
            display=display,
            audio_server=audio.address,
            audio_source=audio.monitor,
            constant_frame_rate=values["frame_timing"] == "constant",
        ),
        timeline,
        lambda number: machine.runtime / "tmp" / f"doctor-{number}.mp4",
        env,
        lambda _: None,
    )
    await page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    async with capture:
        await asyncio.sleep(WARM_UP_S)
        usage = Usage(ChildProcess.names)
        usage.machine()
        usage.read()
        await asyncio.sleep(machine.capture_s - WARM_UP_S)
        cost = _cost(usage)
        behind_s = timeline.behind_s
    path = timeline.segments[-1].path
    if not path.exists():
        raise RecordingError(detail="the capture wrote nothing")
    found = await asyncio.gather(_in_step(path), _heard(path), _whole(path, int(values["frame_rate"]), behind_s, cost))
    return [*found, _room(machine, cost)]


def _cost(usage: Usage) -> Cost:
    used = usage.read().values()
    busy = (usage.machine() or 0.0) * (os.cpu_count() or 1)
    cpus = sum(one.cpu or 0.0 for one in used)
    return Cost(cpus, sum(one.memory_bytes for one in used), max(0.0, busy - cpus))


async def _in_step(path: Path) -> Finding:
    try:
        offsets = await av_offsets(path)
    except RecordingError as error:
        return Finding("audio and video", Mark.BAD, f"cannot be compared: {error.detail}", "See the other lines.")
    median = offsets.median_ms
    fine = -AUDIO_LATE_MS <= median <= AUDIO_EARLY_MS
    cure = "" if fine else "The machine is too busy: give the job more processor."
    data = {"offset_ms": round(median, 1), "pairs": len(offsets.offsets_ms), "frame_ms": round(offsets.frame_ms, 1)}
    value = (
        f"video {abs(median):.0f} ms {'after' if median >= 0 else 'before'} audio ({len(offsets.offsets_ms)} flashes)"
    )
    return Finding("audio and video", Mark.OK if fine else Mark.WARNING, value, cure, data)


async def _heard(path: Path) -> Finding:
    level = await loudness(path)
    data = {"peak_dbfs": level.peak_dbfs, "mean_dbfs": level.mean_dbfs}
    if level.peak_dbfs < SILENT_DBFS:
        return Finding("audio level", Mark.BAD, "silent", "The browser does not play into the sound server.", data)
    off_db = level.peak_dbfs - BEEP_DBFS
    fine = abs(off_db) <= LEVEL_TOLERANCE_DB
    value = f"{level.peak_dbfs:.1f} dBFS, {BEEP_DBFS:.0f} were played"
    return Finding(
        "audio level", Mark.OK if fine else Mark.WARNING, value, "" if fine else "Something changes the volume.", data
    )


async def _whole(path: Path, frame_rate: int, behind_s: float, cost: Cost) -> Finding:
    """Count the pictures that moved: the page shows more of them than are asked for."""
    read = await counters(path)
    shown = [one for one in read.readings if one.value is not None]
    if len(shown) < 2:
        return Finding("frames", Mark.BAD, "the picture cannot be read", "Another window may cover it.")
    lasted_s = shown[-1].pts_s - shown[0].pts_s
    rate = (len({one.value for one in shown}) - 1) / lasted_s if lasted_s else 0.0
    lost = max(0.0, 1 - rate / frame_rate)
    crowded = cost.others_cpus > CROWDED_SHARE * (os.cpu_count() or 1)
    mark = Mark.OK if lost <= LOST_SHARE else Mark.WARNING if lost <= MANY_LOST_SHARE or crowded else Mark.BAD
    cure = "" if mark is Mark.OK else "Give the job more processor, or lower FRAME_RATE, the size or VIDEO_PRESET."
    if cure and crowded:
        cure = f"Other programs took {cost.others_cpus:.1f} cores meanwhile: look again when they do not."
    data = {
        "frames_per_s": round(rate, 1),
        "wanted_per_s": frame_rate,
        "lost_share": round(lost, 3),
        "longest_standstill_s": round(read.longest_standstill_s, 3),
        "encoder_behind_s": round(behind_s, 2),
    }
    return Finding("frames", mark, f"{rate:.1f} of {frame_rate} per second, {lost:.0%} lost", cure, data)


def _room(machine: Machine, cost: Cost) -> Finding:
    limits = group_limits(machine.proc / "self")
    cpus = min(float(len(os.sched_getaffinity(0))), limits.cpus or float("inf"))
    others = cost.others_cpus if limits.cpus is None else 0.0
    by_cpu = max(0, int((cpus * BUSY_SHARE - others) / cost.cpus)) if cost.cpus else 0
    free = machine.available_bytes + cost.memory_bytes  # this one will have ended
    memory = min(free, limits.memory_bytes) if limits.memory_bytes is not None else free
    jobs = min(by_cpu, int(memory * MEMORY_SHARE / cost.memory_bytes)) if cost.memory_bytes else by_cpu
    data = {
        "cpus": round(cost.cpus, 2),
        "memory_bytes": cost.memory_bytes,
        "others_cpus": round(cost.others_cpus, 2),
        "jobs": jobs,
    }
    takes = f"{cost.cpus:.2f} of a core and {size(cost.memory_bytes)}"
    if jobs:
        return Finding(
            "room", Mark.OK, f"a job like this takes {takes}: room for {jobs} beside what runs now", data=data
        )
    cure = "Frames are lost when it is short: fewer programs beside it, more processor, or a smaller picture."
    return Finding(
        "room", Mark.WARNING, f"a job like this takes {takes}: no room to spare beside what runs now", cure, data
    )
