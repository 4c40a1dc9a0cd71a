"""The governor: has fewer frames made where the encoder or the machine does not keep up, and more when there is room.

Pure: it is told of each frame, and answers with a frame rate. An encoder that is too slow loses frames by chance, one
here and three there; fewer frames at a steady beat are easier to look at, and leave the machine to the audio. The
preset of an encoder that runs cannot be changed, and a file that is begun anew loses more than frames.
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
"""With more frames lost than this the rate is lowered."""
WAITED_SHARE = 0.3
"""Of the time spent waiting for the encoder: with less, the next higher rate has room."""
STEADY_WINDOWS = 4
"""So many windows in a row with room, and the rate is raised."""


def rates(frame_rate: int) -> list[int]:
    """Return the frame rates to choose from, highest first; the first is the one that was asked for."""
    return [frame_rate, *(rate for step in STEPS if (rate := round(frame_rate * step)) >= LEAST_RATE)]


class Governor:
    """Chooses the frame rate. `rate` is the one that holds now, in frames per second."""

    def __init__(self, frame_rate: int) -> None:
        self._rates = rates(frame_rate)
        self._at = 0
        self._begin_s = 0.0
        self._frames = self._roomy = 0
        self._lost = self._waited_s = 0.0

    @property
    def rate(self) -> int:
        return self._rates[self._at]

    def take(self, at_s: float, *, lost: float, waited_s: float) -> bool:
        """Take a frame of that time; returns whether the rate has changed.

        `lost`: frames before it that were not made, not a whole number; `waited_s`: how long the encoder took to
        accept it.
        """
        self._frames += 1
        self._lost += lost
        self._waited_s += waited_s
        if (length_s := at_s - self._begin_s) < WINDOW_S:
            return False
        before = self._at
        if self._frames + self._lost >= FEWEST_FRAMES:
            self._judge(length_s)
        self._begin_s = at_s
        self._frames = 0
        self._lost = self._waited_s = 0.0
        return self._at != before

    def _judge(self, length_s: float) -> None:
        if self._lost > LOST_SHARE * (self._frames + self._lost):
            self._at = min(self._at + 1, len(self._rates) - 1)
            self._roomy = 0
        elif self._at == 0:
            return
        elif self._lost < 1 and self._waited_s < WAITED_SHARE * length_s * self.rate / self._rates[self._at - 1]:
            self._roomy += 1
            if self._roomy >= STEADY_WINDOWS:
                self._at -= 1
                self._roomy = 0
        else:
            self._roomy = 0
