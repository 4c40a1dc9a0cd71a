"""Tries system calls that the recorder and Chromium need, each in a form that does nothing, and prints how it went.

A program of its own: a filter may kill who tries. Prints `name errno` for each, flushed at once, so that whoever reads
knows which one was the last. The first argument is how many to pass over. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

BAD_DESCRIPTOR = -1
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = {"user namespace": NEW_USER, "namespaces of process and network": NEW_PID | NEW_NET}
"""What Chromium's sandbox does first, in this order. AppArmor lets the first be made, and refuses what it is for."""

# Numbers by machine (asm/unistd.h), then the arguments: such as do nothing, and fail with anything but a refusal.
CALLS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "clone3": (435, 435, (0, 0)),  # no arguments at all: EINVAL
    "unshare": (272, 97, (0,)),
    "setns": (308, 268, (BAD_DESCRIPTOR, 0)),
    "chroot": (161, 51, (0,)),  # no path: EFAULT, or EPERM from the kernel itself, which asks for the path first
    "seccomp": (317, 277, (2, 0, 0)),  # SECCOMP_GET_ACTION_AVAIL of nothing: EFAULT
    "prctl": (157, 167, (3, 0, 0, 0, 0)),  # PR_GET_DUMPABLE
    "memfd_create": (319, 279, (0, 0)),
    "pidfd_open": (434, 434, (BAD_DESCRIPTOR, 0)),
    "pidfd_send_signal": (424, 424, (BAD_DESCRIPTOR, 0, 0, 0)),
    "statx": (332, 291, (BAD_DESCRIPTOR, 0, 0, 0, 0)),
    "close_range": (436, 436, (2**31, 2**31, 0)),
    "copy_file_range": (326, 285, (BAD_DESCRIPTOR, 0, BAD_DESCRIPTOR, 0, 1, 0)),
    "openat2": (437, 437, (BAD_DESCRIPTOR, 0, 0, 0)),
    "faccessat2": (439, 439, (BAD_DESCRIPTOR, 0, 0, 0)),
    "fallocate": (285, 47, (BAD_DESCRIPTOR, 0, 0, 1)),
    "fsync": (74, 82, (BAD_DESCRIPTOR,)),
    "flock": (73, 32, (BAD_DESCRIPTOR, 1)),
    "shmget": (29, 194, (0, 0, 0)),  # of no size: EINVAL
    "inotify_init1": (294, 26, (-1,)),
    "timerfd_create": (283, 85, (-1, 0)),
    "eventfd2": (290, 19, (0, -1)),
    "epoll_create1": (291, 20, (-1,)),
    "sched_getaffinity": (204, 123, (0, 0, 0)),
    "membarrier": (324, 283, (0, 0)),
    "getrandom": (318, 278, (0, 0, 0)),
}
MACHINES = {"x86_64": 0, "aarch64": 1}


def main() -> None:
    column = MACHINES.get(platform.machine())
    if column is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for name, (*numbers, arguments) in list(CALLS.items())[int(sys.argv[1]) :]:
        ctypes.set_errno(0)
        answer = libc.syscall(ctypes.c_long(numbers[column]), *map(ctypes.c_long, arguments))
        error = ctypes.get_errno() if answer == -1 else 0
        os.write(1, f"{name} {error}\n".encode())
    # At last, since it is not undone.
    for name, flags in NAMESPACES.items():
        ctypes.set_errno(0)
        answer = libc.unshare(ctypes.c_int(flags))
        os.write(1, f"{name}: {ctypes.get_errno() if answer == -1 else 0}\n".encode())


if __name__ == "__main__":
    main()
