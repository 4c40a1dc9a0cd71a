"""Jobs under measurement: the recorder's, started as a launcher starts it, and the reference on a stage of its own.

Both are ready when they record. `processes` says which programs they are, by part; `finish` stops them as a host does
and returns the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import attrs
import psutil

from bench.harness.environment import job_variables
from bench.harness.stage import stage
from bench.parts import parts, parts_of
from bench.programs import BenchError
from bench.reference import audio_words, command
from bench.scenes import Point
from recorder_fsm.resources.audio import SINK
from recorder_fsm.standin.launcher import RECORDER, default_environ
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds, Job
from recorder_fsm.system.process import ChildProcess

Who = Literal["ours", "reference"]
BOTH: tuple[Who, ...] = ("reference", "ours")
START_LIMIT_S = 90.0
END_LIMIT_S = 120.0
PATIENT = {"start_limit_s": None}
"""The stand-in's knobs: five jobs that start at once may take long."""


@attrs.define(eq=False)
class OurJob:
    """One recorder; `started_s`: from the start of its process to the server's `started`; None before."""

    child: ChildProcess
    standin: StandIn
    ids: CallIds
    job: Job
    job_dir: Path
    began_at: float
    stopped_at: float = 0.0
    journal: TextIO | None = None
    started_cpu_s: float = 0.0

    @property
    def started_s(self) -> float:
        return self.job.start_at / 1000 - self.began_at

    def processes(self) -> dict[int, str]:
        return parts(self.child.pid)

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.job_dir / "report.json").read_text(encoding="utf-8"))
        return report

    async def started(self) -> None:
        """Wait until the server knows that it records."""
        await self.standin.wait_for(lambda: self.job.start_at or self.job.end_at, START_LIMIT_S)
        if not self.job.start_at:
            raise BenchError(f"the recorder did not start: {self.child.last_words()}")

    async def finish(self) -> Path:
        """Stop it as a host does, and return the published file."""
        self.journal = (self.job_dir / "journal.jsonl").open(encoding="utf-8")  # it is removed
        self.stopped_at = time.time()
        self.standin.stop_recording(self.ids.recording_id)
        async with asyncio.timeout(END_LIMIT_S):
            code = await self.child.wait()
        posts = [post for post in self.standin.state.posts if post.recording_id == self.ids.recording_id]
        if code != 0 or not posts:
            raise BenchError(f"the recorder ended with code {code}: {self.child.last_words()}")
        return self.standin.uploaded(posts[0].file_id)

    def fact_s(self, name: str) -> float:
        """Return how long after the stop the journal noted a fact."""
        if self.journal is None:
            raise BenchError("the job has not been finished")
        self.journal.seek(0)
        facts = [json.loads(line) for line in self.journal]
        noted = next(datetime.fromisoformat(fact["at"]).timestamp() for fact in facts if fact["fact"] == name)
        return noted - self.stopped_at

    def grabber_environment(self) -> dict[str, str]:
        """Return what its own grabber was given: the way to its display and its sound server."""
        for pid, part in self.processes().items():
            if part == "video grabber":
                return psutil.Process(pid).environ()
        raise BenchError("the recorder has no grabber")


@attrs.define(eq=False)
class ReferenceJob:
    """The reference's ffmpeg, on a stage of its own (`roots`: its other programs) or beside a recorder."""

    child: ChildProcess
    target: Path
    roots: list[int]

    def processes(self) -> dict[int, str]:
        return parts_of([*self.roots, self.child.pid])

    async def finish(self) -> Path:
        """Stop it as the original is stopped, and return its file."""
        self.child.ask(signal.SIGINT)
        async with asyncio.timeout(END_LIMIT_S):
            await self.child.wait()
        if not self.target.exists():
            raise BenchError(f"the reference left no file: {self.child.last_words()}")
        return self.target


@asynccontextmanager
async def our_job(
    standin: StandIn,
    folder: Path,
    scene: dict[str, Any],
    point: Point,
    *,
    wait: bool = True,
    recorder: Sequence[str] = RECORDER,
) -> AsyncIterator[OurJob]:
    """Start a recorder in a new call, and wait until it records, or do not. `recorder`: the command, of any version."""
    ids = standin.create_call(scene=scene)
    job = standin.state.find_job(ids.recording_id)
    if job is None:
        raise BenchError("the stand-in has no such job")
    environment = {
        **default_environ(),
        **job_variables(standin.url, ids, **point.variables()),
        "DATA_DIR": str(folder / "jobs"),
        "DEV_MODE": "true" if os.geteuid() == 0 else "false",
    }
    began_at = time.time()
    child = await ChildProcess.spawn("recorder", recorder, env=environment)
    held = OurJob(child, standin, ids, job, folder / "jobs" / ids.recording_id, began_at)
    try:
        if wait:
            await held.started()
        yield held
    finally:
        await child.stop()
        if held.journal is not None:
            held.journal.close()


@asynccontextmanager
async def reference_job(
    standin: StandIn, folder: Path, scene: dict[str, Any], point: Point
) -> AsyncIterator[ReferenceJob]:
    """Start the reference in a new call of its own."""
    ids = standin.create_call(scene=scene)
    before = {child.pid for child in psutil.Process().children()}
    async with stage(standin, ids, width=point.width, height=point.height) as held:
        mine = [
            child.pid
            for child in psutil.Process().children()
            if child.pid not in before and any(str(held.runtime) in word for word in child.cmdline())
        ]
        target = folder / f"{ids.recording_id}.mp4"
        async with _ffmpeg(held.env, held.display.env["DISPLAY"], held.audio.monitor, point, target) as child:
            yield ReferenceJob(child, target, mine)


@asynccontextmanager
async def beside(ours: OurJob, folder: Path, point: Point) -> AsyncIterator[ReferenceJob]:
    """Start the reference on the display and the sound of a recorder that records."""
    env = ours.grabber_environment()
    target = folder / f"{ours.ids.recording_id}-reference.mp4"
    async with _ffmpeg(env, env["DISPLAY"], f"{SINK}.monitor", point, target) as child:
        yield ReferenceJob(child, target, [])


@asynccontextmanager
async def _ffmpeg(
    env: Mapping[str, str], display: str, source: str, point: Point, target: Path
) -> AsyncIterator[ChildProcess]:
    audio, more = audio_words(source, target.with_suffix(".asoundrc"))
    child = await ChildProcess.spawn(
        "reference",
        command(point, display, audio, target),
        env={**env, **more, "PULSE_SOURCE": source},
    )
    try:
        await child.ready(child.line_matching(r"^Output #0"), limit_s=START_LIMIT_S)
        yield child
    finally:
        await child.stop(ask=signal.SIGINT)


@asynccontextmanager
async def job_of(
    who: Who, standin: StandIn, folder: Path, scene: dict[str, Any], point: Point
) -> AsyncIterator[OurJob | ReferenceJob]:
    """Start a job of either."""
    if who == "ours":
        async with our_job(standin, folder, scene, point) as ours:
            yield ours
    else:
        async with reference_job(standin, folder, scene, point) as theirs:
            yield theirs
