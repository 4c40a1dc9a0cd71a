"""What the process was started in, put in order before anything else: whoever starts it may leave anything behind.

Closed descriptors, signals that are ignored or blocked, limits, a directory that has gone, variables that change what
the interpreter does, a locale without the names of most people. Each is inherited, and some are handed on to every
program that we start. Standard library only: what is imported later may open files and start threads.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

STANDARD_DESCRIPTORS = (0, 1, 2)
OURS = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Ignored by the interpreter itself, which makes errors of them, and not handed on to children."""
LEFT_AS_THEY_ARE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGSTOP})
"""nohup(1) has SIGHUP ignored, and means it; a shell has the other two ignored in what it starts in the background."""
ENOUGH_DESCRIPTORS = 4096
"""A soft limit below this is raised: a job holds a few hundred. More is no use, and slow where somebody closes all."""
SOFT_LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_DATA)
"""Limits that would end a recording in its middle. A soft one is a default that may be raised, a hard one is meant."""
LEAST = {
    resource.RLIMIT_NOFILE: (256, "open files", "ulimit -n"),
    resource.RLIMIT_FSIZE: (2**30, "bytes in a file", "ulimit -f"),
    resource.RLIMIT_NPROC: (256, "processes", "ulimit -u"),
}
"""Below these Chromium does not start, or a recording ends early: number, what of, and how to look at it."""
NO_LIMIT = resource.RLIM_INFINITY
AS_WE_NEED_IT = ["-X", "utf8"]
VARIABLE = re.compile("PYTHON[A-Z0-9]+")
HARMLESS_VARIABLES = frozenset(
    f"PYTHON{name}"
    for name in ("PATH", "HOME", "USERBASE", "NOUSERSITE", "SAFEPATH", "PLATLIBDIR", "PYCACHEPREFIX",
                 "DONTWRITEBYTECODE", "UNBUFFERED", "HASHSEED", "FAULTHANDLER")
)  # fmt: skip
"""Where modules are found and kept, and what changes nothing. What else begins like this is dropped; PYTHON_VERSION
and the like are of images."""


def take_own_interpreter(environment: Mapping[str, str]) -> None:
    """Begin anew, under the same process id, where the process's environment changed how the interpreter works.

    PYTHONINSPECT turns exit codes into 1, PYTHONWARNINGS makes errors of warnings, PYTHONIOENCODING and a forced ASCII
    locale refuse the names of people: what an interpreter has read of these at its start it cannot unlearn.
    """
    unwanted = set() if sys.flags.ignore_environment else unwanted_variables(environment)
    ascii_names = sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode
    if not sys.executable or sys.orig_argv[1:3] == AS_WE_NEED_IT or not (unwanted or ascii_names):
        return
    wanted = {name: value for name, value in environment.items() if name not in unwanted}
    # Kept over the exec: a signal that comes meanwhile waits until there is a handler for it (`put_in_order`).
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
    with contextlib.suppress(OSError):  # then it has to do as it is
        command = [sys.executable, *AS_WE_NEED_IT, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, wanted)  # noqa: S606 - the same program anew


def unwanted_variables(environment: Mapping[str, str]) -> set[str]:
    """Return the names of the variables that change how an interpreter works."""
    return {name for name in environment if VARIABLE.fullmatch(name) and name not in HARMLESS_VARIABLES}


def put_in_order() -> None:
    """Set right what was inherited; the handlers of the signals that matter are there already: none gets lost."""
    fill_standard_descriptors()
    _default_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _raise_limits()
    _stand_somewhere()


def fill_standard_descriptors() -> None:
    """See that a descriptor that we were started without is not given to a file of ours: others print to it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) in STANDARD_DESCRIPTORS:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def tight_limits() -> list[str]:
    """Return a sentence for each limit that is too low for a recording and may not be raised."""
    found = []
    for limit, (least, what, command) in LEAST.items():
        allowed = _limits(limit)[0]
        if allowed != NO_LIMIT and allowed < least:
            found.append(f"only {allowed} {what} are allowed here ({command}), a recording may need {least}")
    return found


def end_process(code: int) -> NoReturn:
    """End the process now: no thread is waited for, and nobody else has a say in the exit code.

    Everything is done and written by then. What may still hang is a call on a volume that hangs.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _default_signals() -> None:
    """Give up what was inherited as ignored: children would not end, be waited for, or know of their limits."""
    for number in signal.valid_signals() - OURS - LEFT_AS_THEY_ARE:
        if signal.getsignal(number) is signal.SIG_IGN:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    # A line for a terminal in whose background we run must not stop the recording (`stty tostop`).
    for number in (signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)


def _raise_limits() -> None:
    for limit in SOFT_LIMITS:
        _raise_limit(limit, _limits(limit)[1])
    most = _limits(resource.RLIMIT_NOFILE)[1]
    _raise_limit(resource.RLIMIT_NOFILE, ENOUGH_DESCRIPTORS if most == NO_LIMIT else min(ENOUGH_DESCRIPTORS, most))


def _limits(limit: int) -> tuple[int, int]:
    """Return the soft and the hard limit; none where a filter refuses to tell."""
    try:
        return resource.getrlimit(limit)
    except OSError:
        return NO_LIMIT, NO_LIMIT


def _raise_limit(limit: int, wanted: int) -> None:
    soft, hard = _limits(limit)
    if soft != NO_LIMIT and (wanted == NO_LIMIT or soft < wanted):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (wanted, hard))


def _stand_somewhere() -> None:
    """Go where every program can be: a directory that was removed, or may not be looked at, ends some of them."""
    try:
        there = Path.cwd().is_absolute() and os.access(os.curdir, os.R_OK | os.X_OK)
    except OSError:
        there = False
    if not there:
        os.chdir("/")
