"""A display, seen from a client: what changed (X DAMAGE), and fetching it into memory (MIT-SHM)."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import xcffib
import xcffib.damage
import xcffib.shm
import xcffib.xproto

PIXEL_BYTES = 4
_Z_PIXMAP = xcffib.xproto.ImageFormat.ZPixmap
_EACH_DRAWING = xcffib.damage.ReportLevel.RawRectangles
_ALL_PLANES = 0xFFFFFFFF
_IPC_PRIVATE, _IPC_CREAT, _IPC_RMID = 0, 0o1000, 0
_OWNER_ONLY = 0o600
_WRAP_MS = 2**32
_SEQUENCE = 0xFFFF
"""An event says in so many bits which request of ours the server had done last."""


class ScreenError(Exception):
    """The display cannot be read, or is gone; says why."""


class Fetched(NamedTuple):
    """What a fetch brought: the first line, the first behind them, and when the last of it was drawn."""

    top: int
    bottom: int
    drawn_s: float


class Screen:
    """The upper left `width` x `height` pixels of a display, kept at `address`: four bytes each, BGR0, line by line.

    The server tells of each drawing, and when it was made (CLOCK_BOOTTIME, seconds): `drawn_s` is that of the last one,
    `changed_s` of the first since the last fetch. Only lines that changed are copied, in their whole width.
    """

    def __init__(self, display: str, width: int, height: int) -> None:
        self._width, self._height = width, height
        try:
            self._connection = xcffib.connect(display)  # type: ignore[no-untyped-call]
            self._root = self._connection.get_setup().roots[self._connection.pref_screen].root
            self._damage = self._connection(xcffib.damage.key)
            self._damage.QueryVersion(1, 1).reply()
            self._damaged = self._connection.generate_id()
            self._damage.CreateChecked(self._damaged, self._root, _EACH_DRAWING).check()
            self._attach(width * height * PIXEL_BYTES)
        except (xcffib.XcffibException, OSError) as error:
            raise ScreenError(f"the display {display} cannot be read: {error or type(error).__name__}") from error
        self._top, self._bottom = 0, height
        self.drawn_s = self.changed_s = time.clock_gettime(time.CLOCK_BOOTTIME)

    def fileno(self) -> int:
        """Return what becomes readable when the server has something to tell."""
        return int(self._connection.get_file_descriptor())

    def changed(self) -> bool:
        """Take in what the server has told; returns whether anything has changed since the last fetch."""
        for drawing in self._drawings():
            self._note(drawing)
        return self._top < self._bottom

    def _drawings(self) -> Iterator[xcffib.damage.NotifyEvent]:
        try:
            while (event := self._connection.poll_for_event()) is not None:
                if isinstance(event, xcffib.damage.NotifyEvent):
                    yield event
        except xcffib.XcffibException as error:
            raise ScreenError("the display closed the connection") from error

    def _note(self, drawing: xcffib.damage.NotifyEvent) -> None:
        self.drawn_s = _by_our_clock(drawing.timestamp)
        if self._top >= self._bottom:
            self.changed_s = self.drawn_s
        first, behind = self._lines(drawing)
        self._top, self._bottom = min(self._top, first), max(self._bottom, behind)

    def _lines(self, drawing: xcffib.damage.NotifyEvent) -> tuple[int, int]:
        """Return the first line of a drawing, and the first behind it; a window may be larger than the screen."""
        return max(0, drawing.area.y), min(self._height, drawing.area.y + drawing.area.height)

    def fetch(self) -> Fetched:
        """Bring the lines that changed up to date.

        A busy machine may stop us before it, and what is drawn meanwhile is in the picture: the server says what came
        before its answer.
        """
        top, bottom = self._top, self._bottom
        self._top, self._bottom = self._height, 0
        try:
            area = (0, top, self._width, bottom - top)
            at = top * self._width * PIXEL_BYTES
            if self._segment:
                shm = self._connection(xcffib.shm.key)
                asked = shm.GetImage(self._root, *area, _ALL_PLANES, _Z_PIXMAP, self._segment, at)
                asked.reply()
            else:
                core: Any = self._connection.core  # type: ignore[has-type]
                asked = core.GetImage(_Z_PIXMAP, self._root, *area, _ALL_PLANES)
                pixels = asked.reply().data.buf()
                ctypes.memmove(self.address + at, pixels, len(pixels))
        except xcffib.XcffibException as error:
            raise ScreenError(f"the display does not give its picture: {error or type(error).__name__}") from error
        drawn_s = self.drawn_s
        for drawing in self._drawings():
            first, behind = self._lines(drawing)
            if top <= first and behind <= bottom and drawing.sequence != asked.sequence & _SEQUENCE:
                drawn_s = self.drawn_s = _by_our_clock(drawing.timestamp)
            else:
                self._note(drawing)
        return Fetched(top, bottom, drawn_s)

    def _attach(self, size_bytes: int) -> None:
        """Share memory with the server; where that is refused, it sends the pixels."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
        libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
        libc.shmat.restype = ctypes.c_void_p
        number = libc.shmget(_IPC_PRIVATE, size_bytes, _IPC_CREAT | _OWNER_ONLY)
        try:
            if number < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            address = libc.shmat(number, None, 0)
            if address == ctypes.c_void_p(-1).value:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            self._segment = self._connection.generate_id()
            shm = self._connection(xcffib.shm.key)
            shm.AttachChecked(self._segment, number, read_only=False).check()
            self.address: int = address
        except (OSError, xcffib.XcffibException):
            self._segment = 0
            self._memory = ctypes.create_string_buffer(size_bytes)
            self.address = ctypes.addressof(self._memory)
        finally:
            if number >= 0:
                libc.shmctl(number, _IPC_RMID, None)  # goes with the last of us who has it


def _by_our_clock(server_ms: int) -> float:
    """Return when the server's clock showed `server_ms`, by CLOCK_BOOTTIME in seconds.

    It counts the milliseconds of CLOCK_MONOTONIC in 32 bits (Xorg, os/utils.c: GetTimeInMillis).
    """
    now_s, ago_ms = time.clock_gettime(time.CLOCK_BOOTTIME), (int(time.monotonic() * 1000) - server_ms) % _WRAP_MS
    return now_s - (ago_ms / 1000 if ago_ms < _WRAP_MS // 2 else 0.0)
