"""A drawing of boxes, pictures and short texts, which becomes a PNG. ffmpeg writes the texts and packs it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import attrs

from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV, escaped
from recorder_fsm.errors import ProgramError, RecordingError
from recorder_fsm.system.process import run

Colour = tuple[int, int, int]

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
COVERED = 0x0530
"""DejaVu has the letters below: Latin, Greek, Cyrillic."""
DRAW_LIMIT_S = 30.0
FIND_LIMIT_S = 10.0


@attrs.frozen
class Label:
    """A text at a place: its left end, or its middle, and the top of its line. `size` in pixels."""

    x: int
    y: int
    text: str
    size: int
    colour: Colour
    centred: bool = False

    def filter(self, font: Path) -> str:
        """Return the filter that draws it; nothing in the text means anything to ffmpeg."""
        left = f"max(0\\,{self.x}-text_w/2)" if self.centred else f"{self.x}"
        red, green, blue = self.colour
        return (
            f"drawtext=expansion=none:fontfile={escaped(str(font))}:fontsize={self.size}"
            f":fontcolor=0x{red:02x}{green:02x}{blue:02x}:x={left}:y={self.y}:text={escaped(self.text)}"
        )


class Canvas:
    """Pixels of 24 bits, and labels for which no pixels are drawn yet."""

    def __init__(self, width: int, height: int, ground: Colour) -> None:
        self.width, self.height = width, height
        self.pixels = bytearray(bytes(ground) * (width * height))
        self.labels: list[Label] = []

    @property
    def text(self) -> str:
        """All that is written on it."""
        return "".join(label.text for label in self.labels)

    def box(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle; what of it is outside is left out."""
        right, left = min(left + width, self.width), max(left, 0)
        row = bytes(colour) * max(0, right - left)
        for y in range(max(top, 0), min(top + height, self.height)):
            at = (y * self.width + left) * 3
            self.pixels[at : at + len(row)] = row

    def paste(self, left: int, top: int, width: int, rgb: bytes) -> None:
        """Put a picture on it, which must be inside."""
        for number in range(len(rgb) // (width * 3)):
            at = ((top + number) * self.width + left) * 3
            self.pixels[at : at + width * 3] = rgb[number * width * 3 : (number + 1) * width * 3]

    def write(self, left: int, top: int, text: str, size: int, colour: Colour, *, centred: bool = False) -> None:
        """Put a text on it."""
        if text:
            self.labels.append(Label(left, top, text, size, colour, centred))


async def find_font(text: str) -> Path | None:
    """Return a font that has the letters of `text`, as far as one is installed; None without any."""
    rare = sorted({char for char in text if ord(char) >= COVERED and char.isalpha()})
    if rare:
        pattern = ":charset=" + " ".join(f"{ord(char):x}" for char in rare)
        try:
            found = await run(
                "fc-match", ["fc-match", "--format=%{file}", pattern], env=PROGRAM_ENV, limit_s=FIND_LIMIT_S
            )
        except ProgramError:
            return FONT if FONT.exists() else None
        font = Path(found.stdout.decode(errors="replace"))
        if font.is_file():
            return font
    return FONT if FONT.exists() else None


async def png(canvas: Canvas, font: Path | None) -> bytes:
    """Return the drawing as a PNG; raises `RecordingError` if it cannot be made.

    Without a font, or with one that ffmpeg cannot use, nothing is written on it.
    """
    texts = ",".join(label.filter(font) for label in canvas.labels) if font else ""
    made = await _packed(canvas, texts) or (await _packed(canvas, "") if texts else b"")
    if not made:
        raise RecordingError("The contact sheet could not be drawn.", code="sheet")
    return made


async def _packed(canvas: Canvas, texts: str) -> bytes:
    with tempfile.NamedTemporaryFile(prefix="contact-sheet-") as pixels:
        pixels.write(canvas.pixels)
        pixels.flush()
        argv = [
            *("ffmpeg", "-v", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-video_size", f"{canvas.width}x{canvas.height}", "-i", f"file:{pixels.name}"),
            *(("-vf", texts) if texts else ()),
            *("-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"),
        ]
        return (await run("ffmpeg (sheet)", argv, env=PROGRAM_ENV, limit_s=DRAW_LIMIT_S)).stdout
