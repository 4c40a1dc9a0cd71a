"""The governor: has less made where the encoder or the machine does not keep up, and more when there is room.

Pure: it is told of each frame, and answers with a frame rate and a wish. An encoder that is too slow loses frames by
chance, one here and three there. A quicker preset loses none, and makes a file that is larger or looks a little worse;
fewer frames at a steady beat are easier to look at than lost ones, and leave the machine to the audio. So the preset
comes first, then the frame rate; on the way back the frame rate, then the preset.

The preset of an encoder that runs cannot be changed: another encoder takes over, which is the business of others
(`resources.capture`). The governor only wishes. Where nothing comes of it, it goes on to the frame rate.
"""

from __future__ import annotations

STEPS = (2 / 3, 1 / 2, 1 / 3)
"""Shares of the frame rate that was asked for, below that itself."""
LEAST_RATE = 5
WINDOW_S = 5.0
"""So long it looks before it decides."""
FEWEST_FRAMES = 10
"""In a window with fewer the screen is nearly still, and nothing can be said."""
LOST_SHARE = 0.1
"""With more frames lost than this less is made."""
WAITED_SHARE = 0.3
"""Of the time spent waiting for the encoder: with less, the next higher rate has room."""
STEADY_WINDOWS = 4
"""So many windows in a row with room, and the rate is raised."""
QUICKER, SLOWER = "quicker", "slower"
"""The presets that it may wish for, seen from the one that runs."""
SLOW_WINDOWS = 2
"""So many windows in a row that lose frames, and a quicker preset is wished for: another encoder costs a second of CPU,
and its own start is a moment in which frames may be lost."""
PATIENT_WINDOWS = 3
"""So many more with that wish, and the frame rate is lowered: no other encoder comes."""
ROOMY_WINDOWS = 12
"""So many windows in a row with room, and a slower preset is wished for."""
SLOWER_COSTS = 2.0
"""A frame takes at least so much longer with the next slower preset (docs/capture.md)."""


def rates(frame_rate: int) -> list[int]:
    """Return the frame rates to choose from, highest first; the first is the one that was asked for."""
    return [frame_rate, *(rate for step in STEPS if (rate := round(frame_rate * step)) >= LEAST_RATE)]


class Governor:
    """Chooses the frame rate. `rate` is the one that holds now, in frames per second.

    `quicker`, `slower`: whether another preset may be wished for; `wish` is one of them, or "".
    """

    def __init__(self, frame_rate: int, *, quicker: bool = False, slower: bool = False) -> None:
        self._rates = rates(frame_rate)
        self._quicker = quicker
        self._slower = slower
        self.wish = ""
        self._at = 0
        self._begin_s = 0.0
        self._frames = self._roomy = self._slow = 0
        self._lost = self._waited_s = 0.0

    @property
    def rate(self) -> int:
        return self._rates[self._at]

    def take(self, at_s: float, *, lost: float, waited_s: float) -> bool:
        """Take a frame of that time; returns whether the rate or the wish has changed.

        `lost`: frames before it that were not made, not a whole number; `waited_s`: how long the encoder took to
        accept it.
        """
        self._frames += 1
        self._lost += lost
        self._waited_s += waited_s
        if (length_s := at_s - self._begin_s) < WINDOW_S:
            return False
        before = self._at, self.wish
        if self._frames + self._lost >= FEWEST_FRAMES:
            self._judge(length_s)
        self._begin_s = at_s
        self._frames = 0
        self._lost = self._waited_s = 0.0
        return (self._at, self.wish) != before

    def _judge(self, length_s: float) -> None:
        if self._lost > LOST_SHARE * (self._frames + self._lost):
            self._roomy = 0
            self._slow += 1
            self._go_down()
            return
        self._slow = 0
        self.wish = ""
        if self._at == 0 and not self._slower:
            return
        share = self.rate / self._rates[self._at - 1] if self._at else 1 / SLOWER_COSTS
        if self._lost < 1 and self._waited_s < WAITED_SHARE * length_s * share:
            self._roomy += 1
            self._go_up()
        else:
            self._roomy = 0

    def _go_down(self) -> None:
        if self._at == 0 and self._quicker and self._slow < SLOW_WINDOWS + PATIENT_WINDOWS:
            self.wish = QUICKER if self._slow >= SLOW_WINDOWS else ""
            return
        self._quicker = False  # nothing came of it
        self.wish = ""
        self._at = min(self._at + 1, len(self._rates) - 1)

    def _go_up(self) -> None:
        if self._at == 0:
            self.wish = SLOWER if self._roomy >= ROOMY_WINDOWS else ""
        elif self._roomy >= STEADY_WINDOWS:
            self._at -= 1
            self._roomy = 0
