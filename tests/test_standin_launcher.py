"""What the stand-in's channel page starts: this recorder or another command line, with its job (contract 1.1)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.standin import StandIn
from recorder_fsm.standin.launcher import RECORDER, filled, read_command
from recorder_fsm.standin.scene import RTC_CHROMIUM_ARG
from recorder_fsm.system.process import ChildProcess

PRINTS_ITS_JOB = """import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump({"argv": sys.argv[2:], "env": dict(os.environ)}, file)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program that is no recorder of ours: it writes down how it was started."""
    path = tmp_path / "other recorder.py"
    path.write_text(PRINTS_ITS_JOB)
    return path


async def told(standin: StandIn, client: aiohttp.ClientSession, **options: object) -> dict[str, Any]:
    """Press the channel page's button, and return how the program was started."""
    reply = await client.post("/standin/recordings", json=options)
    assert reply.status == 201, await reply.text()
    recording_id = (await reply.json())["recording_id"]
    recorder = standin.launcher.recorders[recording_id]
    await standin.wait_for(lambda: recorder.ended_at_s is not None)
    found: dict[str, Any] = json.loads((standin.data_dir / "jobs" / recording_id / "told").read_text())
    return found


async def test_channel_page_starts_another_command_line(tmp_path: Path, script: Path) -> None:
    """Its words have what they ask for, its environment the job, and nothing of it shows the token in `ps`."""
    line = f"{sys.executable} '{script}' {{DATA_DIR}}/{{RECORDING_ID}}/told -e RECORDING_ID {{{{.ID}}}} x={{CALL_ID}}"
    async with (
        StandIn(data_dir=tmp_path / "data", recorder_argv=read_command(line)) as standin,
        aiohttp.ClientSession(standin.url) as client,
    ):
        started = await told(standin, client, width=1280)
    env = started["env"]
    assert started["argv"] == ["-e", "RECORDING_ID", "{{.ID}}", f"x={env['CALL_ID']}"]
    assert (env["SITE_URL"], env["AUTH_TOKEN"], env["WIDTH"]) == (standin.url, standin.state.bot_token, "1280")


@pytest.mark.parametrize("rtc", [True, False])
async def test_call_over_rtc_works_on_the_loopback_alone(tmp_path: Path, script: Path, rtc: bool) -> None:
    """Chromium needs a word for that, and gets it in the one variable that every recorder takes."""
    line = f"{sys.executable} '{script}' {{DATA_DIR}}/{{RECORDING_ID}}/told"
    async with (
        StandIn(data_dir=tmp_path / "data", recorder_argv=read_command(line)) as standin,
        aiohttp.ClientSession(standin.url) as client,
    ):
        started = await told(standin, client, rtc=rtc)
    assert started["env"].get("EXTRA_CHROMIUM_ARGS") == (RTC_CHROMIUM_ARG if rtc else None)


async def test_command_that_is_none_says_so_on_the_page(tmp_path: Path) -> None:
    """The button's answer names the program, in words that people can read."""
    async with (
        StandIn(data_dir=tmp_path, recorder_argv=["/nowhere/recorder"]) as standin,
        aiohttp.ClientSession(standin.url) as client,
    ):
        reply = await client.post("/standin/recordings")
        assert reply.status == 500
        assert "recorder" in await reply.text()
        assert "Traceback" not in await reply.text()
        assert standin.launcher.recorders == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("docker run {AUTH_TOKEN}", "unknown placeholder AUTH_TOKEN"),
        ("recorder {ID} {DATA_DIR}", "unknown placeholder ID"),
        ("recorder 'open", "No closing quotation"),
        ("  ", "the recorder's command is empty"),
    ],
)
def test_command_that_cannot_be_read_is_refused(line: str, why: str) -> None:
    """The token is in no command line, and a misspelt name is no word of it."""
    with pytest.raises(ValueError, match=why):
        read_command(line)


def test_own_recorder_is_started_as_it_is() -> None:
    """Without an option nothing is read into the words."""
    assert filled(RECORDER, {"DATA_DIR": "x"}) == list(RECORDER)


async def test_option_of_the_command_line_reaches_the_button(tmp_path: Path, script: Path) -> None:
    """`recorder-fsm standin --recorder-command` starts that program; one that cannot be read is a usage error."""
    base = [sys.executable, "-m", "recorder_fsm", "standin", "--port", "0", "--data", str(tmp_path / "data")]
    option = f"{sys.executable} '{script}' {{DATA_DIR}}/{{RECORDING_ID}}/told"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = await ChildProcess.spawn("standin", [*base, "--recorder-command", option], env=env)
    line = await child.ready(child.line_matching(r"stand-in Mattermost at (\S+)$"), limit_s=30)
    async with aiohttp.ClientSession() as client:
        reply = await client.post(f"{line.group(1)}/standin/recordings")
        recording_id = (await reply.json())["recording_id"]
    told_file = tmp_path / "data" / "jobs" / recording_id / "told"
    async with asyncio.timeout(20):
        while not told_file.exists() or not told_file.read_text():  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.02)
    assert json.loads(told_file.read_text())["env"]["RECORDING_ID"] == recording_id
    await child.stop()
    refused = await ChildProcess.spawn("standin", [*base, "--recorder-command", "x {AUTH_TOKEN}"], env=env)
    await refused.exited
    await refused.stop()
    assert refused.returncode == 2
    assert "unknown placeholder AUTH_TOKEN" in " ".join(refused.tail)
