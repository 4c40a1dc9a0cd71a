"""Who is in the call, who talks, who shares a screen: the events as they come, on the recording's clock.

They are written to a file as they come, so that the next start has them where this one is killed. What the page says is
not trusted: ids that are none are passed over, and there is an end to how much is kept.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

MOST_EVENTS = 10_000
COARSE = '"coarse"\n'
"""The first line of a file from which some events were given up: there were too many."""
COARSEST_S = 64.0
"""Pauses in somebody's speech up to this long are given up before more of it is."""
LATEST_S = 60.0
"""A message that was longer on its way than this is not one."""
ID = re.compile("[a-z0-9]{26}")
KINDS = frozenset({"joined", "left", "voice_on", "voice_off", "screen_on", "screen_off"})


@attrs.frozen
class PeopleEvent:
    """What happened to a session of a user, in seconds since the origin of the recording's clock."""

    at_s: float
    kind: str
    session: str
    user: str


class People:
    """The events of one recording. `now_s` is that clock; `path` is where they are written down."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._users: dict[str, str] = {}
        self._screen = ""
        self._failing = False
        self.events: list[PeopleEvent] = []

    def take(self, detail: object, sent_ms: object) -> None:
        """Take what the page tells: one event, or who is there now. `sent_ms`: milliseconds since 1970."""
        if not isinstance(detail, Mapping):
            return
        at_s = self._at_s(sent_ms)
        if detail.get("event") == "state":
            self._compare(at_s, detail.get("sessions"), detail.get("screen"))
        else:
            self._add(at_s, str(detail.get("event")), detail.get("session"), detail.get("user"))

    def _at_s(self, sent_ms: object) -> float:
        """Return when a message was sent: it may have waited for a recorder that stood still."""
        late_s = time.time() - sent_ms / 1000 if isinstance(sent_ms, int | float) else 0.0
        return max(0.0, self._now_s() - (late_s if 0 <= late_s <= LATEST_S else 0.0))

    def _compare(self, at_s: float, sessions: object, screen: object) -> None:
        """Take the plugin's list of all, as it comes at the join and after a connection was lost."""
        listed = sessions if isinstance(sessions, list) else []
        there: dict[str, Any] = {str(one.get("session")): one.get("user") for one in listed if isinstance(one, Mapping)}
        for gone in [session for session in self._users if session not in there]:
            self._add(at_s, "left", gone, self._users[gone])
        for session, user in there.items():
            if session not in self._users:
                self._add(at_s, "joined", session, user)
        if self._screen and self._screen != screen:
            self._add(at_s, "screen_off", self._screen, self._users.get(self._screen))
        if isinstance(screen, str) and screen in self._users and screen != self._screen:
            self._add(at_s, "screen_on", screen, self._users[screen])

    def _add(self, at_s: float, kind: str, session: object, user: object) -> None:
        if kind not in KINDS or not _is_id(session) or not _is_id(user):
            return
        session, user = str(session), str(user)
        if kind == "left":
            self._users.pop(session, None)
            self._screen = "" if self._screen == session else self._screen
        else:
            self._users[session] = user
        if kind in ("screen_on", "screen_off"):
            self._screen = session if kind == "screen_on" else ""
        event = PeopleEvent(round(at_s, 3), kind, session, user)
        self.events.append(event)
        if len(self.events) > MOST_EVENTS:
            self.events = coarser(self.events, MOST_EVENTS // 2)
            self._write(self.events, "w", first=COARSE)
        else:
            self._write([event], "a")

    def _write(self, events: Iterable[PeopleEvent], mode: str, first: str = "") -> None:
        try:
            with self._path.open(mode, encoding="ascii") as file:
                self._path.chmod(0o600)
                file.write(first)
                file.writelines(f"{json.dumps([one.at_s, one.kind, one.session, one.user])}\n" for one in events)
        except OSError as error:
            if not self._failing:
                logger.warning("who talks cannot be written down: {}", error.strerror)
            self._failing = True


def read_events(path: Path) -> list[PeopleEvent]:
    """Return what an earlier start wrote down; lines that were cut, or are none, are passed over."""
    events = []
    with contextlib.suppress(OSError), path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                at_s, kind, session, user = json.loads(line[:200])
                if kind in KINDS and _is_id(session) and _is_id(user) and 0 <= float(at_s) < 1e7:
                    events.append(PeopleEvent(float(at_s), kind, session, user))
            if len(events) > MOST_EVENTS:
                break
    return events


def is_coarse(path: Path) -> bool:
    """Tell whether some of the events in this file were given up."""
    with contextlib.suppress(OSError), path.open(encoding="ascii", errors="replace") as file:
        return file.readline(len(COARSE)) == COARSE
    return False


def coarser(events: Sequence[PeopleEvent], most: int) -> list[PeopleEvent]:
    """Return at most `most` events: without short pauses in somebody's speech, then without speech, then the first."""
    pause_s = 1.0
    kept = list(events)
    while len(kept) > most and pause_s <= COARSEST_S:
        kept = _without_pauses(kept, pause_s)
        pause_s *= 2
    if len(kept) > most:
        kept = [one for one in kept if not one.kind.startswith("voice")]
    return kept[:most]


def _without_pauses(events: Sequence[PeopleEvent], pause_s: float) -> list[PeopleEvent]:
    gone: set[int] = set()
    silent: dict[str, int] = {}
    for number, event in enumerate(events):
        if event.kind == "voice_off":
            silent[event.session] = number
        elif event.kind == "voice_on" and (before := silent.pop(event.session, None)) is not None:
            if event.at_s - events[before].at_s < pause_s:
                gone |= {before, number}
        elif event.kind == "left":
            silent.pop(event.session, None)
    return [event for number, event in enumerate(events) if number not in gone]


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None
