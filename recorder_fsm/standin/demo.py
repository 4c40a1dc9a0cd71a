"""The demo: a stand-in server, a recorder beside it as a process of its own, one call, and what came of it.

Plays the host: waits until the recording runs, stops it over the websocket, and looks at what was published. What the
terminal shows is left to `demo_view`, what a good recording is to `demo_check`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.standin.demo_check import Findings, examine
from recorder_fsm.standin.demo_view import DemoView
from recorder_fsm.standin.launcher import RECORDER, default_environ
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds, Job
from recorder_fsm.system.process import ChildProcess
from recorder_fsm.terminal.stopping import AGAIN, EXIT_INTERRUPTED

FINISH_LIMIT_S = 300.0
"""From the stop to the end of the recorder, the upload included."""
STOP_WAIT_S = 30.0
"""How long a recorder that was told to go away may take."""
STOPS = f"Stopping: the recording is being ended, published and checked. {AGAIN}"
STOPS_NOW = "Stopping now: the recording is lost."
LOG_NAME = "recorder.log"


@attrs.frozen
class DemoOptions:
    """What to record: seconds from `started` on, pixels, whether somebody shares a screen, where the files go."""

    seconds: float
    width: int
    height: int
    share: bool
    out: Path


async def run_demo(options: DemoOptions, view: DemoView) -> int:
    """Record one call and check what was published; returns the exit code. Ctrl-C ends the recording early."""
    logger.remove()  # the recorder has a log of its own, and this process nothing to add
    interrupts = Interrupts(view.say)
    interrupts.install()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / LOG_NAME).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=options.out) as folder:
        async with StandIn(data_dir=Path(folder).resolve()) as standin:
            scene = {"mode": "call", "share": options.share, "sync": True}
            ids = standin.create_call(name="Town Square", scene=scene)
            job_dir = standin.data_dir / "jobs" / ids.recording_id
            view.began(standin.url)
            with view.live():
                code = await _record(standin, ids, options, view, interrupts)
            posted = any(post.recording_id == ids.recording_id for post in standin.state.posts)
            if interrupts.first.is_set() and not posted:
                _keep_log(job_dir, options.out, view, "stopped before a recording was published")
                return EXIT_INTERRUPTED
            if code:
                return _keep_log(job_dir, options.out, view, f"the recorder ended with code {code}")
            job = _job(standin, ids)
            post = next((post for post in standin.state.posts if post.recording_id == ids.recording_id), None)
            if post is None:
                return _keep_log(job_dir, options.out, view, f"nothing was published: {job.err or 'see the log'}")
            stored = standin.state.files[post.file_id]
            files = await _take_files(stored.path, stored.name, job_dir, options)
            report = json.loads(files.report.read_text(encoding="utf-8"))
            view.say("checking the published file")
            findings = await examine(
                files.video,
                received_bytes=stored.size,
                recorded_s=(job.end_at - job.start_at) / 1000,
                size=(options.width - options.width % 2, options.height - options.height % 2),
            )
    return _conclude(view, findings, report, files, interrupted=interrupts.first.is_set())


class Interrupts:
    """Ctrl-C: the first one asks for an orderly end, the second one for an end now; `say` tells a person so."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._take)

    def _take(self) -> None:
        if not self.first.is_set():
            self._say(STOPS)
            self.first.set()
        elif not self.second.is_set():
            self._say(STOPS_NOW)
            self.second.set()


@attrs.frozen
class DemoFiles:
    """What the demo leaves: paths relative to the working directory where they lie in it."""

    video: Path
    poster: Path
    report: Path


async def _record(standin: StandIn, ids: CallIds, options: DemoOptions, view: DemoView, interrupts: Interrupts) -> int:
    """Run the recorder in the call and stop it as its host would; returns its exit code."""
    (standin.data_dir / "jobs" / ids.recording_id).mkdir(parents=True)
    job = _job(standin, ids)
    child = await ChildProcess.spawn("recorder", RECORDER, env=_environment(standin, ids, options), on_line=view.line)
    try:
        await _first(interrupts.first.wait(), _change(standin, lambda: job.start_at or job.end_at), child.wait())
        if job.start_at and child.running:
            view.recording()
            await _first(interrupts.first.wait(), child.wait(), limit_s=options.seconds)
        if child.running and not interrupts.first.is_set() and not job.start_at:
            view.say(f"the recording could not begin: {job.err}")
        elif child.running and job.start_at:
            standin.stop_recording(ids.recording_id)
            view.stopped()
            await _first(interrupts.second.wait(), child.wait(), limit_s=FINISH_LIMIT_S)
        elif child.running:
            child.ask(signal.SIGTERM)
            await _first(interrupts.second.wait(), child.wait(), limit_s=STOP_WAIT_S)
    finally:
        code = await child.stop(wait_s=0.0 if interrupts.second.is_set() else STOP_WAIT_S)
    return code


def _environment(standin: StandIn, ids: CallIds, options: DemoOptions) -> dict[str, str]:
    return {
        **default_environ(),
        "SITE_URL": standin.url,
        "CALL_ID": ids.call_id,
        "POST_ID": ids.post_id,
        "RECORDING_ID": ids.recording_id,
        "AUTH_TOKEN": ids.token,
        "DATA_DIR": str(standin.data_dir / "jobs"),
        "WIDTH": str(options.width),
        "HEIGHT": str(options.height),
        # Chromium's sandbox does not run as root; the recorder gives it up in this mode (contract 1.1).
        "DEV_MODE": "true" if os.geteuid() == 0 else "false",
        "LOG_FORMAT": "json",
    }


def _job(standin: StandIn, ids: CallIds) -> Job:
    job = standin.state.find_job(ids.recording_id)
    if job is None:
        raise LookupError(ids.recording_id)
    return job


async def _change(standin: StandIn, predicate: Callable[[], Any]) -> None:
    await standin.wait_for(predicate, float("inf"))


async def _first(*waits: Any, limit_s: float | None = None) -> None:
    """Return when one of `waits` is over, or `limit_s` seconds are."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _take_files(published: Path, name: str, job_dir: Path, options: DemoOptions) -> DemoFiles:
    video = options.out / name
    files = DemoFiles(video=video, poster=video.with_suffix(".png"), report=video.with_suffix(".json"))
    shutil.copyfile(published, files.video)
    shutil.copyfile(job_dir / "report.json", files.report)
    await RecordingFiles(PROGRAM_ENV).take_poster(files.video, files.poster, options.seconds)
    return files


def _keep_log(job_dir: Path, out: Path, view: DemoView, sentence: str) -> int:
    """Say what went wrong and keep the recorder's log; returns the exit code."""
    view.say(sentence)
    log, kept = job_dir / LOG_NAME, out / LOG_NAME
    if log.exists():
        shutil.copyfile(log, kept)
        view.failed(kept)
    else:
        view.failed(None)
    return 1


def _conclude(
    view: DemoView, findings: Findings, report: dict[str, Any], files: DemoFiles, *, interrupted: bool
) -> int:
    view.table(findings, report)
    view.files(files.video, files.poster, files.report)
    problems = list(findings.problems)
    if not files.poster.exists():
        problems.append("there is no poster")
    view.verdict(problems)
    if problems:
        return 1
    return EXIT_INTERRUPTED if interrupted else 0
