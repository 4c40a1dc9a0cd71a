"""The hooks of a whole job: what they are told of each end, and that none of them changes it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bench.harness.environment import job_environment
from bench.harness.recorder_process import RecorderProcess, launched, recorder
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.pending import FINISHED, NAME, Clip, leave, posted_once, recovering, restarted
from tests.faults.scene import Row
from tests.receiver import Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

SECRET = "a secret of the webhook"
PATH = "/hooks/secretofthepath"
FINALIZE = """
import json, os, shutil, sys
message = json.load(sys.stdin)
folder = sys.argv[1]
with open(f"{folder}/environ", "w") as file:
    json.dump(dict(os.environ), file)
if path := (message["data"].get("file") or {}).get("path"):
    shutil.copy(path, f"{folder}/copy.mp4")
with open(f"{folder}/message.part", "w") as file:
    json.dump(message, file)
os.rename(f"{folder}/message.part", f"{folder}/message")
"""
ODD = os.fsdecode(b"an id with a byte \xe9 of another time")
SLEEPS = "import time; print('begun', flush=True); time.sleep(600)"
BEGUN = "ON_END: begun"


def on_end(program: str, *words: str) -> str:
    return shlex.join([sys.executable, "-c", program, *words])


def set_up(receiver: Receiver | None = None, *, command: str = "") -> dict[str, Any]:
    webhook = {"WEBHOOK_URL": f"{receiver.url}{PATH}", "WEBHOOK_SECRET": SECRET} if receiver is not None else {}
    return {**webhook, **({"ON_END": command} if command else {})}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def pending(data: Path, ids: CallIds, standin: StandIn, clip: Clip) -> Path:
    return leave(data, ids, standin.url, {f"{NAME}.mp4": clip.bytes}, *FINISHED)


def assert_ids(said: dict[str, Any], ids: CallIds) -> None:
    """The message names the job by what a receiver knows."""
    about = said["data"]
    assert (about["recording_id"], about["channel_id"], about["call_post_id"]) == (
        ids.recording_id,
        ids.call_id,
        ids.post_id,
    )


def assert_no_secret(run: RecorderProcess, *more: str) -> None:
    """Neither the token nor what the webhook is known by is in anything that the job left or said."""
    files = [path.read_text(errors="replace") for path in run.job_dir.glob("*") if path.suffix != ".mp4"]
    for secret in (run.ids.token, SECRET, "secretofthepath"):
        for text in (run.text, *files, *more):
            assert secret not in text


async def test_published_recording_is_told_and_can_be_copied(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip, out: Path
) -> None:
    """The webhook and the command get one and the same message; the command finds the file, which goes then."""
    pending(data, ids, standin, small_clip)
    async with receiving() as receiver:
        more = set_up(receiver, command=on_end(FINALIZE, str(out)))
        async with restarted(Row("", ""), standin, ids, data, **more) as fault:
            await fault.ends(0)
    posted_once(standin, ids, small_clip)
    came = receiver.one
    assert came.path == PATH
    assert came.signed_with(SECRET.encode())
    said = came.json
    assert said == json.loads((out / "message").read_text())
    assert_ids(said, ids)
    about = said["data"]
    (post,) = standin.state.posts
    assert (said["type"], about["outcome"], about["exit_code"], about["cause"]) == ("recording.done", "done", 0, None)
    assert (about["post_id"], about["file_id"], about["name"]) == (post.id, post.file_id, NAME)
    assert about["file"]["size_bytes"] == small_clip.final.stat().st_size
    assert about["file"]["duration_s"] == pytest.approx(6, abs=0.2)
    assert (about["file"]["width"], about["file"]["height"]) == (640, 360)
    assert about["kept"] is None
    assert (out / "copy.mp4").read_bytes() == small_clip.bytes
    assert list(fault.run.job_dir.glob("*.mp4*")) == []
    environment = (out / "environ").read_text()
    assert not {"AUTH_TOKEN", "WEBHOOK_SECRET", "WEBHOOK_URL"} & set(json.loads(environment))
    assert_no_secret(fault.run, environment)


async def test_recording_that_waits_is_told_with_its_place(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip
) -> None:
    """Cause, what to do, and where the file lies; then `recover` publishes it and tells that, under another id."""
    pending(data, ids, standin, small_clip)
    standin.set_faults({"route": "upload_data", "kind": "status", "status": 403, "times": 1,
                        "body": '{"message":"no","status_code":403}', "content_type": "application/json"})  # fmt: skip
    async with receiving() as receiver:
        async with restarted(Row("", ""), standin, ids, data, **set_up(receiver)) as fault:
            await fault.ends(1)
        code = fault.run.report["cause"]["code"]
        async with recovering(standin, ids, data, str(data), **set_up(receiver)) as run:
            assert await run.exit_code() == 0, run.text
    kept, recovered = (request.json for request in receiver.requests)
    assert kept["id"] != recovered["id"]
    about = kept["data"]
    assert (about["outcome"], about["exit_code"], about["recovered"]) == ("failed", 1, False)
    assert about["cause"]["code"] == code
    assert about["cause"]["sentence"]
    assert about["cause"]["what_to_do"]
    assert about["kept"] == about["file"]["path"] == str(data / ids.recording_id / f"{NAME}.mp4")
    assert recovered["data"]["recovered"]
    assert recovered["data"]["outcome"] == "done"
    posted_once(standin, ids, small_clip)
    assert_no_secret(fault.run)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WIDTH", "nothing/valid"),
        ("TLS_CA_CERT_FILE", "nothing/valid"),
        ("RECORDING_ID", "nothing/valid"),
        ("RECORDING_ID", ODD),
        ("AUTH_TOKEN", ODD),
    ],
)
async def test_refused_settings_are_told(
    standin: StandIn, ids: CallIds, data: Path, out: Path, variable: str, value: str
) -> None:
    """A job that never began has no directory; whoever waits for it hears why all the same."""
    async with receiving() as receiver:
        more = set_up(receiver, command=on_end(FINALIZE, str(out)))
        environment = job_environment(standin.url, ids, data, **more) | {variable: value}
        async with launched(environment, ids, data) as run:
            assert await run.exit_code() == 1, run.text
    about = receiver.one.json["data"]
    assert receiver.one.signed_with(SECRET.encode())
    assert (about["outcome"], about["exit_code"], about["cause"]["code"]) == ("failed", 1, "settings")
    assert variable in about["cause"]["sentence"] or variable == "TLS_CA_CERT_FILE"
    assert json.loads((out / "message").read_text()) == receiver.one.json
    assert SECRET not in run.text


async def test_key_of_any_bytes_signs(standin: StandIn, ids: CallIds, data: Path) -> None:
    """An environment holds bytes, not text: such a key is no reason for a job that is told of to nobody."""
    async with receiving() as receiver:
        more = set_up(receiver) | {"WEBHOOK_SECRET": ODD, "WIDTH": "wide"}
        async with launched(job_environment(standin.url, ids, data) | more, ids, data) as run:
            assert await run.exit_code() == 1, run.text
    assert receiver.one.signed_with(os.fsencode(ODD))
    assert "WIDTH" in receiver.one.json["data"]["cause"]["sentence"]


async def test_job_that_failed_before_it_recorded_is_told(standin: StandIn, ids: CallIds, data: Path) -> None:
    """The server refuses the very first request."""
    standin.set_faults({"route": "filename", "kind": "status", "status": 403, "times": 0, "body": "Forbidden",
                        "content_type": "text/plain"})  # fmt: skip
    async with receiving() as receiver, recorder(standin, ids, data, **set_up(receiver)) as run:
        assert await run.exit_code() == 0, run.text
    about = receiver.one.json["data"]
    assert (about["outcome"], about["exit_code"], about["file"], about["kept"]) == ("failed", 0, None, None)
    assert about["cause"]["code"] == run.report["cause"]["code"]


@pytest.mark.parametrize("answer", [None, web.Response(status=500)], ids=["hangs", "fails"])
async def test_webhook_that_is_of_no_use_changes_nothing(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip, answer: web.Response | None
) -> None:
    """Published, exit code 0; a launcher that wants the end gets it within its grace."""
    pending(data, ids, standin, small_clip)
    async with receiving(answer) as receiver:
        more = set_up(receiver) | {"STOP_GRACE_SECONDS": "10"}
        async with restarted(Row("", ""), standin, ids, data, **more) as fault:
            await receiver.came.wait()
            fault.run.signal(signal.SIGTERM)
            await fault.ends(0)
    posted_once(standin, ids, small_clip)
    assert any("webhook" in note for note in fault.run.report["notes"])


async def test_recorder_that_is_killed_in_its_command_loses_nothing(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip, out: Path
) -> None:
    """The next start publishes nothing twice, and runs the command again: the file is still there for it."""
    pending(data, ids, standin, small_clip)
    async with receiving() as receiver:
        more = set_up(receiver, command=on_end(SLEEPS))
        async with restarted(Row("", ""), standin, ids, data, **more) as fault:
            await receiver.came.wait()
            await fault.run.seen(lambda line: line["message"] == BEGUN)
            fault.run.process.kill()
            await fault.run.process.wait()
        assert len(list(fault.run.job_dir.glob("*.mp4"))) == 1
        more = set_up(receiver, command=on_end(FINALIZE, str(out)))
        async with restarted(Row("", ""), standin, ids, data, **more) as fault:
            await fault.ends(0)
    posted_once(standin, ids, small_clip)
    assert (out / "copy.mp4").read_bytes() == small_clip.bytes
    assert list(fault.run.job_dir.glob("*.mp4*")) == []
    first, second = (request.json for request in receiver.requests)
    assert first["id"] == second["id"]
    assert first["data"]["post_id"] == second["data"]["post_id"] is not None


async def test_command_that_never_ends_is_ended_with_the_job(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip
) -> None:
    """Its own limit, or a launcher's signal; the recording is published, and nothing of the command is left."""
    pending(data, ids, standin, small_clip)
    more = set_up(command=on_end(SLEEPS)) | {"STOP_GRACE_SECONDS": "10", "ON_END_SECONDS": "3600"}
    async with restarted(Row("", ""), standin, ids, data, **more) as fault:
        await fault.run.seen(lambda line: line["message"] == BEGUN)
        sleeping = fault.run.child("time.sleep(600)")
        fault.run.signal(signal.SIGTERM)
        await fault.ends(0)
    posted_once(standin, ids, small_clip)
    assert not sleeping.is_running()
    assert any("ON_END" in note for note in fault.run.report["notes"])


THREAD: dict[str, Any] = {"NOTIFY_FAILURES": "thread"}


def notices(standin: StandIn) -> list[str]:
    return [post.message for post in standin.state.thread_posts]


async def test_thread_is_told_once_of_a_recording_that_waits(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip
) -> None:
    """Two starts that fail make one post: cause, what was saved, what to do. The third publishes."""
    pending(data, ids, standin, small_clip)
    refusal = {"route": "upload_data", "kind": "status", "status": 403, "times": 2,
               "body": '{"message":"no","status_code":403}', "content_type": "application/json"}  # fmt: skip
    standin.set_faults(refusal)
    for code in (1, 1, 0):
        async with restarted(Row("", ""), standin, ids, data, **THREAD) as fault:
            await fault.ends(code)
    (notice,) = notices(standin)
    (post,) = standin.state.thread_posts
    assert (post.channel_id, post.root_id) == (ids.call_id, ids.post_id)
    assert notice.startswith("The recording could not be published.")
    assert "It is kept (6 seconds)" in notice
    assert "For administrators: " in notice
    assert ids.token not in notice
    assert "status_code" not in notice, "no program's output"
    posted_once(standin, ids, small_clip)


async def test_thread_is_told_once_though_the_journal_is_gone(standin: StandIn, ids: CallIds, data: Path) -> None:
    """A job that failed before it recorded leaves no journal; its post is known by the job's id."""
    standin.set_faults({"route": "filename", "kind": "status", "status": 403, "times": 0, "body": "Forbidden",
                        "content_type": "text/plain"})  # fmt: skip
    for _ in range(2):
        async with recorder(standin, ids, data, **THREAD) as run:
            assert await run.exit_code() == 0, run.text
    (notice,) = notices(standin)
    assert notice.startswith("The recording failed. ")
    assert "Nothing was saved." in notice


async def test_thread_is_told_of_refused_settings(standin: StandIn, ids: CallIds, data: Path) -> None:
    """Where the address, the ids and the token are good enough for it."""
    environment = job_environment(standin.url, ids, data, **THREAD) | {"WIDTH": "wide"}
    async with launched(environment, ids, data) as run:
        assert await run.exit_code() == 1, run.text
    (notice,) = notices(standin)
    assert "WIDTH" in notice


@pytest.mark.parametrize("kind", ["status", "hang"])
async def test_thread_that_takes_no_post_changes_nothing(
    standin: StandIn, ids: CallIds, data: Path, small_clip: Clip, kind: str
) -> None:
    """A bot that may not post, or a server that does not answer: a line of the log, and the same end."""
    pending(data, ids, standin, small_clip)
    standin.set_faults(
        {"route": "upload_data", "kind": "status", "status": 403, "times": 0,
         "body": '{"message":"no","status_code":403}', "content_type": "application/json"},
        {"route": "create_post", "kind": kind, "status": 403, "times": 0},
    )  # fmt: skip
    async with restarted(Row("", ""), standin, ids, data, **THREAD) as fault:
        await fault.ends(1)
    assert "could not be told of the failure" in fault.run.text
    assert notices(standin) == []
