"""Recorders started as an offloader starts them: one process, its job in the environment (contract 1)."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.standin.calls import Calls, NoSuchCallError
from recorder_fsm.standin.scene import RTC_CHROMIUM_ARG, scene_of
from recorder_fsm.standin.state import CallIds, Job, State
from recorder_fsm.system.process import ChildProcess

RECORDER = (sys.executable, "-m", "recorder_fsm", "run")
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PLAYWRIGHT_BROWSERS_PATH", "DOCKER_HOST")
PLACEHOLDERS = frozenset({"SITE_URL", "CALL_ID", "POST_ID", "RECORDING_ID", "DATA_DIR"})
PLACEHOLDER = re.compile(r"\{([A-Z_]+)\}")
OPTIONS = ("width", "height", "video_rate", "audio_rate", "frame_rate", "video_preset", "output_format")
SCENE_KEYS = ("mode", "share", "film", "cameras", "rtc", "v2", "sync", "participants", "page_faults")
SHUTDOWN_WAIT_S = 15.0


@attrs.define(eq=False)
class Recorder:
    """Hold one started recorder; `seconds` is how long its host lets it record, None for no limit."""

    ids: CallIds
    child: ChildProcess
    seconds: float | None
    spawned_at_s: float = attrs.Factory(time.monotonic)
    ended_at_s: float | None = None
    host: asyncio.Task[None] | None = None
    watch: asyncio.Task[None] | None = None


class Launcher:
    """Own the recorders that people start from the channel page; all end with the server.

    `argv` is their command line, in which `{RECORDING_ID}` and the like stand for what the job's variables hold.
    """

    def __init__(
        self, state: State, calls: Calls, *, environ: Mapping[str, str], argv: Sequence[str] = RECORDER
    ) -> None:
        self._state = state
        self._calls = calls
        self._environ = environ
        self._argv = argv
        self.recorders: dict[str, Recorder] = {}

    async def start(self, options: Mapping[str, Any], site_url: str) -> Recorder:
        """Make a call and start a recorder in it; raises `ValueError` for options that cannot be read.

        Options: the scene's keys, `name`, `seconds`, and the recorder's own (`width`, `frame_rate`, ...).
        """
        known = {*OPTIONS, *SCENE_KEYS, "name", "seconds"}
        if unknown := set(options) - known:
            raise ValueError(f"unknown option: {', '.join(sorted(unknown))}")
        seconds = options.get("seconds")
        if seconds is not None and (not isinstance(seconds, int | float) or seconds <= 0):
            raise ValueError("seconds is a number above 0, or null")
        scene = {key: options[key] for key in SCENE_KEYS if key in options}
        ids = self._calls.create_call(name=str(options.get("name") or "Town Square"), scene=scene)
        job_dir = self._state.data_dir / "jobs" / ids.recording_id
        job_dir.mkdir(parents=True)
        environment = self._environment(ids, options, site_url)
        child = await ChildProcess.spawn("recorder", filled(self._argv, environment), env=environment)
        recorder = Recorder(ids, child, seconds)
        recorder.watch = asyncio.create_task(self._watch(recorder), name="recorder watch")
        if seconds is not None:
            recorder.host = asyncio.create_task(self._stop_as_host(recorder, seconds), name="recorder host")
        self.recorders[ids.recording_id] = recorder
        self._state.changed()
        return recorder

    def find(self, recording_id: str) -> Recorder:
        """Return a started recorder; raises `NoSuchCallError`."""
        try:
            return self.recorders[recording_id]
        except KeyError as error:
            raise NoSuchCallError(f"no recorder was started for {recording_id}") from error

    def describe(self, recorder: Recorder) -> dict[str, Any]:
        """Return what people are told about a recorder: ids, state, exit code, seconds, last lines."""
        job = self._state.find_job(recorder.ids.recording_id)
        until_s = recorder.ended_at_s if recorder.ended_at_s is not None else time.monotonic()
        return {
            "recording_id": recorder.ids.recording_id,
            "call_id": recorder.ids.call_id,
            "state": self._state_of(recorder, job),
            "exit_code": recorder.child.returncode,
            "pid": recorder.child.pid,
            "elapsed_s": round(until_s - recorder.spawned_at_s, 1),
            "recorded_s": recorded_s(job),
            "seconds": recorder.seconds,
            "error": job.err if job else "",
            "tail": [self._state.without_tokens(line) for line in recorder.child.tail],
        }

    async def stop_all(self) -> None:
        """Ask every recorder to end, give it time to publish, and kill what is left."""
        recorders, self.recorders = list(self.recorders.values()), {}
        for recorder in recorders:
            if recorder.host is not None:
                recorder.host.cancel()
        await asyncio.gather(*(one.child.stop(wait_s=SHUTDOWN_WAIT_S) for one in recorders))
        for recorder in recorders:
            if recorder.watch is not None:
                recorder.watch.cancel()

    def _environment(self, ids: CallIds, options: Mapping[str, Any], site_url: str) -> dict[str, str]:
        kept = {name: self._environ[name] for name in KEPT_VARIABLES if name in self._environ}
        rtc = scene_of(self._state, self._state.calls[ids.call_id])["rtc"]
        return {
            **kept,
            **({"EXTRA_CHROMIUM_ARGS": RTC_CHROMIUM_ARG} if rtc else {}),
            "SITE_URL": site_url,
            "CALL_ID": ids.call_id,
            "POST_ID": ids.post_id,
            "RECORDING_ID": ids.recording_id,
            "AUTH_TOKEN": ids.token,
            "DATA_DIR": str((self._state.data_dir / "jobs").resolve()),
            # Chromium's sandbox does not run as root; the recorder gives it up in this mode (contract 1.1).
            "DEV_MODE": "true" if os.geteuid() == 0 else "false",
            **{key.upper(): str(options[key]) for key in OPTIONS if options.get(key) is not None},
        }

    def _state_of(self, recorder: Recorder, job: Job | None) -> str:
        published = any(post.recording_id == recorder.ids.recording_id for post in self._state.posts)
        code = recorder.child.returncode
        if code is None:
            if job is None or (not job.start_at and not job.end_at):
                return "starting"
            return "recording" if not job.end_at else "publishing"
        if code == 0 and published:  # a recording that ended early says so in its post
            return "published"
        return "discarded" if code == 0 and not (job and job.err) else "failed"

    async def _watch(self, recorder: Recorder) -> None:
        await recorder.child.exited
        recorder.ended_at_s = time.monotonic()
        if recorder.host is not None:
            recorder.host.cancel()
        self._state.changed()

    async def _stop_as_host(self, recorder: Recorder, seconds: float) -> None:
        """Stop the recording `seconds` after it started, over the websocket, as a host does."""
        job = self._state.find_job(recorder.ids.recording_id)
        if job is None:
            return
        await self._state.wait_for(lambda: job.start_at or job.end_at, limit_s=float("inf"))
        await asyncio.sleep(seconds)
        if not job.end_at:
            self._calls.stop_recording(job.id)


def read_command(text: str) -> list[str]:
    """Return the words of a command line; raises `ValueError` for open quotes and for unknown placeholders.

    The token is none of them: every user of the machine can read a command line.
    """
    words = shlex.split(text)
    if not words:
        raise ValueError("the recorder's command is empty")
    if unknown := {name for word in words for name in PLACEHOLDER.findall(word)} - PLACEHOLDERS:
        raise ValueError(
            f"unknown placeholder {', '.join(sorted(unknown))}; there are {', '.join(sorted(PLACEHOLDERS))}, "
            "and all of the job is in the environment"
        )
    return words


def filled(argv: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Return a command line with its placeholders replaced."""
    return [
        PLACEHOLDER.sub(lambda found: variables[found[1]] if found[1] in PLACEHOLDERS else found[0], word)
        for word in argv
    ]


def recorded_s(job: Job | None) -> float:
    """Return how long a job has been recording, or was, in seconds."""
    if job is None or not job.start_at:
        return 0.0
    end_ms = job.end_at or int(time.time() * 1000)
    return round(max(0, end_ms - job.start_at) / 1000, 1)


def default_environ(home: Path | None = None) -> dict[str, str]:
    """Return an environment for recorders where the caller gives none."""
    programs = os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin"))
    return {"PATH": programs, "HOME": str(home or Path.home()), "LANG": "C.UTF-8"}
