"""Who speaks to Mattermost for a job, as its settings say. What a job does not need is not loaded: it takes a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from recorder_fsm.config.settings import Settings

if TYPE_CHECKING:
    from recorder_fsm.mattermost.bot import CallsBot
    from recorder_fsm.mattermost.channel import ChannelBot
    from recorder_fsm.mattermost.no_call import NoCall


def bot_of(settings: Settings, channel: Callable[[], ChannelBot]) -> CallsBot | NoCall:
    """Return whom the job reports to: the Calls plugin, or nobody but the `channel` where a page is recorded."""
    if settings.record_url:
        from recorder_fsm.mattermost.no_call import NoCall  # noqa: PLC0415 - see above

        return NoCall(settings.record_url, channel())
    from recorder_fsm.mattermost.bot import CallsBot  # noqa: PLC0415 - see above

    return CallsBot(
        site_url=settings.site_url,
        token=settings.auth_token,
        call_id=settings.call_id,
        post_id=settings.post_id,
        recording_id=settings.recording_id,
        ca_file=settings.tls_ca_cert_file,
    )


def channel_of(settings: Settings) -> ChannelBot:
    """Return who posts the recording where the Calls plugin does not."""
    from recorder_fsm.mattermost.channel import ChannelBot  # noqa: PLC0415 - see above

    return ChannelBot(
        site_url=settings.site_url,
        token=settings.auth_token,
        channel_id=settings.call_id,
        root_id=settings.post_id,
        recording_id=settings.recording_id,
        ca_file=settings.tls_ca_cert_file,
    )
