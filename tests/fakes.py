"""Fakes of what the runner is given: resources that note who came and went, steps that follow a script, a tab."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import attrs

from recorder_fsm.browser.page_answer import Answer
from recorder_fsm.errors import RecorderError
from recorder_fsm.machine.lifecycle import (
    STATES,
    TRANSITIONS,
    Audience,
    Budget,
    Change,
    Event,
    Lifecycle,
    Resource,
    State,
    StatePolicy,
    Transition,
)
from recorder_fsm.machine.resources import Spec, Watch
from recorder_fsm.machine.runner import Ahead, Happened, Outcome, Runner, Step
from recorder_fsm.system.signals import StopRequest

FORWARD = {
    State.INIT: Event.DISPLAY_READY,
    State.DISPLAY_UP: Event.CALL_JOINED,
    State.BROWSER_JOINED: Event.CAPTURE_STARTED,
    State.RECORDING: Event.CALL_ENDED,
    State.STOPPING: Event.FILE_READY,
    State.UPLOADING: Event.PUBLISHED,
}
LOSSES = {
    Resource.DISPLAY: Event.DISPLAY_LOST,
    Resource.AUDIO: Event.AUDIO_LOST,
    Resource.DRIVER: Event.DRIVER_LOST,
    Resource.BROWSER: Event.BROWSER_LOST,
    Resource.CAPTURE: Event.CAPTURE_LOST,
}

Behaviour = Callable[[], Awaitable[None]]
Script = Callable[[Ahead], Awaitable[Happened | None]]


async def for_ever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


def raising(error: BaseException) -> Behaviour:
    """Return a behaviour that fails."""

    async def fail() -> None:
        raise error

    return fail


def setting(event: asyncio.Event) -> Behaviour:
    """Return a behaviour that sets `event`."""

    async def behave() -> None:
        event.set()

    return behave


def waiting(event: asyncio.Event) -> Behaviour:
    """Return a behaviour that lasts until `event` is set."""

    async def behave() -> None:
        await event.wait()

    return behave


async def at_once() -> None:
    """Do nothing."""


class FakeResource:
    """A resource that writes `name entered`, `name left`, or `name cleaned` (after a start cut short) into `ledger`.

    It can be entered again. `left_for` are the errors with which it was left.
    """

    def __init__(self, name: str, ledger: list[str], *, enter: Behaviour = at_once, leave: Behaviour = at_once) -> None:
        self.name = name
        self.ledger = ledger
        self.enter = enter
        self.leave = leave
        self.left_for: list[BaseException | None] = []
        self.follows: Behaviour = at_once
        self.lost_to: asyncio.Future[RecorderError | None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self.ledger.append(f"{self.name} starting")
        self.lost_to = asyncio.get_running_loop().create_future()
        try:
            await self.enter()
        except BaseException:
            self.ledger.append(f"{self.name} cleaned")
            raise
        self.ledger.append(f"{self.name} entered")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.append(f"{self.name} left")
        self.left_for.append(error)
        await self.leave()

    async def lost(self) -> RecorderError | None:
        return await asyncio.shield(self.lost_to)

    async def follow(self) -> None:
        """Go on after a resource below was restarted."""
        self.ledger.append(f"{self.name} follows")
        await self.follows()

    def lose(self, cause: RecorderError | None = None) -> None:
        self.lost_to.set_result(cause)


def left(ledger: Sequence[str]) -> list[str]:
    """Return who was left, in order."""
    return [line.removesuffix(" left") for line in ledger if line.endswith(" left")]


def entered(ledger: Sequence[str]) -> list[str]:
    """Return who was entered, in the order in which resources stand on each other."""
    who = {line.removesuffix(" entered") for line in ledger if line.endswith(" entered")}
    return [resource.value for resource in Resource if resource.value in who]


class FakeSteps:
    """Steps that start what lies ahead, then do as `script` says, then return the event of the usual way."""

    def __init__(self, ledger: list[str]) -> None:
        self.ledger = ledger
        self.script: dict[State, Script] = {}
        self.reached: defaultdict[State, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when the step of a state has started what lies ahead and begins with its script."""
        self.found: Event | None = None
        """What the step of `init` finds instead of starting something."""

    def by_state(self) -> Mapping[State, Step]:
        def step_of(state: State) -> Step:
            async def step(ahead: Ahead) -> Happened:
                return await self._take(state, ahead)

            return step

        return {state: step_of(state) for state in FORWARD}

    async def _take(self, state: State, ahead: Ahead) -> Happened:
        self.ledger.append(f"step {state.value}")
        if state is State.INIT and self.found is not None:
            return Happened(self.found)
        await ahead.start()
        self.reached[state].set()
        if scripted := self.script.get(state):
            return await scripted(ahead) or Happened(FORWARD[state])
        return Happened(FORWARD[state])


class FakeJob:
    """A job of fakes, all within reach: run it, push it, look at its ledger and its changes.

    `states` and `transitions` replace the tables; `limits_s` the limits of single states. `announced`: whether people
    may know of the recording.
    """

    def __init__(
        self,
        states: Mapping[State, StatePolicy] = STATES,
        transitions: Sequence[Transition] = TRANSITIONS,
        limits_s: Mapping[State, float] | None = None,
        explain: Callable[[RecorderError], RecorderError] = lambda cause: cause,
    ) -> None:
        self.ledger: list[str] = []
        self.moves: list[tuple[str, str]] = []
        self.changes: list[Change] = []
        self.told: list[tuple[Audience, str]] = []
        self.telling: Behaviour = at_once
        self.announced = True
        self.left_s = dict.fromkeys(Budget, math.inf)
        self.resources = {resource: FakeResource(resource.value, self.ledger) for resource in Resource}
        self.steps = FakeSteps(self.ledger)
        self.stop = StopRequest()
        self.lifecycle = Lifecycle(lambda: self.announced, transitions)
        self.lifecycle.listen(self._changed)
        limits = limits_s or {}
        self.runner = Runner(
            self.lifecycle,
            self.steps.by_state(),
            {resource: self._spec(fake) for resource, fake in self.resources.items()},
            self.stop,
            tell=self._tell,
            budgets={budget: lambda budget=budget: self.left_s[budget] for budget in Budget},  # type: ignore[misc]
            explain=explain,
            states={
                state: attrs.evolve(policy, limit_s=limits.get(state, policy.limit_s))
                for state, policy in states.items()
            },
        )

    def _spec(self, fake: FakeResource) -> Spec:
        resource = Resource(fake.name)
        watches = (Watch(FakeResource.lost, LOSSES[resource]),)
        below = [other for other in Resource if other is not resource]
        return Spec(lambda: fake, watches, dict.fromkeys(below, FakeResource.follow))

    async def run(self) -> Outcome:
        async with asyncio.timeout(20):
            return await self.runner.run()

    async def run_until(self, state: State, then: Callable[[], object]) -> Outcome:
        """Run; when the step of `state` is at its script, do `then`."""
        running = asyncio.create_task(self.run())
        try:
            reached = asyncio.create_task(self.steps.reached[state].wait())
            await asyncio.wait({running, reached}, return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            then()
            return await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    def hang_in(self, state: State, times: int = 1_000) -> None:
        """Let the step of `state` never end by itself, the first `times` times that it is run."""

        async def hang(_: Ahead) -> Happened | None:
            nonlocal times
            times -= 1
            if times >= 0:
                await for_ever()
            return None

        self.steps.script[state] = hang

    def fail_in(self, state: State, error: Exception) -> None:
        """Let the step of `state` fail, with its resources up."""

        async def fail(_: Ahead) -> Happened | None:
            raise error

        self.steps.script[state] = fail

    def assert_given_back_newest_first(self) -> None:
        """All that was entered was left as often, at the end in the reverse order of standing on each other."""
        # The driver is let go while the recording goes on.
        free = {"driver"} if ("capture_started", "recording") in self.moves else set()
        everyone = [one for one in entered(self.ledger) if one not in free]
        assert sorted(left(self.ledger)) == sorted(
            line.removesuffix(" entered") for line in self.ledger if line.endswith(" entered")
        )
        assert [one for one in left(self.ledger) if one not in free][-len(everyone) :] == everyone[::-1] or not everyone

    async def _tell(self, audience: Audience, sentence: str) -> None:
        self.told.append((audience, sentence))
        await self.telling()
        self.ledger.append("told")

    def _changed(self, change: Change) -> None:
        self.changes.append(change)
        self.moves.append((change.transition.event.value, change.transition.target.value))


@attrs.define
class FakeLoading:
    """What a page is said to be loading; a test sets it."""

    pending: bool = False
    trouble: str = ""
    moves: int = 0
    led_to: str = ""
    ended: bool = False

    def end(self) -> None:
        self.ended = True


class FakeTab:
    """A page without a browser. `probes` is what the hook answers, the last for ever; `answers` what loading gives.

    An exception in either is raised; a probe of None stands for a page that is still loading; a number among the
    answers for an answer with that status. `keeps`: the page has just made its client when it is to be loaded again.
    """

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.answers: list[int | Answer | Exception] = [200]
        self.probes: list[Any] = [None]
        self.evaluated: list[str] = []
        self.on_load: Callable[[], object] = lambda: None
        self.hangs = False
        self.keeps = False
        self.loading = FakeLoading()

    async def load(self, url: str, limit_s: float) -> Answer:
        assert limit_s > 0
        self.loaded.append(url)
        self.on_load()
        answer = self.answers[min(len(self.loaded), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer) if isinstance(answer, int) else answer

    async def screenshot(self) -> str:
        return "picture"

    async def evaluate(self, expression: str) -> Any:
        self.evaluated.append(expression)
        if self.hangs:
            await for_ever()
        if "abandon" in expression:
            return not self.keeps
        if "probe" not in expression:
            return True
        value = self.probes.pop(0) if len(self.probes) > 1 else self.probes[0]
        if isinstance(value, Exception):
            raise value
        return value
