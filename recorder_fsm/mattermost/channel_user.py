"""What any user of Mattermost does in one channel: deliver a file, look it up, and post a line.

The plugin's bot (`bot`) and an ordinary user (`channel`) do this alike, by routes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from loguru import logger

from recorder_fsm.errors import MattermostError
from recorder_fsm.mattermost.answers import table
from recorder_fsm.mattermost.notice import FAILURE, FAILURE_TEXT_LIMIT
from recorder_fsm.mattermost.retry import PartSizes, RetryTiming, reason
from recorder_fsm.mattermost.routes import ServerRoutes
from recorder_fsm.mattermost.upload import Upload
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.plain_text import plain
from recorder_fsm.system.clock import running_timeout

TEXT_LIMIT = 200
MOST_PAGES = 10
"""So many pages of a channel are looked at for posts of ours."""

Routes = TypeVar("Routes", bound=ServerRoutes)


class Delivery(TypedDict):
    """How an upload goes on and is followed; see `ChannelUser.upload`."""

    begun: Begun | None
    on_session: Callable[[Begun], None]
    time_left: Callable[[], float]
    on_progress: Callable[[int, int], None]


class ChannelUser(Generic[Routes]):
    """One user in one channel. `root_id`: the thread to post in, "" for the channel itself."""

    def __init__(
        self,
        routes: Routes,
        *,
        root_id: str,
        recording_id: str,
        timing: RetryTiming,
        sizes: PartSizes | None,
    ) -> None:
        self._routes = routes
        self._root_id = root_id
        self._recording_id = recording_id
        self._timing = timing
        self._sizes = sizes or PartSizes()

    def close(self) -> None:
        """Close all connections to the server."""
        self._routes.close()

    async def max_file_size(self) -> int | None:
        """Return the server's MaxFileSize in bytes, None if it is not readable (contract 2.5). Never raises."""
        return await self._routes.max_file_size()

    async def upload(self, file: Path, name: str = "", **delivery: Unpack[Delivery]) -> str:
        """Deliver `file` in parts and return its id on the server (contract 2.4, 2.5); `name`: see `Upload`.

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
            on_session=delivery["on_session"],
            on_progress=delivery["on_progress"],
            time_left=delivery["time_left"],
            timing=self._timing,
            sizes=self._sizes,
            name=name,
        )
        return await upload.run(delivery["begun"])

    async def stored_size(self, file_id: str) -> int | None:
        """Return the size in bytes of a file on the server; None if it cannot be read. Never raises."""
        size = (await self._stored(file_id)).get("size")
        return size if isinstance(size, int) and not isinstance(size, bool) else None

    async def post_of(self, file_id: str) -> str | None:
        """Return the id of the post that shows a file; None if it cannot be read. Never raises."""
        post_id = (await self._stored(file_id)).get("post_id")
        return post_id if isinstance(post_id, str) and post_id else None

    async def post_in_thread(self, text: str, limit_s: float) -> bool:
        """Post a line where the recording will be, for one that goes on. Never raises; tells whether it is there.

        Tried once: a reply that was lost would else mean a second post. A user that may not post is no fault.
        """
        try:
            async with running_timeout(limit_s):
                await self._routes.post(self._root_id, plain(text, TEXT_LIMIT))
        except (MattermostError, TimeoutError) as error:
            logger.warning("the channel could not be told: {}", _words(error, limit_s))
            return False
        return True

    async def post_failure(self, text: str, limit_s: float) -> bool:
        """Post where the recording would be what became of it, unless such a post is there. Never raises.

        The post has the job's id in `props.recording_failure`, by which it is known again. Tells whether it is there.
        """
        try:
            async with running_timeout(limit_s):
                if await self._has_failure():
                    return True
                props = {FAILURE: self._recording_id}
                await self._routes.post(self._root_id, plain(text, FAILURE_TEXT_LIMIT), props=props)
        except (MattermostError, TimeoutError) as error:
            logger.warning("the channel could not be told of the failure: {}", _words(error, limit_s))
            return False
        return True

    async def _has_failure(self) -> bool:
        try:
            posts = await self._posts()
        except MattermostError as error:  # one that may not be read may still be posted into
            logger.debug("the channel cannot be looked at: {}", reason(error))
            return False
        return any(table(table(one).get("props")).get(FAILURE) == self._recording_id for one in posts.values())

    async def _posts(self) -> Mapping[str, Any]:
        """Return the posts of the thread, or the newest ones of the channel."""
        if self._root_id:
            return table((await self._routes.thread(self._root_id)).get("posts"))
        found: dict[str, Any] = {}
        for page in range(MOST_PAGES):
            posts = table((await self._routes.page_of_posts(page)).get("posts"))
            before = len(found)
            found |= posts
            if len(found) == before:
                break
        return found

    async def _stored(self, file_id: str) -> dict[str, Any]:
        try:
            return table(await self._routes.stored(file_id))
        except MattermostError as error:
            logger.debug("the file cannot be looked up: {}", reason(error))
            return {}


def _words(error: MattermostError | TimeoutError, limit_s: float) -> str:
    return reason(error) if isinstance(error, MattermostError) else f"no reply within {limit_s:g} s"
