"""What others on this machine may see of our memory: the environment that we were started with, and core dumps.

Standard library only: this comes before anything else is imported. What a system refuses here is no reason not to
record; `core_dumps_may_happen` tells.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import resource
from pathlib import Path

GET_DUMPABLE, SET_DUMPABLE = 3, 4
COVER = ord("*")
DESCRIPTOR_VARIABLE = "AUTH_TOKEN_DESCRIPTOR"
"""Names the descriptor of a pipe with the token, where the token itself is not in the environment."""
SECRETS = ("AUTH_TOKEN", "WEBHOOK_SECRET", "WEBHOOK_URL")
"""What no child may inherit, in the order in which the entrypoint hands it over."""
SHORTEST_SECRET = 8
"""What is shorter is no token, and may be a part of anything."""


def holds(value: str, secret: str) -> bool:
    """Tell whether a variable's value is the secret, or has it within."""
    return bool(secret) and (value == secret or (len(secret) >= SHORTEST_SECRET and secret in value))


def handed_over(number: str) -> dict[str, str]:
    """Return those of `SECRETS` that wait in the pipe with this descriptor, and close it; none where there is no pipe.

    A line each, in base64; an empty one stands for a variable that is not set.
    """
    try:
        with os.fdopen(int(number), "rb") as pipe:
            values = [os.fsdecode(base64.b64decode(line)) for line in pipe]
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in zip(SECRETS, values, strict=False) if value}


def cover_environment(secret: str) -> None:
    """Overwrite what is secret in the environment that the kernel shows (/proc/PID/environ).

    That is each value with `secret` in it, and each address of a proxy with a password.

    To be called before a variable is deleted: one that is not in the environment any more is not found, but shown.
    The kernel shows the very memory that it wrote at the start; what `os.environ` holds is a copy. No system call is
    needed, and none could help without privileges (prctl(2), PR_SET_MM).
    """
    try:
        entries = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    except (OSError, ValueError):  # a C library that does not show it
        return
    index = 0
    while address := entries[index]:
        entry = ctypes.string_at(address)
        name, _, value = entry.partition(b"=")
        if holds(os.fsdecode(value), secret) or (name.lower().endswith(b"_proxy") and b"@" in value):
            ctypes.memset(address + len(name) + 1, COVER, len(value))
        index += 1


def refuse_core_dumps() -> None:
    """See that no core dump holds our memory: a crash of ours, or of a program that we start.

    The limit holds for files. A program that the kernel pipes dumps into (core(5)) gets them whatever the limit, so
    no part of the memory is dumped either. Both are inherited. We ourselves are not dumpable at all, which also keeps
    other processes of the same user from looking into our memory.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # before the next: of a process that is not dumpable, /proc belongs to root
        Path("/proc/self/coredump_filter").write_text("0", encoding="ascii")
    _prctl(SET_DUMPABLE, 0)


def core_dumps_may_happen() -> bool:
    """Tell whether something kept `refuse_core_dumps` from its work."""
    try:
        allowed = resource.getrlimit(resource.RLIMIT_CORE)[0] != 0
    except OSError:
        allowed = True
    return allowed or _prctl(GET_DUMPABLE, 0) != 0


def _prctl(option: int, value: int) -> int:
    """Return what prctl(2) returns, -1 where it is refused or missing."""
    try:
        return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0))
    except (OSError, AttributeError):
        return -1
