"""Limits that count only the time in which this process ran. A pause is played by blocking the loop's thread."""

from __future__ import annotations

import asyncio
import time

import pytest

from recorder_fsm.system import clock as clock_module
from recorder_fsm.system.clock import LATE_S, Stopwatch, now_s, running_timeout, running_wait
from tests.fakes import for_ever


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a stopwatch sees, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(clock_module, "now_s", lambda: now[0])
    return now


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of 10 ms, of which one that is 50 ms late shows a pause."""
    monkeypatch.setattr(clock_module, "TICK_S", 0.01)
    monkeypatch.setattr(clock_module, "LATE_S", 0.05)


def stand_still(seconds: float) -> None:
    """Do what SIGSTOP does: nothing runs in the loop for so long."""
    time.sleep(seconds)


def test_clock_goes_on_and_cannot_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never goes back, whatever the wall clock says."""
    before = now_s()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert now_s() >= before > 0


# --- the stopwatch ------------------------------------------------------------------------------------------------


def test_stopwatch_counts_seconds_in_which_it_was_asked(clock: list[float]) -> None:
    """Up to LATE_S between two questions are ordinary."""
    watch = Stopwatch()
    for _ in range(5):
        clock[0] += LATE_S
        watch.elapsed_s()
    assert watch.elapsed_s() == pytest.approx(5 * LATE_S)


def test_stopwatch_counts_a_pause_as_one_late_question(clock: list[float]) -> None:
    """An hour in which nothing ran is no hour."""
    watch = Stopwatch()
    clock[0] += 3600
    assert watch.elapsed_s() == pytest.approx(LATE_S)
    clock[0] += 0.5
    assert watch.elapsed_s() == pytest.approx(LATE_S + 0.5)


def test_stopwatch_begins_anew(clock: list[float]) -> None:
    """From zero, and from now."""
    watch = Stopwatch()
    clock[0] += 0.5
    watch.elapsed_s()
    clock[0] += 0.5
    watch.restart()
    assert watch.elapsed_s() == 0.0
    clock[0] += 0.25
    assert watch.elapsed_s() == pytest.approx(0.25)


async def test_stopwatch_that_ticks_counts_for_those_who_ask_seldom(quick: None) -> None:
    """It counts what ran and leaves out what did not; nothing ticks when the block is left."""
    with Stopwatch().ticking() as watch:
        await asyncio.sleep(0.2)  # it is time that is measured
        stand_still(0.6)
        await asyncio.sleep(0)
        assert 0.15 <= watch.elapsed_s() < 0.6
    assert not [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]


# --- the timeout --------------------------------------------------------------------------------------------------


async def test_timeout_that_passes_is_raised(quick: None) -> None:
    """As `asyncio.timeout` does; the block is cancelled."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with running_timeout(0.2):
            await for_ever()
    assert time.monotonic() - began >= 0.2


async def test_timeout_does_not_count_a_pause(quick: None) -> None:
    """What comes right after the pause still comes in time, though the pause was longer than the limit."""
    loop = asyncio.get_running_loop()
    async with running_timeout(0.3) as timeout:
        loop.call_soon(stand_still, 0.6)
        await asyncio.sleep(0)
        reply = loop.create_future()
        loop.call_later(0.05, reply.set_result, None)
        await reply
        assert not timeout.expired()


async def test_timeout_begins_anew_after_a_pause(quick: None) -> None:
    """Who stood still with us, just before the limit, has its whole time to answer; a moved limit would be over."""
    loop = asyncio.get_running_loop()
    async with running_timeout(0.4) as timeout:
        reply = loop.create_future()
        loop.call_later(0.3, stand_still, 0.5)
        loop.call_later(0.3 + 0.5 + 0.25, reply.set_result, None)
        await reply
        assert not timeout.expired()


async def test_timeout_has_an_end_where_nothing_but_pauses_come(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew a few times only: a machine that is starved for ever must not wait for ever."""
    monkeypatch.setattr(clock_module, "RENEWALS", 2)

    async def starve() -> None:
        async with running_timeout(0.03):
            while True:
                stand_still(0.07)
                await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(20):
            await starve()


async def test_timeout_goes_on_counting_after_a_pause(quick: None) -> None:
    """The limit is renewed, not taken away."""

    async def wait_and_pause() -> None:
        async with running_timeout(0.3):
            asyncio.get_running_loop().call_soon(stand_still, 0.6)
            await for_ever()

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await wait_and_pause()
    assert 0.6 <= time.monotonic() - began < 5


async def test_block_that_ends_in_time_leaves_nothing_behind(quick: None) -> None:
    """No tick goes on, and nothing is cancelled later."""
    loop = asyncio.get_running_loop()
    async with running_timeout(0.05):
        pass
    ended = loop.create_future()
    loop.call_later(0.1, ended.set_result, "in peace")
    assert await ended == "in peace"
    assert not [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]


async def test_failure_of_the_block_is_its_own(quick: None) -> None:
    """The timeout replaces no other error."""
    with pytest.raises(ZeroDivisionError):
        async with running_timeout(5):
            raise ZeroDivisionError


# --- the wait -----------------------------------------------------------------------------------------------------


async def test_timeout_of_a_task_that_tidies_up_after_a_cancellation_is_a_timeout(quick: None) -> None:
    """The rest of its tidying is done; else a stopped program would be left alive."""
    done = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(TimeoutError):
                async with running_timeout(0.1):
                    await asyncio.Event().wait()
            done.append("tidied")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["tidied"]


async def test_wait_ends_with_what_it_waits_for_or_with_its_limit(quick: None) -> None:
    """Neither is an error, and what is waited for is left alone."""
    first = asyncio.get_running_loop().create_future()
    second = asyncio.ensure_future(for_ever())
    asyncio.get_running_loop().call_later(0.05, first.set_result, None)
    await running_wait({first, second}, 20, return_when=asyncio.FIRST_COMPLETED)
    assert first.done()
    assert not second.done()
    await running_wait({second}, 0.05)
    assert not second.done()
    second.cancel()


async def test_wait_does_not_count_a_pause(quick: None) -> None:
    """A child that ended while we stood still has ended in time."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.call_soon(stand_still, 0.6)
    loop.call_later(0.65, ended.set_result, None)
    await running_wait({ended}, 0.3)
    assert ended.done()
