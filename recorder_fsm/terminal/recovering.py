"""What a person at a terminal sees of `recover`: a bar for the upload, and above it what went wrong or was done.

The log, which is all of it elsewhere, is in each job's directory. Who sets LOG_LEVEL or LOG_FORMAT wants to see it
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from recorder_fsm.terminal.progress import bar_below_output
from recorder_fsm.terminal.screen import Screen

ROUTINE = re.compile(r"\S+Z (?:DEBUG|INFO) ")
"""How a line of the log begins that tells of nothing unusual (`storage.logs`)."""
NAME_CHARS = 8
"""So much of a recording's id is shown beside its bar."""

Uploaded = Callable[[str, int, int], None]
"""Is called with a recording's id, the bytes that are delivered, and all of them."""


@contextmanager
def showing(environment: Mapping[str, str]) -> Iterator[Uploaded]:
    """Draw a bar on standard output, if it is a terminal, for what is told meanwhile."""
    wanted = bool(environment.get("LOG_LEVEL") or environment.get("LOG_FORMAT"))
    with bar_below_output(Screen(environment), lambda line: wanted or not ROUTINE.match(line)) as show:
        yield lambda name, done, total: show(f"uploading {name[:NAME_CHARS]}", done, total, "bytes")
