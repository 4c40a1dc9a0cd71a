"""What people in a call are called: asked for as the call page does (contract 3.6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from loguru import logger

from recorder_fsm.errors import MattermostError
from recorder_fsm.mattermost.retry import reason
from recorder_fsm.mattermost.routes import PluginRoutes
from recorder_fsm.system.clock import running_timeout

AT_ONCE = 100


async def names_of(user_ids: Collection[str], routes: PluginRoutes, limit_s: float) -> dict[str, str]:
    """Return the names by the ids of the users; "" for a bot. Unknown ones are missing. Never raises."""
    found: dict[str, str] = {}
    wanted = sorted(user_ids)
    try:
        async with running_timeout(limit_s):
            for begin in range(0, len(wanted), AT_ONCE):
                for user in await routes.users(wanted[begin : begin + AT_ONCE]):
                    if (user_id := str(user.get("id"))) in user_ids:
                        found[user_id] = "" if user.get("is_bot") is True else _called(user)
    except (MattermostError, TimeoutError) as error:
        words = reason(error) if isinstance(error, MattermostError) else f"no reply within {limit_s:g} s"
        logger.warning("the names of those in the call are not known: {}", words)
    return found


def _called(user: dict[str, Any]) -> str:
    """Return the name that people are shown: first and last name, else the nickname, else the user name."""
    first, last, nickname, username = (
        str(user.get(key) or "").strip() for key in ("first_name", "last_name", "nickname", "username")
    )
    return f"{first} {last}" if first and last else nickname or username or "?"
