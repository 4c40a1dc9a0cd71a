"""The resource stack: started side by side, watched, restarted, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from recorder_fsm.errors import AudioError, CallError, DisplayError, RecorderError
from recorder_fsm.machine import resources as resources_module
from recorder_fsm.machine.lifecycle import Event, Resource
from recorder_fsm.machine.resources import ResourceStack, Spec, Watch
from tests.fakes import FakeResource, at_once, for_ever, left, raising, setting, waiting

DISPLAY, AUDIO, DRIVER, BROWSER = Resource.DISPLAY, Resource.AUDIO, Resource.DRIVER, Resource.BROWSER


class Held:
    """A stack over fakes, with what was reported of them."""

    def __init__(self, watches: Mapping[Resource, Sequence[Watch]] | None = None) -> None:
        self.ledger: list[str] = []
        resources = (DISPLAY, AUDIO, DRIVER, BROWSER)
        self.fakes = {resource: FakeResource(resource.value, self.ledger) for resource in resources}
        self.happened: asyncio.Queue[tuple[Event, RecorderError | None]] = asyncio.Queue()
        self.resources = ResourceStack(
            {resource: self._spec(fake, (watches or {}).get(resource, ())) for resource, fake in self.fakes.items()},
            lambda event, cause: self.happened.put_nowait((event, cause)),
        )

    @staticmethod
    def _spec(fake: FakeResource, watches: Sequence[Watch]) -> Spec:
        return Spec(lambda: fake, tuple(watches), {AUDIO: FakeResource.follow} if fake.name == "browser" else {})

    async def release(self) -> None:
        await self.resources.release(keep=())


async def test_resources_start_side_by_side() -> None:
    """Each waits here for the other to have begun: one after the other, they would never be up."""
    held = Held()
    display, audio = asyncio.Event(), asyncio.Event()

    async def start_display() -> None:
        display.set()
        await audio.wait()

    async def start_audio() -> None:
        audio.set()
        await display.wait()

    held.fakes[DISPLAY].enter, held.fakes[AUDIO].enter = start_display, start_audio
    async with asyncio.timeout(5):
        await held.resources.start((DISPLAY, AUDIO))
    assert held.resources[DISPLAY] is held.fakes[DISPLAY]
    assert AUDIO in held.resources
    assert BROWSER not in held.resources


async def test_slower_resource_is_still_released_in_the_order_given() -> None:
    """Newest first means the order of the table, not the order in which resources happened to get ready."""
    held = Held()
    audio_up = asyncio.Event()
    held.fakes[AUDIO].enter, held.fakes[DISPLAY].enter = setting(audio_up), waiting(audio_up)
    await held.resources.start((DISPLAY, AUDIO))
    assert held.ledger[-1] == "display entered"
    await held.release()
    assert left(held.ledger) == ["audio", "display"]


async def test_real_failure_is_raised_not_the_cancellation_it_caused() -> None:
    """The one that failed is the cause; the other is cancelled half way, cleans up, and is not held."""
    held = Held()
    held.fakes[DISPLAY].enter, held.fakes[AUDIO].enter = for_ever, raising(AudioError(detail="no"))
    with pytest.raises(AudioError):
        await held.resources.start((DISPLAY, AUDIO))
    assert "display cleaned" in held.ledger
    assert DISPLAY not in held.resources
    await held.release()
    assert left(held.ledger) == []


async def test_resource_that_is_up_when_another_fails_stays_held_until_released() -> None:
    """Failing to start one is no reason to forget the one that did."""
    held = Held()
    display_up = asyncio.Event()

    async def fail() -> None:
        await display_up.wait()
        raise AudioError

    held.fakes[DISPLAY].enter, held.fakes[AUDIO].enter = setting(display_up), fail
    with pytest.raises(AudioError):
        await held.resources.start((DISPLAY, AUDIO))
    assert DISPLAY in held.resources
    await held.release()
    assert left(held.ledger) == ["display"]


async def test_cancelled_start_waits_for_the_cleanup() -> None:
    """Who cancels gets control back only when nothing is half up any more."""
    held = Held()
    starting, cleaned = asyncio.Event(), asyncio.Event()

    async def start() -> None:
        starting.set()
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    held.fakes[BROWSER].enter = start
    starting_up = asyncio.create_task(held.resources.start((BROWSER,)))
    await starting.wait()
    starting_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting_up
    assert cleaned.is_set()
    assert BROWSER not in held.resources


async def test_release_twice_stops_once() -> None:
    """Asking again neither stops twice nor forgets the first."""
    held = Held()
    await held.resources.start((DISPLAY,))
    first = held.resources.release(keep=())
    await held.release()
    assert first.done()
    assert left(held.ledger) == ["display"]


async def test_release_keeps_what_it_is_told_to_keep() -> None:
    """The others are stopped for the fault that is given, and see it as the error of their context."""
    held = Held()
    await held.resources.start((DISPLAY, AUDIO, DRIVER))
    fault = DisplayError(detail="why")
    await held.resources.release(keep=(AUDIO,), because=fault)
    assert left(held.ledger) == ["driver", "display"]
    assert held.fakes[DISPLAY].left_for == [fault]
    assert AUDIO in held.resources


async def test_resource_waits_for_what_it_stands_on() -> None:
    """The browser, asked for together with display, audio and driver, starts when these are up."""
    held = Held()
    await held.resources.start((BROWSER, DISPLAY, AUDIO, DRIVER))
    begin = held.ledger.index("browser starting")
    assert {"display entered", "audio entered", "driver entered"} == set(held.ledger[:begin]) - {
        *("display starting", "audio starting", "driver starting"),
    }


async def test_resource_whose_foundation_fails_is_never_started() -> None:
    """The foundation's failure is the cause."""
    held = Held()
    held.fakes[AUDIO].enter = raising(AudioError(detail="no"))
    with pytest.raises(AudioError):
        await held.resources.start((BROWSER, DISPLAY, AUDIO, DRIVER))
    assert "browser starting" not in held.ledger
    await held.release()


async def test_what_is_held_already_is_not_started_again() -> None:
    """`start` starts what is missing."""
    held = Held()
    await held.resources.start((DISPLAY,))
    await held.resources.start((DISPLAY, AUDIO))
    assert held.ledger.count("display starting") == 1
    await held.release()


async def test_restart_leaves_and_enters_one_and_lets_those_above_follow() -> None:
    """The others stay as they are; the watch of the old one is gone, the new one is watched."""
    held = Held({AUDIO: [Watch(FakeResource.lost, Event.AUDIO_LOST)]})
    await held.resources.start((DISPLAY, AUDIO, DRIVER, BROWSER))
    begin = len(held.ledger)
    await held.resources.restart(AUDIO)
    assert held.ledger[begin:] == ["audio left", "audio starting", "audio entered", "browser follows"]
    cause = AudioError(detail="again")
    held.fakes[AUDIO].lose(cause)
    assert await held.happened.get() == (Event.AUDIO_LOST, cause)
    assert held.happened.empty()
    await held.release()


async def test_failed_restart_leaves_the_resource_out() -> None:
    """Its failure is raised, the others are still held, and a later restart may succeed."""
    held = Held()
    await held.resources.start((DISPLAY, AUDIO))
    held.fakes[AUDIO].enter = raising(AudioError(detail="no"))
    with pytest.raises(AudioError):
        await held.resources.restart(AUDIO)
    assert AUDIO not in held.resources
    assert DISPLAY in held.resources
    held.fakes[AUDIO].enter = at_once
    await held.resources.restart(AUDIO)
    assert AUDIO in held.resources
    await held.release()


async def test_release_of_nothing_is_fine() -> None:
    """A job that never got anything has nothing to give back."""
    held = Held()
    await held.release()
    assert held.ledger == []


async def test_watch_tells_what_happened_with_its_cause() -> None:
    """The end of a watch is the watch's event."""
    held = Held({DISPLAY: [Watch(FakeResource.lost, Event.DISPLAY_LOST)]})
    await held.resources.start((DISPLAY,))
    cause = DisplayError(detail="killed")
    held.fakes[DISPLAY].lose(cause)
    assert await held.happened.get() == (Event.DISPLAY_LOST, cause)


@pytest.mark.parametrize(
    ("cause", "event"), [(None, Event.CALL_ENDED), (CallError(detail="rtc"), Event.CALL_LOST)], ids=["clean", "fault"]
)
async def test_watch_with_a_fault_tells_a_clean_end_from_a_loss(cause: RecorderError | None, event: Event) -> None:
    """Without a cause the call ended; with one it was lost."""
    held = Held({BROWSER: [Watch(FakeResource.lost, Event.CALL_ENDED, fault=Event.CALL_LOST)]})
    await held.resources.start((BROWSER,))
    held.fakes[BROWSER].lose(cause)
    assert await held.happened.get() == (event, cause)


async def test_watch_that_breaks_is_a_fault_too(log: list[str]) -> None:
    """A detector that fails must not leave the resource unwatched in silence."""

    async def broken(_: FakeResource) -> RecorderError | None:
        raise OSError("too many open files")

    held = Held({BROWSER: [Watch(broken, Event.CALL_ENDED, fault=Event.CALL_LOST)]})
    await held.resources.start((BROWSER,))
    event, cause = await held.happened.get()
    assert event is Event.CALL_LOST
    assert cause is not None
    assert "OSError: too many open files" in cause.detail
    assert any(line.startswith("ERROR") for line in log)


async def test_all_watches_of_a_resource_watch() -> None:
    """Each of two watches of one resource is heard."""
    gone = asyncio.Event()

    async def other(_: FakeResource) -> RecorderError | None:
        await gone.wait()
        return None

    held = Held({BROWSER: [Watch(FakeResource.lost, Event.BROWSER_LOST), Watch(other, Event.CALL_ENDED)]})
    await held.resources.start((BROWSER,))
    gone.set()
    assert await held.happened.get() == (Event.CALL_ENDED, None)
    held.fakes[BROWSER].lose(None)
    assert await held.happened.get() == (Event.BROWSER_LOST, None)


async def test_watch_ends_before_its_resource_is_left() -> None:
    """An end that we ask for ourselves is no loss."""
    held = Held({DISPLAY: [Watch(FakeResource.lost, Event.DISPLAY_LOST)]})
    await held.resources.start((DISPLAY,))

    async def leave() -> None:
        held.fakes[DISPLAY].lose(DisplayError(detail="ended"))
        await asyncio.sleep(0.01)

    held.fakes[DISPLAY].leave = leave
    await held.release()
    assert held.happened.empty()


async def test_slow_release_is_named_and_given_up(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says which resource hung, and the next one is released."""
    monkeypatch.setattr(resources_module, "RELEASE_LIMIT_S", 0.05)
    held = Held()
    await held.resources.start((DISPLAY, AUDIO))
    held.fakes[AUDIO].leave = for_ever
    await held.release()
    assert left(held.ledger) == ["audio", "display"]
    assert any(line.startswith("WARNING the audio was not stopped") for line in log)


async def test_failed_release_is_logged_with_its_reason(log: list[str]) -> None:
    """The log has the exception."""
    held = Held()
    await held.resources.start((DISPLAY,))
    held.fakes[DISPLAY].leave = raising(OSError("device busy"))
    await held.release()
    assert any("stopping the display failed" in line and "device busy" in line for line in log)
