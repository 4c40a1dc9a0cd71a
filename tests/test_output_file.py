"""The recording as a file, with small real ones: finishing, checking, and telling a bad one from a good one."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from pathlib import Path

import pytest

from recorder_fsm.errors import RecordingError
from recorder_fsm.media import output_file
from recorder_fsm.media.join import Span
from recorder_fsm.media.output_file import RecordingFiles, Verified, sample_starts
from tests.programs import ENV, ask, children, until

VIDEO = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
CODECS = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2")
FRAGMENTED = ("-movflags", "delay_moov+default_base_moof", "-frag_duration", "500000", "-f", "mp4")


async def make(path: Path, *inputs: str, seconds: float = 2.0, options: tuple[str, ...] = FRAGMENTED) -> Path:
    """Make a small recording, as the encoder writes it."""
    made = await ask(
        "ffmpeg", "-v", "error", "-y", *(inputs or (*VIDEO, *TONE)), "-t", str(seconds), *CODECS, *options, str(path),
        env={},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
async def segment(tmp_path: Path) -> Path:
    return await make(tmp_path / "live.mp4")


@pytest.fixture
def files() -> RecordingFiles:
    return RecordingFiles(ENV)


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return tmp_path / "Call.mp4"


def boxes(path: Path) -> list[str]:
    """Return the names of the outermost boxes of an MP4 file, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += size if size > 1 else len(data)
    return names


# --- finishing ----------------------------------------------------------------------------------------------------


async def test_finished_file_has_its_index_in_front(files: RecordingFiles, segment: Path, final: Path) -> None:
    """It plays while it loads: `moov` comes before `mdat`, in one piece; the segment is still there."""
    assert boxes(segment).count("moof") > 1
    made = await files.finalise([segment], final)
    assert (made.gaps, made.problems) == ((), ())
    names = boxes(final)
    assert "moof" not in names
    assert names.index("moov") < names.index("mdat")
    assert segment.exists()
    assert not list(final.parent.glob("*.part"))


async def test_finished_file_is_the_same_recording(files: RecordingFiles, segment: Path, final: Path) -> None:
    """Nothing is encoded anew: frames and lengths agree."""
    await files.finalise([segment], final)
    before = await files.verify(segment, expected_s=None)
    after = await files.verify(final, expected_s=None)
    assert (before.width, before.height) == (after.width, after.height) == (320, 240)
    assert after.frames == 20
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.05)
    assert after.duration_s == pytest.approx(2.0, abs=0.1)
    assert after.size_bytes == final.stat().st_size


async def test_segments_become_one_file_with_their_gaps(files: RecordingFiles, tmp_path: Path, final: Path) -> None:
    """Each stays in its place on the clock of the recording; what lies between them is told, and played."""
    segments = [
        await make(tmp_path / "live.mp4", *VIDEO, *TONE),
        await make(tmp_path / "live-2.mp4", *VIDEO, *TONE, options=("-output_ts_offset", "5", *FRAGMENTED)),
    ]
    made = await files.finalise(segments, final)
    assert {gap.what for gap in made.gaps} == {"video", "audio"}
    for gap in made.gaps:
        assert gap.at_s == pytest.approx(2.0, abs=0.2)
        assert gap.length_s == pytest.approx(3.0, abs=0.2)
    facts = await files.verify(final, expected_s=7.0)
    assert facts.defects == ()
    assert facts.duration_s == pytest.approx(7.0, abs=0.2)
    assert all(segment.exists() for segment in segments)


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000], ids=["empty", "garbage"])
async def test_nothing_playable_cannot_be_finished(
    files: RecordingFiles, tmp_path: Path, final: Path, content: bytes
) -> None:
    """What ffmpeg cannot read is an error, and is not lost by trying."""
    path = tmp_path / "live.mp4"
    path.write_bytes(content)
    with pytest.raises(RecordingError):
        await files.finalise([path], final)
    assert path.read_bytes() == content
    assert not final.exists()
    assert not list(tmp_path.glob("*.part"))


async def test_no_segment_cannot_be_finished(files: RecordingFiles, final: Path) -> None:
    """A capture that was lost before its first byte leaves none."""
    with pytest.raises(RecordingError):
        await files.finalise([], final)


async def test_file_is_finished_though_the_part_of_an_earlier_start_is_there(
    files: RecordingFiles, segment: Path, final: Path
) -> None:
    """A kill in the middle of the copy leaves a part; it is written over."""
    final.with_name("Call.mp4.part").write_bytes(b"half")
    await files.finalise([segment], final)
    assert (await files.verify(final, expected_s=2.0)).defects == ()


async def test_copy_that_cannot_be_written_is_an_error(files: RecordingFiles, segment: Path, tmp_path: Path) -> None:
    """No room, no directory: the segment stays, and plays too."""
    with pytest.raises(RecordingError):
        await files.finalise([segment], tmp_path / "nowhere" / "Call.mp4")
    assert (await files.verify(segment, expected_s=2.0)).defects == ()


PLAIN = ("-f", "mp4")
"""Not as an encoder of ours writes it: ffmpeg must read it."""


async def test_segment_of_another_kind_is_rewritten_by_ffmpeg(
    files: RecordingFiles, tmp_path: Path, final: Path, log: list[str]
) -> None:
    """What the joining does not understand may still play."""
    await files.finalise([await make(tmp_path / "live.mp4", options=PLAIN)], final)
    assert any("it is rewritten by ffmpeg" in line for line in log)
    assert boxes(final).index("moov") < boxes(final).index("mdat")
    assert (await files.verify(final, expected_s=2.0)).defects == ()


@pytest.mark.parametrize("command", [["sleep", "60"], ["no-such-ffmpeg"]], ids=["hangs", "is missing"])
async def test_ffmpeg_that_does_not_copy_is_an_error(
    files: RecordingFiles, tmp_path: Path, final: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """One that takes too long is given up; nothing of the final name is there."""
    segment = await make(tmp_path / "live.mp4", options=PLAIN)
    monkeypatch.setattr(output_file, "remux_command", lambda *_: command)
    monkeypatch.setattr(output_file, "REWRITE_LIMIT_S", 3.0)
    with pytest.raises(RecordingError):
        await files.finalise([segment], final)
    assert list(final.parent.iterdir()) == [segment]


async def test_copy_that_is_cancelled_costs_nothing(files: RecordingFiles, segment: Path, final: Path) -> None:
    """The segment stays whole; the final name never shows half a recording, and no process goes on."""
    size = segment.stat().st_size
    finishing = asyncio.create_task(files.finalise([segment], final))
    await until(lambda: children("recorder_fsm.media.join"))
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert not children("recorder_fsm.media.join")
    assert segment.stat().st_size == size
    assert list(final.parent.iterdir()) == [segment]


async def test_name_with_odd_characters_is_no_option_and_no_pattern(
    files: RecordingFiles, segment: Path, tmp_path: Path
) -> None:
    """Names come from a server: a percent sign, a colon, a quote, an emoji."""
    final = tmp_path / "Call 100%d 'x' %03d [a] \U0001f389.mp4"
    await files.finalise([segment], final)
    assert (await files.verify(final, expected_s=2.0)).defects == ()


# --- checking -----------------------------------------------------------------------------------------------------


async def test_good_recording_has_no_defects(files: RecordingFiles, segment: Path) -> None:
    """Sizes and lengths."""
    facts = await files.verify(segment, expected_s=2.0)
    assert facts.defects == ()
    assert (facts.width, facts.height, facts.path) == (320, 240, segment)
    assert facts.video_s == pytest.approx(2.0, abs=0.2)
    assert facts.audio_s == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize(
    ("inputs", "words"), [(VIDEO, "no audio"), (TONE, "no video")], ids=["without audio", "without video"]
)
async def test_missing_stream_is_an_error(
    files: RecordingFiles, tmp_path: Path, inputs: tuple[str, ...], words: str
) -> None:
    """A silent recording is not what people think was recorded."""
    path = await make(tmp_path / "x.mp4", *inputs)
    with pytest.raises(RecordingError, match=words) as caught:
        await files.verify(path, expected_s=None)
    assert caught.value.code == "stream_missing"


@pytest.mark.parametrize("size", [0, 10, 1000])
async def test_file_that_is_no_video_is_an_error(files: RecordingFiles, tmp_path: Path, size: int) -> None:
    """Empty, cut in its head, or garbage."""
    path = tmp_path / "x.mp4"
    path.write_bytes(os.urandom(size))
    with pytest.raises(RecordingError) as caught:
        await files.verify(path, expected_s=None)
    assert caught.value.code == "unreadable"


async def test_missing_file_is_an_error(files: RecordingFiles, tmp_path: Path) -> None:
    """As one that cannot be read."""
    with pytest.raises(RecordingError):
        await files.verify(tmp_path / "missing.mp4", expected_s=None)


async def test_finished_file_that_was_cut_is_an_error(files: RecordingFiles, segment: Path, final: Path) -> None:
    """Half an upload, half a copy: the index promises what is not there."""
    await files.finalise([segment], final)
    final.write_bytes(final.read_bytes()[: final.stat().st_size * 2 // 3])
    with pytest.raises(RecordingError) as caught:
        await files.verify(final, expected_s=2.0)
    assert caught.value.code in ("undecodable", "unreadable")


async def test_segment_that_was_cut_plays_up_to_the_cut(files: RecordingFiles, tmp_path: Path, final: Path) -> None:
    """After a kill in the middle of a write: what is whole is kept, and the file is said to be short."""
    segment = await make(tmp_path / "live.mp4", seconds=6.0)
    segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    await files.finalise([segment], final)
    facts = await files.verify(final, expected_s=6.0, salvaged=True)
    assert 1.5 < facts.duration_s < 4.5
    assert any("were captured by the clock" in defect for defect in facts.defects)


async def test_bytes_that_were_spoiled_are_noticed(files: RecordingFiles, segment: Path, final: Path) -> None:
    """A broken disk: the index is whole, the frames are not."""
    await files.finalise([segment], final)
    data = bytearray(final.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    final.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        await files.verify(final, expected_s=2.0)
    assert caught.value.code == "undecodable"


async def test_video_and_audio_of_different_length_are_a_defect(files: RecordingFiles, tmp_path: Path) -> None:
    """Worth publishing, and worth saying."""
    path = await make(
        tmp_path / "x.mp4", *("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"), *TONE, seconds=5.0
    )
    (defect,) = (await files.verify(path, expected_s=5.0)).defects
    assert "differ in length" in defect
    assert "2.0 s" in defect


@pytest.mark.parametrize(("expected_s", "count"), [(2.0, 0), (2.15, 0), (2.3, 1), (1.7, 1), (600.0, 1), (None, 0)])
async def test_length_is_compared_with_the_clock(
    files: RecordingFiles, segment: Path, expected_s: float | None, count: int
) -> None:
    """To a fifth of a second, and nothing is said where the clock is not known."""
    defects = (await files.verify(segment, expected_s=expected_s)).defects
    assert len(defects) == count
    assert all("by the clock" in defect for defect in defects)


@pytest.mark.parametrize("command", [["sleep", "60"], ["no-such-program"]], ids=["hangs", "is missing"])
async def test_file_that_cannot_be_looked_at_is_not_taken_for_a_bad_one(
    files: RecordingFiles, segment: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """ffprobe is too slow here, or not there: the file is as good as before, and somebody is told."""
    monkeypatch.setattr(output_file, "probe_command", lambda _: command)
    monkeypatch.setattr(output_file, "PROBE_LIMIT_S", 0.1)
    verified = await files.verify(segment, expected_s=2.0)
    assert not verified.whole
    assert (verified.size_bytes, verified.duration_s) == (segment.stat().st_size, 2.0)
    (defect,) = verified.defects
    assert "could not be checked" in defect
    with pytest.raises(RecordingError):
        await files.verify(segment.with_name("none.mp4"), expected_s=2.0)


async def test_decoding_that_is_too_slow_says_nothing_against_the_file(
    files: RecordingFiles, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that could be checked is; what could not is a note."""
    monkeypatch.setattr(output_file, "decode_command", lambda *_, **__: ["sleep", "60"])
    monkeypatch.setattr(output_file, "DECODE_LIMIT_S", 0.1)
    verified = await files.verify(segment, expected_s=None)
    assert not verified.whole
    assert verified.width == 320
    assert all("could not be checked" in defect for defect in verified.defects)
    assert verified.defects


def test_rewriting_may_take_longer_the_more_there_is() -> None:
    """Eight hours at the usual rate took 98 s on a busy machine; a minute of a call has two minutes all the same."""
    assert output_file.rewrite_limit_s(0) == output_file.REWRITE_LIMIT_S
    assert output_file.rewrite_limit_s(5_600_000_000) >= 5 * 98


async def test_rewriting_that_takes_too_long_is_given_up(files: RecordingFiles, segment: Path, final: Path) -> None:
    """Half of the time that is left is for sending the file; the segment is as it was."""
    with pytest.raises(RecordingError) as caught:
        await files.finalise([segment], final, time_left_s=0.001)
    assert caught.value.code == "rewrite"
    assert [path.name for path in segment.parent.iterdir()] == [segment.name]


async def test_finished_file_is_the_span_that_was_asked_for(files: RecordingFiles, segment: Path, final: Path) -> None:
    """The rest of the segments is left out."""
    await files.finalise([segment], final, Span(0.5, 1.5))
    assert (await files.verify(final, expected_s=1.0)).defects == ()


@pytest.mark.parametrize("duration_s", [0.01, 0.5, 1.5, 1.6, 4.4, 4.5, 4.6, 60.0, 10_800.0])
def test_samples_cover_a_short_file_and_both_ends_of_a_long_one(duration_s: float) -> None:
    """None begins behind the end; a short one is decoded whole."""
    starts = sample_starts(duration_s)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert all(0 <= start < duration_s for start in starts)
    assert starts[-1] + output_file.SAMPLE_S >= duration_s - 1e-6
    if duration_s <= 3 * output_file.SAMPLE_S:
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert all(gap <= output_file.SAMPLE_S for gap in gaps)


# --- the poster ---------------------------------------------------------------------------------------------------


async def test_poster_is_a_png(files: RecordingFiles, segment: Path, tmp_path: Path) -> None:
    """With its signature at its begin."""
    target = tmp_path / "poster.png"
    assert await files.take_poster(segment, target, 2.0)
    assert target.read_bytes().startswith(b"\x89PNG")


async def test_recording_without_a_poster_is_fine(files: RecordingFiles, tmp_path: Path, log: list[str]) -> None:
    """Whatever goes wrong, nothing is raised, and the log says so."""
    garbage = tmp_path / "x.mp4"
    garbage.write_bytes(b"garbage")
    assert not await files.take_poster(garbage, tmp_path / "poster.png", 2.0)
    assert any(line.startswith("WARNING no poster") for line in log)


# --- facts --------------------------------------------------------------------------------------------------------


def test_facts_are_fit_for_json_and_go_with_the_file(tmp_path: Path) -> None:
    """Rounded to milliseconds, without the file's name, which is the channel's; a file that is moved keeps the rest."""
    verified = Verified(tmp_path / "live.mp4", 9, 2.00049, 1.9996, 2.0, 320, 240, 20, ("a defect",))
    facts = verified.facts()
    assert (facts["duration_s"], facts["video_s"], facts["size_bytes"]) == (2.0, 2.0, 9)
    assert "name" not in facts
    moved = verified.at(tmp_path / "Call.mp4")
    assert (moved.facts(), moved.path.name) == (facts, "Call.mp4")
    assert moved.defects == ("a defect",)
