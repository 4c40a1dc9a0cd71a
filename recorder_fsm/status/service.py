"""The status page of one job, from before its first step to its last word: started beside it, and never in its way.

The libraries are loaded in a thread, and whatever goes wrong is a warning: a port that is in use, a package that is not
there, a defect of ours. The end of the job waits a second for it at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loguru import logger

from recorder_fsm.config.listen_address import ListenAddress
from recorder_fsm.machine.lifecycle import Change, Lifecycle
from recorder_fsm.status.board import Board
from recorder_fsm.steps.context import JobContext
from recorder_fsm.system.threads import in_daemon_thread

if TYPE_CHECKING:
    from recorder_fsm.status.server import StatusServer
    from recorder_fsm.status.thumbnail import Take

START_LIMIT_S = 20.0
"""A name has to be resolved, and a machine may be busy; nobody waits for it."""
STOP_LIMIT_S = 1.0


@asynccontextmanager
async def status_page(
    address: ListenAddress, job: JobContext, lifecycle: Lifecycle, thumbnail: Take
) -> AsyncIterator[None]:
    """Serve what there is to see of `job` at `address` while the block runs. `thumbnail` takes pictures by width."""
    service = _Service(Board(job, lifecycle))
    lifecycle.listen(service.changed)
    starting = asyncio.create_task(service.start(address, thumbnail), name="status page starts")
    try:
        yield
    finally:
        stopping = asyncio.create_task(service.stop(starting), name="status page ends")
        await asyncio.wait({stopping}, timeout=STOP_LIMIT_S)
        stopping.cancel()


class _Service:
    def __init__(self, board: Board) -> None:
        self._board = board
        self._server: StatusServer | None = None

    def changed(self, change: Change) -> None:
        """Pass a change on; the job goes on whatever happens here."""
        try:
            self._board.changed(change)
            if self._server is not None:
                self._server.changed(change)
        except Exception as error:  # noqa: BLE001 - see above
            logger.opt(exception=error).warning("the status page did not take a change")

    async def start(self, address: ListenAddress, thumbnail: Take) -> None:
        try:
            server = await in_daemon_thread(_load)
            async with asyncio.timeout(START_LIMIT_S):
                self._server = await server.start(address, self._board, thumbnail)
        except ImportError as error:
            logger.warning("STATUS_ADDR: there is no status page, since a package is missing ({})", error.name or error)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or str(error) or "no answer"
            logger.warning("STATUS_ADDR: there is no status page, since {} cannot be used ({})", address, why)
        except Exception as error:  # noqa: BLE001 - see above
            logger.opt(exception=error).warning("there is no status page")

    async def stop(self, starting: asyncio.Task[None]) -> None:
        starting.cancel()
        await asyncio.wait({starting})
        if self._server is not None:
            await self._server.stop()


def _load() -> type[StatusServer]:
    from recorder_fsm.status.server import StatusServer  # noqa: PLC0415 - see above

    return StatusServer
