"""Joined recordings, made of segments whose truth is known: each frame says its number, the audio is a tone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from array import array
from functools import cache
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from recorder_fsm.media.fragments import inspect
from recorder_fsm.media.join import ALL, HELD_S, JoinError, Span, join, join_beside, part_of
from tests.programs import children, until

RATE = 48_000
FRAME = 1024
FPS = 30
GRAIN_S = FRAME / RATE
TONE = 1000
"""A sample as loud as this belongs to the tone, whose peaks are near 2900."""
ZEROLATENCY = ("-preset", "ultrafast", "-tune", "zerolatency")
FRAGMENTED = ("-f", "mp4", "-movie_timescale", str(RATE), "-movflags", "delay_moov+default_base_moof")
REORDERED = ("-preset", "veryfast", "-bf", "3", "-g", "30")


def call(*argv: str | Path) -> bytes:
    done = subprocess.run([str(word) for word in argv], capture_output=True, check=True, stdin=subprocess.DEVNULL)
    assert not done.stderr.strip(), done.stderr.decode()
    return done.stdout


def segment(
    path: Path,
    at_s: float,
    length_s: float,
    *,
    codec: tuple[str, ...] = ZEROLATENCY,
    tracks: str = "va",
    size: str = "128x16",
) -> Path:
    """Write a segment as the encoder does. Its frames carry round(30 * at_s) + their number as 16 bars: the bits."""
    path.write_bytes(encoded(at_s, length_s, codec, tracks, size))
    return path


@cache
def encoded(at_s: float, length_s: float, codec: tuple[str, ...], tracks: str, size: str) -> bytes:
    number = f"(N+{round(at_s * FPS)})"
    bars = f"geq=lum='16+219*mod(floor({number}/pow(2,floor(X/8))),2)':cb=128:cr=128"
    video = ["-f", "lavfi", "-i", f"color=s={size}:r={FPS}:d={length_s},format=yuv420p,{bars}"]
    audio = ["-f", "lavfi", "-i", f"sine=1000:r={RATE}:d={length_s}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.mp4"
        call(
            *("ffmpeg", "-v", "error", "-y"),
            *(video if "v" in tracks else ()),
            *(audio if "a" in tracks else ()),
            *("-c:v", "libx264", *codec, "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", "-ac", "2"),
            *("-output_ts_offset", f"{at_s:.6f}", *FRAGMENTED, "-frag_duration", "500000", path),
        )
        return path.read_bytes()


@attrs.frozen
class Seen:
    """What a player gets: the number in each frame with its time, and the samples of the audio one after another."""

    frames: list[tuple[float, int]]
    samples: array[int]

    def shown_at(self, at_s: float) -> int:
        return [number for shown, number in self.frames if shown <= at_s + 1e-6][-1]

    def loud(self, begin_s: float, end_s: float) -> list[int]:
        return [n for n in range(int(begin_s * RATE), int(end_s * RATE)) if abs(self.samples[n]) > TONE]

    def loudest(self, begin_s: float, end_s: float) -> int:
        return max(map(abs, self.samples[int(begin_s * RATE) : int(end_s * RATE)]))


def packets(path: Path, stream: str) -> list[dict[str, str]]:
    found = call("ffprobe", "-v", "error", "-select_streams", stream, "-show_packets", "-of", "json", path)
    return list(json.loads(found)["packets"])


def look(path: Path) -> Seen:
    """Decode everything, and check what holds for every recording."""
    call("ffmpeg", "-v", "warning", "-xerror", "-i", path, "-fps_mode", "passthrough", "-f", "null", "-")
    call("ffmpeg", "-v", "warning", "-xerror", "-i", path, "-f", "null", "-")
    order = [kind for kind, _ in top_boxes(path)]
    assert order == ["ftyp", "moov", "mdat"]
    streams = json.loads(call("ffprobe", "-v", "error", "-show_streams", "-of", "json", path))["streams"]
    video, audio = streams
    assert float(video["start_time"]) == float(audio["start_time"]) == 0
    assert float(video["duration"]) == pytest.approx(float(audio["duration"]), abs=0.001)
    for stream in "va":
        stamps = [int(packet["dts"]) for packet in packets(path, stream)]
        assert all(earlier < later for earlier, later in pairwise(stamps))
    assert {(int(packet["duration"]), int(packet["pts"]) % FRAME) for packet in packets(path, "a")} == {(FRAME, 0)}
    times = sorted(float(packet["pts_time"]) for packet in packets(path, "v") if "D" not in packet["flags"])
    assert times[0] == 0
    raw = call(
        *("ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-fps_mode", "passthrough"),
        *("-pix_fmt", "gray", "-f", "rawvideo", "-"),
    )
    size = int(video["width"]) * int(video["height"])
    numbers = [number_in(raw[at : at + size]) for at in range(0, len(raw), size)]
    samples = array("h", call("ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-ac", "1", "-f", "s16le", "-"))
    assert len(samples) == int(audio["nb_frames"]) * FRAME
    return Seen(list(zip(times, numbers, strict=True)), samples)


def number_in(frame: bytes) -> int:
    return sum((frame[8 * 128 + 8 * bit + 4] > 126) << bit for bit in range(16))


def top_boxes(path: Path) -> list[tuple[str, int]]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        length = int.from_bytes(data[at + 8 : at + 16], "big") if length == 1 else length
        found.append((data[at + 4 : at + 8].decode(), at))
        at += length
    return found


def assert_in_place(seen: Seen) -> None:
    """Each frame is shown when its number says; the first may be early: it is held from 0 on."""
    for shown, number in seen.frames[1:]:
        assert shown == pytest.approx(number / FPS, abs=0.001)


@pytest.mark.parametrize("codec", [ZEROLATENCY, REORDERED], ids=["zerolatency", "reordered"])
def test_gap_is_the_last_frame_and_silence(tmp_path: Path, codec: tuple[str, ...]) -> None:
    """Everything behind it stays in its place, and it is told as what it is."""
    one, two = segment(tmp_path / "live.mp4", 0, 3, codec=codec), segment(tmp_path / "live-2.mp4", 4.7, 3, codec=codec)
    report = join([one, two], tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert_in_place(seen)
    assert [number for _, number in seen.frames] == [*range(90), *range(141, 231)]
    assert seen.shown_at(3.5) == seen.shown_at(4.69) == 89
    assert seen.shown_at(4.71) == 141
    # The tone ends and is back where it should be: within the half frame of its grain.
    tone = seen.loud(0, len(seen.samples) / RATE)
    breaks = [(a / RATE, b / RATE) for a, b in pairwise(tone) if b - a > RATE / 10]
    assert len(breaks) == 1
    ends, begins = breaks[0]
    assert [ends, begins] == pytest.approx([3.0, 4.7], abs=GRAIN_S / 2 + 0.002)
    assert tone[0] / RATE < 0.012  # without the encoder's run-up, the first half frame fades in
    assert seen.loudest(3.05, 4.65) == 0
    assert report.length_s == len(seen.samples) / RATE == pytest.approx(7.7, abs=2 * GRAIN_S)
    audio, video = report.gaps
    assert (audio.what, video.what) == ("audio", "video")
    assert [video.at_s, video.length_s] == pytest.approx([3.0, 1.7], abs=0.002)
    assert [audio.at_s, audio.length_s] == pytest.approx([3.0, 1.7], abs=2 * GRAIN_S)
    assert report.problems == ()


def test_silence_is_digital_silence(tmp_path: Path) -> None:
    """Not one sample of the gap is other than zero, as ffmpeg decodes it too."""
    paths = [segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 3, 1)]
    join(paths, tmp_path / "joined.mp4")
    done = subprocess.run(
        ["ffmpeg", "-hide_banner", "-i", tmp_path / "joined.mp4", "-af", "atrim=1.1:2.9,astats", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Peak level dB: -inf" in done.stderr


def test_missing_begin_is_the_first_frame_and_silence(tmp_path: Path) -> None:
    """The first frame is held from 0 on; all others and the tone are where they belong."""
    join([segment(tmp_path / "live.mp4", 1.25, 2)], tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert list(seen.frames[0]) == [0, 38]
    assert [round(shown - (number - 38) / FPS, 2) for shown, number in seen.frames[1:]] == [1.25] * 59
    assert seen.loud(0, 3)[0] / RATE == pytest.approx(1.25, abs=GRAIN_S / 2 + 0.002)


@pytest.mark.parametrize("cut", [0.02, 0.13, 0.4, 0.5, 0.61, 0.87, 0.999])
@pytest.mark.parametrize("codec", [ZEROLATENCY, REORDERED], ids=["zerolatency", "reordered"])
def test_segment_that_was_cut_counts_up_to_there(tmp_path: Path, cut: float, codec: tuple[str, ...]) -> None:
    """An encoder that was killed: what it had written is there, what follows stays in its place, and it is told."""
    paths = [tmp_path / f"live-{n}.mp4" for n in range(4)]
    segment(paths[0], 0, 2, codec=codec)
    paths[1].touch()
    segment(paths[2], 3, 3, codec=codec)
    segment(paths[3], 7, 1, codec=codec)
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[: int(len(whole) * cut)])
    report = join(paths, tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert_in_place(seen)
    numbers = [number for _, number in seen.frames]
    assert {*range(60), *range(210, 240)} <= set(numbers)
    rescued = [number for number in numbers if 90 <= number < 180]
    assert len(rescued) >= 90 * cut - 25  # the half second that the fragment would have had, and the head
    assert report.length_s == pytest.approx(8, abs=2 * GRAIN_S)
    assert seen.loud(6.5, 8)[0] / RATE == pytest.approx(7, abs=GRAIN_S / 2 + 0.002)
    assert report.problems[0] == "live-1.mp4: there is nothing in it"
    assert report.problems[1].startswith("live-2.mp4: it is")


def test_every_cut_of_a_segment_gives_a_whole_recording(tmp_path: Path) -> None:
    """The head of the file, byte by byte in large steps: no cut raises, none brings what is not there."""
    paths = [segment(tmp_path / "live.mp4", 0, 1), tmp_path / "live-2.mp4", segment(tmp_path / "live-3.mp4", 3, 1)]
    whole = segment(tmp_path / "whole.mp4", 1.5, 1).read_bytes()
    fragments = [at for kind, at in top_boxes(tmp_path / "whole.mp4") if kind in {"moof", "mdat"}]
    cuts = [*range(0, 2000, 331), *(at + more for at in fragments for more in (0, 7, 9, 100))]
    for cut in cuts:
        paths[1].write_bytes(whole[:cut])
        report = join(paths, tmp_path / "joined.mp4")
        assert report.length_s == pytest.approx(4, abs=2 * GRAIN_S)
        call("ffmpeg", "-v", "warning", "-xerror", "-i", tmp_path / "joined.mp4", "-f", "null", "-")


@pytest.mark.parametrize("damage", [b"\0" * 4000, b"\xff" * 4000, bytes(range(256)) * 16])
def test_nonsense_at_the_end_is_left_out(tmp_path: Path, damage: bytes) -> None:
    """A disk that was full or a machine that lost its power: what is whole before it counts."""
    one = segment(tmp_path / "live.mp4", 0, 1)
    one.write_bytes(one.read_bytes() + damage)
    report = join([one, segment(tmp_path / "live-2.mp4", 2, 1)], tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert [number for _, number in seen.frames] == [*range(30), *range(60, 90)]
    assert len(report.problems) == 1


def test_segment_with_one_track_counts_for_that_track(tmp_path: Path) -> None:
    """The other track is filled as over a gap, and told as one."""
    paths = [
        segment(tmp_path / "live.mp4", 0, 1),
        segment(tmp_path / "live-2.mp4", 2, 1, tracks="v"),
        segment(tmp_path / "live-3.mp4", 4, 1, tracks="a"),
        segment(tmp_path / "live-4.mp4", 6, 1),
    ]
    report = join(paths, tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert_in_place(seen)
    assert [number for _, number in seen.frames] == [*range(30), *range(60, 90), *range(180, 210)]
    assert seen.shown_at(4.5) == 89
    assert seen.loudest(1.1, 3.9) == 0
    assert seen.loudest(4.1, 4.9) > TONE
    assert [(gap.what, round(gap.at_s), round(gap.length_s)) for gap in report.gaps] == [
        ("video", 1, 1),
        ("audio", 1, 3),
        ("audio", 5, 1),
        ("video", 3, 3),
    ]


def test_segments_that_overlap_are_cut_at_the_later_ones_begin(tmp_path: Path) -> None:
    """Nothing is shown twice, and the later segment is whole."""
    for codec in (ZEROLATENCY, REORDERED):
        paths = [
            segment(tmp_path / "live.mp4", 0, 2, codec=codec),
            segment(tmp_path / "live-2.mp4", 1.9, 2, codec=codec),
        ]
        report = join(paths, tmp_path / "joined.mp4")
        seen = look(tmp_path / "joined.mp4")
        assert_in_place(seen)
        numbers = [number for _, number in seen.frames]
        assert numbers[-60:] == list(range(57, 117))
        assert numbers[:-60] == list(range(len(numbers) - 60))
        assert len(numbers) - 60 >= 53  # with reordering, what is decoded behind the cut goes, too
        assert report.gaps == () or report.gaps[0].what == "video"
        assert report.length_s == pytest.approx(3.9, abs=2 * GRAIN_S)
        assert len(seen.loud(0, 3.9)) > 0.4 * 3.9 * RATE


def test_long_gap_costs_next_to_nothing(tmp_path: Path) -> None:
    """Five minutes: in place to the frame, and the file does not grow with it."""
    join([segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 301.0, 1)], tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert_in_place(seen)
    assert seen.shown_at(300) == 29
    assert seen.loudest(1.1, 300.9) == 0
    assert seen.loud(1.1, 302)[0] / RATE == pytest.approx(301, abs=GRAIN_S / 2 + 0.002)
    assert (tmp_path / "joined.mp4").stat().st_size < 1_000_000


def test_encoders_that_were_set_differently_can_be_joined(tmp_path: Path) -> None:
    """Parameter sets that differ: every frame of each decodes as itself, in a row and after a jump back and forth."""
    paths = [
        segment(tmp_path / "live.mp4", 0, 4),
        segment(tmp_path / "live-2.mp4", 5, 4, codec=("-preset", "medium", "-g", "30", "-profile:v", "high")),
        segment(tmp_path / "live-3.mp4", 10, 2),
    ]
    tracks = [inspect(path).track(is_video=True) for path in paths]
    assert tracks[0]
    assert tracks[1]
    assert tracks[0].parameter_sets != tracks[1].parameter_sets
    join(paths, tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert_in_place(seen)
    assert [number for _, number in seen.frames] == [*range(120), *range(150, 270), *range(300, 360)]
    for at_s, number in ((11, 330), (6, 180), (1, 30), (8.49, 255), (4.5, 150)):
        raw = call(
            *("ffmpeg", "-v", "error", "-xerror", "-ss", str(at_s), "-i", tmp_path / "joined.mp4", "-frames:v", "1"),
            *("-pix_fmt", "gray", "-f", "rawvideo", "-"),
        )
        assert number_in(raw) == number  # within the gap, ffmpeg takes the next frame


def test_frames_of_another_size_are_left_out(tmp_path: Path) -> None:
    """A player could not show them; their audio counts, and it is told."""
    paths = [segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 1, 1, size="128x32")]
    report = join(paths, tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert [number for _, number in seen.frames] == list(range(30))
    assert report.problems == ("live-2.mp4: its frames have another size",)
    assert seen.loudest(1.1, 1.9) > TONE


def test_audio_of_another_kind_is_left_out(tmp_path: Path) -> None:
    """A player could not play it; its frames count, and it is told."""
    one, two, mono = (tmp_path / name for name in ("live.mp4", "live-2.mp4", "stereo.mp4"))
    segment(one, 0, 1)
    segment(mono, 1, 1)
    call("ffmpeg", "-v", "error", "-copyts", "-i", mono, "-c:v", "copy", "-c:a", "aac", "-ac", "1", *FRAGMENTED, two)
    report = join([one, two], tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    assert [number for _, number in seen.frames] == list(range(60))
    assert report.problems == ("live-2.mp4: its audio is not AAC-LC of 48 kHz in stereo",)
    assert seen.loudest(1.1, 1.9) == 0


def test_rounding_does_not_add_up(tmp_path: Path) -> None:
    """Thirty segments at times that no audio frame begins at: each tone is within half a frame of its place."""
    starts = [n * 1.3337 for n in range(30)]
    paths = [segment(tmp_path / f"live-{n}.mp4", start, 0.7) for n, start in enumerate(starts)]
    join(paths, tmp_path / "joined.mp4")
    seen = look(tmp_path / "joined.mp4")
    for start in starts[1:]:
        onset = seen.loud(start - 0.3, start + 0.3)[0] / RATE
        assert onset == pytest.approx(start, abs=GRAIN_S / 2 + 0.001)
        shown = [at for at, _ in seen.frames if abs(at - start) < 0.0005]
        assert len(shown) == 1
    assert len(seen.samples) / RATE == pytest.approx(starts[-1] + 0.7, abs=2 * GRAIN_S)


@pytest.mark.parametrize("begin_s", [0.01, 0.4, 1.0, 1.35, 2.0])
@pytest.mark.parametrize("codec", [ZEROLATENCY, REORDERED], ids=["zerolatency", "reordered"])
def test_recording_begins_where_it_is_told_to(tmp_path: Path, codec: tuple[str, ...], begin_s: float) -> None:
    """With what was on the screen then, at 0; everything behind keeps its place, in both tracks."""
    report = join([segment(tmp_path / "live.mp4", 0, 3, codec=codec)], tmp_path / "joined.mp4", Span(begin_s))
    seen = look(tmp_path / "joined.mp4")
    grain = round(begin_s / GRAIN_S) * GRAIN_S
    assert seen.shown_at(0.004) == int(grain * FPS + 0.01)
    behind = [(shown, number) for shown, number in seen.frames if number > grain * FPS + 0.01]
    assert [number for _, number in behind] == list(range(behind[0][1], 90))
    for shown, number in behind:
        assert shown == pytest.approx(number / FPS - grain, abs=0.001)
    assert report.length_s == pytest.approx(3 - begin_s, abs=GRAIN_S)
    assert report.gaps == ()
    assert seen.loud(0, 0.05)


def test_tone_that_starts_behind_the_begin_keeps_its_place(tmp_path: Path) -> None:
    """By the begin that was asked for, rounded to a frame of audio; frames and tone alike."""
    one, two = segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 2, 1)
    report = join([one, two], tmp_path / "joined.mp4", Span(0.5))
    seen = look(tmp_path / "joined.mp4")
    grain = round(0.5 / GRAIN_S) * GRAIN_S
    assert seen.loud(1, 2)[0] / RATE == pytest.approx(2 - grain, abs=GRAIN_S / 2 + 0.001)
    assert next(at for at, number in seen.frames if number == 60) == pytest.approx(2 - grain, abs=0.001)
    assert [round(gap.at_s, 1) for gap in report.gaps] == [0.5, 0.5]


def test_segments_in_front_of_the_begin_are_left_out(tmp_path: Path) -> None:
    """A capture that was started anew before the recording began; the second one is on when it begins."""
    one, two = segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 1.5, 2)
    join([one, two], tmp_path / "joined.mp4", Span(2.5))
    seen = look(tmp_path / "joined.mp4")
    assert 45 <= seen.frames[0][1] <= 75  # not of the first one
    assert seen.shown_at(0.02) == 75
    assert len(seen.samples) / RATE == pytest.approx(1, abs=2 * GRAIN_S)


def test_begin_between_two_segments_holds_the_last_frame(tmp_path: Path) -> None:
    """What was last seen is on the screen until the second one begins."""
    one, two = segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 2, 1)
    join([one, two], tmp_path / "joined.mp4", Span(1.5))
    seen = look(tmp_path / "joined.mp4")
    assert seen.shown_at(0.1) == 29
    assert seen.shown_at(0.52) == 60
    assert seen.loudest(0, 0.4) == 0


@pytest.mark.parametrize("missing_s", [0.0, 0.02, HELD_S - 0.1])
def test_recording_is_as_long_as_it_is_told_to_be(tmp_path: Path, missing_s: float) -> None:
    """What was on its way when the capture was stopped is held, in silence: no gap that anybody is told of."""
    span = Span(0.3, 1 + missing_s)
    report = join([segment(tmp_path / "live.mp4", 0, 1)], tmp_path / "joined.mp4", span)
    seen = look(tmp_path / "joined.mp4")
    assert len(seen.samples) / RATE == report.length_s == pytest.approx(0.7 + missing_s, abs=GRAIN_S)
    assert report.gaps == ()
    if missing_s > 0.1:
        assert seen.loudest(0.8, 0.7 + missing_s) == 0


def test_tail_that_is_missing_is_not_made_up(tmp_path: Path) -> None:
    """The recording is shorter then, and its length says so."""
    report = join([segment(tmp_path / "live.mp4", 0, 1)], tmp_path / "joined.mp4", Span(0, 5))
    assert report.length_s == pytest.approx(1, abs=2 * GRAIN_S)


def test_track_that_ends_early_is_a_gap(tmp_path: Path) -> None:
    """Also where the other one goes on to the end."""
    one = segment(tmp_path / "live.mp4", 0, 1)
    two = segment(tmp_path / "live-2.mp4", 1, 2, tracks="a")
    report = join([one, two], tmp_path / "joined.mp4", Span(0, 3))
    assert [(gap.what, round(gap.at_s), round(gap.length_s)) for gap in report.gaps] == [("video", 1, 2)]


@pytest.mark.parametrize("codec", [ZEROLATENCY, REORDERED], ids=["zerolatency", "reordered"])
def test_recording_ends_where_it_is_told_to(tmp_path: Path, codec: tuple[str, ...]) -> None:
    """What was captured behind it is in no track, of no segment."""
    one, two = segment(tmp_path / "live.mp4", 0, 2, codec=codec), segment(tmp_path / "live-2.mp4", 2.5, 1, codec=codec)
    report = join([one, two], tmp_path / "joined.mp4", Span(0.5, 1.5))
    seen = look(tmp_path / "joined.mp4")
    assert report.length_s == pytest.approx(1, abs=GRAIN_S)
    assert max(number for _, number in seen.frames) == pytest.approx(44, abs=1)
    assert report.gaps == ()


def test_nothing_within_the_time_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    """And no file of nothing."""
    with pytest.raises(JoinError, match="no segment has video"):
        join([segment(tmp_path / "live.mp4", 3, 1)], tmp_path / "joined.mp4", Span(0, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["live.mp4"]


def test_segment_says_where_it_begins_and_ends(tmp_path: Path) -> None:
    """By its time stamps, from the begin of the recording; audio begins one frame earlier, by the encoder's run-up."""
    found = inspect(segment(tmp_path / "live.mp4", 62.4, 2))
    video, audio = found.span_s(is_video=True), found.span_s(is_video=False)
    assert video
    assert audio
    assert list(video) == pytest.approx([62.4, 64.4], abs=0.002)
    assert audio[0] == pytest.approx(62.4 - GRAIN_S, abs=1e-4)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100])
def test_nothing_to_join_is_an_error(tmp_path: Path, content: bytes) -> None:
    """It says so, and leaves no file."""
    (tmp_path / "live.mp4").write_bytes(content)
    with pytest.raises(JoinError, match="no segment has video"):
        join([tmp_path / "live.mp4"], tmp_path / "joined.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["live.mp4"]


def test_failed_join_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segments are still there, and no half of a file that looks like a whole one."""
    paths = [segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 2, 1)]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        join(paths, tmp_path / "joined.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["live-2.mp4", "live.mp4"]


async def test_join_beside_the_recorder_is_the_same(tmp_path: Path) -> None:
    """Its report, its file and its errors are those of the function."""
    paths = [segment(tmp_path / "live.mp4", 0, 1), segment(tmp_path / "live-2.mp4", 2, 1)]
    span = Span(0.25, 2.9)
    report = await join_beside(paths, tmp_path / "joined.mp4", span, env=dict(os.environ), limit_s=30)
    assert report == join(paths, tmp_path / "again.mp4", span)
    assert (tmp_path / "joined.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    with pytest.raises(JoinError, match="none"):
        await join_beside([tmp_path / "none.mp4"], tmp_path / "x.mp4", ALL, env=dict(os.environ), limit_s=30)
    assert not list(tmp_path.glob("x.mp4*"))


async def test_cancelled_join_leaves_nothing(tmp_path: Path) -> None:
    """Neither a process nor a part of a file, nor the part that a killed one left."""
    os.mkfifo(tmp_path / "live.mp4")  # nobody writes into it: the process waits
    part_of(tmp_path / "joined.mp4").touch()  # what a killed one leaves
    env, paths = dict(os.environ), [tmp_path / "live.mp4"]
    joining = asyncio.create_task(join_beside(paths, tmp_path / "joined.mp4", ALL, env=env, limit_s=30))
    await until(lambda: children("join", str(tmp_path)))
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert [path.name for path in tmp_path.iterdir()] == ["live.mp4"]
    assert not children("join", str(tmp_path))


def chapters_of(path: Path) -> list[tuple[float, str]]:
    """Return a file's chapters as ffprobe reads them."""
    found = json.loads(call("ffprobe", "-v", "error", "-show_chapters", "-of", "json", path))["chapters"]
    return [(float(one["start_time"]), one["tags"]["title"]) for one in found]


def media_of(path: Path) -> bytes:
    return call("ffmpeg", "-v", "error", "-i", path, "-map", "0", "-c", "copy", "-f", "framemd5", "-")


def test_chapters_are_in_the_file_and_change_nothing_else(tmp_path: Path) -> None:
    """Whatever a title is; those behind the end are left out, and every packet is the same and in its place."""
    paths = [segment(tmp_path / "live.mp4", 0, 2), segment(tmp_path / "live-2.mp4", 3, 1)]
    join(paths, tmp_path / "plain.mp4")
    chapters = [(0.0, "Anna"), (1.5, "山田 🦦 --> <b>"), (3.25, "x" * 254 + "é"), (4.5, "behind the end")]
    join(paths, tmp_path / "chapters.mp4", ALL, chapters)
    assert chapters_of(tmp_path / "chapters.mp4") == [*chapters[:2], (3.25, "x" * 254)]
    assert chapters_of(tmp_path / "plain.mp4") == []
    assert media_of(tmp_path / "chapters.mp4") == media_of(tmp_path / "plain.mp4")
    join(paths, tmp_path / "many.mp4", ALL, [(at / 100, f"chapter {at}") for at in range(400)])
    assert len(chapters_of(tmp_path / "many.mp4")) == 255


@pytest.mark.parametrize("text", ['[[0.0, "Anna"], [0.5, "Bert"]]', "rubbish", "[[1]]", "{}"])
async def test_chapters_come_to_the_join_in_a_file(tmp_path: Path, text: str) -> None:
    """No name is on a command line; a file that says something else costs no recording."""
    paths = [segment(tmp_path / "live.mp4", 0, 1)]
    (tmp_path / "chapters.json").write_text(text)
    await join_beside(
        *(paths, tmp_path / "joined.mp4", ALL),
        env=dict(os.environ),
        limit_s=30,
        chapters=tmp_path / "chapters.json",
    )
    assert chapters_of(tmp_path / "joined.mp4") == ([(0.0, "Anna"), (0.5, "Bert")] if "Anna" in text else [])
