"""A recording played through and jumped about in: does it decode, what is black, frozen or silent, how loud is it.

One pass of ffmpeg decodes everything once and measures on the way.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from recorder_fsm.analysis.ffmpeg import ffmpeg
from recorder_fsm.analysis.frame_log import frame_log
from recorder_fsm.analysis.packets import Track
from recorder_fsm.errors import RecorderError

Span = tuple[float, float]

BLACK_MIN_S = 0.5
BLACK_PIXEL = 0.06  # of the luma range; the call's #1E1E1E is at 0.12
FROZEN_MIN_S = 2.0
SILENT_MIN_S = 2.0
SILENT_DB = -60
# A block of 8x8 pixels has changed if they differ by 8 grey levels on average; key frames alone change them by less.
STILL = f"mpdecimate=hi={64 * 8}:lo={64 * 8}:frac=0"
PLACES = (0.05, 0.3, 0.5, 0.7, 0.95)
SEEK_LIMIT_S = 60.0
NEAR_S = 0.0006
"""Times are compared to a millisecond: some containers count in these."""
SHOWN_ERRORS = 3

_LOG = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] )?\[(?:error|fatal|panic)\] (.*)$", re.MULTILINE)
_BLACK = re.compile(r"^\[blackdetect @ \S+\] \[info\] black_start:(\S+) black_end:(\S+)", re.MULTILINE)
_SILENT = re.compile(r"^\[silencedetect @ \S+\] \[info\] silence_(start|end): (\S+)", re.MULTILINE)
_SUMMARY = re.compile(r"^\[Parsed_ebur128_\d+ @ \S+\] \[info\] Summary:\s*$", re.MULTILINE)


@attrs.frozen
class Loudness:
    """EBU R128: integrated loudness (LUFS), range (LU), true peak (dBTP); None where there is too little to tell."""

    integrated_lufs: float | None = None
    range_lu: float | None = None
    true_peak_dbtp: float | None = None


@attrs.frozen
class Played:
    """What was found while all of it was decoded; spans are begins and ends in seconds on the file's clock.

    `errors` are the decoder's first ones, `error_count` is how many there were. `frames` are the checksums of whole
    frames at some places, by their time.
    """

    black: tuple[Span, ...] = ()
    frozen: tuple[Span, ...] = ()
    silent: tuple[Span, ...] = ()
    loudness: Loudness | None = None
    errors: tuple[str, ...] = ()
    error_count: int = 0
    frames: tuple[tuple[float, str], ...] = ()


@attrs.frozen
class Seek:
    """A jump to the frame at `wanted_s`: which frame came, None for none, and whether it looks as in playing."""

    wanted_s: float
    got_s: float | None
    same: bool


async def play(path: Path, video: Track | None, audio: Track | None) -> Played:
    """Decode all of it. Raises `ProgramError` where that takes longer than a file of this size may."""
    at_places = places(video) if video is not None else []
    outputs = []
    if video is not None:
        black = f"blackdetect=d={BLACK_MIN_S}:pix_th={BLACK_PIXEL}"
        outputs += [*_out(f"{black},{STILL},crop=2:2:0:0"), "-f", "framecrc", "pipe:1"]
        chosen = "+".join(rf"lt(abs(t-{at_s:.6f})\,{NEAR_S})" for at_s in at_places)
        if chosen:
            outputs += [*_out(f"select='{chosen}',showinfo"), "-f", "null", "-"]
    if audio is not None:
        measured = f"silencedetect=n={SILENT_DB}dB:d={SILENT_MIN_S},ebur128=peak=true:framelog=verbose"
        outputs += ["-map", "0:a:0", "-af", measured, "-f", "null", "-"]
    # A frame that cannot be decoded is no reason to stop: how many there are is what is asked.
    done = await ffmpeg(path, *outputs, before=("-loglevel", "level+info", "-copyts"), must_succeed=False)
    end_s = max(video.end_s if video else 0.0, audio.end_s if audio else 0.0)
    errors = [line.strip() for line in _LOG.findall(done.stderr)]
    if done.returncode and not errors:
        errors = [f"ffmpeg ended with code {done.returncode}"]
    return Played(
        black=tuple((float(begin), float(end)) for begin, end in _BLACK.findall(done.stderr)),
        frozen=_frozen(_changes(done.stdout.decode(errors="replace")), video.end_s if video else 0.0),
        silent=_silent(done.stderr, end_s),
        loudness=_loudness(done.stderr) if audio else None,
        errors=tuple(dict.fromkeys(errors))[:SHOWN_ERRORS],
        error_count=len(errors),
        frames=tuple(frame_log(done.stderr)),
    )


async def jump(path: Path, played: Played, start_s: float) -> list[Seek]:
    """Seek to each frame of which the checksum is known; `start_s`: where the file's clock begins."""
    some = asyncio.Semaphore(2)

    async def one(wanted_s: float, checksum: str) -> Seek:
        seek = ("-copyts", "-ss", f"{max(0.0, wanted_s - NEAR_S - start_s):.6f}")
        only = (*_out("showinfo"), "-frames:v", "1", "-f", "null", "-")
        try:
            async with some:
                found = await ffmpeg(path, *only, before=seek, most_s=SEEK_LIMIT_S)
        except RecorderError:
            return Seek(wanted_s, None, same=False)
        got_s, seen = next(iter(frame_log(found.stderr)), (None, ""))
        return Seek(wanted_s, got_s, same=seen == checksum)

    return list(await asyncio.gather(*(one(at_s, checksum) for at_s, checksum in played.frames)))


def places(video: Track) -> list[float]:
    """Return the times of five frames all over the length, fewer where there are fewer."""
    count = len(video.times_s)
    return sorted({video.times_s[int(share * (count - 1))] for share in PLACES}) if count else []


def _out(filters: str) -> list[str]:
    """Return the options that filter the video and keep each frame's own time."""
    return ["-map", "0:v:0", "-vf", filters, "-fps_mode", "passthrough", "-enc_time_base", "-1"]


def _changes(listed: str) -> list[float]:
    """Return the time of each frame that ffmpeg's framecrc lists."""
    found = []
    tick_s = 0.0
    for line in listed.splitlines():
        if line.startswith("#tb 0: "):
            over, _, under = line.removeprefix("#tb 0: ").partition("/")
            tick_s = int(over) / int(under)
        elif not line.startswith("#"):
            found.append(int(line.split(",")[2]) * tick_s)
    return found


def _frozen(kept: Sequence[float], end_s: float) -> tuple[Span, ...]:
    return tuple((at, later) for at, later in pairwise([*kept, end_s]) if later - at >= FROZEN_MIN_S)


def _silent(said: str, end_s: float) -> tuple[Span, ...]:
    spans: list[Span] = []
    begin: float | None = None
    for what, text in _SILENT.findall(said):
        if what == "start":
            begin = max(0.0, float(text))
        elif begin is not None:
            spans.append((begin, float(text)))
            begin = None
    return tuple(spans if begin is None else [*spans, (begin, end_s)])


def _loudness(said: str) -> Loudness | None:
    found = list(_SUMMARY.finditer(said))
    if not found:
        return None
    summary = said[found[-1].end() :]

    def number(name: str) -> float | None:
        match = re.search(rf"^\s+{name}:\s+(\S+) ", summary, re.MULTILINE)
        value = float(match[1]) if match else math.nan
        return value if math.isfinite(value) else None

    return Loudness(number("I"), number("LRA"), number("Peak"))
