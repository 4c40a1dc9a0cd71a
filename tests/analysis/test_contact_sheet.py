"""The contact sheet, looked at as a picture: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder_fsm.analysis.contact_sheet import (
    BLACK,
    GROUND,
    PANEL,
    RMS,
    THUMBNAIL,
    WAVE_LEFT,
    WAVE_WIDTH,
    WIDTH,
    Marks,
    clock,
    contact_sheet,
    sized,
)
from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.errors import RecordingError
from recorder_fsm.system.process import run
from tests.analysis.conftest import AAC, H264, make

Pixel = tuple[int, int, int]
RED_GREEN = (
    r"color=red:s=320x180:r=10:d=6,drawbox=c=lime:t=fill:enable='gte(t\,3)'",
    r"aevalsrc=exprs='0.1*sin(2*PI*440*t)*lt(t\,3)':s=48000:d=6",
)


class Sheet:
    """The pixels of a PNG."""

    def __init__(self, width: int, rgb: bytes) -> None:
        self.width, self.height, self.rgb = width, len(rgb) // width // 3, rgb

    def at(self, x: int, y: int) -> Pixel:
        place = (y * self.width + x) * 3
        red, green, blue = self.rgb[place : place + 3]
        return red, green, blue

    def thumbnail(self, number: int) -> Pixel:
        """The middle of a thumbnail, counted from 0."""
        width, height = THUMBNAIL
        return self.at(20 + number % 4 * (width + 12) + width // 2, 74 + number // 4 * (height + 24) + height // 2)

    def columns(self, colour: Pixel) -> list[float]:
        """The places on the time axis, 0 to 1, at which something has this colour."""
        rows = [self.rgb[y * self.width * 3 : (y + 1) * self.width * 3] for y in range(self.height)]
        return [
            x / WAVE_WIDTH
            for x in range(WAVE_WIDTH)
            if any(tuple(row[(WAVE_LEFT + x) * 3 : (WAVE_LEFT + x) * 3 + 3]) == colour for row in rows)
        ]


async def sheet_of(path: Path, out: Path, **more: Marks | str) -> Sheet:
    """Draw the contact sheet, and read it."""
    await contact_sheet(path, out, **more)  # type: ignore[arg-type]
    argv = ["ffmpeg", "-v", "error", "-i", f"file:{out}", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    done = await run("ffmpeg", argv, env=PROGRAM_ENV, limit_s=20)
    return Sheet(WIDTH, done.stdout)


def near(pixel: Pixel, wanted: Pixel) -> bool:
    return all(abs(one - other) < 40 for one, other in zip(pixel, wanted, strict=True))


async def red_then_green(path: Path) -> Path:
    """Make 6 s: red with a tone, from 3 s on green and silent."""
    video, audio = RED_GREEN
    return await make(path, "-f", "lavfi", "-i", video, "-f", "lavfi", "-i", audio, *H264, *AAC)


async def test_sheet_shows_frames_levels_and_marks_on_one_axis(tmp_path: Path) -> None:
    """Six red frames, six green ones; the wave ends in the middle; a mark is where it was said to be."""
    path = await red_then_green(tmp_path / "a.mp4")
    sheet = await sheet_of(path, tmp_path / "a.png", marks=Marks(black=[(1.5, 3.0)]))
    assert all(near(sheet.thumbnail(number), (254, 0, 0)) for number in range(6))
    assert all(near(sheet.thumbnail(number), (0, 255, 0)) for number in range(6, 12))
    heard = sheet.columns(RMS)
    assert [min(heard), max(heard)] == pytest.approx([0, 0.5], abs=0.02)
    black = sheet.columns(BLACK)
    assert [min(black), max(black)] == pytest.approx([0.25, 0.5], abs=0.01)
    assert sheet.columns((0xF0, 0xC0, 0x50))[0] == pytest.approx(0.5, abs=0.02), "silence is found in the levels"


async def test_sheet_of_any_name_has_its_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What means something to ffmpeg, a terminal or a shell is drawn as text, and opened as a file."""
    monkeypatch.chdir(tmp_path)
    path = await red_then_green(Path("http:-a'b:c%d{n}[x],;\\\\ \n\udcff.mp4"))
    sheet = await sheet_of(path, tmp_path / "a.png")
    assert near(sheet.thumbnail(0), (254, 0, 0))
    assert any(sheet.at(x, y) != GROUND for y in range(10, 40) for x in range(20, 300))


async def test_sheet_of_one_frame_shows_it_once(tmp_path: Path) -> None:
    """A recording of one frame has one thumbnail, one without audio has no wave."""
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", "color=red:s=320x180:r=10", "-frames:v", "1", *H264)
    sheet = await sheet_of(path, tmp_path / "a.png")
    assert near(sheet.thumbnail(0), (254, 0, 0))
    assert sheet.thumbnail(1) == GROUND
    assert sheet.columns(RMS) == []


async def test_sheet_of_half_a_second_has_all_frames(tmp_path: Path) -> None:
    """The last thumbnail of a short file is behind its last frame, and shows that one."""
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", "color=red:s=320x180:r=30:d=0.5", *H264)
    sheet = await sheet_of(path, tmp_path / "a.png")
    assert all(near(sheet.thumbnail(number), (254, 0, 0)) for number in range(12))


async def test_sheet_of_a_damaged_file_shows_what_there_is(tmp_path: Path) -> None:
    """Of a file whose second half is gone, the first half is shown and the rest is left grey."""
    whole = await make(
        tmp_path / "a.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=10:d=6", *H264, "-movflags", "+faststart"
    )
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    sheet = await sheet_of(half, tmp_path / "a.png")
    assert sheet.thumbnail(0) != PANEL
    assert sheet.at(30, 74 + 2 * 182 + 10) == PANEL


async def test_sheet_is_refused_where_nothing_can_be_drawn_or_written(tmp_path: Path) -> None:
    """A text is no recording, and no sheet is left of it; a directory is no place for one, and keeps no part of it."""
    text = tmp_path / "a.mp4"
    text.write_text("#EXTM3U\n/etc/hostname\n")
    with pytest.raises(RecordingError):
        await contact_sheet(text, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
    good, there = await red_then_green(tmp_path / "b.mp4"), tmp_path / "there"
    there.mkdir()
    with pytest.raises(RecordingError, match="cannot be written"):
        await contact_sheet(good, there)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "there"]


def test_clock_and_sizes_are_read_as_people_write_them() -> None:
    """Hours only where there are some; three digits of a size."""
    assert [clock(5.4), clock(59.6), clock(3725), clock(5.44, 1)] == ["0:05", "1:00", "1:02:05", "0:05.4"]
    assert [sized(820), sized(1_994_000), sized(999_700), sized(58_793_709)] == [
        "820 bytes",
        "1.99 MB",
        "1000 kB",
        "58.8 MB",
    ]
