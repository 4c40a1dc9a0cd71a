"""From the display's pixels to the encoder's: the right colours, and no seam where a picture was made in pieces."""

from __future__ import annotations

import ctypes
import random
from itertools import pairwise

import pytest

from recorder_fsm.media import pixels
from recorder_fsm.media.pixels import Converter, PixelError, Planes

WIDTH, HEIGHT = 64, 48
COLOURS = [
    (0, 0, 0),
    (255, 255, 255),
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 0, 255),
    (30, 144, 255),
    (63, 67, 80),
]


class Picture:
    """Pixels as a display gives them."""

    def __init__(self, data: bytes) -> None:
        self._memory = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        self.address = ctypes.addressof(self._memory)


def bt709(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """Return luma and colours in the limited range (ITU-R BT.709-6, 3.2 to 3.5)."""
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        16 + 219 * luma / 255,
        128 + 224 * (blue - luma) / 1.8556 / 255,
        128 + 224 * (red - luma) / 1.5748 / 255,
    )


@pytest.mark.parametrize("colour", COLOURS)
def test_colour_is_that_of_bt709(colour: tuple[int, int, int]) -> None:
    """In all three planes, at most one step away."""
    red, green, blue = colour
    planes, picture = Planes(WIDTH, HEIGHT), Picture(bytes((blue, green, red, 0)) * WIDTH * HEIGHT)
    Converter(WIDTH, HEIGHT).convert(picture.address, 0, HEIGHT, planes)
    luma = WIDTH * HEIGHT
    parts = planes.data[:luma], planes.data[luma : luma * 5 // 4], planes.data[luma * 5 // 4 :]
    for part, wanted in zip(parts, bt709(red, green, blue), strict=True):
        assert abs(min(part) - wanted) <= 1
        assert abs(max(part) - wanted) <= 1


@pytest.mark.parametrize(
    "cuts", [[0, 48], [0, 1, 48], [0, 2, 3, 5, 8, 13, 21, 34, 48], [0, 47, 48], list(range(49))], ids=str
)
def test_picture_made_in_pieces_is_the_same(cuts: list[int]) -> None:
    """Byte by byte, wherever it was cut: noise shows each seam."""
    picture = Picture(random.Random(7).randbytes(WIDTH * HEIGHT * 4))  # noqa: S311 - the same in each run
    converter, whole, pieces = Converter(WIDTH, HEIGHT), Planes(WIDTH, HEIGHT), Planes(WIDTH, HEIGHT)
    converter.convert(picture.address, 0, HEIGHT, whole)
    for top, bottom in pairwise(cuts):
        converter.convert(picture.address, top, bottom, pieces)
    assert pieces.data == whole.data
    assert len(set(whole.data)) > 100


def test_what_did_not_change_is_not_touched() -> None:
    """Only the lines that were asked for, and the second of a pair that shares its colour."""
    planes, picture = Planes(WIDTH, HEIGHT), Picture(b"\xff" * WIDTH * HEIGHT * 4)
    before = bytes(planes.data)
    Converter(WIDTH, HEIGHT).convert(picture.address, 11, 13, planes)
    changed = {at // WIDTH for at in range(WIDTH * HEIGHT) if planes.data[at] != before[at]}
    assert changed == {10, 11, 12, 13}


def test_heights_without_number_need_no_memory_without_end() -> None:
    """Each height has a converter of its own, and only so many are kept."""
    converter, planes = Converter(WIDTH, HEIGHT), Planes(WIDTH, HEIGHT)
    picture = Picture(bytes(WIDTH * HEIGHT * 4))
    for _ in range(3):
        for bottom in range(2, HEIGHT + 1, 2):
            converter.convert(picture.address, 0, bottom, planes)
            converter.convert(picture.address, HEIGHT - bottom, HEIGHT, planes)
    assert len(converter._contexts) <= pixels.CONTEXTS


def test_missing_library_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose ffmpeg was built into one file has none."""
    monkeypatch.setattr(pixels, "NUMBERS", {"swscale": range(0), "avutil": range(0)})
    with pytest.raises(PixelError, match=r"libswscale is missing.*apt install ffmpeg"):
        Converter(WIDTH, HEIGHT)
