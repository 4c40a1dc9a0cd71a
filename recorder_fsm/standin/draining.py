"""A plugin that is deactivated, as for an upgrade: it drains first, and only then it goes (contract 6.13)."""

from __future__ import annotations

import asyncio
import math

from recorder_fsm.standin.events import Hub
from recorder_fsm.standin.state import State, now_ms


class Draining:
    """Own the deactivation of the plugin: its routes are off at once, it goes when the bot has left its calls."""

    def __init__(self, state: State, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self._task: asyncio.Task[None] | None = None

    def begin(self, *, back_after_s: float, revoke: bool = True) -> None:
        """Deactivate. `back_after_s`: how long it is gone, after it has drained; `revoke`: the bot gets a new token."""
        self.cancel()
        self._state.plugin_off_until = math.inf
        self._state.changed()
        self._task = asyncio.create_task(self._drain(back_after_s, revoke), name="draining")

    def cancel(self) -> None:
        """Forget the deactivation, for a reset or a shutdown."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _drain(self, back_after_s: float, revoke: bool) -> None:
        while any(one.user == "bot" and one.call_id for one in self._hub.connections.values()):
            await self._state.next_change()
        if revoke:
            self._state.renew_bot_token()
        await asyncio.sleep(back_after_s)
        # A plugin that starts knows of no call that was going on.
        for call in self._state.calls.values():
            call.end_at = call.end_at or now_ms()
            if call.job is not None:
                call.job.end_at = call.job.end_at or now_ms()
        self._state.plugin_off_until = 0.0
        self._state.changed()
