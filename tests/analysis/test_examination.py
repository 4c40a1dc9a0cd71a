"""What is measured of a recording, against what ffmpeg was told to make; and two ways of measuring, which agree."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from recorder_fsm.analysis import audio, pattern, video
from recorder_fsm.analysis.examination import Examination, examine
from recorder_fsm.analysis.frame_log import frame_log
from recorder_fsm.analysis.packets import tracks
from recorder_fsm.analysis.pattern import drift_slope
from recorder_fsm.analysis.pattern_verdict import offset_checks
from recorder_fsm.analysis.verdict import checks
from tests.analysis.conftest import AAC, BT709, FASTSTART, H264, lavfi, make
from tests.analysis.test_measure import counted


def ratings(found: Examination) -> dict[str, str]:
    """Return the names of the lines that are not ok, with their ratings."""
    return {line.name: line.rating for line in checks(found) if line.rating != "ok"}


def test_known_spans_are_found_where_they_are(known: Examination) -> None:
    """Black, frozen and silent to a frame or a piece of audio; a black screen stands still as well."""
    played = known.played
    assert [edge for span in played.black for edge in span] == pytest.approx([2, 4], abs=0.05)
    assert [edge for span in played.frozen for edge in span] == pytest.approx([2, 4, 6, 9], abs=0.05)
    assert [edge for span in played.silent for edge in span] == pytest.approx([8, 10.5], abs=0.06)


def test_known_loudness_is_measured(known: Examination) -> None:
    """A sine of 1 kHz on both channels has the loudness of its peak."""
    loud = known.played.loudness
    assert loud is not None
    assert loud.integrated_lufs == pytest.approx(-23, abs=0.3)
    assert loud.true_peak_dbtp is not None
    assert -23.5 < loud.true_peak_dbtp < -20, "the codec rings where the tone is cut off"


def test_known_file_has_its_frames_and_jumps_to_the_right_ones(known: Examination) -> None:
    """300 frames from 0 on, a key frame every two seconds, both ends together, five seeks to the frames of playing."""
    assert known.video is not None
    assert known.audio is not None
    assert len(known.video.times_s) == 300
    assert known.video.times_s[0] == 0
    assert known.video.key_interval_s == pytest.approx(2, abs=0.01)
    assert known.video.end_s == pytest.approx(known.audio.end_s, abs=0.03)
    assert known.length_s == pytest.approx(12, abs=0.03)
    assert [seek.same for seek in known.seeks] == [True] * 5
    assert [seek.got_s for seek in known.seeks] == pytest.approx([seek.wanted_s for seek in known.seeks], abs=0.001)
    assert known.played.error_count == 0
    assert ratings(known) == {"black": "warning"}


async def test_two_ways_of_measuring_agree(known: Examination) -> None:
    """Index and decoder name the same frames; one pass finds what the single measurements find."""
    assert known.video is not None
    decoded = await video.shrunk(known.path, video.Region(0, 0, 320, 180), 1)
    assert list(known.video.times_s) == pytest.approx([at_s for at_s, _ in decoded], abs=0.001)
    dark = [at_s for at_s, level in decoded if level[0] < 20]
    assert [dark[0], dark[-1] + 0.04] == pytest.approx(known.played.black[0], abs=0.03)
    assert await video.black_spans(known.path) == [pytest.approx(span) for span in known.played.black]
    frozen = max(end - begin for begin, end in known.played.frozen)
    # At the key frame in the middle all of it changes a little, by the encoder alone.
    assert await video.longest_freeze_s(known.path, noise_db=-40) == pytest.approx(frozen, abs=0.05)
    silent = sum(end - begin for begin, end in known.played.silent)
    heard = await audio.levels(known.path, 12, 240)
    quiet = sum(level is None or level.rms_dbfs < -60 for level in heard) * 12 / 240
    assert quiet == pytest.approx(silent, abs=0.15)


async def test_gap_of_frames_is_found(tmp_path: Path) -> None:
    """Three seconds without a frame are one gap, at its place; half a second is none."""
    hole = r"testsrc2=s=160x90:r=10:d=8,select='not(gt(t\,2.05)*lt(t\,4.95)+gt(t\,6.05)*lt(t\,6.45))'"
    path = await make(tmp_path / "a.mp4", *lavfi(hole), *H264, "-fps_mode", "vfr")
    found = await examine(path)
    assert found.video is not None
    holes = found.video.holes(1.5)
    assert len(holes) == 1
    assert [holes[0].at_s, holes[0].duration_s] == pytest.approx([2, 3], abs=0.01)
    assert ratings(found)["frame gaps"] == "warning"


async def test_gap_of_audio_is_found(tmp_path: Path) -> None:
    """Half a second without audio packets is a gap of the audio."""
    cut = r"sine=frequency=440:d=4,aselect='not(gt(t\,2)*lt(t\,2.5))'"
    path = await make(tmp_path / "a.mkv", *lavfi("testsrc2=s=160x90:r=10:d=4", cut), *H264, "-c:a", "pcm_s16le")
    found = await examine(path)
    assert found.audio is not None
    assert [hole.at_s for hole in found.audio.holes(0.1)] == [pytest.approx(2, abs=0.05)]


async def test_long_group_of_pictures_is_slow_to_seek_and_right(tmp_path: Path) -> None:
    """One key frame in thirty seconds is said to be slow; jumps show the right frames all the same."""
    path = await make(tmp_path / "a.mp4", *lavfi("testsrc2=s=160x90:r=5:d=30"), *H264, "-g", "9999", *FASTSTART)
    found = await examine(path)
    assert found.video is not None
    assert found.video.key_interval_s == pytest.approx(30, abs=0.01)
    assert ratings(found)["key frames"] == "warning"
    assert "seeking" not in ratings(found)


async def test_edit_list_hides_what_is_before_it(tmp_path: Path, known_file: Path) -> None:
    """A file cut without a key frame begins at 0, and jumps are right; one that is delayed begins late."""
    cut = await make(tmp_path / "cut.mp4", "-ss", "0.7", "-i", str(known_file), "-t", "4", "-c", "copy")
    found = await examine(cut)
    assert found.video is not None
    assert found.video.times_s[0] == pytest.approx(0, abs=0.02)
    assert found.played.black[0][0] == pytest.approx(1.3, abs=0.05)
    assert not {"begin", "seeking", "plays"} & set(ratings(found))
    late = await examine(
        await make(tmp_path / "late.mp4", "-itsoffset", "0.5", "-i", str(known_file), "-t", "3", "-c", "copy")
    )
    assert ratings(late)["begin"] == "warning"
    assert "seeking" not in ratings(late)


async def test_still_and_short_recording_is_fit(tmp_path: Path) -> None:
    """A call in which nothing moves for some seconds is no cause for a warning; the time is told."""
    still = ("color=0x1e1e1e:s=160x90:r=10:d=12", "sine=frequency=440:d=12")
    path = await make(tmp_path / "a.mp4", *lavfi(*still), *H264, *BT709, *AAC, *FASTSTART)
    found = await examine(path)
    assert [edge for span in found.played.frozen for edge in span] == pytest.approx([0, 12], abs=0.05)
    assert ratings(found) == {}


async def test_recording_without_any_sound_is_not_fit(tmp_path: Path) -> None:
    """Silence from beginning to end is a fault, and black video too."""
    nothing = ("color=black:s=160x90:r=10:d=11", "anullsrc=r=48000:cl=stereo:d=11")
    found = await examine(await make(tmp_path / "a.mp4", *lavfi(*nothing), *H264, *BT709, *AAC, *FASTSTART))
    assert ratings(found) == {"black": "bad", "silent": "bad"}


async def test_audio_that_outlasts_the_video_is_told(tmp_path: Path) -> None:
    """Four seconds more of audio than of video: the video of the end is missing."""
    path = await make(tmp_path / "a.mp4", *lavfi("testsrc2=s=160x90:r=10:d=2", "sine=d=6"), *H264, *AAC)
    line = next(line for line in checks(await examine(path)) if line.name == "A/V length")
    assert (line.rating, "audio is longer" in line.value) == ("bad", True)


async def test_pattern_counts_the_frames_that_were_lost(tmp_path: Path) -> None:
    """Of a page that draws two frames for each of the file, 3 of 200 are missing in one place and 4 in another."""
    values: list[int | None] = [at for at in range(0, 400, 2) if at not in {100, 102, 104, 200, 202, 204, 206}]
    path = await counted(tmp_path / "a.mp4", tmp_path, values)
    found = await examine(path, pattern=True)
    assert found.pattern is not None
    assert found.pattern.offsets is None
    lost = found.pattern.lost
    assert lost is not None
    assert (lost.drawn, lost.in_file, lost.usual_step, lost.missed) == (399, 193, 2, 7)
    assert ratings(found)["counter"] == "warning"


async def test_pattern_drift_is_measured(tmp_path: Path) -> None:
    """Beeps that come 100 ms later at the end of 30 s than the flashes do are a drift of -100 ms."""
    light = pattern.LIGHTS["pattern"]
    box = f"drawbox=x={light.x}:y={light.y}:w={light.width}:h={light.height}:t=fill"
    flash = rf"color=0x1e1e1e:s=192x256:r=20:d=30,{box}:c=white:enable='gte(mod(t\,1)\,0.499)*lt(mod(t\,1)\,0.599)'"
    period = 1 + 0.1 / 30
    tone = rf"aevalsrc=exprs='0.25*sin(2*PI*1000*t)*gte(mod(t\,{period})\,0.5)*lt(mod(t\,{period})\,0.6)':s=48000:d=30"
    path = await make(tmp_path / "a.mp4", *lavfi(flash, tone), *H264, *AAC)
    found = await pattern.av_offsets(path)
    assert len(found.pairs) == 30
    assert found.pairs[0][1] == pytest.approx(0, abs=2)
    assert found.drift_ms == pytest.approx(-100 * 29 / 30, abs=2)
    assert found.drift_error_ms < 2


def test_drift_is_not_moved_by_what_is_wrong_now_and_then() -> None:
    """The last fifth of the values, half a second off, does not bend the line; many values are as good as few."""
    for count in (50, 5000):
        pairs = [(float(at), 0.01 * at + (500 if at >= 0.8 * count else 0)) for at in range(count)]
        assert drift_slope(pairs) == pytest.approx(0.01, abs=0.001)


async def test_frame_times_are_exact_after_hours(tmp_path: Path) -> None:
    """ffmpeg prints times with six digits: three hours into a file these are tenths of a second."""
    path = await make(tmp_path / "a.mkv", *lavfi("testsrc2=s=640x160:r=25:d=0.4"), *H264, "-output_ts_offset", "10800")
    times = [reading.pts_s for reading in (await pattern.counters(path)).readings]
    (track,) = await tracks(path, 0)
    assert times[0] == pytest.approx(10800, abs=0.1)
    assert times == pytest.approx(list(track.times_s), abs=0.0011)
    assert all(later - at == pytest.approx(0.04, abs=0.0011) for at, later in pairwise(times))


def test_drift_of_few_scattered_flashes_is_chance() -> None:
    """Ten offsets that scatter by 40 ms say nothing of a drift, whatever line fits best: no warning."""
    offsets = (10.0, -60, 30, -50, 0, -70, 20, -80, -10, -60)
    pairs = tuple((float(at), offset) for at, offset in enumerate(offsets))
    found = pattern.AvOffsets(tuple(sorted(offsets)), -30, -70, 20, 40, pairs)
    assert abs(found.drift_ms) < 2 * found.drift_error_ms
    assert {line.name: line.rating for line in offset_checks(found)} == {"A/V offset": "ok", "A/V drift": "ok"}


def test_frame_log_forged_by_a_file_is_not_read() -> None:
    """What a file's own title says is no frame."""
    assert frame_log("[info]     title : n: 0 pts: 1 pts_time:1 checksum:00\n n: 0 pts: 1 \n") == []
