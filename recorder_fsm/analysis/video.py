"""What is seen in a recording: colours in its corners, black and frozen stretches.

All times are seconds on the file's own clock, the same for video and audio, edit lists applied.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import attrs

from recorder_fsm.analysis.ffmpeg import ffmpeg
from recorder_fsm.analysis.frame_log import frame_log
from recorder_fsm.analysis.probe import probe
from recorder_fsm.errors import RecordingError

Rgb = tuple[int, int, int]

BLACK_PIXEL = 0.06  # of the luma range; the call's #1E1E1E is at 0.12
BLACK_MIN_S = 0.02
FREEZE_MIN_S = 0.5


@attrs.frozen
class Region:
    """Hold a rectangle of the picture, in pixels from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    def crop(self) -> str:
        """Return it as ffmpeg's crop filter; `exact` keeps odd places where they are."""
        return f"crop={self.width}:{self.height}:{self.x}:{self.y}:exact=1"


@attrs.frozen
class Corners:
    """Hold the mean colours of the outermost 4x4 pixels, 0 to 255.

    `edge_rows_black` says that the last column or the last row is black while the picture beside it is not: the sign
    of a window that is one pixel smaller than the screen.
    """

    top_left: Rgb
    top_right: Rgb
    bottom_left: Rgb
    bottom_right: Rgb
    edge_rows_black: bool


async def corners(path: Path, at_s: float) -> Corners:
    """Return the corner colours of the first frame at or after `at_s` seconds; raises `RecordingError` without one."""
    video = (await probe(path)).video
    if video is None:
        raise RecordingError("The recording has no picture.")
    size, row = 4, video.width * 3
    decoded = await ffmpeg(
        path, "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-", before=("-ss", str(at_s))
    )
    frame = decoded.stdout
    if len(frame) != row * video.height:
        raise RecordingError("The recording has no such frame.", detail=f"no picture at {at_s} s")

    def mean(left: int, top: int, width: int = size, height: int = size) -> Rgb:
        cut = b"".join(frame[row * y + left * 3 : row * y + (left + width) * 3] for y in range(top, top + height))
        red, green, blue = (round(statistics.fmean(cut[channel::3])) for channel in range(3))
        return red, green, blue

    def light(left: int, top: int, width: int, height: int) -> float:
        return statistics.fmean(mean(left, top, width, height))

    right, bottom = video.width - size, video.height - size
    edges = (
        (light(video.width - 1, 0, 1, video.height), light(video.width - 4, 0, 1, video.height)),
        (light(0, video.height - 1, video.width, 1), light(0, video.height - 4, video.width, 1)),
    )
    return Corners(
        top_left=mean(0, 0),
        top_right=mean(right, 0),
        bottom_left=mean(0, bottom),
        bottom_right=mean(right, bottom),
        edge_rows_black=any(edge < 16 and beside > edge + 10 for edge, beside in edges),
    )


async def black_spans(path: Path) -> list[tuple[float, float]]:
    """Return begin and end, in seconds, of each time in which practically all of the picture is black."""
    detect = f"blackdetect=d={BLACK_MIN_S}:pix_th={BLACK_PIXEL}"
    said = (await ffmpeg(path, "-an", "-vf", detect, "-f", "null", "-", before=("-copyts",))).stderr
    return [(float(begin), float(end)) for begin, end in re.findall(r"black_start:(\S+) black_end:(\S+)", said)]


async def black_share(path: Path) -> float:
    """Return the share (0 to 1) of the file's duration that is black."""
    spans = await black_spans(path)
    return min(1.0, sum(end - begin for begin, end in spans) / ((await probe(path)).duration_s or 1.0))


async def black_tail_s(path: Path) -> float:
    """Return for how many seconds the picture is black at the end of the file."""
    video = (await probe(path)).video
    spans = await black_spans(path)
    if video is None or not spans:
        return 0.0
    end_s = video.start_s + video.duration_s
    begin, end = spans[-1]
    # The last frame's own duration is not part of the span that ffmpeg reports.
    return end_s - begin if end_s - end < 1.5 else 0.0


async def longest_freeze_s(path: Path, region: Region | None = None, *, noise_db: float = -60.0) -> float:
    """Return the longest time, in seconds, in which the picture or one region of it does not change.

    Half a second is the shortest that counts. The difference is a mean over the area: a clock's digits vanish in a
    whole picture, so give the clock's region.
    """
    crop = f"{region.crop()}," if region else ""
    detect = f"{crop}freezedetect=n={noise_db}dB:d={FREEZE_MIN_S}"
    said = (await ffmpeg(path, "-an", "-vf", detect, "-f", "null", "-", before=("-copyts",))).stderr
    lengths = [float(length) for length in re.findall(r"freeze_duration: (\S+)", said)]
    starts = [float(start) for start in re.findall(r"freeze_start: (\S+)", said)]
    video = (await probe(path)).video
    if len(starts) > len(lengths) and video is not None:  # frozen to the end
        lengths.append(video.start_s + video.duration_s - starts[-1])
    return max(lengths, default=0.0)


async def shrunk(path: Path, region: Region, blocks: int) -> list[tuple[float, bytes]]:
    """Return for every frame its time in seconds and the mean grey (0 to 255) of `blocks` parts, left to right."""
    chain = f"{region.crop()},format=gray,scale={blocks}:1:flags=area,showinfo=checksum=0"
    decoded = await ffmpeg(
        path, "-an", "-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", "-", before=("-copyts",)
    )
    times = [at_s for at_s, _ in frame_log(decoded.stderr)]
    rows = [decoded.stdout[i : i + blocks] for i in range(0, len(decoded.stdout), blocks)]
    return list(zip(times, rows, strict=True))
