"""What people can do about an error code: its cause, what it means for the recording, and the cure.

The texts stand in `error_catalogue.toml`. Whoever shows a failure asks here: the last line of the log, the report, the
hooks; `error_pages` makes pages of it. Showing a failure must not be a reason to fail: a code without an entry has no
advice, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import attrs

GROUPS: Mapping[str, str] = {
    "job": "The job: its settings and its directory",
    "machine": "The machine: memory, processes, rights",
    "programs": "The programs of a recording",
    "call": "The call page",
    "server": "Mattermost and what stands before it",
    "posting": "Posting by Mattermost's own API (PUBLISH=post)",
    "page": "A web page in place of a call (RECORD_URL)",
    "file": "The file of the recording",
}
COMMAND = "recorder-fsm explain"
"""Prints an entry. It needs no network, and says what is true of this version."""
FILE = Path(__file__).with_name("error_catalogue.toml")


@attrs.frozen
class Entry:
    """One error code, for people. `cure` are sentences in the order in which they are tried."""

    code: str
    group: str
    title: str
    cause: str
    meaning: str
    cure: tuple[str, ...]

    @property
    def advice(self) -> str:
        """The first thing to do, in one sentence that can stand alone."""
        return self.cure[0]


@cache
def entries() -> Mapping[str, Entry]:
    """Return all entries by their codes, in the order of the groups; none where the file cannot be read."""
    import tomllib  # noqa: PLC0415 - a recording that succeeds reads no catalogue

    try:
        groups = tomllib.loads(FILE.read_text(encoding="utf-8"))
        return {
            code: Entry(code, group, facts["title"], facts["cause"], facts["meaning"], tuple(facts["cure"]))
            for group in GROUPS
            for code, facts in groups[group].items()
        }
    except (OSError, ValueError, KeyError, TypeError, MemoryError):
        return {}


def advice(code: str) -> str:
    """Return the first thing to do about a code, "" where nobody has written it down."""
    entry = entries().get(code)
    return entry.advice if entry is not None else ""


def address(code: str, docs_url: str = "") -> str:
    """Return where more is said of a code: the page of the site at `docs_url`, else the command that prints it."""
    return f"{docs_url.rstrip('/')}/errors/{code}/" if docs_url else f"{COMMAND} {code}"


def what_to_do(code: str, docs_url: str = "") -> str:
    """Return advice and address as the end of a line that tells of a failure, "" for a code without an entry."""
    return f"; what to do: {advice(code)} More: {address(code, docs_url)}" if code in entries() else ""
