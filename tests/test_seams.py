"""Segments that overlap: one encoder followed another, or was tried and failed. Each frame says its number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from recorder_fsm.media.fragments import inspect
from recorder_fsm.media.join import join
from recorder_fsm.media.seams import shown_before, without_doubles
from tests.test_join import FPS, RATE, Seen, look, segment

QUICKER, ASKED = ("-preset", "ultrafast", "-bf", "0"), ("-preset", "medium", "-bf", "0")
BEGIN_S = 3.2
"""A whole number of frames of audio, of video, and of periods of the tone."""
TONE_HZ = 1000


def joined(folder: Path, *parts: tuple[float, float, str]) -> Seen:
    """Return what a player gets of segments with these begins, lengths and tracks."""
    codecs = (ASKED, QUICKER, ASKED)
    paths = [
        segment(folder / f"live-{n}.mp4", at_s, length_s, tracks=tracks, codec=codecs[n])
        for n, (at_s, length_s, tracks) in enumerate(parts)
    ]
    report = join(paths, folder / "joined.mp4")
    assert report.problems == ()
    return look(folder / "joined.mp4")


def step(samples: Sequence[int]) -> float:
    """Return how far a tone is from going on as it did: x[n+1] + x[n-1] = 2 cos(w) x[n], against its loudest sample."""
    both = 2 * math.cos(2 * math.pi * TONE_HZ / RATE)
    steps = (abs(a + c - both * b) for a, b, c in zip(samples, samples[1:], samples[2:], strict=False))
    return max(steps) / max(map(abs, samples))


@pytest.mark.parametrize("until_s", [BEGIN_S, BEGIN_S + 1 / FPS, BEGIN_S + 2 / FPS, BEGIN_S + 3 / FPS])
def test_frame_that_another_one_needs_stays_in_front_of_the_seam(tmp_path: Path, until_s: float) -> None:
    """Wherever the cut goes through a group with B-frames: all in front of it are there, with what they are made of."""
    reordered = ("-preset", "medium", "-bf", "3", "-x264-params", "b-adapt=0")
    whole = inspect(segment(tmp_path / "live.mp4", 0, 4, tracks="va", codec=reordered))
    runs = shown_before(whole, until_s).runs_of(is_video=True)
    before = [stamp for run in whole.runs_of(is_video=True) for stamp in run.stamps()]
    left = [stamp for run in runs for stamp in run.stamps()]
    until = round(until_s * runs[0].track.timescale)
    assert [decoded for decoded, _, _ in left] == [decoded for decoded, _, _ in before[: len(left)]]
    shown = {stamp for _, stamp, _ in left}
    assert len(shown) == len(left)
    assert max(shown) < until
    assert shown >= {stamp for _, stamp, _ in before if stamp < until}


def test_encoder_that_follows_another_continues_its_file(tmp_path: Path) -> None:
    """Each frame once and in its place, and the tone goes on through the seam."""
    seen = joined(tmp_path, (0, 4, "va"), (BEGIN_S, 3, "va"))
    assert [number for _, number in seen.frames] == list(range(round((BEGIN_S + 3) * FPS)))
    assert all(
        later - earlier == pytest.approx(1 / FPS, abs=0.001) for (earlier, _), (later, _) in pairwise(seen.frames)
    )
    assert step(seen.samples[RATE : 5 * RATE]) < 0.05


@pytest.mark.parametrize("frames", [75, 76])
def test_frame_that_stands_until_another_encoder_follows_is_no_gap(tmp_path: Path, frames: int) -> None:
    """On a machine that is too slow, or where nothing moves; with B-frames a length is that of the decoding."""
    wide = ("-vf", f"select='lt(n,{frames})+gte(t,3.6)'", "-fps_mode", "passthrough")
    codec = ("-preset", "medium", "-bf", "1", "-x264-params", "b-adapt=0", *wide)
    paths = [
        segment(tmp_path / "live-1.mp4", 0, 5, codec=codec),
        segment(tmp_path / "live-2.mp4", BEGIN_S, 3, codec=QUICKER),
    ]
    assert join(paths, tmp_path / "joined.mp4").gaps == ()


def test_both_encoders_have_their_part_of_the_audio(tmp_path: Path) -> None:
    """The seam is where neither of them begins or ends."""
    paths = [segment(tmp_path / "a.mp4", 0, 4), segment(tmp_path / "b.mp4", BEGIN_S, 3)]
    first, _ = without_doubles([inspect(path) for path in paths])
    _, end_s = first.span_s(is_video=False) or (0.0, 0.0)
    assert BEGIN_S + 0.3 < end_s < 4 - 0.3


def test_encoder_that_ended_first_has_never_followed(tmp_path: Path) -> None:
    """It was tried and failed, or a kill came: the one before it has all of it, and goes on."""
    seen = joined(tmp_path, (0, 4, "va"), (BEGIN_S, 0.5, "va"))
    assert [number for _, number in seen.frames] == list(range(4 * FPS))
    assert step(seen.samples[RATE : round(3.9 * RATE)]) < 0.05


def test_encoder_that_never_followed_changes_nothing_behind_it(tmp_path: Path) -> None:
    """The next segment has its place, behind the gap."""
    seen = joined(tmp_path, (0, 4, "va"), (1, 2, "va"), (5, 1, "va"))
    assert [number for _, number in seen.frames] == [*range(4 * FPS), *range(5 * FPS, 6 * FPS)]
    assert seen.loud(4.2, 4.8) == []


def test_video_and_audio_go_on_for_themselves(tmp_path: Path) -> None:
    """After a kill the one may be longer in the first segment, the other in the second."""
    seen = joined(tmp_path, (0, 4, "va"), (BEGIN_S, 2, "a"))
    assert [number for _, number in seen.frames] == list(range(4 * FPS))
    assert step(seen.samples[RATE : 5 * RATE]) < 0.05
