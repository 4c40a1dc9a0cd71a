"""The parts of Mattermost's own API and of the plugin that the call page and a careful recorder ask."""

from __future__ import annotations

import time
from typing import Any

import attrs
from aiohttp import web

from recorder_fsm.standin.access import (
    PLUGIN,
    BodyError,
    core_error,
    identify,
    read_json,
    require_bot,
    require_core_session,
    require_session,
)
from recorder_fsm.standin.botapi import ID
from recorder_fsm.standin.scene import PEOPLE, avatar, everyone
from recorder_fsm.standin.state import Call, Post, State, StoredFile, ThreadPost, new_id
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
    """Serve posts, files, users, the client's configuration, and what a call page fetches before it joins."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.rate_limit = RateLimit()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v4/config/client", self.client_config, name="config"),
            web.get(f"/api/v4/posts/{{post_id:{ID}}}", self.post, name="post"),
            web.get(f"/api/v4/posts/{{post_id:{ID}}}/thread", self.thread, name="thread"),
            web.post("/api/v4/posts", self.create_post, name="create_post"),
            web.get(f"/api/v4/files/{{file_id:{ID}}}", self.file, name="file"),
            web.get(f"/api/v4/files/{{file_id:{ID}}}/info", self.file_info, name="file_info"),
            web.post("/api/v4/users/ids", self.users, name="users"),
            web.get("/api/v4/users/me", self.me, name="me"),
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
        config = {"Version": "10.0.0", "SiteName": "recorder-fsm stand-in", "EnableFileAttachments": "true"}
        try:
            require_core_session(request, self._state)
        except web.HTTPUnauthorized:
            return web.json_response(config)
        return web.json_response({**config, "MaxFileSize": str(self._state.knobs.max_file_size)})

    async def post(self, request: web.Request) -> web.Response:
        """Reply with a call's post and its `recordings` prop, or with a post of the save route."""
        require_core_session(request, self._state)
        post_id = request.match_info["post_id"]
        call = self._state.call_of_post(post_id)
        if call is not None:
            return web.json_response(call_post(call, self._state))
        made = next((post for post in self._state.posts if post.id == post_id), None)
        if made is None:
            raise core_error(404, "app.post.get.app_error", "Unable to get the post.")
        return web.json_response(recording_post(made, self._state))

    async def thread(self, request: web.Request) -> web.Response:
        """Reply with a call's post and all posts below it, as Mattermost lists a thread."""
        require_core_session(request, self._state)
        call = self._state.call_of_post(request.match_info["post_id"])
        if call is None:
            raise core_error(404, "app.post.get.app_error", "Unable to get the post.")
        posts = [
            call_post(call, self._state),
            *(recording_post(post, self._state) for post in self._state.posts if post.call_id == call.id),
            *(attrs.asdict(post) for post in self._state.thread_posts if post.root_id == call.post_id),
        ]
        body = {"order": [post["id"] for post in posts], "posts": {post["id"]: post for post in posts}}
        return web.json_response(body)

    async def create_post(self, request: web.Request) -> web.Response:
        """Take a text for a call's thread; 201 with the post, 400 for one that says nothing or goes nowhere."""
        require_core_session(request, self._state)
        try:
            body = await read_json(request)
        except BodyError:
            body = None
        channel, root, message = (
            (str(body.get(key, "")) for key in ("channel_id", "root_id", "message"))
            if isinstance(body, dict)
            else ("", "", "")
        )
        call = self._state.calls.get(channel)
        if call is None or not message or root not in ("", call.post_id):
            raise core_error(400, "api.context.invalid_body_param.app_error", "Invalid or missing post.")
        props = body.get("props") if isinstance(body, dict) else None
        post = ThreadPost(new_id(), channel, root, message, props=props if isinstance(props, dict) else {})
        self._state.thread_posts.append(post)
        self._state.changed()
        return web.json_response(attrs.asdict(post), status=201)

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

    async def me(self, request: web.Request) -> web.Response:
        """Reply with the account whose session it is."""
        require_core_session(request, self._state)
        bot = identify(request, self._state).user == "bot"
        user_id = self._state.bot_id if bot else PEOPLE[0]["id"]
        return web.json_response({"id": user_id, "username": "calls" if bot else "person", "is_bot": bot})

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


def call_post(call: Call, state: State) -> dict[str, Any]:
    """Return the post that opened a call, with what was recorded (contract 2.2, 6 item 8)."""
    props = {
        "title": call.name,
        "start_at": call.create_at,
        "end_at": call.end_at,
        "recordings": call.recordings,
    }
    return {
        "id": call.post_id,
        "create_at": call.create_at,
        "user_id": state.bot_id,
        "channel_id": call.id,
        "root_id": "",
        "message": "Call started",
        "type": "custom_calls",
        "props": props,
        "file_ids": [],
    }


def recording_post(post: Post, state: State) -> dict[str, Any]:
    """Return the post that carries a recording."""
    return {
        "id": post.id,
        "create_at": post.create_at,
        "user_id": state.bot_id,
        "channel_id": post.call_id,
        "root_id": post.call_post_id,
        "message": "Here's the call recording",
        "type": "custom_calls_recording",
        "props": {"recording_id": post.recording_id, "call_post_id": post.call_post_id},
        "file_ids": [post.file_id],
    }
