"""A recording at a glance: one PNG with frames of it, its loudness, and where it is black, frozen or silent.

Frames are fetched by seeking, so a long recording takes as long as a short one; its audio is read as a whole. What
cannot be fetched is left grey: a sheet of a damaged recording is worth most. Without a font there is no text.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import attrs

from recorder_fsm.analysis.audio import Level, levels
from recorder_fsm.analysis.canvas import Canvas, Colour, find_font, png
from recorder_fsm.analysis.ffmpeg import ffmpeg
from recorder_fsm.analysis.probe import Container, probe
from recorder_fsm.errors import RecorderError, RecordingError
from recorder_fsm.plain_text import plain
from recorder_fsm.system.threads import in_daemon_thread

WIDTH = 1200
MARGIN = 20
COLUMNS = 4
THUMBNAILS = 12
THUMBNAIL = (281, 158)
SPACE = 12
TITLE_HEIGHT = 74
CAPTION_HEIGHT = 24
WAVE_LEFT, WAVE_HEIGHT = 84, 120
WAVE_WIDTH = WIDTH - MARGIN - WAVE_LEFT
SHORTEST_LEVEL_S = 0.01
LAST_FRAMES_S = 1.0
STRIP_HEIGHT, STRIP_STEP = 9, 15
AXIS_HEIGHT = 26
FLOOR_DB = -60.0
SILENT_DB = -60.0
SILENT_MIN_S = 2.0
AT_ONCE = 2
THUMBNAIL_LIMIT_S = 20.0
RAW = ("-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
WAVE_LIMIT_S = 120.0
LABEL_EVERY_PX = 90
STEPS_S: tuple[float, ...] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
TITLE_CHARS = 90

Span = tuple[float, float]

GROUND: Colour = (0x16, 0x18, 0x1D)
PANEL: Colour = (0x22, 0x25, 0x2C)
GRID: Colour = (0x3A, 0x3F, 0x4A)
TEXT: Colour = (0xF0, 0xF0, 0xF0)
DIM: Colour = (0xAA, 0xB0, 0xBC)
PEAK: Colour = (0x2F, 0x5D, 0x8C)
RMS: Colour = (0x6C, 0xB8, 0xFF)
BLACK: Colour = (0xFF, 0x7B, 0x72)
FROZEN: Colour = (0xC0, 0x9B, 0xF0)
SILENT: Colour = (0xF0, 0xC0, 0x50)


@attrs.frozen
class Marks:
    """The stretches to mark, each a begin and an end in seconds; `silent` None: found out from the audio's levels."""

    black: Sequence[Span] = ()
    frozen: Sequence[Span] = ()
    silent: Sequence[Span] | None = None


async def contact_sheet(path: Path, out: Path, *, marks: Marks | None = None, title: str | None = None) -> None:
    """Write the contact sheet of the recording `path` to `out`, a PNG of 1200 pixels in width; replaces what is there.

    `title`: what stands on top instead of the file's name. Takes some seconds; for hours of audio, up to two minutes.
    Raises `RecordingError` where the file is no recording or `out` cannot be written, `ProgramError` where ffmpeg is
    missing or too slow.
    """
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise RecordingError("The contact sheet cannot be written.", detail=f"{out.name} is no place", code="sheet")
    container = await probe(path, count=False)
    length_s = container.duration_s
    if length_s <= 0 or (container.video is None and container.audio is None):
        raise RecordingError("The recording has no length.", detail="there is nothing to show", code="empty")
    times = moments(length_s, container.video.frames if container.video else 0)
    pictures, heard = await asyncio.gather(
        _pictures(path, times if container.video else []),
        _heard(path, length_s, has_audio=container.audio is not None),
    )
    shown = marks or Marks()
    if shown.silent is None:
        shown = attrs.evolve(shown, silent=_silent(heard, length_s))
    canvas = _draw(container, times, pictures, heard, marks=shown, title=plain(title or path.name, TITLE_CHARS))
    await in_daemon_thread(_replace, out, await png(canvas, await find_font(canvas.text)))


def moments(length_s: float, frames: int) -> list[float]:
    """Return the times of the thumbnails: the middles of equal parts, as many as there are frames for."""
    count = min(THUMBNAILS, frames) if frames else THUMBNAILS
    return [length_s * (2 * number + 1) / (2 * count) for number in range(count)]


def clock(time_s: float, decimals: int = 0) -> str:
    """Return a time as people read it: `0:05`, `12:05`, `1:02:05`, with one decimal `0:05.4`."""
    parts = 10**decimals
    whole, part = divmod(int(time_s * parts + 0.5), parts)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{part:0{decimals}}" if decimals else text


async def _pictures(path: Path, times: Sequence[float]) -> list[bytes]:
    """Return the frame at each time, small, as RGB; b"" for one that cannot be fetched."""
    some = asyncio.Semaphore(AT_ONCE)

    async def one(at_s: float) -> bytes:
        async with some:
            return await _thumbnail(path, at_s)

    return await asyncio.gather(*(one(at_s) for at_s in times))


async def _thumbnail(path: Path, at_s: float) -> bytes:
    width, height = THUMBNAIL
    ground = "".join(f"{part:02x}" for part in PANEL)
    chain = (
        "scale=w='max(2,iw*if(sar,sar,1))':h=ih,setsar=1"
        f",scale=w={width}:h={height}:force_original_aspect_ratio=decrease:flags=area"
        f",pad={width}:{height}:-1:-1:0x{ground}"
    )
    back_s = max(0.0, at_s - LAST_FRAMES_S)
    with contextlib.suppress(RecorderError):
        # ffmpeg seeks to the frame behind a moment; behind the last one there is none, and the last is taken.
        for seek in (("-ss", f"{at_s:.3f}"), ("-ss", f"{back_s:.3f}", "-t", f"{at_s - back_s:.3f}")):
            got = await ffmpeg(
                path, *("-an", "-sn", "-vf", chain, *(("-frames:v", "1") if len(seek) == 2 else ()), *RAW),
                before=("-threads", "1", *seek), most_s=THUMBNAIL_LIMIT_S,
            )  # fmt: skip
            if len(got.stdout) >= width * height * 3:
                return got.stdout[-width * height * 3 :]
    return b""


async def _heard(path: Path, length_s: float, *, has_audio: bool) -> list[Level | None]:
    count = min(WAVE_WIDTH, max(1, int(length_s / SHORTEST_LEVEL_S)))
    if has_audio:
        with contextlib.suppress(RecorderError):
            return await levels(path, length_s, count, most_s=WAVE_LIMIT_S)
    return []


def _silent(heard: Sequence[Level | None], length_s: float) -> list[Span]:
    """Return the stretches in which nothing is heard for so long that people notice."""
    each_s = length_s / max(1, len(heard))
    spans, at = [], 0
    for quiet, same in groupby(heard, lambda level: level is None or level.rms_dbfs < SILENT_DB):
        count = sum(1 for _ in same)
        if quiet and count * each_s >= SILENT_MIN_S:
            spans.append((at * each_s, (at + count) * each_s))
        at += count
    return spans


def _draw(
    container: Container, times: Sequence[float], pictures: Sequence[bytes], heard: Sequence[Level | None],
    *, marks: Marks, title: str,
) -> Canvas:  # fmt: skip
    width, height = THUMBNAIL
    rows = -(-len(pictures) // COLUMNS)
    grid = rows * (height + CAPTION_HEIGHT)
    wave_top = TITLE_HEIGHT + grid + SPACE + 16
    canvas = Canvas(WIDTH, wave_top + WAVE_HEIGHT + 4 * STRIP_STEP + AXIS_HEIGHT + MARGIN, GROUND)
    canvas.write(MARGIN, 16, title, 21, TEXT)
    canvas.write(MARGIN, 46, _facts(container), 15, DIM)
    decimals = 0 if container.duration_s >= 60 else 1 if container.duration_s >= 3 else 2
    for number, (at_s, picture) in enumerate(zip(times, pictures, strict=False)):
        left = MARGIN + number % COLUMNS * (width + SPACE)
        top = TITLE_HEIGHT + number // COLUMNS * (height + CAPTION_HEIGHT)
        canvas.box(left, top, width, height, PANEL)
        canvas.paste(left, top, width, picture)
        if not picture:
            canvas.write(left + width // 2, top + height // 2 - 8, "no frame", 15, DIM, centred=True)
        canvas.write(left, top + height + 4, f"{number + 1}", 14, DIM)
        canvas.write(left + 26, top + height + 4, clock(at_s, decimals), 14, TEXT)
    _draw_wave(canvas, wave_top, heard, has_audio=container.audio is not None)
    place = _Place(container.duration_s)
    for number, at_s in enumerate(times[: len(pictures)]):
        canvas.box(place(at_s), wave_top - 3, 1, WAVE_HEIGHT + 3, GRID)
        canvas.write(place(at_s), wave_top - 18, f"{number + 1}", 12, DIM, centred=True)
    top = wave_top + WAVE_HEIGHT + 5
    for name, spans, colour in (
        ("black", marks.black, BLACK), ("frozen", marks.frozen, FROZEN), ("silent", marks.silent or (), SILENT),
    ):  # fmt: skip
        canvas.write(MARGIN, top - 1, name, 12, colour)
        canvas.box(WAVE_LEFT, top, WAVE_WIDTH, STRIP_HEIGHT, PANEL)
        for begin_s, end_s in spans:
            canvas.box(place(begin_s), top, max(2, place(end_s) - place(begin_s)), STRIP_HEIGHT, colour)
        top += STRIP_STEP
    _draw_axis(canvas, top, place)
    return canvas


@attrs.frozen
class _Place:
    """Where a time is on the axis, in pixels from the left."""

    length_s: float

    def __call__(self, at_s: float) -> int:
        share = min(1.0, max(0.0, at_s / self.length_s))
        return WAVE_LEFT + round(share * WAVE_WIDTH)


def _draw_wave(canvas: Canvas, top: int, heard: Sequence[Level | None], *, has_audio: bool) -> None:
    width = WAVE_WIDTH
    canvas.box(WAVE_LEFT, top, width, WAVE_HEIGHT, PANEL)
    if not heard:
        why = "the audio cannot be read" if has_audio else "no audio"
        canvas.write(WAVE_LEFT + width // 2, top + WAVE_HEIGHT // 2 - 8, why, 15, DIM, centred=True)
    for decibels in (-20, -40):
        canvas.box(WAVE_LEFT, top + round(WAVE_HEIGHT * decibels / FLOOR_DB), width, 1, GRID)
    for decibels in (0, -20, -40, -60):
        y = top + round(WAVE_HEIGHT * decibels / FLOOR_DB)
        canvas.write(MARGIN, min(y - 6, top + WAVE_HEIGHT - 12) if decibels else top, f"{decibels} dBFS", 12, DIM)
    for number, level in enumerate(heard):
        left, right = (WAVE_LEFT + at * width // len(heard) for at in (number, number + 1))
        if level is not None:
            for level_db, colour in ((level.peak_dbfs, PEAK), (level.rms_dbfs, RMS)):
                high = round(WAVE_HEIGHT * min(1.0, max(0.0, 1 - level_db / FLOOR_DB)))
                canvas.box(left, top + WAVE_HEIGHT - high, right - left, high, colour)


def _draw_axis(canvas: Canvas, top: int, place: _Place) -> None:
    fits = WAVE_WIDTH // LABEL_EVERY_PX
    step_s = next((step for step in STEPS_S if place.length_s / step <= fits), place.length_s / fits)
    for number in range(int(place.length_s / step_s + 1e-9) + 1):
        x = place(number * step_s)
        canvas.box(x, top, 1, 4, DIM)
        text = clock(number * step_s, 1 if step_s < 1 else 0)
        canvas.write(min(x, WIDTH - MARGIN - 20), top + 7, text, 13, DIM, centred=True)


def _facts(container: Container) -> str:
    parts = [clock(container.duration_s, 0 if container.duration_s >= 60 else 1), sized(container.size_bytes)]
    if video := container.video:
        rate = f", {video.rate_fps:.3g} frames/s" if video.rate_fps else ""
        parts.append(f"{video.codec} {video.width}x{video.height}{rate}")
    if audio := container.audio:
        parts.append(f"{audio.codec} {audio.sample_rate} Hz, {audio.channels} channel{'s' * (audio.channels != 1)}")
    return "  \u00b7  ".join(parts)


def sized(size_bytes: int) -> str:
    """Return a size as people read it: `820 kB`, `12.3 MB`, `1.9 GB`."""
    for unit, unit_bytes in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= unit_bytes:
            size = size_bytes / unit_bytes
            return f"{size:.3g} {unit}" if size < 99.5 else f"{size:.0f} {unit}"
    return f"{size_bytes} bytes"


def _replace(out: Path, content: bytes) -> None:
    """Put `content` in the place of `out`, all of it or nothing."""
    try:
        with tempfile.NamedTemporaryFile(dir=out.absolute().parent, prefix=".sheet-", delete=False) as file:
            part = Path(file.name)
            try:
                file.write(content)
                file.flush()
                part.chmod(0o644)
                part.replace(out)
            except OSError:
                part.unlink()
                raise
    except OSError as error:
        raise RecordingError(
            "The contact sheet cannot be written.", detail=f"{out.name}: {error.strerror}", code="sheet"
        ) from error
