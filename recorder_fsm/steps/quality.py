"""What the recording holds against what the page does: finds audio or video that gets lost on the way.

Pure: it is given what the capture measured and what the page tells of itself, and returns findings for people. None of
them ends a recording; a person who looks at it later must know.
"""

from __future__ import annotations

import attrs

from recorder_fsm.media.progress import SILENCE_DBFS

VOICE_ENERGY_PER_S = 1e-5
"""What a track that carries speech gains in a second (W3C webrtc-stats, totalAudioEnergy): speech at -20 dBFS gives
0.01, a muted track nothing."""
MUTE_AFTER_S = 10.0
QUIET_DBFS = -60.0
"""A second below this level holds no voice; a line that is open has some noise."""
BLACK_AFTER_S = 10.0
FROZEN_AFTER_S = 75.0
"""The page's own clock changes every minute."""
CHANGES_THAT_SHOW = 5
IDLE_CHANGES_PER_S = 2.0
"""A page in which nothing happens may show a clock with seconds."""
BEHIND_S = 5.0
BLIND_AFTER_S = 15.0
"""Of a time in which nobody looked, because the recorder stood still or the page was busy, nothing is said."""


BLACK = "The recorder's picture is black."
UNSEEN = "the video is black, and what the call page draws is not"


@attrs.frozen
class Signs:
    """What was seen at one moment. Times and lengths in seconds.

    `energy`: audio energy that the page has received since it joined; `packets`: packets of audio and video;
    `changes`: changes of its document; `shown`: frames so far in which something had changed. `unseen`: the video is
    black and the page is not.
    """

    at_s: float
    level_dbfs: float
    black: bool
    shown: int
    behind_s: float
    energy: float
    changes: int
    packets: int = 0
    unseen: bool = False

    def quiet_since(self, last: Signs) -> bool:
        """Tell whether there was no sign of people since `last`: nobody heard, nobody sends, and the page is still.

        An open microphone and a shared screen send packets, also where nothing is said and nothing moves.
        """
        return (
            0 < self.at_s - last.at_s <= BLIND_AFTER_S
            and self.level_dbfs < QUIET_DBFS
            and self.packets == last.packets
            and self.energy - last.energy <= VOICE_ENERGY_PER_S * (self.at_s - last.at_s)
            and 0 <= self.changes - last.changes <= IDLE_CHANGES_PER_S * (self.at_s - last.at_s)
        )


class Monitor:
    """Keeps what is needed of the past; tells each finding once, when it begins."""

    def __init__(self) -> None:
        self._last: Signs | None = None
        self._since: dict[str, float] = {}
        self._still: Signs | None = None
        self._told: set[str] = set()

    def look(self, now: Signs) -> list[str]:
        """Return what is new and wrong at this moment."""
        last, self._last = self._last, now
        if last is None or not 0 < now.at_s - last.at_s <= BLIND_AFTER_S:
            self._still = now
            self._since.clear()
            return []
        gained = (now.energy - last.energy) / (now.at_s - last.at_s)
        found = [
            self._lasting(
                "mute",
                now.at_s,
                MUTE_AFTER_S,
                holds=gained > VOICE_ENERGY_PER_S and now.level_dbfs < SILENCE_DBFS,
                text="the page receives voices, but the recording is silent",
            ),
            self._lasting("unseen", now.at_s, BLACK_AFTER_S, holds=now.unseen, text=UNSEEN),
            self._lasting(
                "black", now.at_s, BLACK_AFTER_S, holds=now.black and not now.unseen, text="the video is black"
            ),
            self._lasting(
                "behind",
                now.at_s,
                0.0,
                holds=now.behind_s > BEHIND_S,
                text=f"the encoder is {now.behind_s:.0f} s behind: this machine is too slow for these settings",
            ),
            self._frozen(now),
        ]
        return [text for text in found if text]

    def _lasting(self, name: str, at_s: float, after_s: float, *, holds: bool, text: str) -> str | None:
        """Return `text` once when the condition has held for `after_s`; one that ends may be told again."""
        if not holds:
            self._since.pop(name, None)
            self._told.discard(name)
            return None
        since = self._since.setdefault(name, at_s)
        if at_s - since < after_s or name in self._told:
            return None
        self._told.add(name)
        return text

    def _frozen(self, now: Signs) -> str | None:
        """Compare the page's changes with those that the video shows."""
        if self._still is None or now.shown != self._still.shown:
            self._still = now
            self._told.discard("frozen")
            return None
        changed = now.changes - self._still.changes >= CHANGES_THAT_SHOW
        if not changed or now.at_s - self._still.at_s < FROZEN_AFTER_S or "frozen" in self._told:
            return None
        self._told.add("frozen")
        return f"the page changes, but the video has not for {now.at_s - self._still.at_s:.0f} s"
