"""Write the head of an MP4 with one video and one audio track: what stands in front of the media (ISO/IEC 14496-12).

Times are in ticks of the frames' clock; the audio is a chain of AAC frames, and both last as long as that chain.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, groupby, pairwise

import attrs

RATE = 48_000
FRAME = 1024
"""Samples of one AAC frame."""
AUDIO_ENTRY = bytes.fromhex(
    "0000005a 6d703461 000000000000 0001 0000000000000000 0002 0010 00000000 bb800000"
    "00000036 65736473 00000000 03808080 25 0002 00 04808080 17 40 15 000000 00000000 00000000"
    "05808080 05 1190 56e500 06808080 01 02"
)
"""The sample entry of AAC-LC, 48 kHz, stereo; `fragments` lets no other audio through."""
MOST_CHAPTERS = 255
MOST_OCTETS = 255
MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
FILE_TYPE = b"isom" + struct.pack(">I", 0x200) + b"isomiso2avc1mp41"


@attrs.define
class Samples:
    """A track's samples: the bytes of each; for each chunk its offset in the media and how many samples it has."""

    sizes: array[int] = attrs.field(factory=lambda: array("I"))
    offsets: array[int] = attrs.field(factory=lambda: array("Q"))
    counts: array[int] = attrs.field(factory=lambda: array("I"))

    @property
    def count(self) -> int:
        return len(self.sizes)

    def chunk(self, offset: int, sizes: Iterable[int]) -> None:
        """Add samples that follow each other in the file."""
        before = self.count
        self.sizes.extend(sizes)
        self.offsets.append(offset)
        self.counts.append(self.count - before)


class VideoSamples(Samples):
    """The frames; `decoded` and `shown` are stamps, `keys` the numbers of the key frames, counted from 1."""

    def __init__(self, timescale: int, entry: bytes, in_band: bool) -> None:
        super().__init__()
        self.timescale = timescale
        self.in_band = in_band
        # `avc3`: parameter sets are in the samples, too.
        self.entry = entry[:4] + b"avc3" + entry[8:] if in_band else entry
        self.decoded: array[int] = array("q")
        self.shown: array[int] = array("q")
        self.keys: array[int] = array("I")
        self.end = 0

    @property
    def end_s(self) -> float:
        return self.end / self.timescale

    def time(self, decoded: int, shown: int, length: int, timescale: int, *, is_key: bool) -> None:
        """Add the next sample's stamps, given in ticks of `timescale`. The first frame is shown from 0 on.

        What lies in front of 0 is in front of the recording: see `settle`.
        """
        decoded, shown, end = (stamp * self.timescale // timescale for stamp in (decoded, shown, shown + length))
        if self.decoded:
            decoded = max(decoded, self.decoded[-1] + 1)
        elif shown > 0:
            decoded, shown = min(decoded, 0), 0
        self.decoded.append(decoded)
        self.shown.append(max(shown, decoded))
        self.end = max(self.end, end)
        if is_key:
            self.keys.append(len(self.decoded))

    def stands_until(self, at_s: float) -> None:
        """Say that the last frame so far is shown until then, whatever its length."""
        self.end = max(self.end, round(at_s * self.timescale))

    def settle(self) -> None:
        """Put the frames that are shown before 0 into the last ticks before it.

        A player has to decode them for what is on the screen at 0. The edit list tells it to hide them; one that does
        not care shows them for less than anybody can see.
        """
        early = sum(shown < 0 for shown in self.shown)
        if not early:
            return
        lead = max(self.shown[key - 1] - self.decoded[key - 1] for key in self.keys)
        in_order = sorted(range(len(self.shown)), key=self.shown.__getitem__)
        first = -early if any(self.shown[number] == 0 for number in in_order[early : early + 1]) else 1 - early
        for tick, number in enumerate(in_order[:early], first):
            self.shown[number] = tick
        for number, decoded in enumerate(self.decoded):
            tick = first - lead + number
            if number >= early and decoded >= tick:
                break
            self.decoded[number] = tick


Chapters = Sequence[tuple[float, str]]
"""Where each chapter begins, in seconds, and its title; in order."""


def head(video: VideoSamples, audio: Samples, length: int, chapters: Chapters = ()) -> bytes:
    """Return all that stands in front of the media, which are `length` bytes."""
    media = struct.pack(">I4sQ", 1, b"mdat", length + 16)
    kind = _box(b"ftyp", FILE_TYPE)
    begin = len(kind) + len(_movie(video, audio, 0, chapters)) + len(media)
    return kind + _movie(video, audio, begin, chapters) + media


def _movie(video: VideoSamples, audio: Samples, begin: int, chapters: Chapters) -> bytes:
    """Return the index; `begin` is where the media begin in the file."""
    length = audio.count * FRAME
    header = struct.pack(">4I IH 10x 36s 24x I", 0, 0, RATE, length, 0x10000, 0x100, MATRIX, 3)
    tracks = _video_track(video, length, begin), _audio_track(audio, begin)
    return _box(b"moov", _full(b"mvhd", header), *tracks, _chapter_list(chapters))


def _chapter_list(chapters: Chapters) -> bytes:
    """Return the chapters as Nero's box has them (`chpl`), which ffmpeg, VLC and mpv read; b"" where there are none.

    Its counts are octets: 255 chapters, titles of 255 octets; times are in units of 100 ns.
    """
    if not chapters:
        return b""
    entries = [
        struct.pack(">QB", round(at_s * 10_000_000), len(title)) + title
        for at_s, title in ((at_s, _cut(text)) for at_s, text in chapters[:MOST_CHAPTERS])
    ]
    return _box(b"udta", _full(b"chpl", bytes(4), bytes([len(entries)]), *entries, version=1))


def _cut(text: str) -> bytes:
    """Return the text in as many octets as a chapter's title may have, without half a character."""
    return text.encode(errors="replace")[:MOST_OCTETS].decode(errors="ignore").encode()


def _video_track(video: VideoSamples, length: int, begin: int) -> bytes:
    scale, decoded = video.timescale, video.decoded[:]
    # How long the first frame is decoded before it is shown. A player that looks for a key frame takes this for what
    # all of them need: with less than some do, it jumps to the one behind the place.
    lead = max(video.shown[key - 1] - decoded[key - 1] for key in video.keys)
    decoded[0] = video.shown[0] - lead
    end = max(length * scale // RATE, decoded[-1] + 1)
    times = _counted(later - earlier for earlier, later in pairwise(chain(decoded, [end])))
    shifts = [shown - at for at, shown in zip(decoded, video.shown, strict=True)]
    tables = [_full(b"stts", _pairs(times)), _full(b"stss", _words(video.keys, counted=True))]
    edit = b""
    if any(shifts):
        tables.append(_full(b"ctts", _pairs(_counted(shifts))))
    if decoded[0]:
        edit = _box(b"edts", _full(b"elst", struct.pack(">IIII", 1, length, -decoded[0], 0x10000)))
    width, height = struct.unpack_from(">HH", video.entry, 32)
    header = _full(b"vmhd", bytes(8), flags=1)
    media = _media(video, begin, header=header, entry=video.entry, times=tables, clock=(scale, end - decoded[0]))
    return _box(b"trak", _track_header(1, length, 0, width, height), edit, media)


def _audio_track(audio: Samples, begin: int) -> bytes:
    length = audio.count * FRAME
    times = _full(b"stts", _pairs([(audio.count, FRAME)]))
    header = _full(b"smhd", bytes(4))
    media = _media(audio, begin, header=header, entry=AUDIO_ENTRY, times=[times], clock=(RATE, length))
    return _box(b"trak", _track_header(2, length, 0x100, 0, 0), media)


def _track_header(number: int, length: int, volume: int, width: int, height: int) -> bytes:
    fields = struct.pack(">5I8x4H", 0, 0, number, 0, length, 0, number - 1, volume, 0)
    return _full(b"tkhd", fields, MATRIX, struct.pack(">II", width << 16, height << 16), flags=3)


def _media(
    samples: Samples, begin: int, *, header: bytes, entry: bytes, times: Sequence[bytes], clock: tuple[int, int]
) -> bytes:
    """Return the box of a track's media; `clock` is its ticks a second and its length in them."""
    far = begin + (samples.offsets[-1] if samples.offsets else 0) >= 1 << 32
    offsets = array("Q" if far else "I", (begin + offset for offset in samples.offsets))
    chunks = [(1 + first, count, 1) for first, count in _changes(samples.counts)]
    tables = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), entry),
        *times,
        _full(b"stsc", struct.pack(">I", len(chunks)), *(struct.pack(">III", *chunk) for chunk in chunks)),
        _full(b"stsz", bytes(4), _words(samples.sizes, counted=True)),
        _full(b"co64" if far else b"stco", _words(offsets, counted=True)),
    )
    here = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))
    return _box(
        b"mdia",
        _full(b"mdhd", struct.pack(">QQIQHH", 0, 0, *clock, 0x55C4, 0), version=1),
        _full(b"hdlr", bytes(4), b"vide" if header[4:8] == b"vmhd" else b"soun", bytes(12), b"recorder\0"),
        _box(b"minf", header, here, tables),
    )


def _counted(values: Iterable[int]) -> list[tuple[int, int]]:
    """Return how often each value comes in a row."""
    return [(sum(1 for _ in same), value) for value, same in groupby(values)]


def _changes(values: Iterable[int]) -> list[tuple[int, int]]:
    """Return where another value begins, counted from 0, and which."""
    found, at = [], 0
    for count, value in _counted(values):
        found.append((at, value))
        at += count
    return found


def _pairs(pairs: Sequence[tuple[int, int]]) -> bytes:
    return struct.pack(">I", len(pairs)) + _words(array("I", chain.from_iterable(pairs)))


def _words(values: array[int], *, counted: bool = False) -> bytes:
    """Return numbers as the format has them, most significant byte first; `counted`: with their number in front."""
    swapped = values[:]
    if struct.pack("=H", 1) != struct.pack(">H", 1):
        swapped.byteswap()
    return (struct.pack(">I", len(values)) if counted else b"") + swapped.tobytes()


def _full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)
