"""What Mattermost's own API has against a file or a post, in words that say what to do.

The server names an error by its id; of a missing permission it does not say which. So after a 403 it is asked who the
recorder is, and whether it is in the channel: that is the cause most of the time.
"""

from __future__ import annotations

import enum
import re

import attrs

from recorder_fsm.errors import AccessRefused, MattermostError, RequestRejected, ServerUnavailable, SettingInTheWay
from recorder_fsm.mattermost.channel_routes import ChannelRoutes
from recorder_fsm.mattermost.retry import reason
from recorder_fsm.plain_text import plain


class Doing(enum.Enum):
    """What was refused: the permission that it needs, and what that allows."""

    LOOK = ("read_channel", "read the channel")
    UPLOAD = ("upload_file", "upload files into the channel")
    POST = ("create_post", "post in the channel")


MAY_NOT = {Doing.LOOK: "may_not_read", Doing.UPLOAD: "may_not_upload", Doing.POST: "may_not_post"}
"""The codes of a missing permission."""


@attrs.frozen(kw_only=True)
class Refusal:
    """A cause with its stable code, the sentence for people, and what an administrator does about it."""

    code: str
    sentence: str
    cure: str


REFUSED_TOKEN = Refusal(
    code="token_refused",
    sentence="Mattermost does not accept the recorder's token.",
    cure="AUTH_TOKEN must be the access token of a bot account (Integrations > Bot Accounts) or a user's personal "
    "access token, and must not be revoked, nor its account deactivated",
)
UNKNOWN_CHANNEL = Refusal(
    code="channel_unknown",
    sentence="Mattermost does not know the channel.",
    cure="CALL_ID must be the id of a channel",
)
TOO_OFTEN = Refusal(
    code="rate_limited",
    sentence="Mattermost limits how often the recorder may ask.",
    cure="raise RateLimitSettings.PerSec, or let the recorder pass the limit of the proxy before it",
)
BY_ID: tuple[tuple[str, Refusal], ...] = (
    (
        r"api\.file\.attachments\.disabled",
        Refusal(
            code="attachments_off",
            sentence="Mattermost takes no files: file sharing is switched off.",
            cure="set FileSettings.EnableFileAttachments to true (System Console > File Sharing and Downloads)",
        ),
    ),
    (
        r"upload_too_large|upload_file\.too_large",
        Refusal(
            code="file_too_large",
            sentence="Mattermost refuses a file of this size.",
            cure="raise FileSettings.MaxFileSize (System Console > File Storage > Maximum File Size)",
        ),
    ),
    (
        r"cannot_upload_to_deleted_channel|can_not_post_to_deleted",
        Refusal(
            code="channel_archived",
            sentence="The channel for the recording is archived.",
            cure="unarchive it, or name another channel in CALL_ID",
        ),
    ),
    (
        r"create_post\.(?:channel_)?root_id",
        Refusal(
            code="thread_gone",
            sentence="The thread for the recording is gone.",
            cure="POST_ID must be the first post of a thread in the channel of CALL_ID; without POST_ID the recording "
            "goes into the channel itself",
        ),
    ),
    (r"incorrect_channel_id|channel\.get\.existing", UNKNOWN_CHANNEL),
    (
        r"run_plugins_hook\.rejected",
        Refusal(
            code="file_rejected",
            sentence="A plugin of Mattermost rejected the recording.",
            cure="ask what that plugin allows",
        ),
    ),
)
"""What follows from the id of an error."""


async def explained(error: MattermostError, doing: Doing, routes: ChannelRoutes) -> MattermostError:
    """Return the error in other words, where it can be said what its cause is; an error of the same kind."""
    if error.status == 429:
        return _worded(error, TOO_OFTEN)
    if isinstance(error, ServerUnavailable) and not isinstance(error, SettingInTheWay):
        return error
    for pattern, refusal in BY_ID:
        if re.search(pattern, error.words):
            return _worded(error, refusal)
    if not isinstance(error, AccessRefused):
        return error
    if error.status == 401:
        return _worded(error, REFUSED_TOKEN)
    return _worded(error, await _of_permission(doing, routes))


async def _of_permission(doing: Doing, routes: ChannelRoutes) -> Refusal:
    permission, allows = doing.value
    name, guest = "the user of AUTH_TOKEN", False
    try:
        me = await routes.me()
        name = f"@{plain(str(me.get('username') or ''), 64)}" if me.get("username") else name
        guest = "system_guest" in str(me.get("roles") or "").split()
        await routes.channel()
        await routes.membership()
    except (AccessRefused, RequestRejected) as error:
        if error.status == 401:
            return REFUSED_TOKEN
        if "channel.get.existing" in error.words:
            return UNKNOWN_CHANNEL
        return Refusal(
            code="not_a_member",
            sentence="The recorder's user is not a member of the channel.",
            cure=f"add {name} to the channel's team and to the channel",
        )
    except ServerUnavailable:
        pass
    whose = f"{name} is a guest; give guests" if guest else f"give {name}"
    return Refusal(
        code=MAY_NOT[doing],
        sentence=f"The recorder's user may not {allows}.",
        cure=f"{whose} the permission {permission} there (System Console > Permissions; a channel's moderation can "
        "take it away)",
    )


def _worded(error: MattermostError, refusal: Refusal) -> MattermostError:
    said = type(error)(
        refusal.sentence,
        detail=f"{refusal.cure}: {reason(error)}",
        code=refusal.code,
        status=error.status,
        words=error.words,
    )
    said.__cause__ = error
    return said
