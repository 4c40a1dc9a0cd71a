"""Those who are told of an end: nothing that goes wrong there is raised, or takes longer than the launcher's grace."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import time
from pathlib import Path

import pytest

from bench.harness.environment import JOB
from recorder_fsm import job_end
from recorder_fsm.config.settings import usable_hooks
from recorder_fsm.errors import RecorderError
from recorder_fsm.job_end import Ended, tell_of_end, tell_of_refusal
from recorder_fsm.machine.lifecycle import State
from recorder_fsm.mattermost import client
from recorder_fsm.refusal import refuse
from recorder_fsm.system.signals import StopRequest
from tests.steps.job import FakeBot, StepJob


class SilentBot(FakeBot):
    """A bot whose server has published the recording, and answers nothing any more."""

    async def post_of(self, file_id: str) -> str | None:
        self.asked.append(f"post of {file_id}")
        await asyncio.Event().wait()
        return None


async def test_server_that_falls_silent_leaves_the_hooks_their_time(tmp_path: Path) -> None:
    """A launcher wants the end, and nobody says which post has the file: the command runs without that, in time."""
    out = tmp_path / "message.json"
    environment = {"PATH": os.environ["PATH"], "ON_END": f"sh -c {shlex.quote(f'cat > {out}')}"}
    job = StepJob(tmp_path, STOP_GRACE_SECONDS="10", ON_END=environment["ON_END"])
    job.bot = SilentBot()
    job.earlier(("uploaded", {"file_id": "file-1"}))
    job.context.memory.file_id = "file-1"
    job.stop.requested_at = time.monotonic() - 2
    async with asyncio.timeout(8):
        await tell_of_end(job.context, usable_hooks(environment), environment, Ended(State.DONE, 0, None, None))
    assert job.bot.asked == ["post of file-1"]
    about = json.loads(out.read_text())["data"]
    assert (about["outcome"], about["file_id"], about["post_id"]) == ("done", "file-1", None)
    assert job.context.report.facts()["notes"] == []


async def test_defect_in_a_hook_does_not_end_a_refused_job(monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    """It is said in the log, and the exit code is as it would be."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(job_end, "make_message", broken)
    await tell_of_refusal({"ON_END": "true"}, RecorderError(), StopRequest(), time.monotonic())
    assert any("the refusal failed unexpectedly" in line for line in log)


async def test_system_without_authorities_can_tell_nobody_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: list[str]
) -> None:
    """The bundle of the system is damaged: no client can be made, and the job is refused as it would be."""
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("no certificate")
    monkeypatch.setattr(client, "SYSTEM_BUNDLE", bundle)
    await refuse({**JOB, "SITE_URL": "https://127.0.0.1:9"}, RecorderError())
    assert any("telling the call failed unexpectedly" in line for line in log)
