"""Delivery by Mattermost's own API: a file and its post in a channel or a thread, with an ordinary token.

Owns the order of requests and what a refusal means; how a file travels is `upload`, as with the plugin. A post is made
once: a file knows the post that it is in, so it is asked before a request is repeated, and every request carries an id
by which the server itself knows a repetition for half a minute (`pending_post_id`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar, Unpack

import attrs
from loguru import logger

from recorder_fsm.errors import UNREACHABLE, AccessRefused, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.answers import table
from recorder_fsm.mattermost.channel_routes import ChannelRoutes
from recorder_fsm.mattermost.channel_user import ChannelUser, Delivery
from recorder_fsm.mattermost.refused import Doing, explained
from recorder_fsm.mattermost.retry import PartSizes, RetryPolicy, RetryTiming, reason, retry
from recorder_fsm.system.clock import running_timeout

TOO_LARGE = "file_too_large"
"""The code of the error for a file above the server's MaxFileSize."""
WITHOUT_FILE = "post_without_file"
"""The code of the error for a post to which the server did not add the file."""

T = TypeVar("T")


@attrs.frozen
class Posted:
    """A post of a recording that was found: which part of it, and its file."""

    part: str
    post_id: str
    file_id: str


class ChannelBot(ChannelUser[ChannelRoutes]):
    """An ordinary user of Mattermost in one channel. Ready at once, asks nothing by itself.

    All methods must be called in one event loop. They raise `MattermostError` or one of its kinds, with what to do
    about it in the detail, unless they say otherwise.
    """

    def __init__(
        self,
        *,
        site_url: str,
        token: str,
        channel_id: str,
        root_id: str,
        recording_id: str,
        ca_file: Path | None = None,
        timing: RetryTiming | None = None,
        sizes: PartSizes | None = None,
    ) -> None:
        timing = timing or RetryTiming()
        routes = ChannelRoutes(site_url, token, channel_id, ca_file, timing)
        super().__init__(routes, root_id=root_id, recording_id=recording_id, timing=timing, sizes=sizes)

    async def check(self, limit_s: float) -> None:
        """Look whether a recording could be posted, before there is one; raises what is certain to be in the way.

        A server that cannot be reached now says nothing about the time at which the recording is over.
        """
        try:
            async with running_timeout(limit_s):
                await self._explaining(Doing.LOOK, self._check())
        except TimeoutError:
            logger.warning("whether the recording can be posted is not known yet: no answer within {:g} s", limit_s)
        except ServerUnavailable as error:
            logger.warning("whether the recording can be posted is not known yet: {}", reason(error))

    async def _check(self) -> None:
        me = await self._routes.me()
        settings = await self._routes.settings()
        channel = await self._routes.channel()
        if settings.get("EnableFileAttachments") == "false":
            raise RequestRejected(status=501, words="api.file.attachments.disabled", detail="EnableFileAttachments")
        if channel.get("delete_at"):
            raise RequestRejected(status=400, words="cannot_upload_to_deleted_channel", detail="delete_at is set")
        if "system_admin" not in str(me.get("roles") or "").split():  # who needs no membership
            try:
                await self._routes.membership()
            except RequestRejected as error:
                raise AccessRefused(detail=error.detail, status=403, words=error.words) from error
        if self._root_id:
            try:
                await self._routes.get(f"/posts/{self._root_id}")
            except (RequestRejected, AccessRefused) as error:
                words = "create_post.root_id"
                raise RequestRejected(detail=error.detail, status=error.status, words=words) from error

    async def upload(self, file: Path, name: str = "", **delivery: Unpack[Delivery]) -> str:
        """Deliver `file`; see `ChannelUser`. A file above MaxFileSize is refused."""
        return await self._explaining(Doing.UPLOAD, super().upload(file, name, **delivery))

    async def post(
        self, file_id: str, message: str, part: str, time_left: Callable[[], float], *, may_be_posted: bool
    ) -> str:
        """Post a file; returns the post's id. `part` says which part of the recording it is, for `found`.

        `may_be_posted`: an earlier process may have posted it. Repeated while `time_left()` is above zero.
        """
        looks = 1 if may_be_posted else 0
        props = {"recording_id": self._recording_id, "recording_part": part}
        more = {"file_ids": [file_id], "props": props, "pending_post_id": f"{self._recording_id}:{part}:{file_id}"}

        async def attempt() -> str:
            nonlocal looks
            if looks and (post_id := await self._post_of(file_id, looks)):
                logger.info("file {} had been posted", file_id)
                return post_id
            looks = self._timing.post_looks  # a request whose reply is lost may still be worked on
            try:
                reply = await self._routes.post(self._root_id, message, **more)
            except MattermostError as error:
                if error.code == UNREACHABLE or error.status == 429:
                    looks = 1
                raise
            made = reply.fields()
            if not isinstance(made.get("id"), str):
                raise reply.foreign("no post")
            if file_id in (made.get("file_ids") or []):
                return str(made["id"])
            if post_id := await self._post_of(file_id, self._timing.post_looks):
                return post_id
            raise RequestRejected(
                "Mattermost posted a text without the recording's file; the file is kept.",
                detail=f"post {made['id']} came without file {file_id}: does the file belong to another user?",
                code=WITHOUT_FILE,
            )

        policy = RetryPolicy("post", self._timing, time_left, self._timing.longest_wait_s)
        return await self._explaining(Doing.POST, retry(attempt, policy))

    async def found(self, time_left: Callable[[], float]) -> list[Posted]:
        """Return the posts of this recording that an earlier process made, as far as they can be read."""
        policy = RetryPolicy("look for posts", self._timing, time_left, self._timing.longest_wait_s)
        try:
            posts = await retry(self._posts, policy)
        except (RequestRejected, AccessRefused) as error:
            logger.warning("posts of an earlier start cannot be looked for: {}", reason(error))
            return []
        found = []
        for post in posts.values():
            props = table(table(post).get("props"))
            files = table(post).get("file_ids")
            if props.get("recording_id") == self._recording_id and isinstance(files, list) and files:
                found.append(Posted(str(props.get("recording_part")), str(post.get("id")), str(files[0])))
        return found

    async def _post_of(self, file_id: str, looks: int) -> str:
        """Return the post that a file is in, "" for none; a request may still be worked on, and replicas lag."""
        for look in range(looks):
            if look:
                await self._timing.sleep(self._timing.post_settle_s)
            try:
                info = await self._routes.stored(file_id)
            except RequestRejected as error:
                logger.debug("no file {}: {}", file_id, reason(error))
                return ""
            if info.get("id") == file_id and (post_id := info.get("post_id")):
                return str(post_id)
        return ""

    async def _explaining(self, doing: Doing, work: Awaitable[T]) -> T:
        try:
            return await work
        except MattermostError as error:
            said = await explained(error, doing, self._routes)
            if said is error:
                raise
            raise said from error
