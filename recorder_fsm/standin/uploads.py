"""Upload sessions of the plugin's bot routes: create, take parts, resume (contract 2.4, 2.5)."""

from __future__ import annotations

import asyncio
import mimetypes
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from recorder_fsm.standin.access import (
    PLUGIN,
    BodyError,
    plugin_reply,
    read_json,
    require_bot,
)
from recorder_fsm.standin.botapi import ID
from recorder_fsm.standin.faults import FAULT
from recorder_fsm.standin.knobs import MIB, Fault
from recorder_fsm.standin.network import connection_of, reset
from recorder_fsm.standin.state import State, StoredFile, UploadSession, new_id

FIRST_PART_BYTES = 5 * MIB
EARLY_REPLY_LINGER_S = 0.5
SLOW_READS_PER_S = 10


class Uploads:
    """Serve upload sessions; their bytes are on disk while they grow and afterwards."""

    def __init__(self, state: State) -> None:
        self._state = state

    def _refused(self, status: int, words: str, error_id: str = "") -> web.Response:
        """Return the plugin's error; it has no ids."""
        return plugin_reply(status, words)

    def _may_send(self, request: web.Request, session: UploadSession) -> web.Response | None:
        """Return a refusal of a part, None where it is welcome."""
        return None

    def _cap(self) -> int:
        """Return how many bytes of one request are taken."""
        return self._state.knobs.max_file_size

    def routes(self) -> list[web.RouteDef]:
        one = f"{PLUGIN}/bot/uploads/{{upload_id:{ID}}}"
        return [
            web.post(f"{PLUGIN}/bot/uploads", self.create, name="upload_create"),
            web.post(one, self.data, name="upload_data"),
            web.get(one, self.get, name="upload_get", allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Open a session; the total size is not checked against MaxFileSize here."""
        require_bot(request, self._state)
        try:
            body = await read_json(request)
        except BodyError as problem:
            return plugin_reply(400, f"failed to decode request body: {problem}")
        fields = body if isinstance(body, dict) else {}
        channel_id, filename, size = (fields.get(key) for key in ("channel_id", "filename", "file_size"))
        if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
            return plugin_reply(400, "Invalid value for FileSize")
        if not isinstance(filename, str) or not filename:
            return plugin_reply(400, "Invalid value for Filename")
        if channel_id not in self._state.calls:
            return plugin_reply(400, "Unable to find the existing channel.")
        upload_id = new_id()
        path = self._state.data_dir / "uploads" / upload_id
        session = UploadSession(upload_id, str(channel_id), filename, size, path)
        if self._state.knobs.own_file_ids:  # the plugin clears other fields, not this one (contract 2.3)
            session.req_file_id = str(fields.get("req_file_id") or "")
        path.touch()
        self._state.sessions[upload_id] = session
        self._state.changed()
        return web.json_response(self._wire(session))

    async def get(self, request: web.Request) -> web.Response:
        """Reply with a session and its offset; 404 once its file is complete."""
        self._require(request)
        session = self._find(request)
        if session is None:
            return self._refused(404, "Unable to find upload session.", "app.upload.get.app_error")
        fault = request.get(FAULT)
        offset = session.file_offset
        if fault is not None and fault.kind == "stale_offset":
            offset = session.previous_offset
        elif fault is not None and fault.kind == "lie_offset":
            offset = fault.at_byte
        elif time.monotonic() - session.moved_at_s < self._state.knobs.offset_lag_s:
            offset = session.previous_offset
        return web.json_response({**self._wire(session), "file_offset": offset})

    async def data(self, request: web.Request) -> web.Response:
        """Append a part at the stored offset: 200 FileInfo when complete, 204 for more, 400 when refused."""
        self._require(request)
        session = self._find(request)
        if session is None:
            return self._refused(404, "Unable to find upload session.", "app.upload.get.app_error")
        if (refusal := self._may_send(request, session)) is not None:
            return refusal
        fault = request.get(FAULT)
        if session.busy or (fault is not None and fault.kind == "busy"):
            return self._refused(
                400,
                "UploadData: Unable to upload data from more than one request.",
                "app.upload.upload_data.concurrent.app_error",
            )
        if fault is not None and fault.kind == "no_progress":
            async for _ in _chunks(request, 0):
                pass
            return web.Response(status=204)
        connection = connection_of(request)
        session.busy = True
        session.parts += 1
        self._state.changed()
        try:
            before = session.file_offset
            with connection.reading(request.content):
                longer = await self._take(request, session, fault)
            written = session.file_offset - before
            session.previous_offset, session.moved_at_s = before, time.monotonic()
            if fault is not None and fault.kind in {"cut_at", "stand_at"}:
                await self._stand(fault)
                reset(request)
            rule = self._state.knobs.five_mib_rule
            if rule and before == 0 and written < FIRST_PART_BYTES and written != session.file_size:
                self._empty(session)
                reply = self._refused(
                    400,
                    f"UploadData: Failed to upload data. First part must be at least {FIRST_PART_BYTES} Bytes.",
                    "app.upload.upload_data.first_part_too_small.app_error",
                )
            elif session.file_offset < session.file_size:
                reply = web.Response(status=204)
            elif why := self._state.knobs.scanner:
                reply = self._refused(
                    400,
                    f"runPluginsHook: File rejected by plugin. Rejected Filename: {session.filename} Reason: {why}",
                    "app.upload.run_plugins_hook.rejected",
                )
            else:
                reply = web.json_response(self._complete(session))
        finally:
            session.busy = False
            self._state.changed()
        if longer or connection.ended:
            # Answered while the client still sends; then linger and close: `lingering_time` in server.py.
            reply.force_close()
        return reply

    async def _take(self, request: web.Request, session: UploadSession, fault: Fault | None) -> bool:
        """Store the body up to the cap, to what is missing, or to the fault's cut; say whether it went on.

        A client that vanishes looks like the end of its part: what was read so far stays. A FIN lets all be read that
        was sent, a RST throws away what was not read yet (contract 2.5).
        """
        room = min(self._cap(), session.file_size - session.file_offset)
        cut = fault.at_byte if fault is not None and fault.kind in {"cut_at", "ends_at", "stand_at"} else room
        room = min(room, cut)
        rate = fault.bytes_per_s if fault is not None else 0
        try:
            async for chunk in _chunks(request, rate):
                part = chunk[:room]
                with session.path.open("ab") as file:
                    file.write(part)
                room -= len(part)
                session.file_offset += len(part)
                session.bytes_received += len(part)
                self._state.changed()
                if len(part) < len(chunk):
                    return True
                if room == 0:
                    return await _more_is_coming(request)
        except (ConnectionError, web.RequestPayloadError):
            return False
        return False

    async def _stand(self, fault: Fault) -> None:
        """Where it is `stand_at`, read no more until the faults are others, or the server closes."""
        state = self._state
        while (
            fault.kind == "stand_at" and any(one is fault for one in state.knobs.faults) and not state.closing.is_set()
        ):
            await state.next_change()

    def _require(self, request: web.Request) -> None:
        require_bot(request, self._state)

    def _find(self, request: web.Request) -> UploadSession | None:
        session = self._state.sessions.get(request.match_info["upload_id"])
        return None if session is None or session.done else session

    def _empty(self, session: UploadSession) -> None:
        session.path.write_bytes(b"")
        session.file_offset = session.previous_offset = 0

    def _complete(self, session: UploadSession) -> dict[str, Any]:
        file_id = session.req_file_id or new_id()
        path = session.path.rename(self._state.data_dir / "files" / file_id)
        mime_type = mimetypes.guess_type(session.filename)[0] or "application/octet-stream"
        stored = StoredFile(file_id, session.filename, session.file_size, session.channel_id, mime_type, path)
        stored.user_id = session.user_id
        self._state.files[file_id] = stored
        session.done = True
        session.file_id = file_id
        return file_info(stored, self._state)

    def _wire(self, session: UploadSession) -> dict[str, Any]:
        return {
            "id": session.id,
            "type": "attachment",
            "create_at": session.create_at,
            "user_id": session.user_id or self._state.bot_id,
            "channel_id": session.channel_id,
            "filename": session.filename,
            "file_size": session.file_size,
            "file_offset": session.file_offset,
            "remote_id": "",
            "req_file_id": session.req_file_id,
        }


def file_info(stored: StoredFile, state: State) -> dict[str, Any]:
    """Return a file's description as Mattermost gives it; sizes in bytes, stamps in milliseconds."""
    return {
        "id": stored.id,
        "user_id": stored.user_id or state.bot_id,
        "channel_id": stored.channel_id,
        **({"post_id": stored.post_id} if stored.post_id else {}),
        "create_at": stored.create_at,
        "update_at": stored.create_at,
        "delete_at": 0,
        "name": stored.name,
        "extension": stored.name.rpartition(".")[2],
        "size": stored.size,
        "mime_type": stored.mime_type,
        "has_preview_image": False,
    }


async def _chunks(request: web.Request, bytes_per_s: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes, or at `bytes_per_s` if that is not 0."""
    while True:
        if bytes_per_s:
            chunk = await request.content.read(max(1, bytes_per_s // SLOW_READS_PER_S))
            await asyncio.sleep(len(chunk) / bytes_per_s)
        else:
            chunk = await request.content.readany()
        if not chunk:
            return
        yield chunk


async def _more_is_coming(request: web.Request) -> bool:
    """Say whether the body goes on after all bytes that were wanted."""
    if request.content.at_eof():
        return False
    if request.content_length is not None:
        return True  # a declared length beyond what was read
    try:
        async with asyncio.timeout(EARLY_REPLY_LINGER_S):
            return bool(await request.content.readany())
    except (TimeoutError, ConnectionError):
        return True
