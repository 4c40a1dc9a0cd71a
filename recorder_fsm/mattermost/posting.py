"""The post that shows a recording: having the plugin make it, once (contract 2.2, row 7).

The plugin makes one more post at every request, and may fail after it has made one. So a request is repeated only when
there is no post: the thread is looked at for one that names the recording. Where the thread may not be read, the call's
post and the file itself, which knows its post, bear witness.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import PLUGIN_OFF, UNREACHABLE, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.answers import Means, Route, meaning, table
from recorder_fsm.mattermost.retry import RetryPolicy, RetryTiming, reason, retry
from recorder_fsm.mattermost.routes import PluginRoutes

PATIENT_LOOKS = 6
"""A witness that fails so often, while others can be heard, is passed over."""


@attrs.frozen
class Evidence:
    """Whether a post shows the recording, None where nothing may be read that tells; and the file in that post."""

    shown: bool | None
    file_id: str = ""


class Posting:
    """The post of one recording."""

    def __init__(
        self, routes: PluginRoutes, *, call_id: str, post_id: str, recording_id: str, timing: RetryTiming
    ) -> None:
        self._routes = routes
        self._call_id = call_id
        self._post_id = post_id
        self._recording_id = recording_id
        self._timing = timing
        self._failed_looks = 0

    async def look(self, file_id: str | None, time_left: Callable[[], float]) -> Evidence:
        """Tell whether an earlier process had the recording posted; trouble on the way is outwaited.

        One that had uploaded `file_id` may have asked for the post just before it ended.
        """
        looks = 1 if file_id is None else self._timing.post_looks
        policy = RetryPolicy("look for the post", self._timing, time_left, self._timing.longest_wait_s)
        return await retry(lambda: self._look(file_id, looks), policy)

    async def save(self, file_id: str, time_left: Callable[[], float], *, may_be_posted: bool) -> None:
        """Have the file posted. `may_be_posted`: an earlier request may have done so, and nothing tells.

        Where nothing tells, one request is repeated after its reply was lost, and no second one: people would rather
        have a recording twice than not at all, but not ten times.
        """
        looks, in_doubt, repeated_blindly = 0, False, may_be_posted

        async def attempt() -> None:
            nonlocal looks, in_doubt, repeated_blindly
            if looks:
                evidence = await self._look(file_id, looks)
                if evidence.shown:
                    logger.info("the recording is posted, though its request failed")
                    return
                if evidence.shown is None and in_doubt:
                    if repeated_blindly:
                        raise RequestRejected(
                            "Nothing tells whether the recording was posted; the file is kept.",
                            detail="replies to the save were lost, and neither the thread nor the file may be read",
                            code="post_unknown",
                        )
                    repeated_blindly = True
            looks, in_doubt = self._timing.post_looks, True
            try:
                await self._ask(file_id)
            except MattermostError as error:
                if made_no_post(error):
                    looks, in_doubt = 1, False
                raise

        await retry(attempt, RetryPolicy("save", self._timing, time_left, self._timing.longest_wait_s))

    async def _ask(self, file_id: str) -> None:
        reply = await self._routes.plugin(
            "post",
            f"/bot/calls/{self._call_id}/recordings",
            {"PostID": self._post_id, "FileIDs": [file_id], "JobID": self._recording_id},
            read_s=self._timing.save_read_s,  # the plugin may wait 10 s for its lock
        )
        reply.confirm()

    async def _look(self, file_id: str | None, looks: int) -> Evidence:
        """Look up to `looks` times: a request whose reply was lost may still be worked on, and replicas lag."""
        evidence = Evidence(None)
        for look in range(looks):
            if look:
                await self._timing.sleep(self._timing.post_settle_s)
            evidence = await self._evidence(file_id)
            if evidence.shown is not False:
                break
        return evidence

    async def _evidence(self, file_id: str | None) -> Evidence:
        trouble: ServerUnavailable | None = None
        found, heard = Evidence(None), False
        witnesses: list[Callable[[], Awaitable[Evidence]]] = [self._thread, self._call_post]
        if file_id is not None:
            witnesses.append(lambda: self._file(file_id))
        for witness in witnesses:
            try:
                evidence = await witness()
            except ServerUnavailable as error:
                trouble = error
            except MattermostError as error:
                logger.debug("not to be read: {}", reason(error))
                heard = True
            else:
                heard = True
                if evidence.shown or (evidence.shown is False and trouble is None):
                    return evidence
                found = evidence if evidence.shown is not None else found
        if trouble is not None and (not heard or self._failed_looks < PATIENT_LOOKS):
            self._failed_looks += heard
            raise trouble
        return found

    async def _thread(self) -> Evidence:
        """Look for a post of the recording in the thread; the call's own post is there too."""
        posts = table((await self._routes.thread(self._post_id)).get("posts"))
        for post in posts.values():
            if table(table(post).get("props")).get("recording_id") == self._recording_id:
                return Evidence(True, _first(table(post).get("file_ids")))
        if posts and (shown := self._shown_by(table(posts.get(self._post_id)))):
            return shown
        return Evidence(False) if posts else Evidence(None)

    async def _call_post(self) -> Evidence:
        """Look at the call's post: it names what the plugin has posted, which can fail, and so never says no."""
        post = await self._routes.call(
            self._routes.driver.posts.get_post, self._post_id, limit_s=self._timing.call_limit_s
        )
        return self._shown_by(table(post)) or Evidence(None)

    async def _file(self, file_id: str) -> Evidence:
        """Look at the file: it names its post, and whoever uploaded it may read it."""
        info = await self._routes.stored(file_id)
        if info.get("id") != file_id:
            return Evidence(None)
        return Evidence(bool(info.get("post_id")), file_id)

    def _shown_by(self, call_post: dict[str, Any]) -> Evidence | None:
        entry = table(table(table(call_post.get("props")).get("recordings")).get(self._recording_id))
        if entry.get("file_id") or entry.get("post_id"):
            return Evidence(True, str(entry.get("file_id") or ""))
        return None


def made_no_post(error: MattermostError) -> bool:
    """Tell whether a request that failed cannot have made a post: it did not reach the plugin, or that says so."""
    return (
        error.code in (UNREACHABLE, PLUGIN_OFF) or error.status == 429 or meaning(Route.SAVE, error) is Means.NOT_POSTED
    )


def _first(value: Any) -> str:
    return str(value[0]) if isinstance(value, list) and value else ""
