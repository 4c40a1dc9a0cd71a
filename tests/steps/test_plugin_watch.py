"""When the plugin has gone from an empty room: what is quiet, who is asked, and what begins anew."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import attrs
import pytest

from recorder_fsm.steps import plugin_watch
from recorder_fsm.steps.plugin_watch import QUIET_AFTER_S, PluginWatch
from recorder_fsm.steps.quality import BLIND_AFTER_S, QUIET_DBFS, VOICE_ENERGY_PER_S, Signs

EVERY_S = 5.0
EMPTY = Signs(at_s=0.0, level_dbfs=-120.0, black=False, shown=0, behind_s=0.3, energy=1.0, changes=9, packets=7)


class Plugin:
    """Answers as set, the last answer for ever; `asked` counts."""

    def __init__(self, *off: bool) -> None:
        self.answers: Iterator[bool] = itertools.chain(off, itertools.repeat(off[-1]))
        self.asked = 0

    async def is_off(self) -> bool:
        self.asked += 1
        return next(self.answers)


def watch_over(plugin: Plugin) -> PluginWatch:
    return PluginWatch(plugin.is_off)


def look(watch: PluginWatch, *signs: Signs | None) -> list[bool]:
    """Tell the watch each of these, five seconds apart; returns whether the call is quiet after each."""
    quiet = []
    for number, sign in enumerate(signs):
        watch.look(sign and attrs.evolve(sign, at_s=number * EVERY_S))
        quiet.append(watch.quiet)
    return quiet


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_watch, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(plugin_watch, "GONE_AFTER_S", 0.2)


# --- quiet --------------------------------------------------------------------------------------------------------


def test_empty_room_is_quiet_when_it_has_been_for_a_while() -> None:
    """A pause in a conversation is not."""
    quiet = look(watch_over(Plugin(True)), *[EMPTY] * 5)
    assert quiet == [number * EVERY_S >= QUIET_AFTER_S for number in range(5)]


@pytest.mark.parametrize(
    "sign",
    [
        attrs.evolve(EMPTY, packets=8),
        attrs.evolve(EMPTY, energy=1.0 + 2 * VOICE_ENERGY_PER_S * EVERY_S),
        attrs.evolve(EMPTY, changes=30),
        attrs.evolve(EMPTY, level_dbfs=QUIET_DBFS),
        None,
    ],
    ids=["someone sends", "a voice", "the page changes", "sound in the file", "not known"],
)
def test_one_sign_of_people_begins_anew(sign: Signs | None) -> None:
    """Whatever it is: a recording of people is not ended."""
    quiet = look(watch_over(Plugin(True)), EMPTY, EMPTY, EMPTY, sign, *[sign] * 3)
    assert quiet[:4] == [False, False, True, False]
    if sign is None or sign.level_dbfs == QUIET_DBFS:
        assert quiet[4:] == [False] * 3


def test_clock_of_the_page_is_no_sign_of_people() -> None:
    """It changes every second, whoever is there."""
    assert look(watch_over(Plugin(True)), *[attrs.evolve(EMPTY, changes=9 + 5 * number) for number in range(4)])[-1]


def test_time_in_which_nobody_looked_is_not_quiet() -> None:
    """The recorder stood still: who came and went meanwhile is not known."""
    watch = watch_over(Plugin(True))
    for at_s in (0.0, 5.0, 5.0 + BLIND_AFTER_S + 1, 10.0 + BLIND_AFTER_S):
        watch.look(attrs.evolve(EMPTY, at_s=at_s))
        assert not watch.quiet


# --- gone ---------------------------------------------------------------------------------------------------------


async def test_plugin_that_stays_off_is_gone(quick: None) -> None:
    """After GONE_AFTER_S, not before."""
    plugin = Plugin(True)
    watch = watch_over(plugin)
    look(watch, *[EMPTY] * 4)
    began = asyncio.get_running_loop().time()
    cause = await watch.gone()
    assert asyncio.get_running_loop().time() - began >= 0.2
    assert cause.code == "plugin_gone"
    assert plugin.asked > 2


async def test_plugin_that_comes_back_is_not_gone(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash, from which it is started again: each good answer begins anew."""
    monkeypatch.setattr(plugin_watch, "GONE_AFTER_S", 5.0)
    monkeypatch.setattr(plugin_watch, "ASK_EVERY_S", 0.0)
    now = [0.0]
    answers = [True, False] * 10

    class Since:
        """A stopwatch on which four seconds pass between two answers."""

        def __init__(self) -> None:
            self.at = now[0]

        def ticking(self) -> Since:
            return self

        def __enter__(self) -> Since:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def restart(self) -> None:
            self.at = now[0]

        def elapsed_s(self) -> float:
            return now[0] - self.at

    asked = asyncio.Event()

    async def is_off() -> bool:
        now[0] += 4.0
        if not answers:
            asked.set()
            return False
        return answers.pop(0)

    monkeypatch.setattr(plugin_watch, "Stopwatch", Since)
    watch = PluginWatch(is_off)
    look(watch, *[EMPTY] * 4)
    waiting = asyncio.create_task(watch.gone())
    await asked.wait()
    assert not waiting.done()
    answers[:] = [True, True, True]
    cause = await waiting
    assert "8 s" in cause.detail


async def test_plugin_is_asked_only_while_the_call_is_quiet(quick: None) -> None:
    """People who speak again while it was asked are recorded."""
    plugin = Plugin(True)
    watch = watch_over(plugin)
    look(watch, *[EMPTY] * 4)

    async def somebody_speaks() -> bool:
        look(watch, attrs.evolve(EMPTY, packets=99))
        plugin.asked += 1
        return True

    watch._is_off = somebody_speaks
    waiting = asyncio.create_task(watch.gone())
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    assert plugin.asked == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
