"""The resource stack: what a job holds. Starts, watches, restarts and stops resources; nobody else does.

Which of them and when is not decided here: `runner` asks for what the table of `lifecycle` says. A release that fails
or takes too long is logged, and the others still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import DeadlineError, RecorderError
from recorder_fsm.machine.lifecycle import RESTART_LIMIT_S, STANDS_ON, Event, Resource
from recorder_fsm.system.clock import running_timeout

RELEASE_LIMIT_S = 12.0
"""The longest that one resource may take to end; each has shorter limits of its own inside."""


@attrs.frozen
class Watch:
    """How a held resource is lost: `wait` returns the cause (None: no fault), and then `event` happened.

    Where `fault` is set, that event is meant when there is a cause.
    """

    wait: Callable[[Any], Awaitable[RecorderError | None]]
    event: Event
    fault: Event | None = None


@attrs.frozen
class Spec:
    """How one resource is made, how it is lost, and what it does after one that it stands on was restarted."""

    make: Callable[[], AbstractAsyncContextManager[Any]]
    watches: tuple[Watch, ...] = ()
    after_restart: Mapping[Resource, Callable[[Any], Awaitable[None]]] = attrs.Factory(dict)


@attrs.define
class _Held:
    manager: AbstractAsyncContextManager[Any]
    value: Any
    watchers: list[asyncio.Task[None]]


class ResourceStack:
    """The resources of one job. `report` gets the event and the cause when one is lost."""

    def __init__(self, specs: Mapping[Resource, Spec], report: Callable[[Event, RecorderError | None], None]) -> None:
        self._specs = specs
        self._report = report
        self._held: dict[Resource, _Held] = {}
        self._releasing: asyncio.Task[None] | None = None
        self._closed = False

    def __getitem__(self, resource: Resource) -> Any:
        return self._held[resource].value

    def __contains__(self, resource: Resource) -> bool:
        return resource in self._held

    async def start(self, wanted: Collection[Resource]) -> None:
        """Start those of `wanted` that are missing, each as soon as what it stands on is up.

        Raises the first failure once the others have been cancelled or started; what was started stays held.
        """
        missing = [resource for resource in wanted if resource not in self._held]
        tasks: dict[Resource, asyncio.Task[None]] = {}
        for resource in sorted(missing, key=list(Resource).index):
            below = [tasks[other] for other in STANDS_ON[resource] if other in tasks]
            tasks[resource] = asyncio.create_task(self._start(resource, below), name=f"start {resource.value}")
        if not tasks:
            return
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks.values():
                task.cancel()
            # A resource that is cancelled half way cleans up after itself, which takes its time.
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
            if self._closed:  # it took longer than the runner waits: all else has been given back
                await self._stop_all([resource for resource in reversed(Resource) if resource in self._held], None)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in sorted(failures, key=lambda error: isinstance(error, asyncio.CancelledError)):
            raise failure

    async def restart(self, resource: Resource, because: Exception | None = None) -> None:
        """Stop and start one resource while all others stay, and let those follow that stand on it.

        Raises the failure of the start, `DeadlineError` after `RESTART_LIMIT_S`; the resource is not held then.
        """
        try:
            async with running_timeout(RESTART_LIMIT_S):
                await self._stop(resource, because)
                await self._start(resource, [])
                for other, held in list(self._held.items()):
                    if follow := self._specs[other].after_restart.get(resource):
                        await follow(held.value)
        except TimeoutError as error:
            raise DeadlineError(
                f"The recorder's {resource.value} could not be restarted.",
                detail=f"no success within {RESTART_LIMIT_S:g} s",
                code=f"{resource.value}_restart",
            ) from error

    def release(self, keep: Collection[Resource], because: Exception | None = None) -> asyncio.Task[None]:
        """Begin to stop all that is not in `keep`, newest first; returns the task that does it.

        `because` is the fault for which they are stopped: each resource sees it as the error of its context.
        """
        # Not in the order of starting: one that was restarted is no newer than what stands on it.
        stopping = [resource for resource in reversed(Resource) if resource in self._held and resource not in keep]
        self._closed = not keep
        self._releasing = asyncio.create_task(self._stop_all(stopping, because, self._releasing), name="release")
        return self._releasing

    async def _start(self, resource: Resource, below: list[asyncio.Task[None]]) -> None:
        if below:
            await asyncio.gather(*below)
        manager = self._specs[resource].make()
        value = await manager.__aenter__()
        watchers = [
            asyncio.create_task(self._watch(watch, value), name=f"watch {resource.value}")
            for watch in self._specs[resource].watches
        ]
        self._held[resource] = _Held(manager, value, watchers)

    async def _watch(self, watch: Watch, value: Any) -> None:
        try:
            cause = await watch.wait(value)
        except Exception as error:  # noqa: BLE001 - what nobody watches any more must not pass for healthy
            logger.opt(exception=True).error("watching for {} failed", watch.event.value)
            cause = RecorderError(detail=f"{type(error).__name__}: {error}")
        self._report(watch.fault if cause is not None and watch.fault is not None else watch.event, cause)

    async def _stop_all(
        self, resources: list[Resource], because: Exception | None, after: asyncio.Task[None] | None = None
    ) -> None:
        if after is not None:
            await asyncio.wait({after})
        for resource in resources:
            await self._stop(resource, because)

    async def _stop(self, resource: Resource, because: Exception | None) -> None:
        held = self._held.pop(resource, None)
        if held is None:
            return
        for watcher in held.watchers:
            watcher.cancel()
        logger.debug("stopping the {}", resource.value)
        try:
            async with running_timeout(RELEASE_LIMIT_S):
                await held.manager.__aexit__(type(because) if because else None, because, None)
        except TimeoutError:
            logger.warning("the {} was not stopped within {:g} s", resource.value, RELEASE_LIMIT_S)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            logger.warning("stopping the {} was cut short from inside", resource.value)
        except Exception:  # noqa: BLE001 - whatever it is, the other resources must still be stopped
            logger.opt(exception=True).warning("stopping the {} failed", resource.value)
        finally:
            await asyncio.gather(*held.watchers, return_exceptions=True)
