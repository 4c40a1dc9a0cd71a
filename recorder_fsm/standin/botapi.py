"""The bot routes of the plugin: file name, job status, save (contract 2.2 to 2.4)."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from aiohttp import web

from recorder_fsm.standin.access import PLUGIN, BodyError, folded, plugin_reply, read_json, require_bot, text_of
from recorder_fsm.standin.calls import Calls
from recorder_fsm.standin.faults import FAULT
from recorder_fsm.standin.state import Call, Post, State, StatusReport, StoredFile, new_id

ID = "[a-z0-9]{26}"
NAME_LIMIT = 24
PUBLISHED_NAME_LIMIT_BYTES = 240
JOB_TYPES = frozenset({"recording", "transcribing"})


class BotApi:
    """Serve the routes by which a recorder asks its name, reports its status and publishes its file."""

    def __init__(self, state: State, calls: Calls) -> None:
        self._state = state
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        call = f"{PLUGIN}/bot/calls/{{call_id:{ID}}}"
        return [
            web.get(f"{call}/filename", self.filename, name="filename", allow_head=False),
            web.post(f"{call}/jobs/{{recording_id:{ID}}}/status", self.status, name="status"),
            web.post(f"{call}/recordings", self.save, name="save"),
        ]

    async def filename(self, request: web.Request) -> web.Response:
        """Reply with the name that the recording shall have, without a suffix."""
        require_bot(request, self._state)
        knob = self._state.knobs.filename
        call_id = request.match_info["call_id"]
        call = self._state.calls.get(call_id)
        name = file_name(call.name if call else call_id) if knob is None else knob
        return web.json_response({"filename": name})

    async def status(self, request: web.Request) -> web.Response:
        """Take a job status; 400 with the plugin's text where the job cannot take it (contract 2.4)."""
        require_bot(request, self._state)
        call_id, recording_id = request.match_info["call_id"], request.match_info["recording_id"]
        try:
            fields = folded(await read_json(request))
            job_type, status = text_of(fields, "jobtype"), text_of(fields, "status")
            # The error text travels under `omitempty`: the tag's name part in the plugin (contract 2.3).
            error = text_of(fields, "omitempty")
        except BodyError as problem:
            return plugin_reply(400, f"failed to decode request body: {problem}")
        call = self._state.calls.get(call_id)
        kept = self._state.knobs.keeps_ended_jobs
        refusal = refusal_of_status(call, recording_id, job_type, status, kept=kept)
        if not refusal and call is not None and call.job is not None:
            if status == "started":
                self._calls.start(call.job)
            else:
                self._calls.fail(call.job, error)
        reply = plugin_reply(400, refusal) if refusal else plugin_reply(200, "success")
        self._state.statuses.append(StatusReport(call_id, recording_id, status, error, reply.status))
        self._state.changed()
        return reply

    async def save(self, request: web.Request) -> web.Response:
        """Append a post with the file, every time, whatever the job's state is."""
        require_bot(request, self._state)
        try:
            fields = folded(await read_json(request))
            post_id, recording_id = text_of(fields, "postid"), text_of(fields, "jobid")
            file_ids = fields.get("fileids") or []
            if not isinstance(file_ids, list) or not all(isinstance(one, str) for one in file_ids):
                raise BodyError("json: cannot unmarshal fileids into field of type []string")
        except BodyError as problem:
            return plugin_reply(400, f"failed to decode request body: {problem}")
        if not post_id:
            return plugin_reply(400, "PostID should not be empty")
        if not file_ids:
            return plugin_reply(400, "invalid FileIDs length")
        if not recording_id:
            return plugin_reply(400, "JobID should not be empty")
        call = self._state.call_of_post(post_id)
        if call is None:
            return plugin_reply(500, "failed to get call post: resource not found")
        return self._posted(request, call, recording_id, file_ids[0])

    def _posted(self, request: web.Request, call: Call, recording_id: str, file_id: str) -> web.Response:
        post = Post(new_id(), call.id, call.post_id, recording_id, file_id)
        self._state.posts.append(post)
        if (stored := self._state.files.get(post.file_id)) is not None:
            stored.post_id = stored.post_id or post.id
            publish(stored, self._state.data_dir / "published")
        self._state.changed()
        fault = request.get(FAULT)
        if fault is not None and fault.kind == "post_only":
            return plugin_reply(500, "failed to update call thread: UpdatePost: Unable to update the Post.")
        call.recordings[recording_id] = {"file_id": post.file_id, "post_id": post.id}
        self._state.changed()
        return plugin_reply(200, "success")


def refusal_of_status(call: Call | None, recording_id: str, job_type: str, status: str, *, kept: bool = False) -> str:
    """Return why the plugin refuses a status, in its words, or nothing (contract 2.4).

    `kept`: a plugin that keeps the jobs that have ended.
    """
    job = call.job if call is not None else None
    refusal = ""
    if call is None or call.end_at:
        refusal = "no call ongoing"
    elif job_type not in JOB_TYPES:
        refusal = "invalid job type"
    elif job is None or (job.end_at and not kept) or job_type != "recording":  # the calls here have recordings only
        refusal = "no job ongoing"
    elif job.id != recording_id:
        refusal = "invalid job ID"
    elif job.end_at and status != "failed":
        refusal = "job has ended"
    elif status not in {"started", "failed"}:
        refusal = "unsupported status type"
    elif status == "started" and job.start_at:
        refusal = "job has already started"
    return refusal


def file_name(name: str) -> str:
    """Return the plugin's name for a recording: truncated, made plain, stamped with UTC (contract 2.2)."""
    short = name if len(name) <= NAME_LIMIT else name[: NAME_LIMIT - 1] + "\N{HORIZONTAL ELLIPSIS}"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", short)
    return f"Call_{plain}_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}"


def publish(stored: StoredFile, folder: Path) -> Path:
    """Link a saved file into `folder` under its own name; if another file has that name, with a number."""
    name = PurePosixPath(stored.name.replace("\\", "/")).name.replace("\0", "")
    name = name if name not in {"", ".", ".."} else "recording"
    if len(name.encode()) > PUBLISHED_NAME_LIMIT_BYTES:
        name = name[-PUBLISHED_NAME_LIMIT_BYTES // 4 :]  # the end has the suffix; a character has at most 4 bytes
    target = folder / name
    number = 2
    while target.exists() and not target.samefile(stored.path):
        target = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    if not target.exists():
        try:
            os.link(stored.path, target)
        except OSError:  # a file system without hard links
            shutil.copyfile(stored.path, target)
    return target
