"""What a job holds: side by side up, watched, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from recorder_fsm.errors import AudioError, CallError, DisplayError, RecorderError
from recorder_fsm.machine import resources as resources_module
from recorder_fsm.machine.lifecycle import Event, Resource
from recorder_fsm.machine.resources import ResourceStack, Watch
from tests.fakes import FakeResource, for_ever, left, raising, setting, waiting

DISPLAY, SOUND, BROWSER = Resource.DISPLAY, Resource.AUDIO, Resource.BROWSER


class Held:
    """ResourceStack over fakes, with what happened to them."""

    def __init__(self, watches: Mapping[Resource, Sequence[Watch]] | None = None) -> None:
        self.ledger: list[str] = []
        self.fakes = {resource: FakeResource(resource.value, self.ledger) for resource in (DISPLAY, SOUND, BROWSER)}
        self.happened: asyncio.Queue[tuple[Event, RecorderError | None]] = asyncio.Queue()
        self.resources = ResourceStack(
            {resource: lambda fake=fake: fake for resource, fake in self.fakes.items()},  # type: ignore[misc]
            watches or {},
            lambda event, cause: self.happened.put_nowait((event, cause)),
        )


async def test_resources_start_side_by_side() -> None:
    """Each waits here for the other to have begun: one after the other, they would never be up."""
    held = Held()
    display, sound = asyncio.Event(), asyncio.Event()

    async def start_display() -> None:
        display.set()
        await sound.wait()

    async def start_sound() -> None:
        sound.set()
        await display.wait()

    held.fakes[DISPLAY].enter, held.fakes[SOUND].enter = start_display, start_sound
    async with asyncio.timeout(5):
        await held.resources.bring_up((DISPLAY, SOUND))
    assert held.resources[DISPLAY] is held.fakes[DISPLAY]
    assert SOUND in held.resources
    assert BROWSER not in held.resources


async def test_slower_resource_is_still_released_in_the_order_given() -> None:
    """Newest first means the order of the table, not the order in which resources happened to get ready."""
    held = Held()
    sound_up = asyncio.Event()
    held.fakes[SOUND].enter, held.fakes[DISPLAY].enter = setting(sound_up), waiting(sound_up)
    await held.resources.bring_up((DISPLAY, SOUND))
    assert held.ledger[-1] == "display entered"
    await held.resources.release_all()
    assert left(held.ledger) == ["sound", "display"]


async def test_real_failure_is_raised_not_the_cancellation_it_caused() -> None:
    """The one that failed is the cause; the other is cancelled half way, cleans up, and is not held."""
    held = Held()
    held.fakes[DISPLAY].enter, held.fakes[SOUND].enter = for_ever, raising(AudioError(detail="no"))
    with pytest.raises(AudioError):
        await held.resources.bring_up((DISPLAY, SOUND))
    assert "display cleaned" in held.ledger
    assert DISPLAY not in held.resources
    await held.resources.release_all()
    assert left(held.ledger) == []


async def test_resource_that_is_up_when_another_fails_stays_held_until_released() -> None:
    """Failing to start one is no reason to forget the one that did."""
    held = Held()
    display_up = asyncio.Event()

    async def fail() -> None:
        await display_up.wait()
        raise AudioError

    held.fakes[DISPLAY].enter, held.fakes[SOUND].enter = setting(display_up), fail
    with pytest.raises(AudioError):
        await held.resources.bring_up((DISPLAY, SOUND))
    assert DISPLAY in held.resources
    await held.resources.release_all()
    assert left(held.ledger) == ["display"]


async def test_cancelled_bring_up_waits_for_the_cleanup() -> None:
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
    bring_up = asyncio.create_task(held.resources.bring_up((BROWSER,)))
    await starting.wait()
    bring_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bring_up
    assert cleaned.is_set()
    assert BROWSER not in held.resources


async def test_release_happens_once_and_is_always_the_same_task() -> None:
    """Asking twice neither releases twice nor forgets the first."""
    held = Held()
    await held.resources.bring_up((DISPLAY,))
    first = held.resources.release_all()
    assert held.resources.release_all() is first
    await first
    assert left(held.ledger) == ["display"]


async def test_release_of_nothing_is_fine() -> None:
    """A job that never got anything has nothing to give back."""
    held = Held()
    await held.resources.release_all()
    assert held.ledger == []


async def test_watch_tells_what_happened_with_its_cause() -> None:
    """The end of a watch is the watch's event."""
    held = Held({DISPLAY: [Watch(FakeResource.lost, Event.DISPLAY_LOST)]})
    await held.resources.bring_up((DISPLAY,))
    cause = DisplayError(detail="killed")
    held.fakes[DISPLAY].lose(cause)
    assert await held.happened.get() == (Event.DISPLAY_LOST, cause)


@pytest.mark.parametrize(
    ("cause", "event"), [(None, Event.CALL_ENDED), (CallError(detail="rtc"), Event.CALL_LOST)], ids=["clean", "fault"]
)
async def test_watch_with_a_fault_tells_a_clean_end_from_a_loss(cause: RecorderError | None, event: Event) -> None:
    """Without a cause the call ended; with one it was lost."""
    held = Held({BROWSER: [Watch(FakeResource.lost, Event.CALL_ENDED, fault=Event.CALL_LOST)]})
    await held.resources.bring_up((BROWSER,))
    held.fakes[BROWSER].lose(cause)
    assert await held.happened.get() == (event, cause)


async def test_watch_that_breaks_is_a_fault_too(log: list[str]) -> None:
    """A detector that fails must not leave the resource unwatched in silence."""

    async def broken(_: FakeResource) -> RecorderError | None:
        raise OSError("too many open files")

    held = Held({BROWSER: [Watch(broken, Event.CALL_ENDED, fault=Event.CALL_LOST)]})
    await held.resources.bring_up((BROWSER,))
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
    await held.resources.bring_up((BROWSER,))
    gone.set()
    assert await held.happened.get() == (Event.CALL_ENDED, None)
    held.fakes[BROWSER].lose(None)
    assert await held.happened.get() == (Event.BROWSER_LOST, None)


async def test_watch_ends_before_its_resource_is_left() -> None:
    """An end that we ask for ourselves is no loss."""
    held = Held({DISPLAY: [Watch(FakeResource.lost, Event.DISPLAY_LOST)]})
    await held.resources.bring_up((DISPLAY,))

    async def leave() -> None:
        held.fakes[DISPLAY].lose(DisplayError(detail="ended"))
        await asyncio.sleep(0.01)

    held.fakes[DISPLAY].leave = leave
    await held.resources.release_all()
    assert held.happened.empty()


async def test_slow_release_is_named_and_given_up(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says which resource hung, and the next one is released."""
    monkeypatch.setattr(resources_module, "RELEASE_LIMIT_S", 0.05)
    held = Held()
    await held.resources.bring_up((DISPLAY, SOUND))
    held.fakes[SOUND].leave = for_ever
    await held.resources.release_all()
    assert left(held.ledger) == ["sound", "display"]
    assert any(line.startswith("WARNING the sound was not released") for line in log)


async def test_failed_release_is_logged_with_its_reason(log: list[str]) -> None:
    """The log has the exception."""
    held = Held()
    await held.resources.bring_up((DISPLAY,))
    held.fakes[DISPLAY].leave = raising(OSError("device busy"))
    await held.resources.release_all()
    assert any("releasing the display failed" in line and "device busy" in line for line in log)


async def test_unknown_factory_starts_nothing() -> None:
    """A resource without a factory is a defect that shows before anything is up."""
    held = Held()
    with pytest.raises(KeyError):
        await held.resources.bring_up((DISPLAY, Resource.CAPTURE))
    assert held.ledger == []
