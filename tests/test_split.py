"""Recordings cut into parts, made of a pattern whose truth is known: each frame says its number."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from recorder_fsm.media.fragments import UnreadableError
from recorder_fsm.media.join import ALL, Span, join
from recorder_fsm.media.movie import Movie, read_movie
from recorder_fsm.media.split import Part, SplitError, cut, cut_beside, plan, plan_beside
from tests.test_join import FPS, FRAME, RATE, REORDERED, call, look, segment

KEYS = ("-g", "15", "-keyint_min", "15", "-sc_threshold", "0")
STILL = ("-preset", "ultrafast", "-tune", "zerolatency", *KEYS)
ENV = {"PATH": os.environ["PATH"]}
SECONDS = 4
FRAMES = SECONDS * FPS


def recording(folder: Path, codec: tuple[str, ...] = STILL, span: Span | None = None) -> Movie:
    """Make a finished recording, with a key frame each half second (each second, where frames are reordered)."""
    live = segment(folder / "live.mp4", 0, SECONDS, codec=codec)
    join([live], folder / "whole.mp4", ALL if span is None else span)
    return read_movie(folder / "whole.mp4")


def parts_of(movie: Movie, parts: list[Part]) -> list[Path]:
    found = []
    for number, part in enumerate(parts, 1):
        found.append(movie.path.with_name(f"part-{number}.mp4"))
        cut(movie, part.first, part.end, found[-1])
    return found


@pytest.mark.parametrize(("codec", "share"), [(STILL, 0.4), (REORDERED, 0.7)], ids=["still", "reordered"])
def test_no_frame_is_lost_or_doubled_across_a_cut(tmp_path: Path, codec: tuple[str, ...], share: float) -> None:
    """Every part plays from its first frame at time 0, both tracks in step and of one length; together they are all."""
    movie = recording(tmp_path, codec)
    most = int(movie.path.stat().st_size * share)
    parts = plan(movie, most)
    assert len(parts) > 1
    numbers: list[int] = []
    for part, file in zip(parts, parts_of(movie, parts), strict=True):
        seen = look(file)  # both tracks begin at 0, end together, and decode without a word; the index is in front
        assert file.stat().st_size == part.size_bytes <= most
        assert [shown for shown, _ in seen.frames] == pytest.approx(
            [(number - seen.frames[0][1]) / FPS for _, number in seen.frames], abs=0.001
        )
        assert len(seen.samples) / RATE == pytest.approx(part.length_s, abs=0.001)
        assert len(seen.frames) / FPS == pytest.approx(part.length_s, abs=FRAME / RATE)
        numbers += [number for _, number in seen.frames]
    assert numbers == list(range(FRAMES))
    assert [part.begin_s for part in parts] == pytest.approx(
        [0, *(movie.shown[part.first] / movie.timescale for part in parts[1:])], abs=FRAME / RATE / 2 + 0.001
    )


def test_media_of_all_parts_are_those_of_the_recording(tmp_path: Path) -> None:
    """Byte by byte: nothing is encoded anew, and each frame of audio is in one part."""
    movie = recording(tmp_path)
    parts = plan(movie, movie.path.stat().st_size // 3)
    for track in ("video", "audio"):
        whole = samples(movie, track)
        cut_up = [data for file in parts_of(movie, parts) for data in samples(read_movie(file), track)]
        assert cut_up == whole


def samples(movie: Movie, track: str) -> list[bytes]:
    data, one = movie.path.read_bytes(), getattr(movie, track)
    return [data[at : at + size] for at, size in zip(one.offsets, one.sizes, strict=True)]


def test_parts_are_of_about_one_size(tmp_path: Path) -> None:
    """No tiny rest: what needs two parts is cut near its middle."""
    movie = recording(tmp_path)
    size = movie.path.stat().st_size
    sizes = [part.size_bytes for part in plan(movie, int(size * 0.95))]
    assert len(sizes) == 2
    assert max(sizes) < size * 0.65


def test_file_that_fits_is_one_part(tmp_path: Path) -> None:
    """Of the whole."""
    movie = recording(tmp_path)
    assert [(part.first, part.end) for part in plan(movie, 2 * movie.path.stat().st_size)] == [(0, FRAMES)]


def test_limit_below_one_key_frame_distance_is_said(tmp_path: Path) -> None:
    """With the numbers that an administrator needs."""
    movie = recording(tmp_path)
    with pytest.raises(SplitError, match=r"from one key frame to the next it has \d+ bytes, and a part may have 3000"):
        plan(movie, 3000)


def test_rest_is_planned_anew_from_a_cut(tmp_path: Path) -> None:
    """A limit that was lowered meanwhile: what is posted stays, the rest becomes smaller parts."""
    movie = recording(tmp_path)
    size = movie.path.stat().st_size
    before = plan(movie, size // 2)
    after = plan(movie, size // 5, before[0].end)
    assert (after[0].first, after[-1].end) == (before[0].end, FRAMES)
    assert all(one.end == other.first for one, other in pairwise(after))
    with pytest.raises(SplitError, match="no key frame"):
        plan(movie, size, before[0].end + 1)


def test_recording_that_begins_between_key_frames_is_cut(tmp_path: Path) -> None:
    """Frames that lead up to the begin stay hidden, and stay in the first part."""
    movie = recording(tmp_path, span=Span(0.7, 3.5))
    parts = plan(movie, movie.path.stat().st_size // 3)
    numbers = [number for file in parts_of(movie, parts) for _, number in visible(file)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert abs(numbers[0] / FPS - 0.7) < 2 / FPS


def visible(file: Path) -> list[tuple[float, int]]:
    return look(file).frames


def test_same_plan_makes_the_same_bytes(tmp_path: Path) -> None:
    """So an upload that was begun before a crash can go on."""
    movie = recording(tmp_path)
    (part, *_) = plan(movie, movie.path.stat().st_size // 2)
    first, second = tmp_path / "one", tmp_path / "two"
    cut(movie, part.first, part.end, first)
    cut(movie, part.first, part.end, second)
    assert first.read_bytes() == second.read_bytes()


async def test_plan_and_cut_in_a_process_of_their_own(tmp_path: Path) -> None:
    """What comes back is the plan, the file, or the reason."""
    movie = recording(tmp_path)
    parts = await plan_beside(movie.path, movie.path.stat().st_size // 2, env=ENV, limit_s=60)
    assert parts == plan(movie, movie.path.stat().st_size // 2)
    await cut_beside(movie.path, parts[1], tmp_path / "part", env=ENV, limit_s=60)
    assert (tmp_path / "part").stat().st_size == parts[1].size_bytes
    with pytest.raises(SplitError, match="key frame"):
        await plan_beside(movie.path, 3000, env=ENV, limit_s=60)
    with pytest.raises(SplitError, match="No such file"):
        await cut_beside(movie.path, parts[1], tmp_path / "missing" / "part", env=ENV, limit_s=60)


def test_file_as_an_encoder_wrote_it_is_not_cut(tmp_path: Path) -> None:
    """Its index is in pieces; and whatever else is no finished recording is refused, not guessed at."""
    with pytest.raises(UnreadableError, match="not finished"):
        read_movie(segment(tmp_path / "live.mp4", 0, SECONDS, codec=STILL))
    for content in (b"", b"nonsense" * 100, b"\0\0\0\x10moov" + bytes(8)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(UnreadableError):
            read_movie(tmp_path / "other")


def test_file_that_ffmpeg_made_is_cut(tmp_path: Path) -> None:
    """A segment that could not be joined was rewritten by ffmpeg, with edit lists of its own."""
    live = segment(tmp_path / "live.mp4", 0, SECONDS, codec=STILL)
    whole = tmp_path / "whole.mp4"
    call("ffmpeg", "-v", "error", "-i", live, "-c", "copy", "-movflags", "+faststart", whole)
    movie = read_movie(whole)
    parts = plan(movie, whole.stat().st_size // 2)
    assert [number for file in parts_of(movie, parts) for _, number in look(file).frames] == list(range(FRAMES))
