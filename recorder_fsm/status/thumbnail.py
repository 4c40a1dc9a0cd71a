"""The thumbnail: what the display shows, small, taken only while somebody looks and never twice at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

WIDTH_PX = 320
EVERY_S = 3.0
"""However many look, however often they ask: one takes about a tenth of a second of CPU, behind all others."""

Take = Callable[[int], Awaitable[bytes | None]]


class Thumbnail:
    """Takes pictures by `take`, which is given the width; keeps the last one for `EVERY_S` seconds."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._taking: asyncio.Task[None] | None = None
        self._taken_s = -EVERY_S
        self._jpeg: bytes | None = None

    async def jpeg(self) -> bytes | None:
        """Return a picture that is a few seconds old at most; None where there is no display."""
        if self._taking is None:
            if time.monotonic() - self._taken_s < EVERY_S:
                return self._jpeg
            self._taking = asyncio.create_task(self._again(), name="thumbnail")
        await asyncio.shield(self._taking)
        return self._jpeg

    async def _again(self) -> None:
        try:
            self._jpeg = await self._take(WIDTH_PX)
        finally:
            self._taken_s = time.monotonic()
            self._taking = None
