"""Read a segment: which video and audio samples a fragmented MP4 of our encoder holds, where in the file, and when.

Only the boxes' heads are read, never the media. A segment may be cut anywhere (SIGKILL, a full disk): what is complete
in front of the cut counts, the rest is as if it had never been written. Times are in ticks of the track's own clock and
count from the begin of the recording.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import attrs

NOT_A_KEY = 0x10000  # sample_is_non_sync_sample
AAC_LC_48K_STEREO = bytes.fromhex("1190")


class UnreadableError(Exception):
    """This file, or a track of it, cannot be part of the recording; the text says why."""


@attrs.frozen
class Track:
    """What the head of a segment says of a track: `start` is added to the stamps of its fragments.

    `entry` is how its samples are coded (the sample entry, ISO/IEC 14496-12): of video or of audio.
    """

    is_video: bool
    timescale: int
    start: int
    entry: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return struct.unpack_from(">HH", self.entry, 32)

    @property
    def video_config(self) -> bytes:
        """The H.264 decoder's configuration (`avcC`), with the parameter sets."""
        return next(self.entry[start:end] for kind, start, end in boxes(self.entry, 86) if kind == b"avcC")

    @property
    def parameter_sets(self) -> bytes:
        """The parameter sets as they stand in a sample: each with its length in front."""
        config, sets, at = self.video_config, b"", 5
        for mask in (0x1F, 0xFF):  # sequence, frame
            count, at = config[at] & mask, at + 1
            for _ in range(count):
                length = int.from_bytes(config[at : at + 2], "big")
                sets += length.to_bytes(4, "big") + config[at + 2 : at + 2 + length]
                at += 2 + length
        return sets

    def check(self) -> None:
        """Raise `UnreadableError` for a track that is not coded as the encoder codes."""
        if self.is_video:
            if self.entry[4:8] != b"avc1" or self.video_config[4] & 3 != 3:
                raise UnreadableError("its video is not H.264 as the encoder writes it")
        elif self.entry[4:8] != b"mp4a" or self.timescale != 48_000 or _audio_config(self.entry) != AAC_LC_48K_STEREO:
            raise UnreadableError("its audio is not AAC-LC of 48 kHz in stereo")


@attrs.frozen
class Run:
    """Samples of one track that follow each other in the file, from the byte `offset` on, and in time, from `dts` on.

    For each: bytes, ticks to the next, ticks from its decoding to its showing, and its flags (ISO/IEC 14496-12).
    """

    track: Track
    offset: int
    dts: int
    sizes: array[int]
    durations: array[int]
    shifts: array[int]
    flags: array[int]

    def part(self, begin: int, end: int) -> Run:
        """Return the run of only these samples, counted from 0."""
        part = slice(begin, end)
        return Run(
            self.track,
            self.offset + sum(self.sizes[:begin]),
            self.dts + sum(self.durations[:begin]),
            self.sizes[part],
            self.durations[part],
            self.shifts[part],
            self.flags[part],
        )

    @property
    def begin(self) -> int:
        """When its first sample is shown or heard; of frames that begin with a key frame it is the earliest."""
        return self.dts + self.shifts[0]

    @property
    def count(self) -> int:
        return len(self.sizes)

    def stamps(self) -> Iterator[tuple[int, int, int]]:
        """Yield when each sample is decoded and shown, and its length."""
        dts = self.dts
        for shift, length in zip(self.shifts, self.durations, strict=True):
            yield dts, dts + shift, length
            dts += length

    @property
    def end(self) -> int:
        """When the last of its samples is over."""
        return max(shown + length for _, shown, length in self.stamps())


@attrs.frozen
class Segment:
    """One file of the encoder: its samples in the order of their times, and what is wrong with it.

    In the file, video comes later than the audio of its time: an encoder that looks ahead keeps it for a while.
    """

    path: Path
    runs: tuple[Run, ...]
    problems: tuple[str, ...] = ()

    def runs_of(self, *, is_video: bool) -> list[Run]:
        return [run for run in self.runs if run.track.is_video is is_video]

    def track(self, *, is_video: bool) -> Track | None:
        """Return the track of video, or of audio; None where no sample of it is there."""
        return next((run.track for run in self.runs if run.track.is_video is is_video), None)

    def span_s(self, *, is_video: bool) -> tuple[float, float] | None:
        """Return from when to when there is video (or audio), in seconds of the recording; None: there is none."""
        runs = self.runs_of(is_video=is_video)
        if not runs:
            return None
        timescale = runs[0].track.timescale
        return runs[0].begin / timescale, max(run.end for run in runs[-2:]) / timescale


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of the content of each box in `data[at:end]`; raises `UnreadableError` for nonsense."""
    end = len(data) if end is None else end
    while at < end:
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8 or at + length > end:
            raise UnreadableError("a box is longer than what holds it")
        yield kind, at + 8, at + length
        at += length


def inspect(path: Path) -> Segment:
    """Return what is complete in `path`; raises `OSError` where the file cannot be read."""
    runs: list[Run] = []
    problems: list[str] = []
    try:
        with path.open("rb") as file:
            for run in _runs(file, problems):
                runs.append(run)  # noqa: PERF402 - those before an error are kept
    except (UnreadableError, struct.error, LookupError, ValueError, StopIteration) as error:
        problems.append(str(error) if isinstance(error, UnreadableError) else "it is damaged")
    if not runs:
        problems.append("there is nothing in it")
    runs.sort(key=lambda run: run.dts / run.track.timescale)
    return Segment(path, tuple(runs), tuple(problems))


def _runs(file: BinaryIO, problems: list[str]) -> Iterator[Run]:
    tracks: dict[int, Track] = {}
    size = file.seek(0, 2)
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if length < 8:
            raise UnreadableError(f"what follows byte {at} is not a box")
        if kind in {b"moov", b"moof"}:
            file.seek(at + 8)
            box = file.read(length - 8)
            if len(box) < length - 8:
                raise UnreadableError(f"it is cut at byte {size}")
            if kind == b"moov":
                tracks = dict(_tracks(box, problems))
            else:
                yield from _fragment(box, tracks, at, size)
        at += length
    if at > size:
        raise UnreadableError(f"it is cut at byte {size}")


def _tracks(moov: bytes, problems: list[str]) -> Iterator[tuple[int, Track]]:
    found = {kind: (start, end) for kind, start, end in boxes(moov)}
    (movie_scale,) = struct.unpack_from(">I", moov, found[b"mvhd"][0] + (20 if moov[found[b"mvhd"][0]] else 12))
    for kind, start, end in boxes(moov):
        if kind != b"trak":
            continue
        inner = dict(flat(moov, start, end))
        tkhd, mdhd, stsd = inner[b"tkhd"], inner[b"mdhd"], inner[b"stsd"]
        (number,) = struct.unpack_from(">I", tkhd, 20 if tkhd[0] else 12)
        (timescale,) = struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)
        shift = edits(inner[b"elst"], timescale, movie_scale) if b"elst" in inner else 0
        track = Track(inner[b"hdlr"][8:12] == b"vide", timescale, shift, stsd[8:])
        try:
            track.check()
            yield number, track
        except UnreadableError as error:
            problems.append(str(error))


def flat(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of all boxes inside, those of inner boxes too."""
    for kind, start, stop in boxes(data, at, end):
        if kind in {b"edts", b"mdia", b"minf", b"stbl"}:
            yield from flat(data, start, stop)
        else:
            yield kind, data[start:stop]


def edits(elst: bytes, timescale: int, movie_scale: int) -> int:
    """Return what the edit list adds to a sample's stamp: an empty edit delays the track, the other skips its begin."""
    entry = struct.Struct(">Qq4x" if elst[0] else ">Ii4x")
    delay = 0
    for length, media_time in entry.iter_unpack(elst[8:]):
        if media_time >= 0:
            return delay - int(media_time)
        delay += round(length * timescale / movie_scale)
    return delay


def _fragment(moof: bytes, tracks: Mapping[int, Track], at: int, size: int) -> Iterator[Run]:
    """Yield the runs of the fragment at byte `at`, without the samples that are not within the file's `size` bytes."""
    for kind, start, end in boxes(moof):
        if kind != b"traf":
            continue
        inner = {kind: moof[begin:stop] for kind, begin, stop in boxes(moof, start, end)}
        tfhd, tfdt, trun = inner[b"tfhd"], inner[b"tfdt"], inner[b"trun"]
        flags, number = struct.unpack_from(">II", tfhd)
        if number not in tracks:
            continue
        if flags & 0x1 or not flags & 0x20000:
            raise UnreadableError("its offsets do not count from the fragment (default_base_moof)")
        fields = iter(struct.unpack_from(f">{(len(tfhd) - 8) // 4}I", tfhd, 8))
        _, duration, length, flag = (next(fields) if flags & bit else 0 for bit in (0x2, 0x8, 0x10, 0x20))
        (dts,) = struct.unpack_from(">q" if tfdt[0] else ">i", tfdt, 4)
        run = _run(trun, tracks[number], at, dts, (duration, length, flag))
        room = bisect_right(list(accumulate(run.sizes)), size - run.offset)
        if room:
            yield run.part(0, room)


def _run(trun: bytes, track: Track, at: int, dts: int, defaults: tuple[int, int, int]) -> Run:
    flags, count, offset = struct.unpack_from(">IIi", trun)
    if not flags & 0x1:
        raise UnreadableError("a fragment does not say where its samples are")
    words = array("I", trun[16 if flags & 0x4 else 12 :])
    if sys.byteorder == "little":
        words.byteswap()
    bits = [bit for bit in (0x100, 0x200, 0x400, 0x800) if flags & bit]
    if len(words) != count * len(bits) or not count:
        raise UnreadableError("a fragment's list of samples has another length than it says")
    columns = {bit: words[n :: len(bits)] for n, bit in enumerate(bits)}
    for bit, default in zip((0x100, 0x200, 0x400, 0x800), (*defaults, 0), strict=True):
        columns.setdefault(bit, array("I", [default]) * count)
    if flags & 0x4:
        (columns[0x400][0],) = struct.unpack_from(">I", trun, 12)
    shifts = array("i", columns[0x800].tobytes())
    return Run(track, at + offset, track.start + dts, columns[0x200], columns[0x100], shifts, columns[0x400])


def _audio_config(entry: bytes) -> bytes:
    """Return the first two bytes of the AAC decoder's configuration: profile, rate, channels (ISO/IEC 14496-3)."""
    esds = next(entry[start:end] for kind, start, end in boxes(entry, 36) if kind == b"esds")
    at = 4
    while True:  # descriptors: the elementary stream's holds the decoder's, which holds the configuration
        tag, length, at = esds[at], 0, at + 1
        while True:
            byte, at = esds[at], at + 1
            length = length << 7 | byte & 0x7F
            if byte < 0x80:
                break
        if tag == 5:
            return esds[at : at + 2]
        at += {3: 3, 4: 13}.get(tag, length)
