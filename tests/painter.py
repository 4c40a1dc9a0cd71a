"""Somebody who paints on a display."""

from __future__ import annotations

import xcffib
import xcffib.xproto

from recorder_fsm.system.clock import now_s
from tests.programs import HEIGHT, WIDTH


class Painter:
    """Paints rectangles on a display."""

    def __init__(self, display: str) -> None:
        self._connection = xcffib.connect(display)  # type: ignore[no-untyped-call]
        self._root = self._connection.get_setup().roots[0].root
        self._pen = self._connection.generate_id()
        self._core = self._connection.core  # type: ignore[has-type]
        self._core.CreateGCChecked(self._pen, self._root, 0, []).check()

    def fill(self, colour: int, area: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)) -> float:
        """Fill an area (left, top, width, height); returns when it was on the screen."""
        self._core.ChangeGC(self._pen, xcffib.xproto.GC.Foreground, [colour])
        rectangle = xcffib.xproto.RECTANGLE.synthetic(*area)  # type: ignore[no-untyped-call]
        self._core.PolyFillRectangle(self._root, self._pen, 1, [rectangle])
        self._core.GetInputFocus().reply()  # the server has done all before it
        return now_s()
