"""The parts of Mattermost's own API and of the plugin that the call page and a careful recorder ask."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from recorder_fsm.standin.access import (
    PLUGIN,
    BodyError,
    core_error,
    read_json,
    require_bot,
    require_core_session,
    require_session,
)
from recorder_fsm.standin.botapi import ID
from recorder_fsm.standin.scene import avatar, everyone
from recorder_fsm.standin.state import State, StoredFile
from recorder_fsm.standin.uploads import file_info

RATE_PER_S = 1.0
RATE_BURST = 10.0


class RateLimit:
    """Hold one bucket of `RATE_BURST` requests per user, filled by `RATE_PER_S` (contract 2.1)."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, user: str, now_s: float) -> bool:
        """Take one request out of the user's bucket at monotonic time `now_s`; False when it is empty."""
        left, at_s = self._buckets.get(user, (RATE_BURST, now_s))
        left = min(RATE_BURST, left + (now_s - at_s) * RATE_PER_S)
        self._buckets[user] = (max(left - 1, left if left < 1 else 0), now_s)
        return left >= 1

    def clear(self) -> None:
        self._buckets.clear()


class CoreApi:
    """Serve files, users, the client's configuration, and what a call page fetches before it joins."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.rate_limit = RateLimit()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v4/config/client", self.client_config, name="config"),
            web.get(f"/api/v4/files/{{file_id:{ID}}}", self.file, name="file"),
            web.get(f"/api/v4/files/{{file_id:{ID}}}/info", self.file_info, name="file_info"),
            web.post("/api/v4/users/ids", self.users, name="users"),
            web.get(f"{PLUGIN}/version", self.version, name="version"),
            web.get(f"{PLUGIN}/config", self.plugin_config, name="plugin_config"),
            web.get(f"{PLUGIN}/calls/{{call_id:{ID}}}/active", self.active, name="active"),
            web.get(f"{PLUGIN}/turn-credentials", self.turn, name="turn"),
            web.get(f"{PLUGIN}/bot/channels/{{call_id:{ID}}}", self.channel, name="channel"),
            web.get(f"{PLUGIN}/bot/users/{{user_id:{ID}}}/image", self.image, name="avatar"),
        ]

    async def client_config(self, request: web.Request) -> web.Response:
        """Reply with the client's configuration, all values text; a stranger is not told MaxFileSize."""
        if request.query.get("format") != "old":
            raise core_error(400, "api.config.client.old_format.app_error", "New format is not supported.")
        attachments = str(self._state.knobs.attachments).lower()
        config = {"Version": "10.0.0", "SiteName": "recorder-fsm stand-in", "EnableFileAttachments": attachments}
        try:
            require_core_session(request, self._state)
        except web.HTTPUnauthorized:
            return web.json_response(config)
        return web.json_response({**config, "MaxFileSize": str(self._state.knobs.max_file_size)})

    async def file(self, request: web.Request) -> web.FileResponse:
        """Reply with a file's bytes, or the range that is asked for."""
        require_core_session(request, self._state)
        stored = self._file(request)
        return web.FileResponse(stored.path, headers={"Content-Type": stored.mime_type})

    async def file_info(self, request: web.Request) -> web.Response:
        """Reply with a file's name, size and type."""
        require_core_session(request, self._state)
        return web.json_response(file_info(self._file(request), self._state))

    async def users(self, request: web.Request) -> web.Response:
        """Reply with the users of a list of ids; unknown ones are left out."""
        require_core_session(request, self._state)
        try:
            wanted = await read_json(request)
        except BodyError:
            wanted = None
        if not isinstance(wanted, list):
            raise core_error(400, "api.context.invalid_body_param.app_error", "Invalid or missing user_ids.")
        people = everyone(self._state)
        return web.json_response([user_of(people[one]) for one in wanted if one in people])

    async def version(self, request: web.Request) -> web.Response:
        """Reply with the plugin's version."""
        self._limited(request)
        return web.json_response({"version": "1.11.4", "build": "standin"})

    async def plugin_config(self, request: web.Request) -> web.Response:
        """Reply with the plugin's configuration for its client."""
        self._limited(request)
        body = {
            "ICEServersConfigs": [],
            "NeedsTURNCredentials": False,
            "EnableRecordings": True,
            "sku_short_name": "",
        }
        return web.json_response(body)

    async def active(self, request: web.Request) -> web.Response:
        """Say whether a channel has a call."""
        self._limited(request)
        call = self._state.calls.get(request.match_info["call_id"])
        return web.json_response({"active": call is not None and not call.end_at})

    async def turn(self, request: web.Request) -> web.Response:
        """Reply with no TURN servers."""
        self._limited(request)
        return web.json_response([])

    async def channel(self, request: web.Request) -> web.Response:
        """Reply with a channel; 404 makes the page's prefetch fail."""
        require_bot(request, self._state)
        call = self._state.calls.get(request.match_info["call_id"])
        if call is None:
            raise web.HTTPNotFound(text="Not found")
        body = {
            "id": call.id,
            "display_name": call.name,
            "name": "standin",
            "type": "O",
            "create_at": call.create_at,
        }
        return web.json_response(body)

    async def image(self, request: web.Request) -> web.Response:
        """Reply with a picture of a user, drawn from the name."""
        require_bot(request, self._state)
        user_id = request.match_info["user_id"]
        name = str(everyone(self._state).get(user_id, {}).get("name", user_id))
        return web.Response(text=avatar(user_id, name), content_type="image/svg+xml")

    def _limited(self, request: web.Request) -> None:
        user = require_session(request, self._state)
        if self._state.knobs.rate_limit and not self.rate_limit.allows(user, time.monotonic()):
            raise web.HTTPTooManyRequests(text="Too Many Requests")

    def _file(self, request: web.Request) -> StoredFile:
        stored = self._state.files.get(request.match_info["file_id"])
        if stored is None:
            raise core_error(404, "app.file_info.get.app_error", "Unable to get the file info.")
        return stored


def user_of(person: dict[str, Any]) -> dict[str, Any]:
    """Return a participant as Mattermost describes a user."""
    return {
        "id": person["id"],
        "username": person["id"][:12],
        "nickname": person["name"],
        "first_name": "",
        "last_name": "",
    }
