"""The stand-in as an offloader and a channel: recorders as processes, the thread, posters, the command's life."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.standin import StandIn
from recorder_fsm.standin.channel import duration_text
from recorder_fsm.system.process import ChildProcess, run

ENVIRON = {**os.environ, "AUTH_TOKEN": "not for the child", "SECRET": "not for the child"}

# A recorder in miniature: tells its environment, reports `started`, uploads and saves once the job is stopped.
MINIATURE = """
import json, os, sys, time, urllib.request
env = os.environ
with open(os.path.join(env["DATA_DIR"], env["RECORDING_ID"], "env.json"), "w") as file:
    json.dump(dict(env), file)
bot = env["SITE_URL"] + "/plugins/com.mattermost.calls/bot"
call = bot + "/calls/" + env["CALL_ID"]
def ask(url, data=None, raw=False):
    body = data if raw or data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Authorization": "Bearer " + env["AUTH_TOKEN"]})
    return json.loads(urllib.request.urlopen(request, timeout=10).read() or "{}")
ask(call + "/jobs/" + env["RECORDING_ID"] + "/status", {"JobType": "recording", "Status": "started"})
print("started with", env["AUTH_TOKEN"], flush=True)
def over():
    jobs = [job for one in ask(env["SITE_URL"] + "/standin/state")["calls"] for job in one["jobs"]]
    return any(job["id"] == env["RECORDING_ID"] and job["end_at"] for job in jobs)
while not over():
    time.sleep(0.02)
session = ask(bot + "/uploads", {"channel_id": env["CALL_ID"], "filename": "a.mp4", "file_size": 4})
info = ask(bot + "/uploads/" + session["id"], b"film", raw=True)
ask(call + "/recordings", {"PostID": env["POST_ID"], "FileIDs": [info["id"]], "JobID": env["RECORDING_ID"]})
"""


def standin_with(program: str, data_dir: Path) -> StandIn:
    """Make a server whose recorders run `program`."""
    return StandIn(data_dir=data_dir, environ=ENVIRON, recorder_argv=(sys.executable, "-c", program))


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    async with standin_with(MINIATURE, tmp_path) as server:
        yield server


async def started(standin: StandIn, client: aiohttp.ClientSession, **options: Any) -> str:
    """Start a recorder, wait until it records, and return its recording id."""
    reply = await client.post("/standin/recordings", json=options)
    assert reply.status == 201, await reply.text()
    recording_id: str = (await reply.json())["recording_id"]
    await standin.wait_for(lambda: any(one.recording_id == recording_id for one in standin.state.statuses))
    return recording_id


async def described(client: aiohttp.ClientSession, recording_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await (await client.get(f"/standin/recordings/{recording_id}")).json()
    return found


async def ended(standin: StandIn, recording_id: str) -> None:
    await standin.wait_for(lambda: standin.launcher.recorders[recording_id].ended_at_s is not None)


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/stop"), ("DELETE", "")])
async def test_recording_is_started_stopped_and_published(
    method: str, suffix: str, standin: StandIn, client: aiohttp.ClientSession
) -> None:
    """From the button to the post: starting, recording, the host's stop, published with exit code 0."""
    recording_id = await started(standin, client, name="Stand-up")
    assert (await described(client, recording_id))["state"] == "recording"
    live = (await (await client.get("/standin/thread")).json())["live"]
    assert [one["recording_id"] for one in live] == [recording_id]
    await client.request(method, f"/standin/recordings/{recording_id}{suffix}")
    await ended(standin, recording_id)
    after = await described(client, recording_id)
    assert (after["state"], after["exit_code"]) == ("published", 0)
    thread = await (await client.get("/standin/thread")).json()
    assert thread["live"] == []
    assert [post["file"]["name"] for post in thread["posts"]] == ["a.mp4"]
    film = await client.get(thread["posts"][0]["url"], headers={"Range": "bytes=1-2"})
    assert (film.status, await film.read()) == (206, b"il")


async def test_recorder_gets_its_job_and_nothing_else(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """The child's environment is the contract's, with PATH and HOME, and nothing of its parent's secrets."""
    recording_id = await started(standin, client, width=1280, frame_rate=10, video_preset=None)
    folder = standin.data_dir / "jobs" / recording_id
    env = json.loads((folder / "env.json").read_text())
    ids = standin.launcher.recorders[recording_id].ids
    assert (env["CALL_ID"], env["POST_ID"], env["AUTH_TOKEN"]) == (ids.call_id, ids.post_id, ids.token)
    assert (env["SITE_URL"], env["DATA_DIR"]) == (standin.url, str(folder.parent))
    assert (env["WIDTH"], env["FRAME_RATE"]) == ("1280", "10")
    assert env["DEV_MODE"] == ("true" if os.geteuid() == 0 else "false")
    assert env["PATH"] == ENVIRON["PATH"]
    assert not {"VIDEO_PRESET", "HEIGHT", "SECRET"} & set(env)


async def test_scene_options_reach_the_page(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """What the page shall draw is the call's scene."""
    recording_id = await started(standin, client, share=True, mode="pattern")
    ids = standin.launcher.recorders[recording_id].ids
    scene = await (await client.get("/standin/scene", params={"call_id": ids.call_id})).json()
    assert (scene["share"], scene["mode"]) == (True, "pattern")


async def test_seconds_stop_the_recording_as_a_host(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """After its seconds, counted from `started`, the job ends without an error and is published."""
    recording_id = await started(standin, client, seconds=0.1)
    await ended(standin, recording_id)
    job = standin.state.find_job(recording_id)
    assert job is not None
    assert (job.err, job.end_at - job.start_at >= 100) == ("", True)
    assert len(standin.state.posts) == 1


async def test_token_is_hidden_in_what_people_see(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """The last lines of a recorder are shown without the token that it printed."""
    recording_id = await started(standin, client)
    child = standin.launcher.recorders[recording_id].child
    standin.stop_recording(recording_id)
    await ended(standin, recording_id)
    await child.stop()
    assert (await described(client, recording_id))["tail"] == ["started with ***"]


@pytest.mark.parametrize(("code", "state"), [(0, "discarded"), (1, "failed")])
async def test_recorder_that_publishes_nothing_is_told_apart(code: int, state: str, tmp_path: Path) -> None:
    """Exit code 0 without a post is a discarded recording, any other code a failed one."""
    async with (
        standin_with(f"raise SystemExit({code})", tmp_path) as standin,
        aiohttp.ClientSession(standin.url) as client,
    ):
        reply = await client.post("/standin/recordings")
        recording_id = (await reply.json())["recording_id"]
        await ended(standin, recording_id)
        found = await described(client, recording_id)
        thread = await (await client.get("/standin/thread")).json()
    assert (found["state"], found["exit_code"]) == (state, code)
    assert [one["state"] for one in thread["ended"]] == [state]


async def test_published_recording_that_ended_early_says_why(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """A job that failed in the middle and was published is a post with its error, and no failed card."""
    recording_id = await started(standin, client)
    job = standin.state.find_job(recording_id)
    assert job is not None
    standin.calls.fail(job, "the browser ended")
    await ended(standin, recording_id)
    thread = await (await client.get("/standin/thread")).json()
    assert [post["error"] for post in thread["posts"]] == ["the browser ended"]
    assert (thread["ended"], (await described(client, recording_id))["state"]) == ([], "published")


@pytest.mark.parametrize("options", [{"colour": 1}, {"seconds": 0}, {"seconds": "9"}, []])
async def test_unreadable_options_start_nothing(options: Any, standin: StandIn, client: aiohttp.ClientSession) -> None:
    """An option that is none is refused before a call or a process is made."""
    assert (await client.post("/standin/recordings", json=options)).status == 400
    assert standin.launcher.recorders == {}
    assert len(standin.state.calls) == 1


async def test_unknown_recording_is_not_found(client: aiohttp.ClientSession) -> None:
    """Nothing is known, stopped or shown of a recording that was not started."""
    assert (await client.get(f"/standin/recordings/{'n' * 26}")).status == 404
    assert (await client.post(f"/standin/recordings/{'n' * 26}/stop")).status == 404
    assert (await client.get(f"/standin/posters/{'n' * 26}")).status == 404
    assert (await client.get(f"/standin/files/{'n' * 26}")).status == 404


async def test_poster_is_a_frame_of_what_was_published(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """The thread points to it; where no frame can be had there is none."""
    recording_id = await started(standin, client)
    standin.stop_recording(recording_id)
    await ended(standin, recording_id)
    post = (await (await client.get("/standin/thread")).json())["posts"][0]
    assert (await client.get(post["poster_url"])).status == 404, "what was published is no video"
    make = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "color=red:s=64x64:d=3", "-f", "mp4"]
    await run("ffmpeg", [*make, str(standin.uploaded(post["file"]["id"]))], env=PROGRAM_ENV, limit_s=30)
    poster = await client.get(post["poster_url"])
    assert (poster.content_type, (await poster.read())[:4]) == ("image/png", b"\x89PNG")


async def test_shutdown_ends_recorders(tmp_path: Path) -> None:
    """No recorder outlives the server that started it."""
    async with standin_with("import time; time.sleep(600)", tmp_path) as standin:
        async with aiohttp.ClientSession(standin.url) as client:
            recording_id = (await (await client.post("/standin/recordings")).json())["recording_id"]
        child = standin.launcher.recorders[recording_id].child
        assert child.running
    assert child.returncode == -signal.SIGTERM


async def test_served_standin_says_its_address_and_ends_on_sigterm(tmp_path: Path) -> None:
    """The command's coroutine prints one line, answers, and ends cleanly when asked."""
    program = (
        "import asyncio, sys, pathlib; from recorder_fsm.standin import serve; "
        "asyncio.run(serve('127.0.0.1', 0, pathlib.Path(sys.argv[1])))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = await ChildProcess.spawn("standin", [sys.executable, "-c", program, str(tmp_path)], env=env)
    line = await child.ready(child.line_matching(r"stand-in Mattermost at (\S+)$"), limit_s=20)
    async with aiohttp.ClientSession() as client:
        reply = await client.get(f"{line.group(1)}/standin/thread")
        assert reply.status == 200
    assert await child.stop() == 0
    assert len(child.tail) == 1


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (3599.6, "1:00:00"), (3723, "1:02:03")])
def test_duration_reads_as_people_write_it(seconds: float, text: str) -> None:
    """Hours appear only when there are any."""
    assert duration_text(seconds) == text
