"""Cut a finished recording at key frames into parts that each fit a limit and play by themselves. Nothing is encoded.

A part begins with a key frame, at time 0, and has its index in front. Each frame of video and each frame of audio is in
exactly one part, with its bytes as they were; audio goes with the frame of video that it is nearest to, so it moves by
less than half of its own frame (11 ms), and nothing adds up. The index is made by `mp4_index`, so the size of a part is
known before it is written, and the same plan makes the same bytes: an upload that was begun can go on.

It holds the interpreter: `plan_beside` and `cut_beside` run it as a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import attrs

from recorder_fsm.media.fragments import UnreadableError
from recorder_fsm.media.movie import Movie, read_movie
from recorder_fsm.media.mp4_index import FRAME, RATE, Samples, VideoSamples, head
from recorder_fsm.plain_text import plain_end
from recorder_fsm.system.disk import sync
from recorder_fsm.system.process import run as run_program

WORDS_CHARS = 300
ROUNDS = 24
"""Halvings in the search for parts of one size."""
INDEX_BYTES = 2048
INDEX_OF_FRAME = 24
"""Bytes that a frame of video takes in the index at most: length, shift, size, and its number if it is a key frame."""
INDEX_OF_CHUNK = 20


class SplitError(Exception):
    """The file cannot be cut so; the text says why."""


@attrs.frozen
class Part:
    """The frames `first` up to `end` (not included) of a recording: how many bytes, and which seconds of it."""

    first: int
    end: int
    size_bytes: int
    begin_s: float
    length_s: float


async def plan_beside(
    path: Path, most_bytes: int, *, env: Mapping[str, str], limit_s: float, first: int = 0
) -> list[Part]:
    """Do what `plan` does in a process of its own. Raises as `cut_beside`."""
    found = json.loads(await _beside(["plan", str(first), str(most_bytes), str(path)], env=env, limit_s=limit_s))
    return [Part(**part) for part in found]


async def cut_beside(path: Path, part: Part, target: Path, *, env: Mapping[str, str], limit_s: float) -> None:
    """Write a part to `target` in a process of its own; it is on the disk when this returns.

    Raises `SplitError` where that fails, and `ProgramError` where it does not start or takes over `limit_s` seconds.
    """
    await _beside(["cut", str(part.first), str(part.end), str(path), str(target)], env=env, limit_s=limit_s)


async def _beside(arguments: Sequence[str], *, env: Mapping[str, str], limit_s: float) -> str:
    command = [sys.executable, "-m", "recorder_fsm.media.split", *arguments]
    done = await run_program("split", command, env=env, limit_s=limit_s)
    if done.returncode:
        raise SplitError(plain_end(done.stderr, WORDS_CHARS) or f"it ended with code {done.returncode}")
    return done.stdout.decode()


def plan(movie: Movie, most_bytes: int, first: int = 0) -> list[Part]:
    """Return the parts of a recording from frame `first` on, each of `most_bytes` at most and all of about one size.

    Raises `SplitError` where the frames from one key frame to the next are already more.
    """
    whole = _Sizes(movie, first)
    cuts = whole.fill(most_bytes)
    low, high = 0, most_bytes
    for _ in range(ROUNDS):  # the least that makes as many: no tiny part at the end
        middle = (low + high) // 2
        try:
            even = whole.fill(middle)
        except SplitError:
            low = middle
            continue
        if len(even) == len(cuts):
            high, cuts = middle, even
        else:
            low = middle
    return [_part(movie, begin, end) for begin, end in pairwise(cuts)]


class _Sizes:
    """How large a part from one frame to another can be at most."""

    def __init__(self, movie: Movie, first: int) -> None:
        self._movie = movie
        self._cuts = [cut for cut in movie.cuts if cut >= first]
        if not self._cuts or self._cuts[0] != first:
            raise SplitError(f"there is no key frame at frame {first}")
        self._cuts.append(len(movie.shown))
        video = list(accumulate((size + INDEX_OF_FRAME for size in movie.video.sizes), initial=0))
        audio = list(accumulate((size + 4 for size in movie.audio.sizes), initial=0))
        chunks = list(accumulate(_chunk_begins(movie), initial=0))
        self._video, self._audio, self._chunks = video, audio, chunks
        self._upto = [self._bytes_upto(cut) for cut in self._cuts]

    def _bytes_upto(self, cut: int) -> int:
        return (
            self._video[cut] + self._audio[self._movie.audio_frame(cut)] + INDEX_OF_CHUNK * 2 * (1 + self._chunks[cut])
        )

    def fill(self, most_bytes: int) -> list[int]:
        """Return where parts begin, and the end, when each takes as much as it may."""
        found, at = [self._cuts[0]], 0
        while at < len(self._cuts) - 1:
            room = self._upto[at] + most_bytes - INDEX_BYTES - len(self._movie.entry)
            after = bisect_right(self._upto, room) - 1
            if after <= at:  # the estimate is a little high
                after = at + 1
                needed = _part(self._movie, self._cuts[at], self._cuts[after]).size_bytes
                if needed > most_bytes:
                    raise SplitError(
                        f"from one key frame to the next it has {needed} bytes, and a part may have {most_bytes}"
                    )
            at = after
            found.append(self._cuts[at])
        return found


def _chunk_begins(movie: Movie) -> Iterator[int]:
    """Yield for each frame whether something else lies before it in the file."""
    expected = -1
    for offset, size in zip(movie.video.offsets, movie.video.sizes, strict=True):
        yield int(offset != expected)
        expected = offset + size


def _part(movie: Movie, first: int, end: int) -> Part:
    index, pieces = _contents(movie, first, end)
    begin, over = movie.audio_frame(first), movie.audio_frame(end)
    return Part(
        first,
        end,
        len(index) + sum(length for _, length in pieces),
        round(begin * FRAME / RATE, 3),
        round((over - begin) * FRAME / RATE, 3),
    )


def _contents(movie: Movie, first: int, end: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return what stands in front of a part's media, and where these lie: offset and length."""
    video, audio = VideoSamples(movie.timescale, movie.entry, in_band=False), Samples()
    origin = movie.shown[first] if first else 0
    keys = set(movie.keys)
    for frame in range(first, end):
        decoded, shown = movie.decoded[frame] - origin, movie.shown[frame] - origin
        video.time(decoded, shown, 0, movie.timescale, is_key=frame in keys)
    video.settle()
    begin, over = movie.audio_frame(first), movie.audio_frame(end)
    pieces, length = [], 0
    for samples, offset, sizes in _chunks(movie, range(first, end), range(begin, over)):
        (video if samples else audio).chunk(length, sizes)
        pieces.append((offset, sum(sizes)))
        length += pieces[-1][1]
    return head(video, audio, length), pieces


def _chunks(movie: Movie, frames: range, sounds: range) -> Iterator[tuple[bool, int, list[int]]]:
    """Yield runs of samples that follow each other in the file: whether of video, where, and how large each is."""
    places = [
        *((movie.video.offsets[n], True, movie.video.sizes[n]) for n in frames),
        *((movie.audio.offsets[n], False, movie.audio.sizes[n]) for n in sounds),
    ]
    places.sort()
    run: tuple[bool, int, list[int]] | None = None
    until = -1
    for offset, is_video, size in places:
        if run is not None and run[0] is is_video and offset == until:
            run[2].append(size)
        else:
            if run is not None:
                yield run
            run = (is_video, offset, [size])
        until = offset + size
    if run is not None:
        yield run


def cut(movie: Movie, first: int, end: int, target: Path) -> None:
    """Write the frames `first` up to `end` of a recording to `target`, and see it onto the disk."""
    index, pieces = _contents(movie, first, end)
    try:
        with movie.path.open("rb", buffering=0) as source, target.open("wb") as out:
            out.write(index)
            for data in _read(source.fileno(), pieces):
                out.write(data)
            out.flush()
            sync(out.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def _read(source: int, pieces: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    for offset, length in pieces:
        data = os.pread(source, length, offset)
        if len(data) < length:
            raise OSError("the recording has become shorter while it was read")
        yield data


def main(arguments: Sequence[str]) -> int:
    """Plan or cut; prints the plan as JSON, or the reason on standard error."""
    try:
        match arguments:
            case ["plan", first, most_bytes, path]:
                parts = plan(read_movie(Path(path)), int(most_bytes), int(first))
                print(json.dumps([attrs.asdict(part) for part in parts]))  # noqa: T201 - the caller reads it
            case ["cut", first, end, path, target]:
                cut(read_movie(Path(path)), int(first), int(end), Path(target))
            case _:
                return 2
    except (SplitError, UnreadableError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
