"""One recording of the stand-in's call, measured from outside while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import attrs

from bench.parts import Usage
from recorder_fsm.analysis.pattern import AvOffsets, av_offsets
from recorder_fsm.standin.launcher import RECORDER, default_environ
from recorder_fsm.standin.server import StandIn
from recorder_fsm.system.process import ChildProcess

SETTLE_S = 4.0
"""After `started`: Chromium and the encoder's rate control come to rest."""
START_LIMIT_S = 60.0
END_LIMIT_S = 60.0


@attrs.frozen
class Scene:
    """What is recorded: what the call page draws, and whether its flashes are compared with its beeps."""

    name: str
    scene: dict[str, Any]
    offsets: bool = False


STILL = Scene("still call", {"mode": "call", "share": False})
SHARED = Scene("shared screen", {"mode": "call", "share": True})
PATTERN = Scene("pattern", {"mode": "pattern"}, offsets=True)


@attrs.frozen
class Measured:
    """What one run showed: seconds, percent of one core and MB by part, milliseconds.

    `load` is the machine's load average of the last minute, of this job and of whatever else ran.
    """

    scene: str
    started_s: float
    file_ready_s: float
    shares: dict[str, float]
    memory: dict[str, float]
    frames_per_s: float
    kilobit_per_s: float
    dropped: int
    load: float
    offsets_ms: tuple[float, ...]
    frame_ms: float


async def measure_job(scene: Scene, folder: Path, *, width: int, height: int, window_s: float) -> Measured:
    """Record `scene` and measure for `window_s` seconds; raises `RuntimeError` if the recording is not published."""
    async with StandIn(data_dir=folder) as standin:
        ids = standin.create_call(scene=scene.scene)
        job = standin.state.find_job(ids.recording_id)
        if job is None:
            raise RuntimeError("the stand-in has no such job")
        environment = {
            **default_environ(),
            "SITE_URL": standin.url,
            "CALL_ID": ids.call_id,
            "POST_ID": ids.post_id,
            "RECORDING_ID": ids.recording_id,
            "AUTH_TOKEN": ids.token,
            "DATA_DIR": str(folder / "jobs"),
            "WIDTH": str(width),
            "HEIGHT": str(height),
            "DEV_MODE": "true" if os.geteuid() == 0 else "false",
        }
        began_at = time.time()
        child = await ChildProcess.spawn("recorder", RECORDER, env=environment)
        try:
            await standin.wait_for(lambda: job.start_at or job.end_at, START_LIMIT_S)
            started_s = job.start_at / 1000 - began_at
            await asyncio.sleep(SETTLE_S)
            usage, since = Usage(child.pid), time.monotonic()
            await asyncio.sleep(window_s)
            shares, memory = usage.shares(time.monotonic() - since), usage.memory()
            stopped_at = time.time()
            journal = (folder / "jobs" / ids.recording_id / "journal.jsonl").open(encoding="utf-8")  # it is removed
            standin.stop_recording(ids.recording_id)
            async with asyncio.timeout(END_LIMIT_S):
                code = await child.wait()
        finally:
            await child.stop()
        if code != 0 or not standin.state.posts:
            raise RuntimeError(f"the recorder ended with code {code}: {child.last_words()}")
        job_dir = folder / "jobs" / ids.recording_id
        report = json.loads((job_dir / "report.json").read_text(encoding="utf-8"))
        offsets = await _offsets(standin.uploaded(standin.state.posts[0].file_id)) if scene.offsets else None
    file = report["file"]
    return Measured(
        scene=scene.name,
        started_s=started_s,
        file_ready_s=_fact_at(journal, "file_ready") - stopped_at,
        shares=shares,
        memory=memory,
        frames_per_s=file["frames"] / file["duration_s"],
        kilobit_per_s=8 * file["size_bytes"] / 1000 / file["duration_s"],
        dropped=report["capture"]["dropped"],
        load=os.getloadavg()[0],
        offsets_ms=offsets.offsets_ms if offsets else (),
        frame_ms=offsets.frame_ms if offsets else 0.0,
    )


async def _offsets(video: Path) -> AvOffsets:
    return await av_offsets(video, kind="pattern")


def _fact_at(journal: TextIO, name: str) -> float:
    """Return when the journal noted a fact, in seconds since 1970."""
    with journal:
        facts = [json.loads(line) for line in journal]
    return next(datetime.fromisoformat(fact["at"]).timestamp() for fact in facts if fact["fact"] == name)
