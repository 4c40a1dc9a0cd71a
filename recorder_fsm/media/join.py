"""Join the segments of a recording into one MP4 with its index in front. Nothing is encoded anew.

An encoder that died was replaced by one that wrote the next segment; all count their time from the begin of the
recording. One that was followed by another, with another preset, has no gap behind it: they overlap (`seams`). What is
missing between segments is filled, so that everything after it stays in its place:

- the last frame is held: it gets a longer duration;
- audio is a chain of AAC frames of 1024 samples without a gap, as some players just play one after the other. Silent
  frames fill it up to the frame's place, which is counted from the begin of the recording: a join moves audio by less
  than half a frame (11 ms), and nothing adds up.

The index (`moov`) is made here and the media copied behind it, in one pass; the time stamps of the result are therefore
exactly these. It takes seconds and holds the interpreter: `join_beside` runs it as a process.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path

import attrs

from recorder_fsm.media.fragments import NOT_A_KEY, Run, Segment, Track, inspect
from recorder_fsm.media.mp4_index import FRAME, RATE, Chapters, Samples, VideoSamples, head
from recorder_fsm.media.seams import shown_before, without_doubles
from recorder_fsm.plain_text import plain_end
from recorder_fsm.system.disk import sync
from recorder_fsm.system.process import run as run_program

SILENT_FRAME = bytes.fromhex("211004608c1c")
"""AAC-LC, stereo, both channels zero; as ffmpeg writes it at every sampling and bit rate."""
LEAST_GAP_S = 0.05
"""Less is not told as a gap: the audio's own grain, and the seam between two encoders."""
WORDS_CHARS = 300
HELD_S = 0.5
"""So long the last frame is held, in silence, where the segments end before the recording does: for what was on its way
when the capture was stopped. Where more is missing, the recording is shorter."""


class JoinError(Exception):
    """There is no recording to be made of these segments; the text says why."""


@attrs.frozen
class Gap:
    """Where video or audio ("video", "audio") is missing, and how much, in seconds."""

    what: str
    at_s: float
    length_s: float


@attrs.frozen
class JoinReport:
    """What became of the segments: the length in seconds, what is missing, and what could not be used of which file."""

    length_s: float
    gaps: tuple[Gap, ...]
    problems: tuple[str, ...]


def part_of(target: Path) -> Path:
    """Return the name of the file while it is written."""
    return target.with_name(f"{target.name}.part")


@attrs.frozen
class Span:
    """What of the segments is the recording, in seconds from their origin.

    `end_s`: None for all that is there. Segments that end up to `HELD_S` earlier are held until then.
    """

    begin_s: float = 0.0
    end_s: float | None = None


ALL = Span()


async def join_beside(
    paths: Sequence[Path],
    target: Path,
    span: Span,
    *,
    env: Mapping[str, str],
    limit_s: float,
    chapters: Path | None = None,
) -> JoinReport:
    """Do what `join` does in a process of its own; a cancelled or failed call leaves no process and no part.

    `chapters`: a file with them, since a command line is shown to others: JSON, a list of seconds and title each.
    Raises `JoinError` where that fails, and `ProgramError` where it does not start or takes over `limit_s` seconds.
    """
    begin, end = str(span.begin_s), "" if span.end_s is None else str(span.end_s)
    command = [sys.executable, "-m", "recorder_fsm.media.join", begin, end, str(chapters or ""), str(target)]
    command += map(str, paths)
    try:
        done = await run_program("join", command, env=env, limit_s=limit_s)
    finally:
        with contextlib.suppress(OSError):
            part_of(target).unlink()
    if done.returncode:
        raise JoinError(plain_end(done.stderr, WORDS_CHARS) or f"it ended with code {done.returncode}")
    found = json.loads(done.stdout)
    return JoinReport(found["length_s"], tuple(Gap(**gap) for gap in found["gaps"]), tuple(found["problems"]))


def join(paths: Sequence[Path], target: Path, span: Span = ALL, chapters: Chapters = ()) -> JoinReport:
    """Write the recording that these segments hold to `target`; it is there when it is complete and on the disk.

    Of the segments only `span` is taken, to the frame of audio. Raises `JoinError` where no segment has video,
    `OSError` where a file cannot be read or written.
    """
    begin = _frames(span.begin_s)
    segments = _from(begin, without_doubles([inspect(path) for path in paths]))
    problems = [f"{segment.path.name}: {problem}" for segment in segments for problem in segment.problems]
    tracks = [track for segment in segments if (track := segment.track(is_video=True))]
    if not tracks:
        raise JoinError(f"no segment has video ({'; '.join(problems)})")
    for number, segment in enumerate(segments):
        track = segment.track(is_video=True)
        if track and track.size != tracks[0].size:
            problems.append(f"{segment.path.name}: its frames have another size")
            segments[number] = attrs.evolve(segment, runs=tuple(run for run in segment.runs if not run.track.is_video))
    length = None if span.end_s is None else max(1, _frames(span.end_s) - begin)
    plan = _Plan(tracks[0], length, in_band=any(track.video_config != tracks[0].video_config for track in tracks))
    for number, segment in enumerate(segments):
        spans = (later.span_s(is_video=True) for later in segments[number + 1 :])
        plan.add(number, segment, next((span[0] for span in spans if span), math.inf))
    if not plan.video.count:
        raise JoinError("no segment has video of the time that was asked for")
    plan.end()
    part = part_of(target)
    try:
        _write(plan, paths, part, [one for one in chapters if one[0] < plan.audio.count * FRAME / RATE])
        part.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return JoinReport(plan.audio.count * FRAME / RATE, tuple(plan.gaps), tuple(problems))


Piece = tuple[int, int, int] | bytes
"""Number of the segment, offset and length in it; or the bytes themselves."""


class _Plan:
    """The file to write: its pieces, in order, and its index. The video keeps the clock of `first`.

    `length`: of the recording in frames of audio; None for as long as the segments are.
    `in_band`: the encoders were set differently. Each key frame then brings its parameter sets along, so that a player
    has the right ones wherever it jumps.
    """

    def __init__(self, first: Track, length: int | None, *, in_band: bool) -> None:
        self._frames = length
        self.video = VideoSamples(first.timescale, first.entry, in_band)
        self.audio = Samples()
        self.pieces: list[Piece] = []
        self.length = 0
        self.gaps: list[Gap] = []

    def add(self, number: int, segment: Segment, until_s: float) -> None:
        """Take over a segment; its frames from a key frame on, and until the next segment's begin at `until_s`."""
        if self._frames is not None:
            until_s = min(until_s, self._frames * FRAME / RATE)
        audio = next((run for run in segment.runs if not run.track.is_video), None)
        if audio:
            self._silence(_place(audio) - self.audio.count)  # in front of the video, for who reads in order
        begun = False
        for run in shown_before(segment, until_s).runs:
            if not run.track.is_video:
                self._add_audio(number, run)
                continue
            keys = (n for n, flags in enumerate(run.flags) if not flags & NOT_A_KEY)
            begin = 0 if begun else next(keys, run.count)
            if begin < run.count:
                self._add_video(number, run.part(begin, run.count), begins=not begun)
                begun = True
        if begun and (segment.span_s(is_video=True) or (0.0, 0.0))[1] >= until_s:
            # It went on behind the cut, so its last frame in front of that stood until then. Lengths do not tell: where
            # frames are decoded in another order than they are shown, they are those of the decoding.
            self.video.stands_until(until_s)

    def end(self) -> None:
        """Let video and audio end together, at the end of a frame of audio."""
        frames = max(-(-round(self.video.end_s * RATE) // FRAME), self.audio.count)
        told = LEAST_GAP_S
        if self._frames is not None:
            # A held frame and the audio that was on its way are the end of any recording, and no gap.
            told = HELD_S
            if frames + _frames(HELD_S) >= self._frames:
                frames = self._frames
        self._silence(frames - self.audio.count, told_s=told)
        self._gap("video", self.video.end_s, self.audio.count * FRAME / RATE, told_s=told)
        self.video.settle()

    def _add_audio(self, number: int, run: Run) -> None:
        self._silence(_place(run) - self.audio.count)
        taken = self.audio.count - _place(run)  # the encoder's run-up, or the end of the segment before
        count = run.count if self._frames is None else min(run.count, self._frames - _place(run))
        if taken < count:
            rest = run.part(taken, count)
            self._chunk(self.audio, rest.sizes, [(number, rest.offset, sum(rest.sizes))])

    def _silence(self, frames: int, *, told_s: float = LEAST_GAP_S) -> None:
        if self._frames is not None:
            frames = min(frames, self._frames - self.audio.count)
        if frames > 0:
            begin = self.audio.count
            self._chunk(self.audio, repeat(len(SILENT_FRAME), frames), [SILENT_FRAME * frames])
            self._gap("audio", begin * FRAME / RATE, self.audio.count * FRAME / RATE, told_s=told_s)

    def _add_video(self, number: int, run: Run, *, begins: bool) -> None:
        if begins:
            self._gap("video", self.video.end_s, run.begin / run.track.timescale)
        for (decoded, shown, length), flags in zip(run.stamps(), run.flags, strict=True):
            self.video.time(decoded, shown, length, run.track.timescale, is_key=not flags & NOT_A_KEY)
        if self.video.in_band:
            sizes, pieces = _with_parameter_sets(number, run)
        else:
            sizes, pieces = run.sizes, [(number, run.offset, sum(run.sizes))]
        self._chunk(self.video, sizes, pieces)

    def _chunk(self, samples: Samples, sizes: Iterable[int], pieces: Iterable[Piece]) -> None:
        samples.chunk(self.length, sizes)
        for piece in pieces:
            self.pieces.append(piece)
            self.length += len(piece) if isinstance(piece, bytes) else piece[2]

    def _gap(self, what: str, begin_s: float, end_s: float, *, told_s: float = LEAST_GAP_S) -> None:
        if end_s - begin_s > told_s:
            self.gaps.append(Gap(what, round(begin_s, 3), round(end_s - begin_s, 3)))


def _frames(seconds: float) -> int:
    return round(seconds * RATE / FRAME)


def _from(begin: int, segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments with their times counted from the audio frame `begin`.

    Of the video in front of it only what leads up to it is left: from the last key frame on.
    """
    if not begin:
        return list(segments)
    moved = [attrs.evolve(one, runs=tuple(_moved(run, begin) for run in one.runs)) for one in segments]
    first = (0, 0, 0)
    for number, segment in enumerate(moved):
        for at, run in enumerate(segment.runs):
            if run.track.is_video and run.begin <= 0:
                stamped = enumerate(zip(run.stamps(), run.flags, strict=True))
                keys = [n for n, ((_, shown, _), flags) in stamped if shown <= 0 and not flags & NOT_A_KEY]
                first = (number, at, keys[-1]) if keys else first
    return [attrs.evolve(one, runs=tuple(_led_up(number, one.runs, first))) for number, one in enumerate(moved)]


def _moved(run: Run, begin: int) -> Run:
    return attrs.evolve(run, dts=run.dts - begin * FRAME * run.track.timescale // RATE)


def _led_up(number: int, runs: Iterable[Run], first: tuple[int, int, int]) -> Iterator[Run]:
    """Yield the runs of segment `number` without the video in front of `first`: segment, run, sample."""
    for at, run in enumerate(runs):
        if not run.track.is_video or (number, at) > first[:2]:
            yield run
        elif (number, at) == first[:2]:
            yield run.part(first[2], run.count)


def _place(run: Run) -> int:
    """Return which frame of the recording's audio the run begins with; below 0 for what is before the begin."""
    return (run.dts + FRAME // 2) // FRAME


def _with_parameter_sets(number: int, run: Run) -> tuple[array[int], list[Piece]]:
    """Return sizes and pieces of the run with the parameter sets in front of each of its key frames."""
    sets, sizes = run.track.parameter_sets, run.sizes[:]
    pieces: list[Piece] = []
    offset = run.offset
    for n, (size, flags) in enumerate(zip(run.sizes, run.flags, strict=True)):
        if not flags & NOT_A_KEY:
            pieces.append(sets)
            sizes[n] += len(sets)
        pieces.append((number, offset, size))
        offset += size
    return sizes, pieces


def _write(plan: _Plan, paths: Sequence[Path], target: Path, chapters: Chapters) -> None:
    """Write the planned file and see it onto the disk."""
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(path.open("rb", buffering=0)) for path in paths]
        out = stack.enter_context(target.open("wb"))
        out.write(head(plan.video, plan.audio, plan.length, chapters))
        for data in _read(plan.pieces, [source.fileno() for source in sources]):
            out.write(data)
        out.flush()
        sync(out.fileno())


def _read(pieces: Iterable[Piece], sources: Sequence[int]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        number, offset, length = piece
        data = os.pread(sources[number], length, offset)
        if len(data) < length:
            raise OSError(f"segment {number + 1} has become shorter while it was read")
        yield data


def _read_chapters(path: str) -> Chapters:
    """Return the chapters in a file, none where it says something else: a recording needs none."""
    try:
        return [(float(at_s), str(title)) for at_s, title in json.loads(Path(path).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def main(arguments: Sequence[str]) -> int:
    """Join the files behind begin, end and target; prints the report as JSON, or the reason on standard error."""
    begin, end, chapters, target, *segments = arguments
    span = Span(float(begin), float(end) if end else None)
    try:
        report = join(list(map(Path, segments)), Path(target), span, _read_chapters(chapters))
    except (JoinError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the caller reads it
        return 1
    print(json.dumps(attrs.asdict(report)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
