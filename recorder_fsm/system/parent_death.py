"""How programs that we start die with us, however we die (prctl(2), PR_SET_PDEATHSIG).

Nothing but the kernel can see to that after SIGKILL. Where it does not, programs are started all the same: the next
start of the job ends what the one before it left.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
from collections.abc import Sequence

from loguru import logger

SET_PDEATHSIG, GET_PDEATHSIG = 1, 2
SET_CHILD_SUBREAPER = 36


def dying_with_us(argv: Sequence[str]) -> list[str]:
    """Prefix `argv` so that the kernel kills the program when its parent ends.

    `setpriv` execs the program, so the process id stays the same. The parent is the thread that forks; asyncio forks
    in the loop's thread, which here is the main one.
    """
    return [*([] if _obstacle() else ["setpriv", "--pdeathsig", "KILL", "--"]), *argv]


@functools.cache
def _obstacle() -> str:
    """Return what keeps children from dying with us, "" where nothing does; said once."""
    obstacle = "" if shutil.which("setpriv") else "setpriv is missing"
    if not obstacle:
        try:
            _set_to_what_it_is()
        except (OSError, AttributeError) as error:
            obstacle = f"prctl: {error}"
    if obstacle:
        logger.warning("programs do not die with the recorder here ({}): the next start ends what is left", obstacle)
    return obstacle


def _set_to_what_it_is() -> None:
    """Set our own death signal to the one that it is: raises `OSError` where a seccomp filter refuses that."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours = ctypes.c_int()
    for option, value in ((GET_PDEATHSIG, ctypes.byref(ours)), (SET_PDEATHSIG, ours)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def adopt_orphans() -> None:
    """Become the parent of those whose parent dies: what a killed Chromium leaves is still found as ours.

    Where that is refused, they are left to the system's first process.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
