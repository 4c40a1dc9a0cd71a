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
from recorder_fsm.mattermost.channel_user import ChannelUser
from recorder_fsm.mattermost.file_names import safe_stem
from recorder_fsm.mattermost.notice import Notice, notice_after
from recorder_fsm.mattermost.people_names import names_of
from recorder_fsm.mattermost.posting import Evidence, Posting
from recorder_fsm.mattermost.retry import PartSizes, RetryPolicy, RetryTiming, reason, retry
from recorder_fsm.mattermost.routes import PluginRoutes
from recorder_fsm.plain_text import plain
from recorder_fsm.system.clock import Stopwatch, running_timeout

ERROR_TEXT_LIMIT = 200

T = TypeVar("T")


class CallsBot(ChannelUser[PluginRoutes]):
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
        timing = timing or RetryTiming()
        routes = PluginRoutes(site_url, token, call_id, ca_file, timing)
        super().__init__(routes, root_id=post_id, recording_id=recording_id, timing=timing, sizes=sizes)
        self._call_id = call_id
        self._posting = Posting(
            self._routes, call_id=call_id, post_id=post_id, recording_id=recording_id, timing=self._timing
        )

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

    async def names(self, user_ids: Collection[str], limit_s: float) -> dict[str, str]:
        """Return what people are called, by the ids of their users (`people_names`). Never raises."""
        return await names_of(user_ids, self._routes, limit_s)

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
