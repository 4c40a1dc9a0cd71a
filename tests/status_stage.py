"""A job of which there is something to see, without its programs: a script moves it, and a real server shows it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from recorder_fsm.config.listen_address import listen_address
from recorder_fsm.errors import RecorderError
from recorder_fsm.machine.lifecycle import Event, Lifecycle
from recorder_fsm.media.timeline import Segment
from recorder_fsm.status.board import Board
from recorder_fsm.status.server import StatusServer
from tests.steps.job import StepJob

JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"
ON_THE_WAY = (Event.DISPLAY_READY, Event.CALL_JOINED, Event.CAPTURE_STARTED)


@attrs.define
class Shown:
    """A job and its status server; `moves` the job, and `picture` is what its display shows."""

    job: StepJob
    lifecycle: Lifecycle
    board: Board
    picture: bytes | None = JPEG
    taken: int = 0
    server: StatusServer = attrs.field(init=False)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return self.server.url.rstrip("/")

    def moves(self, *events: Event, cause: RecorderError | None = None) -> None:
        """Let these events happen, the last one by `cause`."""
        for event in events:
            change = self.lifecycle.fire(event, cause if event is events[-1] else None)
            assert change is not None, f"{event.value} is not allowed in {self.lifecycle.state.value}"

    def records(self) -> Segment:
        """Go on to the recording; returns its first segment."""
        self.moves(*ON_THE_WAY)
        return self.captures()

    def captures(self) -> Segment:
        """Begin another segment, which has got some frames."""
        segment = self.job.segment(ended=False)
        progress = segment.progress
        progress.position_s = 0.0  # it stands where it began, so that it falls behind a clock that goes on
        for line in ("frame=120", "total_size=500000", "speed=1.01x"):
            assert progress.take(line)
        assert progress.take_relayed("level=-23.4 peak=-4.5")
        return segment

    async def dies(self) -> None:
        """Go as a recorder that is killed: without a word to anybody."""
        assert self.server._listener is not None
        assert self.server._door.server is not None
        self.server._listener.close()
        for connection in self.server._door.server.connections:
            assert connection.transport is not None
            connection.transport.abort()
        await self.server.stop()

    async def take(self, width: int) -> bytes | None:
        assert width > 0
        self.taken += 1
        return self.picture


@asynccontextmanager
async def shown(address: str = "127.0.0.1:0", *, name: str = "", **environment: str) -> AsyncIterator[Shown]:
    """Serve a job that has just begun. `name`: the name of its recording."""
    with tempfile.TemporaryDirectory(prefix="shown-") as folder:
        job = StepJob(Path(folder), recover_only=False, **environment)
        job.context.name = name
        lifecycle = Lifecycle()
        board = Board(job.context, lifecycle)
        stage = Shown(job, lifecycle, board)
        stage.server = await StatusServer.start(listen_address(address), board, stage.take)
        lifecycle.listen(board.changed)
        lifecycle.listen(stage.server.changed)
        try:
            yield stage
        finally:
            await stage.server.stop()
