"""The Calls plugin's bot API: the file's name, the job's status, the upload, the post.

Owns every request to Mattermost but those of the browser (contract 2), and knows which answers mean what.
It uses mattermostdriver with a client class of its own (`client`); how a file travels in parts is `upload`, how its
post is made once `posting`. When to report what, and what a failure means for the job, is left to the steps.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar

from loguru import logger

from recorder_fsm.errors import PLUGIN_OFF, JobOver, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.answers import Means, Route, meaning
from recorder_fsm.mattermost.file_names import safe_stem
from recorder_fsm.mattermost.notice import FAILURE, FAILURE_TEXT_LIMIT, Notice, notice_after
from recorder_fsm.mattermost.people_names import names_of
from recorder_fsm.mattermost.posting import Evidence, Posting
from recorder_fsm.mattermost.retry import PartSizes, RetryPolicy, RetryTiming, reason, retry
from recorder_fsm.mattermost.routes import PluginRoutes
from recorder_fsm.mattermost.upload import Upload
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.plain_text import plain
from recorder_fsm.system.clock import Stopwatch, running_timeout

ERROR_TEXT_LIMIT = 200

T = TypeVar("T")


class CallsBot:
    """The plugin's bot for one job. Ready at once, asks nothing by itself; `close()` ends its connections.

    All methods must be called in one event loop. Blocking requests run in daemon threads, so a cancelled
    call returns at once and its thread is left behind. All raise `MattermostError` or one of its kinds
    unless they say otherwise; sentences are for people in the call, details for the log, and neither shows
    the token.
    """

    def __init__(
        self,
        *,
        site_url: str,
        token: str,
        call_id: str,
        post_id: str,
        recording_id: str,
        ca_file: Path | None = None,
        timing: RetryTiming | None = None,
        sizes: PartSizes | None = None,
    ) -> None:
        """Prepare a client; raises `MattermostError` if the address or the certificate file cannot be used.

        Of `site_url` only scheme, host and port are used. `ca_file` is trusted beside the system's
        authorities.
        """
        self._call_id = call_id
        self._post_id = post_id
        self._recording_id = recording_id
        self._timing = timing or RetryTiming()
        self._sizes = sizes or PartSizes()
        self._routes = PluginRoutes(site_url, token, call_id, ca_file, self._timing)
        self._posting = Posting(
            self._routes, call_id=call_id, post_id=post_id, recording_id=recording_id, timing=self._timing
        )

    def close(self) -> None:
        """Close all connections to the server."""
        self._routes.close()

    async def filename(self, limit_s: float) -> str:
        """Return the name for the recording, made safe, without an extension (contract 2.2, row 1).

        Trouble that may heal is retried for `limit_s` seconds.
        """
        name = await self._retry("file name", self._ask_filename, limit_s, self._timing.longest_start_wait_s)
        if not name:
            raise RequestRejected("Mattermost gave no name for the recording.", detail="filename is empty")
        stem = safe_stem(name) or self._recording_id  # a channel may be called `..`
        # Not the name itself: it is the channel's, and the log outlives the recording.
        logger.info("the recording has a name of {} characters", len(stem))
        return stem

    async def plugin_is_off(self) -> bool:
        """Tell whether the plugin's routes answer as those of a plugin that is off (contract 6.13). Never raises.

        Asks for the file name: the bot's routes have no rate limit (contract 2.1).
        """
        try:
            await self._routes.plugin("get", f"/bot/calls/{self._call_id}/filename")
        except MattermostError as error:
            return error.code == PLUGIN_OFF
        return False

    async def report_started(self, announce: Callable[[Notice], None]) -> None:
        """Report that the recording has started; the first try is immediate (contract 2.2, 4.3).

        Retried until there is an answer. `announce` is called before a try that may be the first to be heard, and with
        what all tries together say after one that failed. Raises `JobOver` if the job has ended, another
        `MattermostError` for an answer that will not change.
        """
        notice = Notice.NONE

        async def report() -> None:
            nonlocal notice
            if notice is Notice.NONE:
                announce(Notice.GIVEN)
            try:
                await self._report("started", "")
            except asyncio.CancelledError:
                announce(Notice.GIVEN)  # it has no answer
                raise
            except MattermostError as error:
                if meaning(Route.STATUS, error) is Means.ALREADY_STARTED:
                    logger.info("the plugin already knows that the recording has started")
                    announce(Notice.GIVEN)
                    return
                notice = max(notice, notice_after(error))
                announce(notice)
                raise
            announce(Notice.GIVEN)

        await retry(report, RetryPolicy("started", self._timing, lambda: math.inf, self._timing.longest_start_wait_s))
        logger.info("reported started")

    async def report_failed(self, text: str, limit_s: float) -> bool:
        """Report that the job failed, with a text for the host. Never raises.

        Returns whether the plugin heard it: it took it, or said that the job has ended. Retried for `limit_s` seconds.
        The text is cut to one line of 200 characters (contract 2.3).
        """
        line = plain(text, ERROR_TEXT_LIMIT)
        try:
            await self._retry(
                "failed", lambda: self._report("failed", line), limit_s, self._timing.longest_start_wait_s
            )
        except JobOver as error:
            logger.info("the job had already ended when it failed: {}", reason(error))
            return True
        except MattermostError as error:
            logger.warning("the failure could not be reported: {}", reason(error))
            return False
        logger.info("reported failed: {}", line)
        return True

    async def post_in_thread(self, text: str, limit_s: float) -> bool:
        """Post a line into the call's thread, for a recording that goes on. Never raises; tells whether it is there.

        Tried once: a reply that was lost would else mean a second post. A bot that may not post is no fault.
        """
        post = {"channel_id": self._call_id, "root_id": self._post_id, "message": plain(text, ERROR_TEXT_LIMIT)}
        try:
            await self._routes.call(self._routes.driver.posts.create_post, post, limit_s=limit_s)
        except MattermostError as error:
            logger.warning("the call's thread could not be told: {}", reason(error))
            return False
        return True

    async def post_failure(self, text: str, limit_s: float) -> bool:
        """Post into the call's thread what became of a failed recording, unless such a post is there. Never raises.

        The post has the job's id in `props.recording_failure`, by which it is known again. Tells whether it is there.
        """
        props = {FAILURE: self._recording_id}
        post = {
            "channel_id": self._call_id,
            "root_id": self._post_id,
            "message": plain(text, FAILURE_TEXT_LIMIT),
            "props": props,
        }
        try:
            async with running_timeout(limit_s):
                if await self._has_failure():
                    return True
                await self._routes.call(self._routes.driver.posts.create_post, post, limit_s=limit_s)
        except (MattermostError, TimeoutError) as error:
            words = reason(error) if isinstance(error, MattermostError) else f"no reply within {limit_s:g} s"
            logger.warning("the call's thread could not be told of the failure: {}", words)
            return False
        return True

    async def _has_failure(self) -> bool:
        try:
            posts = (await self._routes.thread(self._post_id)).get("posts")
        except MattermostError as error:  # one that may not be read may still be posted into
            logger.debug("the thread cannot be looked at: {}", reason(error))
            return False
        found = [one.get("props") for one in posts.values() if isinstance(one, dict)] if isinstance(posts, dict) else []
        return any(isinstance(props, dict) and props.get(FAILURE) == self._recording_id for props in found)

    async def max_file_size(self) -> int | None:
        """Return the server's MaxFileSize in bytes, None if it is not readable (contract 2.5). Never raises."""
        return await self._routes.max_file_size()

    async def upload(
        self,
        file: Path,
        *,
        begun: Begun | None,
        on_session: Callable[[Begun], None],
        time_left: Callable[[], float],
        on_progress: Callable[[int, int], None],
    ) -> str:
        """Deliver `file` in parts and return its id on the server (contract 2.4, 2.5).

        An upload that was `begun` for the very same bytes is continued. `on_session` gets what a later process
        needs for that. `on_progress` gets the bytes delivered and the total whenever the server has confirmed more,
        or more is on its way than ever before; the former may step back after a fault. `time_left()` is asked after
        a failure for the seconds that are left for trying; while bytes flow it is not.

        Raises `ServerUnavailable` when no time is left (`SettingInTheWay` if an administrator can help),
        `AccessRefused` and `RequestRejected` at once,
        `RecordingError` if the file cannot be read or the server stored another number of bytes. The file is
        never touched.
        """
        upload = Upload(
            self._routes,
            file,
            max_file_size=self.max_file_size,
            on_session=on_session,
            on_progress=on_progress,
            time_left=time_left,
            timing=self._timing,
            sizes=self._sizes,
        )
        return await upload.run(begun)

    async def save(self, file_id: str, time_left: Callable[[], float], *, may_be_posted: bool = False) -> None:
        """Have the plugin post the file into the call's thread (contract 2.2, row 7).

        The plugin posts once more at every request, so before each repetition the thread is looked at. Repeated as
        long as `time_left()` returns seconds above zero. `may_be_posted`: an earlier process may have done it, and
        `posted` could not tell.
        """
        await self._posting.save(file_id, time_left, may_be_posted=may_be_posted)
        logger.info("file {} is posted", file_id)

    async def posted(self, file_id: str | None, time_left: Callable[[], float]) -> Evidence:
        """Tell whether an earlier process had the recording posted, as file `file_id` if that is known."""
        return await self._posting.look(file_id, time_left)

    async def published_size(self, file_id: str) -> int | None:
        """Return the size in bytes of a file on the server; None if it cannot be read. Never raises."""
        try:
            info = await self._routes.stored(file_id)
        except MattermostError as error:
            logger.debug("the published file cannot be looked up: {}", reason(error))
            return None
        size = info.get("size")
        return size if isinstance(size, int) and not isinstance(size, bool) else None

    async def names(self, user_ids: Collection[str], limit_s: float) -> dict[str, str]:
        """Return what people are called, by the ids of their users (`people_names`). Never raises."""
        return await names_of(user_ids, self._routes, limit_s)

    async def post_of(self, file_id: str) -> str | None:
        """Return the id of the post that shows a file; None if it cannot be read. Never raises."""
        try:
            info = await self._routes.stored(file_id)
        except MattermostError as error:
            logger.debug("the post of the published file cannot be looked up: {}", reason(error))
            return None
        post_id = info.get("post_id")
        return post_id if isinstance(post_id, str) and post_id else None

    async def _ask_filename(self) -> str:
        reply = await self._routes.plugin("get", f"/bot/calls/{self._call_id}/filename")
        name = reply.fields().get("filename")
        if not isinstance(name, str):
            raise reply.foreign("no file name")
        return name

    async def _report(self, status: str, text: str) -> None:
        body = {"JobType": "recording", "Status": status, "omitempty": text, "Error": text}
        try:
            route = f"/bot/calls/{self._call_id}/jobs/{self._recording_id}/status"
            (await self._routes.plugin("post", route, body)).confirm()
        except RequestRejected as error:
            if meaning(Route.STATUS, error) is Means.JOB_OVER:
                raise JobOver(detail=error.detail, status=error.status) from error
            raise

    async def _retry(self, what: str, call: Callable[[], Awaitable[T]], limit_s: float, longest_wait_s: float) -> T:
        began = Stopwatch()
        policy = RetryPolicy(what, self._timing, lambda: limit_s - began.elapsed_s(), longest_wait_s)
        try:
            with began.ticking():
                async with running_timeout(limit_s):
                    return await retry(call, policy)
        except TimeoutError as error:
            detail = f"{what}: no success within {limit_s:g} s"
            if policy.last is None:
                raise ServerUnavailable("Mattermost did not answer in time.", detail=detail) from error
            last = policy.last
            raise ServerUnavailable(
                last.sentence, detail=f"{detail}, at last: {reason(last)}", code=last.code, status=last.status
            ) from error
