"""Everything that is measured of one recording, in the order in which it is needed."""

from __future__ import annotations

from pathlib import Path

import attrs

from recorder_fsm.analysis.contact_sheet import Marks
from recorder_fsm.analysis.packets import Track, tracks
from recorder_fsm.analysis.pattern import AvOffsets, Kind, Lost, av_offsets, counters, lost
from recorder_fsm.analysis.playing import Played, Seek, jump, play
from recorder_fsm.analysis.probe import Container, probe
from recorder_fsm.errors import RecordingError


@attrs.frozen
class PatternFound:
    """What the stand-in's test pattern tells; `lost` None without a counter, `offsets` None without flash and beep."""

    lost: Lost | None
    offsets: AvOffsets | None


@attrs.frozen
class Examination:
    """Hold all that was measured; `video` and `audio` are None where there is no such stream, or nothing in it."""

    path: Path
    container: Container
    video: Track | None
    audio: Track | None
    played: Played
    seeks: tuple[Seek, ...]
    pattern: PatternFound | None

    @property
    def end_s(self) -> float:
        """Where the longer stream ends, on the file's clock, by its frames."""
        return max(track.end_s if track else 0.0 for track in (self.video, self.audio))

    @property
    def zero_s(self) -> float:
        """Where a player begins: at 0 of an MP4, elsewhere where the first stream does."""
        return 0.0 if self.container.brands else self.container.start_s

    @property
    def length_s(self) -> float:
        """How long a player plays, by the frames that are there."""
        return max(0.0, self.end_s - self.zero_s)

    @property
    def marks(self) -> Marks:
        """Return what a contact sheet marks."""
        found = self.played
        return Marks(black=found.black, frozen=found.frozen, silent=found.silent)


async def examine(path: Path, *, pattern: bool = False) -> Examination:
    """Measure the recording; `pattern`: and what the stand-in's call page drew and played.

    Raises `RecordingError` for what is no recording, `ProgramError` where ffmpeg is missing or takes longer than a file
    of this size may.
    """
    container = await probe(path, count=False)
    video, audio = container.video, container.audio
    if video is None and audio is None:
        raise RecordingError("There is neither video nor audio in it.", code="unreadable")
    wanted = [stream.index for stream in (video, audio) if stream is not None]
    by_index = dict(zip(wanted, await tracks(path, *wanted), strict=True))
    shown = by_index[video.index] if video else None
    heard = by_index[audio.index] if audio else None
    played = await play(path, shown, heard)
    seeks = await jump(path, played, container.start_s)
    found = await _pattern(path, container) if pattern else None
    return Examination(path, container, _filled(shown), _filled(heard), played, tuple(seeks), found)


def _filled(track: Track | None) -> Track | None:
    return track if track and track.times_s else None


async def _pattern(path: Path, container: Container) -> PatternFound:
    found: Lost | None = None
    if container.video is None:
        return PatternFound(None, None)
    try:
        read = lost(await counters(path))
        found = read if read.in_file > 1 else None
    except RecordingError:  # the frames are smaller than the place of the counter
        found = None
    kinds: tuple[Kind, ...] = ("pattern", "sync") if container.audio else ()
    for kind in kinds:
        try:
            return PatternFound(found, await av_offsets(path, kind))
        except RecordingError:  # nothing flashes there, or nothing beeps
            continue
    return PatternFound(found, None)
