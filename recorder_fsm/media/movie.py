"""Read a finished MP4: its frames and its audio, where they lie in the file, and when they are shown or heard.

The opposite of `mp4_index`. Only the index is read, never the media. Of the audio it is known that it is a chain of AAC
frames (`join`); a file that was made otherwise, or that has no index, is not read.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import attrs

from recorder_fsm.media.fragments import UnreadableError, boxes, edits, flat
from recorder_fsm.media.mp4_index import AUDIO_ENTRY, FRAME, RATE

LARGEST_INDEX_BYTES = 1 << 28


@attrs.frozen
class MovieTrack:
    """One track: for each sample its place in the file and its size, in bytes."""

    offsets: array[int]
    sizes: array[int]


@attrs.frozen
class Movie:
    """A finished recording. Times are in ticks of the video's clock and count from the begin.

    For each frame when it is decoded and when it is shown; `keys` are the numbers of the key frames, counted from 0.
    """

    path: Path
    timescale: int
    entry: bytes
    video: MovieTrack
    audio: MovieTrack
    decoded: array[int]
    shown: array[int]
    keys: array[int]

    @property
    def cuts(self) -> list[int]:
        """The key frames at which it can be cut: no frame behind such a one is shown before it."""
        good, earliest, later = [], sys.maxsize, len(self.shown)
        for key in reversed(self.keys):
            earliest = min(earliest, *self.shown[key:later])
            later = key
            if self.shown[key] <= earliest:
                good.append(key)
        return [0, *(key for key in reversed(good) if key and self.shown[key] > 0)]

    def audio_frame(self, frame: int) -> int:
        """Return the frame of audio that is nearest to the begin of a frame of video."""
        if frame == 0:
            return 0
        if frame == len(self.shown):
            return len(self.audio.sizes)
        return min(len(self.audio.sizes), round(self.shown[frame] * RATE / (self.timescale * FRAME)))


def read_movie(path: Path) -> Movie:
    """Return what is in a finished MP4; raises `UnreadableError` for any other file, `OSError` where it is not read."""
    try:
        with path.open("rb") as file:
            return _movie(path, _index(file))
    except (struct.error, LookupError, ValueError) as error:
        raise UnreadableError(f"its index is damaged ({error})") from error


def _index(file: BinaryIO) -> bytes:
    size, at, found = file.seek(0, 2), 0, b""
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if kind == b"moof":
            raise UnreadableError("it was not finished: its index is in pieces")
        if length < 8 or (kind == b"moov" and length > LARGEST_INDEX_BYTES):
            raise UnreadableError("it is no MP4")
        if kind == b"moov":
            file.seek(at + 8)
            found = file.read(length - 8)
        at += length
    if not found:
        raise UnreadableError("it has no index")
    return found


def _movie(path: Path, moov: bytes) -> Movie:
    found = {kind: (start, end) for kind, start, end in boxes(moov)}
    at = found[b"mvhd"][0]
    (movie_scale,) = struct.unpack_from(">I", moov, at + (20 if moov[at] else 12))
    tracks: dict[bytes, Mapping[bytes, bytes]] = {}
    for kind, start, end in boxes(moov):
        if kind == b"trak":
            inner = dict(flat(moov, start, end))
            tracks.setdefault(inner[b"hdlr"][8:12], inner)
    if not {b"vide", b"soun"} <= set(tracks):
        raise UnreadableError("it has no video or no audio")
    video, audio = tracks[b"vide"], tracks[b"soun"]
    _check_audio(audio)
    scale = _timescale(video)
    shift = edits(video[b"elst"], scale, movie_scale) if b"elst" in video else 0
    durations = _counted(video[b"stts"])
    decoded = array("q", (stamp + shift for stamp in accumulate(durations, initial=0)))[:-1]
    shifts = _counted(video[b"ctts"]) if b"ctts" in video else array("q", bytes(8 * len(decoded)))
    shown = array("q", (stamp + later for stamp, later in zip(decoded, shifts, strict=True)))
    keys = (
        array("q", (key - 1 for key in _words(video[b"stss"], 8)))
        if b"stss" in video
        else array("q", range(len(shown)))
    )
    return Movie(path, scale, video[b"stsd"][8:], _track(video), _audio_track(audio, movie_scale), decoded, shown, keys)


def _check_audio(audio: Mapping[bytes, bytes]) -> None:
    """Raise `UnreadableError` for audio that `mp4_index` would describe wrongly."""
    entry = audio[b"stsd"][8:]
    same_kind = entry[4:8] == b"mp4a" and entry[24:36] == AUDIO_ENTRY[24:36]
    if not same_kind or _timescale(audio) != RATE or set(_counted(audio[b"stts"])[:-1]) - {FRAME}:
        raise UnreadableError("its audio is not AAC of 48 kHz in stereo, one frame after the other")


def _audio_track(audio: Mapping[bytes, bytes], movie_scale: int) -> MovieTrack:
    """Return the audio from the recording's begin on: an edit list may leave out the encoder's run-up."""
    track = _track(audio)
    early = -edits(audio[b"elst"], RATE, movie_scale) if b"elst" in audio else 0
    skipped = max(0, round(early / FRAME))
    return MovieTrack(track.offsets[skipped:], track.sizes[skipped:])


def _track(inner: Mapping[bytes, bytes]) -> MovieTrack:
    stsz = inner[b"stsz"]
    size, count = struct.unpack_from(">II", stsz, 4)
    sizes = array("I", [size]) * count if size else _words(stsz, 12)
    chunks = _words(inner[b"co64"], 8, "Q") if b"co64" in inner else _words(inner[b"stco"], 8)
    offsets = array("Q")
    samples = iter(sizes)
    for chunk, number in zip(chunks, _samples_in_chunks(inner[b"stsc"], len(chunks)), strict=True):
        place = chunk
        for _, length in zip(range(number), samples, strict=False):
            offsets.append(place)
            place += length
    if len(offsets) != len(sizes):
        raise UnreadableError("its index does not say where all samples are")
    return MovieTrack(offsets, sizes)


def _samples_in_chunks(stsc: bytes, chunks: int) -> Iterator[int]:
    """Yield for each chunk how many samples it has."""
    rows = [row[:2] for row in struct.Struct(">III").iter_unpack(stsc[8:])]
    for (first, count), (until, _) in zip(rows, [*rows[1:], (chunks + 1, 0)], strict=True):
        for _ in range(first, until):
            yield count


def _timescale(inner: Mapping[bytes, bytes]) -> int:
    mdhd = inner[b"mdhd"]
    return int(struct.unpack_from(">I", mdhd, 20 if mdhd[0] else 12)[0])


def _counted(table: bytes) -> array[int]:
    """Return the values of a table of runs, one for each sample."""
    values = array("q")
    for count, value in struct.Struct(">Ii").iter_unpack(table[8:]):
        values.extend(array("q", [value]) * count)
    return values


def _words(table: bytes, at: int, kind: str = "I") -> array[int]:
    values = array(kind, table[at:])
    if sys.byteorder == "little":
        values.byteswap()
    return values
