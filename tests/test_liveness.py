"""Whether a server still answers, with small servers whose answers the test decides."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from recorder_fsm.system import liveness
from recorder_fsm.system.liveness import wait_for_no_answer

GREETING, QUESTION = b"good morning\n", b"are you there?\n"
LIMIT_S = 0.3


class Server:
    """Answers the first `answers` lines; `asked` gets every line."""

    def __init__(self) -> None:
        self.answers = 1_000_000
        self.asked: asyncio.Queue[bytes] = asyncio.Queue()
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        while line := await reader.readline():
            self.asked.put_nowait(line)
            self.answers -= 1
            if self.answers >= 0:
                writer.write(b"!")
        writer.close()
        self.asked.put_nowait(b"")

    async def next(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.asked.get()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(liveness, "ANSWER_LIMIT_S", LIMIT_S)


@pytest.fixture
def path() -> Iterator[Path]:
    """A short path: a Unix socket's is limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        yield Path(folder) / "socket"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[Server]:
    it = Server()
    listener = await asyncio.start_unix_server(it.serve, path)
    try:
        yield it
    finally:
        listener.close()
        if it.writer is not None:
            it.writer.close()


@pytest.fixture
async def watch(server: Server, path: Path) -> AsyncIterator[asyncio.Task[str]]:
    task = asyncio.create_task(wait_for_no_answer(path, GREETING, QUESTION))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_server_that_answers_is_asked_again_and_again(server: Server, watch: asyncio.Task[str]) -> None:
    """It is greeted once, and asked on the same connection from then on."""
    assert await server.next() == GREETING
    for _ in range(20):
        assert await server.next() == QUESTION
    assert not watch.done()


@pytest.mark.parametrize("answers", [0, 1, 5], ids=["not greeted back", "after the greeting", "later"])
async def test_server_that_stops_answering_is_told_in_words(
    server: Server, watch: asyncio.Task[str], answers: int
) -> None:
    """After the limit, not before: a server that is late is not frozen."""
    server.answers = answers
    for _ in range(answers + 1):
        await server.next()
    asked_at = time.monotonic()
    async with asyncio.timeout(5):
        assert await watch == "has not answered for 0.3 s"
    assert time.monotonic() - asked_at >= 0.9 * LIMIT_S
    assert await server.next() == b""  # and nothing more was asked


async def test_server_that_never_accepts_is_told_in_words(path: Path) -> None:
    """A stopped server's kernel still takes the connection: the greeting stays without an answer."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        async with asyncio.timeout(5):
            assert await wait_for_no_answer(path, GREETING, QUESTION) == "has not answered for 0.3 s"


async def test_slow_answer_is_an_answer(server: Server, watch: asyncio.Task[str]) -> None:
    """Any bytes count, whatever they say, also when they come just before the limit."""
    server.answers = 0
    for said in (GREETING, QUESTION, QUESTION):
        assert await server.next() == said
        done, _ = await asyncio.wait({watch}, timeout=0.5 * LIMIT_S)
        assert not done
        assert server.writer is not None
        server.writer.write(b"\0")
    assert await server.next() == QUESTION


async def test_connection_that_ends_is_not_told(server: Server, watch: asyncio.Task[str]) -> None:
    """That a server has ended is noticed by who holds its process, and with a better cause."""
    await server.next()
    assert server.writer is not None
    server.writer.close()
    done, _ = await asyncio.wait({watch}, timeout=2 * LIMIT_S)
    assert not done


async def test_server_that_is_not_there_is_not_told(path: Path) -> None:
    """It may just have ended: never returns, and raises nothing."""
    watch = asyncio.create_task(wait_for_no_answer(path, GREETING, QUESTION))
    done, _ = await asyncio.wait({watch}, timeout=2 * LIMIT_S)
    assert not done
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch


async def test_watch_that_is_cancelled_closes_its_connection(server: Server, watch: asyncio.Task[str]) -> None:
    """A server counts its clients; one that nobody needs must go."""
    await server.next()
    watch.cancel()
    while await server.next():
        pass
