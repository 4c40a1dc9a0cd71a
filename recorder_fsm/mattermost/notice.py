"""Whether people may know that they are recorded, as far as the answers to `started` tell.

People read it in the call once the plugin has taken `started`. A recording exists from the moment at which a try may
have been heard: then it is published, or kept.
"""

from __future__ import annotations

import enum

from recorder_fsm.errors import UNREACHABLE, MattermostError, ServerUnavailable

FAILURE = "recording_failure"
"""The property of a post that tells of a failed recording: the job's id."""
FAILURE_TEXT_LIMIT = 1000
TURNED_AWAY = 429
GATEWAY_TIMEOUT = 504


class Notice(enum.IntEnum):
    """The more, the surer it is."""

    NONE = 0
    """No try can have reached the plugin."""
    DOUBTED = 1
    """Each try was answered by somebody in front of the plugin, or the plugin said that it failed. Nobody saw anything,
    as far as one can know."""
    GIVEN = 2
    """The plugin took it, or a try had no answer: people may well have seen it."""


def notice_after(error: MattermostError) -> Notice:
    """Return what a single try that failed so says."""
    if not isinstance(error, ServerUnavailable) or error.code == UNREACHABLE or error.status == TURNED_AWAY:
        return Notice.NONE  # the plugin refused it, or it did not get there
    return Notice.GIVEN if error.status in (0, GATEWAY_TIMEOUT) else Notice.DOUBTED
