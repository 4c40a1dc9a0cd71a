"""Upload sessions by Mattermost's own API: as the plugin's, but for one user, and for files of at most MaxFileSize."""

from __future__ import annotations

import sys

from aiohttp import web

from recorder_fsm.standin.access import (
    NO_PERMISSION,
    BodyError,
    core_reply,
    read_json,
    require_core_session,
    user_id_of,
)
from recorder_fsm.standin.botapi import ID
from recorder_fsm.standin.state import UploadSession, new_id
from recorder_fsm.standin.uploads import Uploads

ATTACHMENTS_OFF = "File attachments have been disabled on this server."
TOO_LARGE = ("Unable to upload file. File is too large.", "api.upload.create.upload_too_large.app_error")
NO_NAME = ("Invalid value for Filename", "model.upload_session.is_valid.filename.app_error")
ARCHIVED = (
    "Cannot upload to a deleted channel.",
    "app.upload.create.cannot_upload_to_deleted_channel.app_error",
)


class CoreUploads(Uploads):
    """Serve Mattermost's own upload sessions: one file of at most MaxFileSize, for the user who opened the session."""

    def routes(self) -> list[web.RouteDef]:
        one = f"/api/v4/uploads/{{upload_id:{ID}}}"
        return [
            web.post("/api/v4/uploads", self.create, name="core_upload_create"),
            web.post(one, self.data, name="core_upload_data"),
            web.get(one, self.get, name="core_upload_get", allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Open a session (201); the file's id is left to the server, whatever was asked for."""
        user_id, knobs = user_id_of(require_core_session(request, self._state), self._state), self._state.knobs
        try:
            body = await read_json(request)
        except BodyError:
            body = None
        fields = body if isinstance(body, dict) else {}
        channel_id, filename, size = (fields.get(key) for key in ("channel_id", "filename", "file_size"))
        is_size = isinstance(size, int) and not isinstance(size, bool) and size > 0
        for holds, status, words, error_id in (
            (not knobs.attachments, 501, ATTACHMENTS_OFF, "api.file.attachments.disabled.app_error"),
            (body is None, 400, "Invalid or missing upload.", "api.context.invalid_body_param.app_error"),
            ("upload_file" in knobs.forbidden or channel_id not in self._state.calls, 403, *NO_PERMISSION),
            (is_size and int(size or 0) > knobs.max_file_size, 413, *TOO_LARGE),
            (not is_size, 400, "Invalid value for FileSize", "model.upload_session.is_valid.file_size.app_error"),
            (not isinstance(filename, str) or not filename, 400, *NO_NAME),
            (knobs.archived, 400, *ARCHIVED),
        ):
            if holds:
                return self._refused(status, words, error_id)
        upload_id = new_id()
        path = self._state.data_dir / "uploads" / upload_id
        path.touch()
        session = UploadSession(upload_id, str(channel_id), str(filename), int(size or 0), path, user_id=user_id)
        self._state.sessions[upload_id] = session
        self._state.changed()
        return web.json_response(self._wire(session), status=201)

    def _require(self, request: web.Request) -> None:
        require_core_session(request, self._state)

    def _refused(self, status: int, words: str, error_id: str = "") -> web.Response:
        return core_reply(status, words.removeprefix("UploadData: "), error_id)

    def _may_send(self, request: web.Request, session: UploadSession) -> web.Response | None:
        user_id = user_id_of(require_core_session(request, self._state), self._state)
        if not self._state.knobs.attachments:
            return self._refused(501, ATTACHMENTS_OFF, "api.file.attachments.disabled.app_error")
        if session.user_id != user_id or "upload_file" in self._state.knobs.forbidden:
            return self._refused(403, *NO_PERMISSION)
        if (request.content_length or 0) > session.file_size - session.file_offset:
            return self._refused(400, "Invalid Content-Length.", "api.upload.upload_data.invalid_content_length")
        return None

    def _cap(self) -> int:
        return sys.maxsize
