"""The timeline of a call beside its recording: who was there, who spoke, who shared a screen, in seconds of the file.

Made of the events (`people`) at the end, written as JSON and as WebVTT, and summed up in chapters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import attrs

from recorder_fsm.media.people import PeopleEvent
from recorder_fsm.plain_text import plain

SCHEMA = 1
NAME_CHARS = 80
SHORTEST_CHAPTER_S = 10.0
MOST_CHAPTERS = 100
STEP_S = 1.0
"""Who has the floor is looked at in steps of this length."""
WORDS = {"voice": "speaks", "screen": "shares a screen", "present": "is in the call"}
BEGINS = {"joined": "present", "voice_on": "voice", "screen_on": "screen"}
ENDS = {"left": ("voice", "screen", "present"), "voice_off": ("voice",), "screen_off": ("screen",)}


@attrs.frozen
class Stretch:
    """Somebody was there ("present"), spoke ("voice"), or shared a screen ("screen"), from one second to another."""

    what: str
    user: str
    begin_s: float
    end_s: float


@attrs.frozen
class Chapter:
    """Where a part of the recording begins, and what it is called."""

    at_s: float
    title: str


@attrs.frozen
class CallTimeline:
    """What is known of the people in a recording of `length_s` seconds. `names` by the id of the user."""

    length_s: float
    stretches: tuple[Stretch, ...]
    names: Mapping[str, str]
    coarse: bool = False

    @classmethod
    def of(
        cls, events: Iterable[PeopleEvent], *, head_s: float, length_s: float, names: Mapping[str, str], coarse: bool
    ) -> CallTimeline:
        """Return the timeline of a file that begins `head_s` after the clock of the events, and lasts `length_s`.

        Of those whom `names` does not have, nothing is told but a number.
        """
        stretches = sorted(
            (one for one in _stretches(events, head_s, length_s) if one.end_s > one.begin_s),
            key=lambda one: (one.begin_s, one.what, one.user),
        )
        users = dict.fromkeys(one.user for one in stretches)
        shown = {user: _shown(names.get(user, ""), number) for number, user in enumerate(users, start=1)}
        return cls(length_s, tuple(stretches), shown, coarse)

    def chapters(self) -> list[Chapter]:
        """Return the chapters: who has the floor, and whether a screen is shared. None where there is one alone."""
        titles, shortest_s = self._titles(), SHORTEST_CHAPTER_S
        while len(found := _steady(titles, shortest_s)) > MOST_CHAPTERS:
            shortest_s *= 2
        return [Chapter(at_s, title) for at_s, title in found] if len(found) > 1 else []

    def _titles(self) -> list[str]:
        """Return what each step of the recording would be called; silence is called as what came before it."""
        steps = max(1, int(self.length_s / STEP_S))
        speakers: list[dict[str, float]] = [{} for _ in range(steps)]
        sharers = [""] * steps
        for one in self.stretches:
            first, last = int(one.begin_s / STEP_S), min(steps - 1, int(one.end_s / STEP_S))
            for step in range(first, last + 1):
                part_s = min(one.end_s, (step + 1) * STEP_S) - max(one.begin_s, step * STEP_S)
                if one.what == "voice":
                    speakers[step][one.user] = speakers[step].get(one.user, 0.0) + part_s
                elif one.what == "screen" and part_s >= STEP_S / 2:
                    sharers[step] = one.user
        titles, speaker = [], ""
        for spoke, sharer in zip(speakers, sharers, strict=True):
            speaker = max(spoke, key=lambda user: spoke[user]) if spoke else speaker
            titles.append(self._title(speaker, sharer))
        return titles

    def _title(self, speaker: str, sharer: str) -> str:
        if sharer:
            return f"{self.names[sharer]} shares a screen"
        return self.names[speaker] if speaker else "Begin"

    def to_json(self, recording_id: str, gaps: Sequence[Mapping[str, Any]]) -> str:
        """Return the timeline as JSON (docs/timeline.md); the ids of people are those of Mattermost."""
        whole = {
            "schema": SCHEMA,
            "recording_id": recording_id,
            "duration_s": round(self.length_s, 3),
            "coarse": self.coarse,
            "people": [{"user_id": user, "name": name} for user, name in self.names.items()],
            "spans": [
                {"what": one.what, "user_id": one.user, "begin_s": one.begin_s, "end_s": one.end_s}
                for one in self.stretches
            ],
            "chapters": [attrs.asdict(chapter) for chapter in self.chapters()],
            "gaps": list(gaps),
        }
        return json.dumps(whole, indent=2) + "\n"

    def to_webvtt(self) -> str:
        """Return who spoke and who shared a screen as cues (W3C WebVTT, with voice spans); in order of their begins."""
        cues = ["WEBVTT"]
        for number, one in enumerate((one for one in self.stretches if one.what != "present"), start=1):
            words = f"<v {_escaped(self.names[one.user])}>{WORDS[one.what]}</v>"
            cues.append(f"{number}\n{_vtt_time(one.begin_s)} --> {_vtt_time(one.end_s)}\n{words}")
        return "\n\n".join(cues) + "\n"


def _stretches(events: Iterable[PeopleEvent], head_s: float, length_s: float) -> Iterable[Stretch]:
    open_since: dict[tuple[str, str], tuple[float, str]] = {}

    def place(at_s: float) -> float:
        return round(min(max(at_s - head_s, 0.0), length_s), 3)

    for event in events:
        for what in ENDS.get(event.kind, ()):
            if begun := open_since.pop((what, event.session), None):
                yield Stretch(what, begun[1], place(begun[0]), place(event.at_s))
        if what := BEGINS.get(event.kind, ""):
            for one in dict.fromkeys(("present", what)):  # one who speaks is there, whatever was missed
                open_since.setdefault((one, event.session), (event.at_s, event.user))
    for (what, _), (at_s, user) in open_since.items():
        yield Stretch(what, user, place(at_s), round(length_s, 3))


def _steady(titles: Sequence[str], shortest_s: float) -> list[tuple[float, str]]:
    """Return where another title begins that stays for `shortest_s` at least; what is shorter is passed over.

    The first one is that of the first that stays, where that begins so early.
    """
    least = max(1, round(shortest_s / STEP_S))
    found = [(0.0, titles[0])]
    at = 0
    for title, same in groupby(titles):
        length = len(list(same))
        if length >= least and title != found[-1][1]:
            if at < least and len(found) == 1:
                found[0] = (0.0, title)
            else:
                found.append((at * STEP_S, title))
        at += length
    return found


def _shown(name: str, number: int) -> str:
    """Return a name on one line, all printable, not too long; a number for one that has none."""
    return plain(name, NAME_CHARS) or f"Participant {number}"


def _escaped(text: str) -> str:
    return re.sub("[&<>]", lambda match: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[match[0]], text)


def _vtt_time(seconds: float) -> str:
    whole_ms = round(seconds * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}.{ms % 1000:03}"
