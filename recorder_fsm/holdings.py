"""What a job holds: brings up the resources of a row, watches them, and gives them back newest first.

The only place where a resource is entered or left. A release that fails or takes too long is logged, and the others
still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import RecorderError
from recorder_fsm.lifecycle import Event, Resource

RELEASE_LIMIT_S = 12.0
"""The longest that one resource may take to end; each has shorter limits of its own inside."""

Factory = Callable[[], AbstractAsyncContextManager[Any]]


@attrs.frozen
class Watch:
    """What can happen to a held resource: `wait` returns the cause (None: no fault), and then `event` happened.

    Where `fault` is set, that event is meant when there is a cause.
    """

    wait: Callable[[Any], Awaitable[RecorderError | None]]
    event: Event
    fault: Event | None = None


class Holdings:
    """The resources of one job, by name."""

    def __init__(
        self,
        factories: Mapping[Resource, Factory],
        watches: Mapping[Resource, Sequence[Watch]],
        happened: Callable[[Event, RecorderError | None], None],
    ) -> None:
        self._factories = factories
        self._watches = watches
        self.happened = happened
        self._stack = AsyncExitStack()
        self._held: dict[Resource, Any] = {}
        self._watchers: dict[Resource, list[asyncio.Task[None]]] = {}
        self.releasing: asyncio.Task[None] | None = None

    def __getitem__(self, resource: Resource) -> Any:
        return self._held[resource]

    def __contains__(self, resource: Resource) -> bool:
        return resource in self._held

    async def bring_up(self, resources: Sequence[Resource]) -> None:
        """Enter `resources` side by side; raises the first failure once the others have been cancelled or entered.

        What was entered stays held, in the order given, until it is released.
        """
        managers = {resource: self._factories[resource]() for resource in resources}
        tasks = {
            resource: asyncio.create_task(manager.__aenter__(), name=f"bring up {resource.value}")
            for resource, manager in managers.items()
        }
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks.values():
                task.cancel()
            # A resource that is cancelled half way cleans up after itself, which takes its time.
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
            for resource, result in zip(tasks, results, strict=True):
                if not isinstance(result, BaseException):
                    self._hold(resource, managers[resource], result)
            if self.releasing is not None:  # it took longer than the loop waits: all else has been given back
                await self._stack.pop_all().aclose()
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in sorted(failures, key=lambda error: isinstance(error, asyncio.CancelledError)):
            raise failure

    def release_all(self) -> asyncio.Task[None]:
        """Start giving everything back, newest first; returns the task that does it (always the same one)."""
        if self.releasing is None:
            stack = self._stack.pop_all()
            self.releasing = asyncio.create_task(stack.aclose(), name="release")
        return self.releasing

    def _hold(self, resource: Resource, manager: AbstractAsyncContextManager[Any], held: Any) -> None:
        self._held[resource] = held
        self._stack.push_async_callback(self._release, resource, manager)
        self._watchers[resource] = [
            asyncio.create_task(self._watch(watch, held), name=f"watch {resource.value}")
            for watch in self._watches.get(resource, ())
        ]

    async def _watch(self, watch: Watch, held: Any) -> None:
        try:
            cause = await watch.wait(held)
        except Exception as error:  # noqa: BLE001 - what nobody watches any more must not pass for healthy
            logger.opt(exception=True).error("watching for {} failed", watch.event.value)
            cause = RecorderError(detail=f"{type(error).__name__}: {error}")
        self.happened(watch.fault if cause is not None and watch.fault is not None else watch.event, cause)

    async def _release(self, resource: Resource, manager: AbstractAsyncContextManager[Any]) -> None:
        for watcher in self._watchers.pop(resource, ()):
            watcher.cancel()
        logger.debug("releasing the {}", resource.value)
        try:
            async with asyncio.timeout(RELEASE_LIMIT_S):
                await manager.__aexit__(None, None, None)
        except TimeoutError:
            logger.warning("the {} was not released within {:g} s", resource.value, RELEASE_LIMIT_S)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            logger.warning("releasing the {} was cut short from inside", resource.value)
        except Exception:  # noqa: BLE001 - whatever it is, the other resources must still be released
            logger.opt(exception=True).warning("releasing the {} failed", resource.value)
