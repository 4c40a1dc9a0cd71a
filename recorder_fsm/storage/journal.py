"""The journal: what happened to a job, in its directory, for the next start to read.

Append-only JSON lines, each fsynced before the job goes on. A line that a crash cut in half is passed over. What it
holds must be read again as it was written: of the words in it only secret ones are masked, and very long ones cut.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import DirectoryError
from recorder_fsm.plain_text import LOOKED_AT, hide, plain_facts
from recorder_fsm.system.disk import sync

ENTRY_CHARS = 4096
"""The longest path that Linux knows."""


@attrs.define
class Delivery:
    """How far a recording was that is posted in parts: `parts` is the plan as it was written, None where there is none.

    By the name of a part: its upload session, its file, its post.
    """

    parts: list[Any] | None = None
    sessions: dict[str, str] = attrs.Factory(dict)
    files: dict[str, str] = attrs.Factory(dict)
    posts: dict[str, str] = attrs.Factory(dict)

    def take(self, fact: dict[str, Any]) -> None:
        """Take the plan, or a fact about a part (one without an id is forgotten again); pass over all others."""
        if fact.get("fact") == "parts":
            parts = fact.get("parts")
            self.parts = parts if isinstance(parts, list) else None
        known = {"part_session": self.sessions, "part_file": self.files, "part_post": self.posts}.get(
            str(fact.get("fact"))
        )
        part = _text(fact, "part")
        if known is None or part is None:
            return
        if found := _text(fact, "id"):
            known[part] = found
        else:
            known.pop(part, None)


@attrs.define
class Remembered:
    """What earlier processes of this job wrote down; an attribute is None where they did not get that far.

    `announced`: `started` may have left us, so people may know of a recording; `doubted`: nobody seems to have heard
    it. `discarded`: it was decided since that the recording is not kept. `capture_s`: length of the recording by the
    clock, in seconds; `head_s`: how much the segments hold in front of its begin.
    """

    starts: int = 0
    site_url: str | None = None
    call_id: str | None = None
    post_id: str | None = None
    name: str | None = None
    announced: bool = False
    doubted: bool = False
    discarded: bool = False
    capture_s: float | None = None
    head_s: float = 0.0
    session_id: str | None = None
    session_file_id: str | None = None
    """The id that the upload session's file will have."""
    file_id: str | None = None
    saved: bool = False
    failure_told: bool = False
    """Whether the thread was told, or may have been, that the recording failed."""
    publish: str | None = None
    delivery: Delivery = attrs.Factory(Delivery)

    @property
    def nobody_knew(self) -> bool:
        """Whether earlier processes ended before anybody could know of their recording."""
        return self.discarded or (self.starts > 1 and not self.announced)


MOST = 2.0**53
"""No number of ours is as large. Larger ones come from a journal that somebody damaged."""


class Journal:
    """Appends facts to one file. Every fact has `at` (UTC) and `fact`; the other keys are the fact's own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False

    def write(self, fact: str, **details: Any) -> None:
        """Append one fact and fsync it; raises `DirectoryError` where the volume refuses."""
        entry = plain_facts({"at": datetime.now(UTC).isoformat(), "fact": fact, **details}, _words)
        line = json.dumps(entry, ensure_ascii=False)
        if not line.isprintable():  # half characters, which no file holds, and those that turn or hide what is read
            line = json.dumps(entry)
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # A fact that a crash cut in half has no newline: start a line of our own.
                os.write(handle, (("\n" if _cut(self._path) else "") + line + "\n").encode())
                sync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise DirectoryError(detail=f"the journal cannot be written: {error.strerror}") from error

    def note(self, fact: str, **details: Any) -> None:
        """Append one fact if the volume allows it: a full disk must not stop a recording from being saved."""
        try:
            self.write(fact, **details)
        except DirectoryError as error:
            if not self._failing:
                logger.warning("{}; a restart may repeat a step", error.detail)
            self._failing = True

    def facts(self) -> list[dict[str, Any]]:
        """Return the facts written so far, without the lines that cannot be read."""
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        facts = []
        for line in filter(None, text.split("\n")):  # a name or a cause may hold what `splitlines` takes for an end
            try:
                fact = json.loads(line)
            except (ValueError, RecursionError):
                logger.debug("the journal has a line that was cut by a crash, or is none; it is passed over")
                continue
            if isinstance(fact, dict):
                facts.append(fact)
        return facts

    def remembered(self) -> Remembered:
        """Return what the facts add up to."""
        memory = Remembered()
        captured_here = False
        for fact in self.facts():
            memory.delivery.take(fact)
            match fact.get("fact"):
                case "process_started":
                    memory.starts += 1
                    captured_here = False
                    memory.site_url = _text(fact, "site_url")
                    memory.call_id = _text(fact, "call_id")
                    memory.post_id = _text(fact, "post_id")
                    memory.publish = _text(fact, "publish")
                case "named":
                    memory.name = _text(fact, "name")
                case "announced":
                    notice = _text(fact, "notice")
                    memory.announced = notice in ("given", "doubted")
                    memory.doubted = notice == "doubted"
                    memory.head_s = _number(fact, "head_s") or 0.0
                    captured_here, memory.discarded = True, False
                case "capture_started":
                    captured_here, memory.discarded = True, False
                case "moved":
                    # What a process that captured nothing decides is not about the recording of the one before it.
                    memory.discarded = memory.discarded or (captured_here and fact.get("keeps") is False)
                    if fact.get("event") == "pending_found":  # once it is worth publishing, it stays so
                        memory.announced = True
                case "capture_ended":
                    memory.capture_s = _number(fact, "seconds")
                    memory.head_s = _number(fact, "head_s") or 0.0
                case "upload_session":
                    memory.session_id = _text(fact, "id")
                    memory.session_file_id = _text(fact, "file_id")
                case "uploaded":
                    memory.file_id = _text(fact, "file_id")
                case "saved":
                    memory.saved = True
                case "failure_told":
                    memory.failure_told = True
        return memory


def _words(text: str) -> str:
    return hide(text[: LOOKED_AT * ENTRY_CHARS])[:ENTRY_CHARS]


def _text(fact: dict[str, Any], key: str) -> str | None:
    value = fact.get(key)
    return value if isinstance(value, str) else None


def _number(fact: dict[str, Any], key: str) -> float | None:
    value = fact.get(key)
    return value if isinstance(value, int | float) and 0 <= value < MOST else None


def _cut(path: Path) -> bool:
    size = path.stat().st_size
    if size == 0:
        return False
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) != b"\n"
