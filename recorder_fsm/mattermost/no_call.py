"""A recording of a page: there is no call, no plugin's job, and so nobody to report to but the channel.

It stands where `CallsBot` stands for a call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from urllib.parse import urlsplit

from recorder_fsm.mattermost.channel import ChannelBot
from recorder_fsm.mattermost.file_names import safe_stem
from recorder_fsm.mattermost.notice import Notice


class NoCall:
    """What a job without a call says of itself. `url` is the page's; of it the host alone is told."""

    def __init__(self, url: str, channel: ChannelBot) -> None:
        self._host = urlsplit(url).hostname or "page"
        self._channel = channel

    async def filename(self, limit_s: float) -> str:
        """Return a name for the recording: the page's host, and the time."""
        return safe_stem(f"Recording_{self._host}_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}")

    async def plugin_is_off(self) -> bool:
        """Tell that no plugin has gone: there is none."""
        return False

    async def report_started(self, announce: Callable[[Notice], None]) -> None:
        """Begin the recording: nobody has to be told first."""
        announce(Notice.GIVEN)

    async def report_failed(self, text: str, limit_s: float) -> bool:
        """Tell nobody. So the job ends with a code that keeps the log."""
        return False

    async def post_in_thread(self, text: str, limit_s: float) -> bool:
        """Say in the channel what became of a recording that goes on."""
        return await self._channel.post_in_thread(text, limit_s)

    async def post_failure(self, text: str, limit_s: float) -> bool:
        """Post what became of a recording that failed, once."""
        return await self._channel.post_failure(text, limit_s)

    async def post_of(self, file_id: str) -> str | None:
        """Return the id of the post that shows a file; None if it cannot be read. Never raises."""
        return await self._channel.post_of(file_id)

    async def names(self, user_ids: Collection[str], limit_s: float) -> dict[str, str]:
        """Know nobody: there are no people in a page."""
        return {}

    def close(self) -> None:
        """Hold nothing."""
