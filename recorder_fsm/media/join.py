"""Join the segments of a recording into one MP4 with its index in front. Nothing is encoded anew.

An encoder that died was replaced by one that wrote the next segment; all count their time from the begin of the
recording. What is missing between them is filled, so that everything after it stays in its place:

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
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path

import attrs

from recorder_fsm.media.fragments import NOT_A_KEY, Run, Segment, Track, inspect
from recorder_fsm.media.mp4_index import FRAME, RATE, Samples, VideoSamples, head
from recorder_fsm.system.process import run as run_program

SILENT_FRAME = bytes.fromhex("211004608c1c")
"""AAC-LC, stereo, both channels zero; as ffmpeg writes it at every sampling and bit rate."""
LEAST_GAP_S = 0.05
"""Less is not told as a gap: the audio's own grain, and the seam between two encoders."""


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


async def join_beside(paths: Sequence[Path], target: Path, *, env: Mapping[str, str], limit_s: float) -> JoinReport:
    """Do what `join` does in a process of its own; a cancelled or failed call leaves no process and no part.

    Raises `JoinError` where that fails, and `ProgramError` where it does not start or takes over `limit_s` seconds.
    """
    command = [sys.executable, "-m", "recorder_fsm.media.join", str(target), *map(str, paths)]
    try:
        done = await run_program("join", command, env=env, limit_s=limit_s)
    finally:
        with contextlib.suppress(OSError):
            part_of(target).unlink()
    if done.returncode:
        raise JoinError(done.stderr.strip()[-300:] or f"it ended with code {done.returncode}")
    found = json.loads(done.stdout)
    return JoinReport(found["length_s"], tuple(Gap(**gap) for gap in found["gaps"]), tuple(found["problems"]))


def join(paths: Sequence[Path], target: Path, *, until_s: float = 0.0) -> JoinReport:
    """Write the recording that these segments hold to `target`; it is there when it is complete and on the disk.

    `until_s`: the recording is at least so long; what the segments do not reach is a gap at its end. Raises `JoinError`
    where no segment has video, `OSError` where a file cannot be read or written.
    """
    segments = [inspect(path) for path in paths]
    problems = [f"{segment.path.name}: {problem}" for segment in segments for problem in segment.problems]
    tracks = [track for segment in segments if (track := segment.track(is_video=True))]
    if not tracks:
        raise JoinError(f"no segment has video ({'; '.join(problems)})")
    for number, segment in enumerate(segments):
        track = segment.track(is_video=True)
        if track and track.size != tracks[0].size:
            problems.append(f"{segment.path.name}: its frames have another size")
            segments[number] = attrs.evolve(segment, runs=tuple(run for run in segment.runs if not run.track.is_video))
    plan = _Plan(tracks[0], in_band=any(track.video_config != tracks[0].video_config for track in tracks))
    for number, segment in enumerate(segments):
        spans = (later.span_s(is_video=True) for later in segments[number + 1 :])
        plan.add(number, segment, next((span[0] for span in spans if span), float("inf")))
    plan.end(until_s)
    part = part_of(target)
    try:
        _write(plan, paths, part)
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

    `in_band`: the encoders were set differently. Each key frame then brings its parameter sets along, so that a player
    has the right ones wherever it jumps.
    """

    def __init__(self, first: Track, *, in_band: bool) -> None:
        self.video = VideoSamples(first.timescale, first.entry, in_band)
        self.audio = Samples()
        self.pieces: list[Piece] = []
        self.length = 0
        self.gaps: list[Gap] = []

    def add(self, number: int, segment: Segment, until_s: float) -> None:
        """Take over a segment; its frames from a key frame on, and until the next segment's begin at `until_s`."""
        audio = next((run for run in segment.runs if not run.track.is_video), None)
        if audio:
            self._silence(_place(audio) - self.audio.count)  # in front of the video, for who reads in order
        begun = over = False
        for run in segment.runs:
            if not run.track.is_video:
                self._add_audio(number, run)
            elif not over:
                until = until_s * run.track.timescale
                stop = next((n for n, (_, shown, _) in enumerate(run.stamps()) if shown >= until), run.count)
                keys = (n for n, flags in enumerate(run.flags) if not flags & NOT_A_KEY)
                begin = 0 if begun else next(keys, run.count)
                over = stop < run.count
                if begin < stop:
                    self._add_video(number, run.part(begin, stop), begins=not begun)
                    begun = True

    def end(self, until_s: float) -> None:
        """Let video and audio end together, at the end of a frame of audio."""
        end_s = max(self.video.end_s, until_s)
        self._silence(-(-round(end_s * RATE) // FRAME) - self.audio.count)
        self._gap("video", self.video.end_s, self.audio.count * FRAME / RATE)

    def _add_audio(self, number: int, run: Run) -> None:
        self._silence(_place(run) - self.audio.count)
        taken = self.audio.count - _place(run)  # the encoder's run-up, or the end of the segment before
        if taken < run.count:
            rest = run.part(taken, run.count)
            self._chunk(self.audio, rest.sizes, [(number, rest.offset, sum(rest.sizes))])

    def _silence(self, frames: int) -> None:
        if frames > 0:
            begin = self.audio.count
            self._chunk(self.audio, repeat(len(SILENT_FRAME), frames), [SILENT_FRAME * frames])
            self._gap("audio", begin * FRAME / RATE, self.audio.count * FRAME / RATE)

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

    def _gap(self, what: str, begin_s: float, end_s: float) -> None:
        if end_s - begin_s > LEAST_GAP_S:
            self.gaps.append(Gap(what, round(begin_s, 3), round(end_s - begin_s, 3)))


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


def _write(plan: _Plan, paths: Sequence[Path], target: Path) -> None:
    """Write the planned file and see it onto the disk."""
    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(path.open("rb", buffering=0)) for path in paths]
        out = stack.enter_context(target.open("wb"))
        out.write(head(plan.video, plan.audio, plan.length))
        for data in _read(plan.pieces, [source.fileno() for source in sources]):
            out.write(data)
        out.flush()
        os.fsync(out.fileno())


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


def main(arguments: Sequence[str]) -> int:
    """Join `arguments[1:]` into `arguments[0]`; prints the report as JSON, or the reason on standard error."""
    target, *segments = map(Path, arguments)
    try:
        report = join(segments, target)
    except (JoinError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the caller reads it
        return 1
    print(json.dumps(attrs.asdict(report)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
