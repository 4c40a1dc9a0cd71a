"""A recorder that stood still takes nothing healthy for dead: each wait, with a pause that is longer than its limit.

What is waited for stood still as well (a machine that stalled), and needs some time afterwards.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from recorder_fsm.browser import shown_page
from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.machine import resources as resources_module
from recorder_fsm.machine.lifecycle import Resource
from recorder_fsm.machine.resources import ResourceStack, Spec
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.system import clock, liveness
from tests.fakes import FakeResource, FakeTab
from tests.programs import until

LIMIT_S = 1.0
WAITED_S = 0.8
PAUSE_S = 1.5
NEEDS_S = 0.5
"""What the other side needs once everything goes on."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "TICK_S", 0.02)
    monkeypatch.setattr(clock, "LATE_S", 0.3)


async def stand_still() -> None:
    """Stand still in the middle of a wait, then let what is waited for take its time."""
    await asyncio.sleep(WAITED_S)  # it has been waited for a while
    time.sleep(PAUSE_S)  # noqa: ASYNC251 - as SIGSTOP does
    await asyncio.sleep(NEEDS_S)


async def frozen_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_page, "FROZEN_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(shown_page, "POLL_S", 0.01)
    tab = FakeTab()
    page = CallPage(tab, 1280, 720, lambda _: None)
    page.told('{"kind": "connect"}')
    answers = 0

    async def evaluate(expression: str) -> Any:
        nonlocal answers
        answers += 1
        if answers == 1:
            await stand_still()
        return 1

    tab.evaluate = evaluate  # type: ignore[method-assign]
    watch = asyncio.create_task(page.frozen())
    await until(lambda: answers >= 3 or watch.done())
    assert not watch.done()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def frozen_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "ANSWER_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(liveness, "ASK_EVERY_S", 0.01)
    asked: asyncio.Queue[None] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            asked.put_nowait(None)
            if asked.qsize() == 1:
                await stand_still()
            writer.write(b"!")
        writer.close()

    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        path = Path(folder) / "socket"
        async with await asyncio.start_unix_server(serve, path) as listener:
            watch = asyncio.create_task(liveness.wait_for_no_answer(path, b"hello\n", b"there?\n"))
            await until(lambda: asked.qsize() >= 3 or watch.done())
            assert not watch.done()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            listener.close()


async def page_that_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    tab = FakeTab()
    page = CallPage(tab, 1280, 720, lambda _: None)

    async def connect() -> None:
        await stand_still()
        page.told('{"kind": "connect"}')

    connecting = asyncio.create_task(connect())
    await page.join("https://chat.example.com", LIMIT_S)
    await connecting


async def resource_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources_module, "RELEASE_LIMIT_S", LIMIT_S)
    ended = asyncio.Event()

    async def leave() -> None:
        await stand_still()
        ended.set()

    fake = FakeResource("capture", [], leave=leave)
    stack = ResourceStack({Resource.CAPTURE: Spec(lambda: fake)}, lambda *_: None)
    await stack.start([Resource.CAPTURE])
    await stack.release(keep=())
    assert ended.is_set(), "it was cut short: a file would end there"


WAITS: list[Callable[[pytest.MonkeyPatch], Awaitable[None]]] = [
    frozen_page,
    frozen_server,
    page_that_joins,
    resource_that_ends,
]


@pytest.mark.parametrize("wait", WAITS, ids=lambda wait: wait.__name__)
async def test_wait_outlasts_a_standstill(
    wait: Callable[[pytest.MonkeyPatch], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit begins anew: it was healthy all the time."""
    await wait(monkeypatch)


@asynccontextmanager
async def bot_of(standin: StandIn, ids: CallIds) -> AsyncIterator[CallsBot]:
    bot = CallsBot(
        site_url=standin.url,
        token=ids.token,
        call_id=ids.call_id,
        post_id=ids.post_id,
        recording_id=ids.recording_id,
    )
    try:
        yield bot
    finally:
        bot.close()


async def test_answer_of_the_server_is_heard_after_a_standstill(standin: StandIn, ids: CallIds) -> None:
    """It waited in the socket."""
    standin.set_faults({"route": "filename", "kind": "slow", "delay_s": WAITED_S + PAUSE_S + NEEDS_S})
    async with bot_of(standin, ids) as bot:
        still = asyncio.create_task(stand_still())
        with suppress(asyncio.CancelledError):
            assert (await bot.filename(LIMIT_S)).startswith("Call_Town_Square")
        await still
