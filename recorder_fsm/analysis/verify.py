"""The answer of `recorder-fsm verify`: as lines for people, as one JSON object for programs, as an exit code."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from recorder_fsm.analysis.check import Check, Rating, counted, worst
from recorder_fsm.analysis.contact_sheet import contact_sheet
from recorder_fsm.analysis.examination import Examination, PatternFound, examine
from recorder_fsm.analysis.packets import Track
from recorder_fsm.analysis.playing import Span
from recorder_fsm.analysis.structure_verdict import AUDIO_HOLE_S, HOLE_S
from recorder_fsm.analysis.verdict import checks
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import ProgramError, RecorderError, RecordingError
from recorder_fsm.plain_text import plain, plain_facts

FIT, UNFIT, UNREADABLE = 0, 1, 2
"""Exit codes: fit to be watched; something is wrong with it; it cannot be examined."""
DECIMALS = 6
RATING_CHARS = 8
WIDEST, NARROWEST = 100, 50
VALUE_CHARS = 600
ANOTHER_FILE = (
    "Name a recording that this user may read. What a killed job left is made whole by `recorder-fsm recover DATA_DIR`."
)

Line = tuple[Rating | None, str]
"""A line for people, and the rating in whose colour it begins."""


@attrs.frozen
class Answer:
    """What is said of a file: lines, the JSON object, the exit code."""

    lines: tuple[Line, ...]
    facts: Mapping[str, object]
    exit_code: int


async def verify(path: Path, *, pattern: bool = False, sheet: Path | None = None, columns: int = WIDEST) -> Answer:
    """Examine `path`, draw its contact sheet where one is asked for, and say what was found; raises nothing of ours.

    The lines are for a terminal of that many `columns`, a hundred at most.
    """
    name = plain(path.name or str(path))
    try:
        if sheet is not None and sheet.exists() and path.exists() and sheet.samefile(path):
            raise RecordingError(
                "The contact sheet would replace the recording.", detail="name another file", code="sheet"
            )
        found = await examine(path, pattern=pattern)
        if sheet is not None:
            await contact_sheet(path, sheet, marks=found.marks)
    except RecorderError as error:
        return _refused(name, error)
    except OSError as error:
        return _refused(
            name, RecordingError("The recording cannot be opened.", detail=str(error.strerror), code="unreadable")
        )
    lines = [attrs.evolve(line, value=plain(line.value, VALUE_CHARS)) for line in checks(found)]
    bad = worst(lines) == "bad"
    facts = {
        "file": name,
        "verdict": "unfit" if bad else "fit",
        "checks": [attrs.asdict(line) for line in lines],
        **_measures(found),
    }
    return Answer(
        tuple(_shown(name, lines, min(WIDEST, max(NARROWEST, columns)))),
        _rounded(facts),
        UNFIT if bad else FIT,
    )


def _refused(name: str, error: RecorderError) -> Answer:
    what = "ffmpeg could not be used" if isinstance(error, ProgramError) else "the file cannot be examined"
    cure = advice(error.code) if isinstance(error, ProgramError) or error.code == "sheet" else ANOTHER_FILE
    facts = {
        "file": name,
        "verdict": "unreadable",
        "error": {"code": error.code, "sentence": error.sentence, "detail": error.detail},
    }
    why = f"file  {error.sentence} {error.detail}".strip()
    lines: tuple[Line, ...] = ((None, name), ("bad", why), (None, f"Not examined: {what}. What to do: {cure}"))
    return Answer(lines, _rounded(facts), UNREADABLE)


def _shown(name: str, lines: Sequence[Check], columns: int) -> Iterator[Line]:
    yield None, name
    width = max(len(line.name) for line in lines)
    for line in lines:
        indent = " " * (width + 11)
        fill = partial(textwrap.fill, width=columns, initial_indent=indent, subsequent_indent=indent)
        yield line.rating, f"{line.name:{width}}  {fill(line.value).strip()}"
        for text in (line.meaning, f"What to do: {line.advice}" if line.advice else ""):
            if text:
                yield None, fill(text, break_long_words=False)
    faults = [counted(sum(line.rating == rating for line in lines), name) for rating, name in
              (("bad", "fault"), ("warning", "warning"))]  # fmt: skip
    told = " and ".join(text for text in faults if not text.startswith("0 "))
    fit = "Not fit" if worst(lines) == "bad" else "Fit"
    yield None, f"{fit} to be watched{': ' + told if told else ''}."


def _measures(found: Examination) -> dict[str, object]:
    container, played = found.container, found.played
    loud = played.loudness
    return {
        "container": {
            "format": container.kind,
            "brands": container.brands,
            "size_bytes": container.size_bytes,
            "promised_s": container.duration_s,
            "index_in_front": container.faststart,
        },
        "length_s": found.length_s,
        "video": _video(found),
        "audio": _audio(found),
        "av_length_difference_s": found.video.end_s - found.audio.end_s if found.video and found.audio else None,
        "black": _spans(played.black),
        "frozen": _spans(played.frozen),
        "silent": _spans(played.silent),
        "loudness": None if loud is None else attrs.asdict(loud),
        "seeks": [{"wanted_s": seek.wanted_s, "got_s": seek.got_s, "same_frame": seek.same} for seek in found.seeks],
        "decode_errors": {"count": played.error_count, "first": played.errors},
        "pattern": _pattern(found.pattern) if found.pattern else None,
    }


def _video(found: Examination) -> dict[str, object] | None:
    stream, track = found.container.video, found.video
    if stream is None or track is None:
        return None
    return {
        "codec": stream.codec,
        "profile": stream.profile,
        "width_px": stream.width,
        "height_px": stream.height,
        "pixel_format": stream.pix_fmt,
        "rate_fps": stream.rate_fps,
        "bit_rate_bps": stream.bit_rate_bps,
        "colours": dict(zip(("range", "matrix", "primaries", "transfer"), stream.colours, strict=True)),
        "rotation_deg": stream.rotation_deg,
        "frames": len(track.times_s),
        **_times(track, HOLE_S),
        "longest_gap_s": track.longest_hole_s,
        "key_frames": len(track.keys_s),
        "key_interval_s": track.key_interval_s,
    }


def _audio(found: Examination) -> dict[str, object] | None:
    stream, track = found.container.audio, found.audio
    if stream is None or track is None:
        return None
    return {
        "codec": stream.codec,
        "profile": stream.profile,
        "sample_rate_hz": stream.sample_rate,
        "channels": stream.channels,
        "bit_rate_bps": stream.bit_rate_bps,
        **_times(track, AUDIO_HOLE_S),
    }


def _times(track: Track, over_s: float) -> dict[str, object]:
    return {
        "first_s": track.times_s[0] if track.times_s else None,
        "end_s": track.end_s,
        "gaps": [{"at_s": hole.at_s, "duration_s": hole.duration_s} for hole in track.holes(over_s)],
    }


def _spans(spans: Sequence[Span]) -> list[dict[str, float]]:
    return [{"begin_s": begin, "end_s": end} for begin, end in spans]


def _pattern(found: PatternFound) -> dict[str, object]:
    lost, offsets = found.lost, found.offsets
    return {
        "counter": lost and {
            "drawn_frames": lost.drawn,
            "frames": lost.in_file,
            "missed_frames": lost.missed,
            "missed_share": lost.missed_share,
            "usual_step": lost.usual_step,
            "unreadable_share": lost.unreadable_share,
            "longest_standstill_s": lost.longest_standstill_s,
        },
        "av_offset": offsets and {
            "median_ms": offsets.median_ms,
            "least_ms": offsets.offsets_ms[0],
            "most_ms": offsets.offsets_ms[-1],
            "p5_ms": offsets.p5_ms,
            "p95_ms": offsets.p95_ms,
            "drift_ms": offsets.drift_ms,
            "drift_error_ms": offsets.drift_error_ms,
            "frame_ms": offsets.frame_ms,
            "flashes": len(offsets.offsets_ms),
        },
    }  # fmt: skip


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, DECIMALS)
    return plain_facts(value)
