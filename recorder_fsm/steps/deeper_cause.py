"""What lies under a fault: a program knows that it was killed, its surroundings know why.

The causes of all faults pass here on their way to the table, so that each of them is told the same, whichever program
met it: memory that ran out, processes that were refused, a place that cannot be written, a proxy on the way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from recorder_fsm.errors import CallError, DeadlineError, ProgramError, RecorderError, RecordingError
from recorder_fsm.mattermost.answers import ASKS_FOR_PASSWORD
from recorder_fsm.system.cgroup import GroupWatch
from recorder_fsm.system.read_only import read_only_words

MIB = 1024 * 1024
PLAIN_CODES = frozenset({"program_missing", "browser_root", "sandbox_refused", "certificate"})
"""What these say is the whole cause."""
REFUSES = "The proxy between the recorder and Mattermost does not let it through."
_NO_PROCESS = re.compile(
    r"Resource temporarily unavailable|can't start new thread|pthread_create|\berrno[ =]+11\b", re.IGNORECASE
)
_NO_MEMORY = re.compile(r"Cannot allocate memory|\bENOMEM\b|\berrno[ =]+12\b|MemoryError", re.IGNORECASE)
_READ_ONLY = re.compile(r"Read-only file system|\bEROFS\b|\berrno[ =]+30\b", re.IGNORECASE)
_PROXY = re.compile(r"ERR_\w*(?:PROXY|PROXIES|TUNNEL|SOCKS)\w*|\bHTTP 407\b")
_PASSWORD = re.compile(r"AUTH|407")


@attrs.frozen
class _Deeper:
    """What lies under a cause: its code and sentence, and the words that come before those of the cause itself."""

    code: str
    sentence: str
    words: str


class DeeperCause:
    """Puts a cause into other words where the surroundings say more of it.

    `places` are directories that programs write to without our telling them; `proxy` the address of the proxy to the
    site as it may be shown, "" for none.
    """

    def __init__(self, group: GroupWatch, places: Sequence[Path], proxy: str) -> None:
        self._group = group
        self._places = places
        self._proxy = proxy

    def __call__(self, error: RecorderError) -> RecorderError:
        """Return the cause under `error`, an error of the same kind, or `error` itself."""
        if error.code in PLAIN_CODES or not _of_a_program(error):
            return error
        for look in (self._of_the_group, self._of_the_places, self._of_the_proxy):
            if found := look(error):
                return _in_other_words(error, found)
        return error

    def _of_the_group(self, error: RecorderError) -> _Deeper | None:
        trouble = self._group.look()
        if trouble.killed or _NO_MEMORY.search(error.detail):
            limit = f"its limit is {trouble.memory_bytes // MIB} MiB; " if trouble.memory_bytes else ""
            words = f"memory ran out; {limit}raise it (docker run --memory; Kubernetes: resources.limits.memory)"
            return _Deeper(code="memory", sentence="The recorder ran out of memory.", words=words)
        if trouble.refused or _NO_PROCESS.search(error.detail):
            limit = f"the limit is {trouble.processes}; " if trouble.processes else ""
            words = (
                f"no more processes were allowed; {limit}raise it (docker run --pids-limit; Kubernetes: podPidsLimit)"
            )
            return _Deeper(code="pids", sentence="The recorder was not allowed enough processes.", words=words)
        return None

    def _of_the_places(self, error: RecorderError) -> _Deeper | None:
        words = read_only_words(self._places) if _READ_ONLY.search(error.detail) else ""
        if not words:
            return None
        return _Deeper(code="read_only", sentence="The recorder cannot write its temporary files.", words=words)

    def _of_the_proxy(self, error: RecorderError) -> _Deeper | None:
        refusal = _PROXY.search(error.detail) if self._proxy else None
        if refusal is None:
            return None
        sentence = ASKS_FOR_PASSWORD if _PASSWORD.search(refusal[0]) else REFUSES
        words = f"the proxy {self._proxy} did not let the call page through"
        return _Deeper(code="proxy", sentence=sentence, words=words)


def _of_a_program(error: RecorderError) -> bool:
    ours = isinstance(error, ProgramError | CallError | DeadlineError | RecordingError)
    return ours or type(error) is RecorderError


def _in_other_words(error: RecorderError, found: _Deeper) -> RecorderError:
    deeper = type(error).__new__(type(error))  # each kind has a constructor of its own, copies included
    deeper.__dict__.update(error.__dict__)
    detail = f"{found.words}: {error.detail or error.sentence}"
    RecorderError.__init__(deeper, found.sentence, detail=detail, code=found.code)
    deeper.__cause__ = error
    return deeper
