"""The examination: all checks, in the order in which they are shown, and what they share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from pathlib import Path

from loguru import logger

from recorder_fsm.doctor import host, programs, sandbox, server, stage
from recorder_fsm.doctor.findings import Check, Finding, Findings, Machine, run_checks
from recorder_fsm.doctor.wishes import Wishes
from recorder_fsm.errors import DirectoryError
from recorder_fsm.storage.places import Places
from recorder_fsm.storage.runtime_dir import RuntimeDirectory
from recorder_fsm.system.process_table import kill_descendants
from recorder_fsm.terminal.screen import Mark

STAGE_LIMIT_S = 18.0


def all_checks(*, with_capture: bool) -> Sequence[Check]:
    """Return every check there is."""
    return (
        Check("settings", "settings", host.settings),
        Check("host", "processor", host.cpu),
        Check("host", "memory", host.memory),
        Check("host", "processes", host.processes),
        Check("host", "limits", host.limits),
        Check("host", "shared memory", host.shared_memory),
        Check("host", "disk", host.disk),
        Check("programs", "programs", programs.programs, limit_s=10.0),
        Check("sandbox", "user", sandbox.user),
        Check("sandbox", "user namespaces", sandbox.namespaces),
        Check("sandbox", "system calls", sandbox.system_calls),
        Check("server", "server", server.server, limit_s=15.0),
        Check("capture", "capture", partial(stage.look, with_capture=with_capture), limit_s=STAGE_LIMIT_S),
    )


async def examine(environment: Mapping[str, str], *, with_capture: bool) -> AsyncGenerator[tuple[str, Findings]]:
    """Run every check; yields the name of each group with findings, in order. Leaves no file and no process."""
    logger.remove()  # what the parts of a job have to say is for a job's log
    wishes = Wishes.of(environment)
    checks = all_checks(with_capture=with_capture)
    try:
        runtime = RuntimeDirectory.make(Places.of(environment, Path(wishes.values["data_dir"])), spacious=True)
    except (DirectoryError, OSError) as error:
        trouble = Finding(
            "temporary files", Mark.BAD, str(error), "In a container with a read-only root: --tmpfs /tmp."
        )
        yield "host", [trouble]
        return
    try:
        machine = Machine(environment, wishes, runtime.path)
        async with contextlib.aclosing(run_checks(checks, machine)) as results:
            async for check, findings in results:
                yield check.group, findings
    finally:
        spared = [runtime.guard_pid] if runtime.guard_pid is not None else []
        kill_descendants(spared)
        runtime.remove()
