"""What the stand-in knows. Plain data, one place that announces every change; no I/O but the file names."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.standin.knobs import Knobs

ID_LENGTH = 26
ID_ALPHABET = string.ascii_lowercase + string.digits
MASK = "***"
FOLDERS = ("uploads", "files", "published", "jobs")


def new_id() -> str:
    """Return a fresh id of 26 characters of [a-z0-9] (contract 1.1)."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970, as Mattermost stamps everything."""
    return int(time.time() * 1000)


@attrs.frozen
class CallIds:
    """Hold what a recorder is told about its job: CALL_ID, POST_ID, RECORDING_ID and AUTH_TOKEN."""

    call_id: str
    post_id: str
    recording_id: str
    token: str = attrs.field(repr=False)


@attrs.define
class Job:
    """Hold one recording job of a call; stamps are milliseconds, 0 while the moment has not come."""

    id: str
    call_id: str
    init_at: int = attrs.Factory(now_ms)
    start_at: int = 0
    end_at: int = 0
    err: str = ""
    bot_connection_id: str = ""

    def wire(self) -> dict[str, Any]:
        """Return the job as `call_job_state` carries it (contract 3.5)."""
        return {
            "type": "recording",
            "init_at": self.init_at,
            "start_at": self.start_at,
            "end_at": self.end_at,
            "err": self.err,
        }


@attrs.define
class Call:
    """Hold one call; `id` is its channel's id. The last of `jobs` is the one that counts."""

    id: str
    post_id: str
    name: str
    create_at: int = attrs.Factory(now_ms)
    end_at: int = 0
    everyone_left: bool = False
    viewable: bool = True
    scene: dict[str, Any] = attrs.Factory(dict)
    jobs: list[Job] = attrs.Factory(list)
    recordings: dict[str, dict[str, str]] = attrs.Factory(dict)

    @property
    def job(self) -> Job | None:
        return self.jobs[-1] if self.jobs else None


@attrs.define
class UploadSession:
    """Hold one upload; its bytes lie in `path`. `previous_offset` is the offset before the last part.

    `moved_at_s` is when the offset moved, in seconds of the monotonic clock. `req_file_id` is the id that the file
    shall have, "" leaves it to the server.
    """

    id: str
    channel_id: str
    filename: str
    file_size: int
    path: Path
    create_at: int = attrs.Factory(now_ms)
    file_offset: int = 0
    previous_offset: int = 0
    moved_at_s: float = 0.0
    req_file_id: str = ""
    bytes_received: int = 0
    parts: int = 0
    busy: bool = False
    done: bool = False
    file_id: str = ""
    user_id: str = ""
    """Who opened it; "" for the Calls bot."""


@attrs.define
class StoredFile:
    """Hold one complete file; `path` is where its bytes lie, `name` what its uploader called it, `post_id` its post."""

    id: str
    name: str
    size: int
    channel_id: str
    mime_type: str
    path: Path
    create_at: int = attrs.Factory(now_ms)
    post_id: str = ""
    user_id: str = ""


@attrs.define
class Post:
    """Hold one post in a call's thread, made by the save route."""

    id: str
    call_id: str
    call_post_id: str
    recording_id: str
    file_id: str
    create_at: int = attrs.Factory(now_ms)


@attrs.define
class ThreadPost:
    """Hold one post that somebody made by Mattermost's own API, as that describes it."""

    id: str
    channel_id: str
    root_id: str
    message: str
    create_at: int = attrs.Factory(now_ms)
    user_id: str = ""
    file_ids: list[str] = attrs.Factory(list)
    props: dict[str, Any] = attrs.Factory(dict)
    pending_post_id: str = ""


@attrs.define
class StatusReport:
    """Hold one status that a recorder posted and what it was told; `reply` is an HTTP status."""

    call_id: str
    recording_id: str
    status: str
    error: str
    reply: int
    at: int = attrs.Factory(now_ms)


@attrs.define
class LogEntry:
    """Hold one request as it was sent, its secrets too: `requestlog.shown` is for people.

    `headers` are all of them. `status` is None while it runs, then an HTTP status, or `dropped` without a reply.
    """

    time: float
    method: str
    path: str
    route: str
    query: str
    headers: dict[str, str]
    auth: dict[str, Any]
    body: str | None = None
    status: int | str | None = None
    elapsed_s: float | None = None


class State:
    """Hold everything the server knows; `changed()` after each write wakes those who wait."""

    def __init__(self, data_dir: Path, knobs: Knobs) -> None:
        self.data_dir = data_dir
        self.initial_knobs = knobs.to_json()
        self.bot_id = new_id()
        self.bot_token = new_id()
        self.person_id = new_id()
        self.person_token = new_id()
        self.poster_id = new_id()
        self.poster_token = new_id()
        self._revoked: list[str] = []
        self.network_down_until = 0.0
        self.plugin_off_until = 0.0
        self.closing = asyncio.Event()
        self._next_change = asyncio.Event()
        for folder in FOLDERS:
            (data_dir / folder).mkdir(parents=True, exist_ok=True)
        self.clear()

    def clear(self) -> None:
        """Forget all calls, posts and files and return to the first knobs; the tokens stay valid."""
        self.knobs = Knobs.from_json(self.initial_knobs)
        self.calls: dict[str, Call] = {}
        self.sessions: dict[str, UploadSession] = {}
        self.files: dict[str, StoredFile] = {}
        self.posts: list[Post] = []
        self.thread_posts: list[ThreadPost] = []
        self.statuses: list[StatusReport] = []
        self.log: list[LogEntry] = []
        self.joins: list[dict[str, str]] = []
        self.network_down_until = 0.0
        self.plugin_off_until = 0.0
        self.changed()

    def renew_bot_token(self) -> None:
        """Give the bot another token; the old one is refused from now on."""
        self._revoked.append(self.bot_token)
        self.bot_token = new_id()

    def without_tokens(self, text: str) -> str:
        """Return a text for people, with every token hidden that was ever good."""
        for token in (self.bot_token, self.person_token, self.poster_token, *self._revoked):
            text = text.replace(token, MASK)
        return text

    def changed(self) -> None:
        """Wake everyone in `wait_for`; call it after each change."""
        self._next_change.set()
        self._next_change = asyncio.Event()

    async def next_change(self) -> None:
        """Wait for the next change of anything."""
        await self._next_change.wait()

    async def wait_for(self, predicate: Callable[[], Any], limit_s: float) -> Any:
        """Return the first true value of `predicate`; raises TimeoutError after `limit_s` seconds."""
        async with asyncio.timeout(limit_s):
            while not (value := predicate()):
                await self._next_change.wait()
            return value

    @property
    def network_down(self) -> bool:
        return time.monotonic() < self.network_down_until

    @property
    def plugin_off(self) -> bool:
        return time.monotonic() < self.plugin_off_until

    def call_of_post(self, post_id: str) -> Call | None:
        return next((call for call in self.calls.values() if call.post_id == post_id), None)

    def find_job(self, recording_id: str) -> Job | None:
        return next((job for call in self.calls.values() for job in call.jobs if job.id == recording_id), None)
