"""Posts and channels as Mattermost's own API has them: what a bot with an ordinary token reads and writes."""

from __future__ import annotations

import time
from typing import Any

import attrs
from aiohttp import web

from recorder_fsm.standin.access import (
    NO_PERMISSION,
    BodyError,
    core_error,
    core_reply,
    read_json,
    require_core_session,
    user_id_of,
)
from recorder_fsm.standin.botapi import ID, publish
from recorder_fsm.standin.state import Call, Post, State, ThreadPost, new_id, now_ms

PENDING_KNOWN_S = 30.0
"""So long Mattermost knows a post by the `pending_post_id` that its client gave it (`app/post.go`)."""
MESSAGE_CHARS = 16383
ARCHIVED = ("Can not post to deleted channel.", "api.post.create_post.can_not_post_to_deleted.error")
NO_THREAD = ("Invalid RootId parameter.", "api.post.create_post.root_id.app_error")


class PostsApi:
    """Serve posts and their threads, a channel with its posts, and who one is."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pending: dict[str, tuple[float, ThreadPost]] = {}

    def routes(self) -> list[web.RouteDef]:
        channel = f"/api/v4/channels/{{channel_id:{ID}}}"
        return [
            web.get(f"/api/v4/posts/{{post_id:{ID}}}", self.post, name="post"),
            web.get(f"/api/v4/posts/{{post_id:{ID}}}/thread", self.thread, name="thread"),
            web.post("/api/v4/posts", self.create, name="create_post"),
            web.get("/api/v4/users/me", self.me, name="me"),
            web.get(channel, self.channel, name="core_channel"),
            web.get(f"{channel}/members/me", self.member, name="member"),
            web.get(f"{channel}/posts", self.posts, name="channel_posts"),
        ]

    async def post(self, request: web.Request) -> web.Response:
        """Reply with a call's post and its `recordings` prop, or with any other post."""
        require_core_session(request, self._state)
        post_id = request.match_info["post_id"]
        found = next((one for one in self._all() if one["id"] == post_id), None)
        if found is None or self._gone(post_id):
            raise core_error(404, "app.post.get.app_error", "Unable to get the post.")
        return web.json_response(found)

    async def thread(self, request: web.Request) -> web.Response:
        """Reply with a call's post and all posts below it, as Mattermost lists a thread."""
        require_core_session(request, self._state)
        root = request.match_info["post_id"]
        if self._state.call_of_post(root) is None or self._gone(root):
            raise core_error(404, "app.post.get.app_error", "Unable to get the post.")
        return _listed([one for one in self._all() if root in (one["id"], one["root_id"])])

    async def posts(self, request: web.Request) -> web.Response:
        """Reply with a page of a channel's posts, newest first."""
        require_core_session(request, self._state)
        if "read_channel" in self._state.knobs.forbidden:
            return core_reply(403, *NO_PERMISSION)
        page, count = (int(request.query.get(key, default)) for key, default in (("page", "0"), ("per_page", "60")))
        channel = request.match_info["channel_id"]
        newest_first = [one for one in reversed(self._all()) if one["channel_id"] == channel]
        return _listed(newest_first[page * count : (page + 1) * count])

    async def create(self, request: web.Request) -> web.Response:
        """Take a post: 201 with it. A file that is not the user's own, or has a post, is left out without a word."""
        user_id = user_id_of(require_core_session(request, self._state), self._state)
        try:
            body = await read_json(request)
        except BodyError:
            body = None
        body, is_post = (body, True) if isinstance(body, dict) else ({}, False)
        channel, root, message = (str(body.get(key) or "") for key in ("channel_id", "root_id", "message"))
        file_ids = [str(one) for one in body.get("file_ids") or []]
        call, forbidden = self._state.calls.get(channel), self._state.knobs.forbidden
        elsewhere = call is not None and root not in ("", call.post_id)
        says_nothing = not (message or file_ids) or len(message) > MESSAGE_CHARS
        for holds, status, words, error_id in (
            (not is_post, 400, "Invalid or missing post in request body.", "api.context.invalid_body_param.app_error"),
            (call is None or "create_post" in forbidden, 403, *NO_PERMISSION),
            (file_ids and "upload_file" in forbidden, 403, *NO_PERMISSION),
            (self._state.knobs.archived, 400, *ARCHIVED),
            (elsewhere or (root and self._gone(root)), 400, *NO_THREAD),
            (says_nothing, 400, "Invalid message.", "model.post.is_valid.msg.app_error"),
        ):
            if holds:
                return core_reply(status, words, error_id)
        pending = str(body.get("pending_post_id") or "")
        at, known = self._pending.get(pending, (0.0, None))
        if pending and known is not None and time.monotonic() - at < PENDING_KNOWN_S:
            return web.json_response(attrs.asdict(known), status=201)
        post = ThreadPost(new_id(), channel, root, message, user_id=user_id, props=dict(body.get("props") or {}))
        post.file_ids = [one for one in file_ids if self._attach(one, post)]
        self._pending[pending] = (time.monotonic(), post)
        self._state.thread_posts.append(post)
        self._state.changed()
        return web.json_response(attrs.asdict(post), status=201)

    async def me(self, request: web.Request) -> web.Response:
        """Reply with the user of the token."""
        user = require_core_session(request, self._state)
        roles = "system_guest" if self._state.knobs.guest else "system_user"
        name = {"bot": "calls", "poster": "poster-of-the-stand-in"}.get(user, "person")
        return web.json_response(
            {"id": user_id_of(user, self._state), "username": name, "roles": roles, "is_bot": user != "person"}
        )

    async def channel(self, request: web.Request) -> web.Response:
        """Reply with a channel; 403 for one that the user may not read, 404 for none."""
        require_core_session(request, self._state)
        call = self._state.calls.get(request.match_info["channel_id"])
        if call is None:
            raise core_error(404, "app.channel.get.existing.app_error", "Unable to find the existing channel.")
        if "read_channel" in self._state.knobs.forbidden:
            return core_reply(403, *NO_PERMISSION)
        gone = now_ms() if self._state.knobs.archived else 0
        return web.json_response(
            {"id": call.id, "display_name": call.name, "name": "standin", "type": "O", "delete_at": gone}
        )

    async def member(self, request: web.Request) -> web.Response:
        """Reply with the user's membership of a channel; 404 where there is none."""
        user = require_core_session(request, self._state)
        channel = request.match_info["channel_id"]
        if channel not in self._state.calls or "member" in self._state.knobs.forbidden:
            raise core_error(404, "app.channel.get_member.missing.app_error", "No channel member found.")
        return web.json_response({"channel_id": channel, "user_id": user_id_of(user, self._state)})

    def _attach(self, file_id: str, post: ThreadPost) -> bool:
        stored = self._state.files.get(file_id)
        if stored is None or stored.post_id or stored.user_id != post.user_id or stored.channel_id != post.channel_id:
            return False
        stored.post_id = post.id
        publish(stored, self._state.data_dir / "published")
        return True

    def _gone(self, post_id: str) -> bool:
        return self._state.knobs.thread_deleted and self._state.call_of_post(post_id) is not None

    def _all(self) -> list[dict[str, Any]]:
        """Return all posts, in the order of threads; those of Mattermost's own API are in the order of their making."""
        return [
            *(call_post(call, self._state) for call in self._state.calls.values()),
            *(recording_post(post, self._state) for post in self._state.posts),
            *(attrs.asdict(post) for post in self._state.thread_posts),
        ]


def _listed(posts: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"order": [post["id"] for post in posts], "posts": {post["id"]: post for post in posts}})


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
