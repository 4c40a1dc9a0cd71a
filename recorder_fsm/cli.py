"""The command line: the only module that touches the process itself, its environment, its signals, its exit code.

Without a command it is `run`: that is what a container starts. Only the standard library is imported before the signals
are installed.
"""

from __future__ import annotations

import os
import sys
import time

from recorder_fsm.system import exposure
from recorder_fsm.system.signals import StopRequest
from recorder_fsm.system.surroundings import end_process, put_in_order, take_own_interpreter

TELLTALES = ("DEBUG", "DEBUG_FILE", "PWDEBUG", "NODE_DEBUG", "NODE_OPTIONS", "SSLKEYLOGFILE")
"""With these, Playwright's driver prints every message, and TLS libraries write their keys: the token would be seen."""

STOPS = (
    "Stopping: what was recorded is being saved and published. Pressing Ctrl-C again changes nothing; "
    "after kill -9, recorder-fsm recover publishes it."
)


def main() -> None:
    """Run `recorder-fsm`; ends the process."""
    began = time.monotonic()
    take_own_interpreter(os.environ)
    arguments = sys.argv[1:] or ["run"]
    completing = "_RECORDER_FSM_COMPLETE" in os.environ  # a shell asks what may follow; it gives no arguments
    if arguments in (["run"], ["run", "--"]) and not completing:
        stop = StopRequest()
        stop.install()
        put_in_order()
        end_process(_record(_take_environment(), stop, began))
    put_in_order()
    from recorder_fsm.commands import commands  # noqa: PLC0415 - see above

    commands.run(arguments, _take_environment())


def _record(environment: dict[str, str], stop: StopRequest, began: float) -> int:
    from recorder_fsm.app import record  # noqa: PLC0415 - see above
    from recorder_fsm.storage import logs  # noqa: PLC0415
    from recorder_fsm.system.threads import run_to_end  # noqa: PLC0415

    os.umask(0o077)  # what a job writes is for its own user alone
    say = logs.say if os.isatty(1) else logs.note
    with logs.own_output():
        recording = record(environment, stop, began, inherit=os.environ.update)
        code = run_to_end(stop.said(recording, lambda: say(STOPS)))
        stop.ignore()
    return code


def _take_environment() -> dict[str, str]:
    """Return the environment, and take out of the one that children inherit what is secret or tells secrets.

    From then on nobody on the machine sees the token by looking at this process, either.
    """
    os.environ.update(exposure.handed_over(os.environ.pop(exposure.DESCRIPTOR_VARIABLE, "")))  # by the entrypoint
    environment = dict(os.environ)
    secrets = [value for name in exposure.SECRETS if (value := environment.get(name))]
    for secret in secrets or [""]:
        exposure.cover_environment(secret)
    for name, value in environment.items():
        if name in TELLTALES or any(exposure.holds(value, secret) for secret in secrets):
            del os.environ[name]
    exposure.refuse_core_dumps()
    return environment
