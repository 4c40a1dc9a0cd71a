"""What a check finds out, and how checks are run: side by side, each with its limit. One that fails is a finding."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from recorder_fsm.doctor.wishes import Wishes
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import RecorderError
from recorder_fsm.plain_text import plain
from recorder_fsm.terminal.screen import Mark

VALUE_CHARS = 300
DEFECT = "This is a defect of the doctor: please report it."
CURE_OF_SILENCE = "The machine may be too busy, or a volume or the network does not answer."
CLOSED = "Let this user read it: a job looks at it as well."


def _shown(text: str) -> str:
    return plain(text, VALUE_CHARS)


@attrs.frozen
class Finding:
    """One line: what was looked at, how it turned out, what was seen, what to do, and the numbers behind it."""

    name: str
    mark: Mark
    value: str = attrs.field(converter=_shown)
    cure: str = attrs.field(default="", converter=_shown)
    data: Mapping[str, Any] = attrs.Factory(dict)


Findings = Sequence[Finding]


class Page(Protocol):
    """What is asked of a page in the browser."""

    async def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript; raises `BrowserError` where the page has gone."""


@attrs.frozen
class Machine:
    """Where the checks look, so that a test can show them another machine.

    `environment` is the process's own; `runtime` a directory for temporary files, which is removed in the end.
    """

    environment: Mapping[str, str]
    wishes: Wishes
    runtime: Path
    proc: Path = Path("/proc")
    shared_memory: Path = Path("/dev/shm")  # noqa: S108 - looked at only
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
    clock: Callable[[], float] = time.time
    capture_s: float = 5.0

    @property
    def available_bytes(self) -> int:
        """The memory that programs can still have, as the kernel estimates it."""
        fields = dict(line.split(":", 1) for line in (self.proc / "meminfo").read_text().splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024


@attrs.frozen
class Check:
    """One check, or several that need each other: its group and name, what looks, and how long it may take."""

    group: str
    name: str
    look: Callable[[Machine], Awaitable[Findings]]
    limit_s: float = 8.0


async def run_checks(checks: Sequence[Check], machine: Machine) -> AsyncGenerator[tuple[Check, Findings]]:
    """Run all at once; yields each with its findings, in their order. Never raises; who stops iterating ends them."""
    tasks = [asyncio.create_task(_guarded(check, machine), name=check.name) for check in checks]
    try:
        for check, task in zip(checks, tasks, strict=True):
            yield check, await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _guarded(check: Check, machine: Machine) -> Findings:
    try:
        async with asyncio.timeout(check.limit_s):
            return await check.look(machine)
    except TimeoutError:
        return [Finding(check.name, Mark.BAD, f"no answer within {check.limit_s:g} s", CURE_OF_SILENCE)]
    except RecorderError as error:
        return [Finding(check.name, Mark.BAD, str(error), advice(error.code), {"code": error.code})]
    except OSError as error:
        return [Finding(check.name, Mark.BAD, f"cannot be looked at: {error}", CLOSED)]
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one check, the others are worth having
        return [Finding(check.name, Mark.BAD, f"the check failed: {type(error).__name__}: {error}", DEFECT)]
