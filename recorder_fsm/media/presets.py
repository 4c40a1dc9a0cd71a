"""The presets of one recording: the one that was asked for, and those that the recorder may take instead of it.

Pure: it decides whether a wish of the governor is followed. Another encoder costs a second of CPU, so they do not
follow each other for as long as the machine is at its limit: each way up that led down again makes the next one wait
for twice as long, and their number has an end.
"""

from __future__ import annotations

from collections.abc import Iterable

from recorder_fsm.config.settings import PRESETS
from recorder_fsm.media.governor import QUICKER, SLOWER

QUICK = ("veryfast", "superfast")
"""A frame takes a half of the CPU that `fast` takes, and a quarter. `ultrafast` is no step: it saves little more, and
looks much worse (docs/capture.md)."""
MOST_CHANGES = 12
"""In one recording; the last of them leads down."""
REST_S = 60.0
"""So long after a change it may go up, at first."""


def presets(asked: str) -> list[str]:
    """Return the presets to choose from, the one that was asked for first, then quicker ones."""
    after = PRESETS[PRESETS.index(asked) + 1 :]
    return [asked, *(preset for preset in QUICK if preset in after)]


def quickest(some: Iterable[str]) -> str | None:
    """Return the one that takes least CPU, and gives least for a rate; None of none."""
    return max(some, key=PRESETS.index, default=None)


class PresetLadder:
    """The preset that holds now, and what may be taken next. Times are in seconds of any one clock."""

    def __init__(self, asked: str) -> None:
        self._presets = presets(asked)
        self._at = self._changes = 0
        self._changed_s = 0.0
        self._rest_s = REST_S
        self._rose = self._given_up = False

    @property
    def preset(self) -> str:
        return self._presets[self._at]

    @property
    def wishes(self) -> tuple[str, ...]:
        """The wishes that make sense for an encoder with this preset."""
        if self._given_up or self._changes >= MOST_CHANGES:
            return ()
        quicker = (QUICKER,) if self._at + 1 < len(self._presets) else ()
        return (*quicker, SLOWER) if self._at and self._changes + 1 < MOST_CHANGES else quicker

    def answer(self, wish: str, now_s: float) -> str | None:
        """Return the preset to change to, None where it stays."""
        if wish not in self.wishes or (wish == SLOWER and now_s - self._changed_s < self._rest_s):
            return None
        return self._presets[self._at + (1 if wish == QUICKER else -1)]

    def changed(self, preset: str, now_s: float) -> None:
        """Note that an encoder with that preset has taken over."""
        at = self._presets.index(preset)
        down = at > self._at
        if down and self._rose:
            self._rest_s *= 2
        self._rose = not down
        self._at, self._changed_s = at, now_s
        self._changes += 1

    def give_up(self) -> None:
        """Note that the change failed: what holds now stays to the end."""
        self._given_up = True
