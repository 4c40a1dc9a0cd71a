"""The command: a program of the administrator's that runs when a job ends, with the message on its standard input.

It is a child like any other: it dies with the recorder, and is killed with all that it started when its time is over.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from recorder_fsm.errors import ProgramError
from recorder_fsm.hooks.message import Message
from recorder_fsm.hooks.patience import Left, within
from recorder_fsm.plain_text import plain
from recorder_fsm.system import exposure
from recorder_fsm.system.clock import running_timeout
from recorder_fsm.system.process import ChildProcess, describe_exit
from recorder_fsm.system.threads import in_daemon_thread

NAME = "ON_END"
ASKED_S = 1.0
"""Between asking it to end and killing it."""
LOOK_LIMIT_S = 1.0
"""For a look at the folder."""
MOST_LINES = 200
LINE_CHARS = 500


async def run_command(
    argv: Sequence[str], message: Message, *, folder: Path, env: Mapping[str, str], left_s: Left
) -> str:
    """Run the program in `folder` until it ends, or nothing is left of `left_s()`; returns what went wrong, or "".

    Never raises. Its output goes into the log, as far as that is of use.
    """
    output = _Output()
    try:
        with _as_file(message.body) as stdin:
            child = await ChildProcess.spawn(
                NAME, argv, env=env, stdin=stdin, cwd=await _place(folder), on_line=output.take
            )
        try:
            code = await within(left_s, child.wait())
        except TimeoutError:
            return "it took too long and was killed, with all that it had started"
        finally:
            await child.drained()
            await child.stop(wait_s=ASKED_S)
            output.end()
    except ProgramError as error:
        return error.detail.partition("; on Debian")[0]
    except Exception as error:  # noqa: BLE001 - whatever it is, the recording is safe, and the job ends as it would
        logger.opt(exception=error).debug("{} failed unexpectedly", NAME)
        return f"unexpected: {type(error).__name__}"
    logger.info("{} {}", NAME, describe_exit(code))
    return "" if code == 0 else f"it {describe_exit(code)}"


async def _place(folder: Path) -> Path:
    """Return where the program runs: in `folder`, but for one that is not there, or a volume that does not answer."""
    try:
        async with running_timeout(LOOK_LIMIT_S):
            there = await in_daemon_thread(folder.is_dir)
    except (TimeoutError, OSError):
        there = False
    return folder if there else Path("/")


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the recorder without what is secret in it."""
    secrets = [environment.get(name, "") for name in exposure.SECRETS]
    return {
        name: value
        for name, value in environment.items()
        if name not in exposure.SECRETS and not any(exposure.holds(value, secret) for secret in secrets)
    }


class _Output:
    """What the program prints, as far as it gets into the log."""

    def __init__(self) -> None:
        self._lines = 0

    def take(self, line: str) -> bool:
        self._lines += 1
        if self._lines <= MOST_LINES:
            logger.info("{}: {}", NAME, plain(line, LINE_CHARS))
        return True

    def end(self) -> None:
        if self._lines > MOST_LINES:
            logger.info("{}: {} more lines are left out", NAME, self._lines - MOST_LINES)


@contextmanager
def _as_file(body: bytes) -> Iterator[int]:
    """Yield a descriptor from which `body` is read: a file, so that nobody waits for its reader."""
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.memfd_create("message")
            stack.callback(os.close, descriptor)
        except OSError:  # a seccomp filter
            descriptor = stack.enter_context(tempfile.TemporaryFile()).fileno()
        os.write(descriptor, body)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
