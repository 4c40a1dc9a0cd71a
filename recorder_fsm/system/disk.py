"""Bringing what was written onto the disk, where the system knows how."""

from __future__ import annotations

import errno
import os

NOT_KNOWN_HERE = (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""A seccomp filter or a kernel without fsync(2), or a file system without a disk of its own."""


def sync(descriptor: int) -> None:
    """See what was written onto the disk; raises `OSError` where that fails, but not where there is no such call."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NOT_KNOWN_HERE:
            raise
