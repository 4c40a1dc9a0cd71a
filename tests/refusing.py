"""Run a program under a seccomp filter that refuses system calls: `python -m tests.refusing EPERM NAME... -- PROGRAM`.

A name is that of a system call, or of one use of it (`USES`). The filter holds for all that the program starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "close_range": 436, "copy_file_range": 326, "epoll_pwait2": 441, "faccessat2": 439, "fcntl": 72, "flock": 73,
        "fsync": 74, "fstatfs": 138, "futex_waitv": 449, "membarrier": 324, "openat2": 437, "pidfd_getfd": 438,
        "pidfd_open": 434, "pidfd_send_signal": 424, "prctl": 157,
        "prlimit64": 302, "preadv2": 327, "pwritev2": 328,
        "sendfile": 40, "setsockopt": 54, "shmat": 30, "shmget": 29, "statfs": 137, "statx": 332,
    },
    "aarch64": {
        "close_range": 436, "copy_file_range": 285, "epoll_pwait2": 441, "faccessat2": 439, "fcntl": 25, "flock": 32,
        "fsync": 82, "fstatfs": 44, "futex_waitv": 449, "membarrier": 283, "openat2": 437, "pidfd_getfd": 438,
        "pidfd_open": 434, "pidfd_send_signal": 424, "prctl": 167,
        "prlimit64": 261, "preadv2": 286, "pwritev2": 287,
        "sendfile": 71, "setsockopt": 208, "shmat": 196, "shmget": 194, "statfs": 43, "statx": 291,
    },
}  # fmt: skip
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
USES = {
    "being dumpable": ("prctl", 0, 4),
    "dying with a parent": ("prctl", 0, 1),
    "the size of a pipe": ("fcntl", 1, 1031),
    "a limit for a silent peer": ("setsockopt", 2, 18),
}
"""Some uses of a system call, by the number of the argument that tells them, and its value."""
SUPPORTED = platform.machine() in NUMBERS and sys.byteorder == "little"

LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
SET_NO_NEW_PRIVS, SET_SECCOMP, FILTER = 38, 22, 2
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in the kernel's `struct seccomp_data`, in bytes."""


def program(names: Sequence[str], error: int) -> bytes:
    """Return the filter, as the kernel takes it: one instruction after the other."""
    machine = platform.machine()
    code: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, ALLOW),
    ]
    for name in names:
        call, argument, value = USES.get(name, (name, None, 0))
        refusal = [(RETURN, 0, 0, REFUSE | error)]
        if argument is not None:
            refusal = [(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument), (EQUAL, 0, 1, value), *refusal]
        code += [(LOAD, 0, 0, NUMBER_AT), (EQUAL, 0, len(refusal), NUMBERS[machine][call]), *refusal]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in (*code, (RETURN, 0, 0, ALLOW)))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(names: Sequence[str], error: int) -> None:
    """Have the kernel refuse these to this process and all that it starts, for good; raises `OSError`."""
    code = program(names, error)
    asked = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((SET_NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, FILTER, ctypes.byref(asked), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Install the filter, and become the program."""
    error, *words = sys.argv[1:]
    names, command = words[: words.index("--")], words[words.index("--") + 1 :]
    refuse(names, getattr(errno, error))
    os.execvp(command[0], command)  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
