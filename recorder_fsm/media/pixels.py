"""From the display's pixels to the encoder's: BGR0 to yuv420p as BT.709, limited range, by ffmpeg's own libswscale.

Only lines that changed are converted. A changed line also changes the colours of its neighbours, since two lines share
one line of colour; what is converted is therefore a little more than what is kept, and a picture that was made piece by
piece is the same, byte by byte, as one that was made at once.
"""

from __future__ import annotations

import contextlib
import ctypes
from ctypes import POINTER, c_char_p, c_int, c_uint8, c_void_p

from recorder_fsm.media.x11_screen import PIXEL_BYTES

MARGIN_LINES = 4
"""How far the colours of a line reach."""
CONTEXTS = 32
"""Pieces of so many heights have a converter ready: a call has few places that change."""
DARK = bytes(range(16 + 219 * 5 // 100 + 1))
"""Luma of what is called black: the first twentieth of its range. Dark grey, the page's own background, is lighter."""
LIT_SHARE = 0.005
"""A picture with less of its pixels lighter is black."""
SAMPLE_EVERY = 61
"""One pixel of so many is looked at; a prime, so that they lie in all columns."""
_SWS_AREA, _SWS_FULL_CHR_H_INP = 0x20, 0x4000
_SWS_CS_ITU709 = 1
_FULL_RANGE, _LIMITED_RANGE = 1, 0
_UNCHANGED = 1 << 16
NUMBERS = {"swscale": range(15, 4, -1), "avutil": range(66, 55, -1)}
"""The versions of ffmpeg's libraries, 5 and later, the newest first."""


class PixelError(Exception):
    """The converter is missing, or refuses."""


class Planes:
    """A picture as yuv420p in memory: `width` x `height` luma, then both colours at half the size."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        luma = width * height
        self.data = bytearray(luma * 3 // 2)
        self._memory = (c_uint8 * len(self.data)).from_buffer(self.data)
        at = ctypes.addressof(self._memory)
        self._planes = (at, at + luma, at + luma + luma // 4)
        self.strides = (width, width // 2, width // 2)

    def is_black(self) -> bool:
        """Tell whether nothing of the picture is lighter than `DARK`, but a few pixels."""
        sample = self.data[: self.width * self.height : SAMPLE_EVERY]
        return len(sample.translate(None, DARK)) < LIT_SHARE * len(sample)

    def at(self, line: int) -> tuple[int, int, int]:
        """Return where an even line begins in each plane."""
        luma, blue, red = self._planes
        luma_stride, colour_stride, _ = self.strides
        return luma + line * luma_stride, blue + line // 2 * colour_stride, red + line // 2 * colour_stride


class Converter:
    """Converts pictures of one size, both numbers even."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._scale = _library("swscale")
        self._scale.sws_getContext.restype = c_void_p
        self._scale.sws_getContext.argtypes = [c_int] * 7 + [c_void_p] * 3
        self._scale.sws_freeContext.argtypes = [c_void_p]
        self._scale.sws_scale.argtypes = [c_void_p, c_void_p, c_void_p, c_int, c_int, c_void_p, c_void_p]
        self._scale.sws_getCoefficients.restype = POINTER(c_int)
        self._scale.sws_setColorspaceDetails.argtypes = [c_void_p, c_void_p, c_int, c_void_p, *[c_int] * 4]
        formats = _library("avutil").av_get_pix_fmt
        formats.argtypes = [c_char_p]
        self._from, self._to = formats(b"bgr0"), formats(b"yuv420p")
        self._contexts: dict[int, int] = {}
        self._piece = Planes(width, height)

    def convert(self, pixels: int, top: int, bottom: int, target: Planes) -> None:
        """Convert the lines from `top` up to `bottom` of the picture at the address `pixels` into `target`."""
        top, bottom = top & ~1, min(self._height, bottom + 1 & ~1)
        upper, lower = max(0, top - MARGIN_LINES), min(self._height, bottom + MARGIN_LINES)
        source = (c_void_p * 4)(pixels + upper * self._width * PIXEL_BYTES)
        source_strides = (c_int * 4)(self._width * PIXEL_BYTES)
        piece = (c_void_p * 4)(*self._piece.at(upper))
        strides = (c_int * 4)(*self._piece.strides)
        lines = lower - upper
        self._scale.sws_scale(self._context(lines), source, source_strides, 0, lines, piece, strides)
        places = zip(target.at(top), self._piece.at(top), self._piece.at(bottom), strict=True)
        for to, begin, end in places:
            ctypes.memmove(to, begin, end - begin)

    def _context(self, lines: int) -> int:
        context = self._contexts.pop(lines, None)
        if context is None:
            if len(self._contexts) >= CONTEXTS:
                longest_unused = next(iter(self._contexts))
                self._scale.sws_freeContext(self._contexts.pop(longest_unused))
            size = (self._width, lines)
            flags = _SWS_AREA | _SWS_FULL_CHR_H_INP
            context = self._scale.sws_getContext(*size, self._from, *size, self._to, flags, None, None, None)
            if not context:
                raise PixelError(f"libswscale does not convert {self._width}x{lines} pixels")
            bt709 = self._scale.sws_getCoefficients(_SWS_CS_ITU709)
            ranges = (bt709, _FULL_RANGE, bt709, _LIMITED_RANGE)
            self._scale.sws_setColorspaceDetails(context, *ranges, 0, _UNCHANGED, _UNCHANGED)
        self._contexts[lines] = context
        return context


def _library(name: str) -> ctypes.CDLL:
    """Load a library of ffmpeg, the newest that is here: what is called has been the same in all of them."""
    for number in NUMBERS[name]:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(f"lib{name}.so.{number}")
    raise PixelError(f"lib{name} is missing: it comes with ffmpeg (Debian: apt install ffmpeg)")
