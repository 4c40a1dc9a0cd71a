"""The plugin watch: notices that the plugin has gone while nobody is heard or seen, so that no empty room is recorded.

A plugin that is upgraded or disabled drains: it waits until everybody has left its call, the recorder included. Its
routes are off meanwhile, and nobody sends a stop (contract 6.13). While people talk or show something they are
recorded, whatever the plugin does. Once the call is silent and still, one request every few seconds tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger

from recorder_fsm.errors import CallError
from recorder_fsm.steps.quality import Signs
from recorder_fsm.system.clock import Stopwatch

QUIET_AFTER_S = 10.0
"""A pause in a conversation is shorter; it costs a request at most."""
ASK_EVERY_S = 5.0
GONE_AFTER_S = 15.0
"""A plugin that crashed is started again sooner, and goes on with the call."""


class PluginWatch:
    """Keeps an eye on the plugin of one call. `look` is told what was seen, `gone` waits.

    `is_off` asks the plugin's routes once: True where they answer as those of a plugin that is off. It never raises.
    """

    def __init__(self, is_off: Callable[[], Awaitable[bool]]) -> None:
        self._is_off = is_off
        self._last: Signs | None = None
        self._quiet_since_s: float | None = None
        self.quiet = False

    def look(self, now: Signs | None) -> None:
        """Take what was seen now; None where that is not known, which proves nothing."""
        last, self._last = self._last, now
        if now is None or last is None or not now.quiet_since(last):
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = last.at_s
        since_s = self._quiet_since_s
        self.quiet = now is not None and since_s is not None and now.at_s - since_s >= QUIET_AFTER_S

    async def gone(self) -> CallError:
        """Wait until the plugin has been off for `GONE_AFTER_S` of a call that is silent and still; returns the cause.

        One answer of another kind, or none, and one sign of people, begin anew.
        """
        off = False
        with Stopwatch().ticking() as since:
            while True:
                await asyncio.sleep(ASK_EVERY_S)
                if not (self.quiet and await self._is_off() and self.quiet):
                    off = False
                elif not off:
                    logger.info("the plugin is off; the recording ends when it stays so and nobody is heard or seen")
                    off = True
                    since.restart()
                elif since.elapsed_s() >= GONE_AFTER_S:
                    return CallError(
                        "The Calls plugin is off, and nobody was there any more.",
                        detail=f"its routes were off for {since.elapsed_s():.0f} s of a call that was silent and still",
                        code="plugin_gone",
                    )
