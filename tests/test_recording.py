"""The file room, with small real films: finishing, checking, and telling a bad one from a good one."""

from __future__ import annotations

import asyncio
import itertools
import os
import struct
from pathlib import Path

import pytest

from recorder_fsm.errors import ProgramError, RecordingError
from recorder_fsm.media import output_file as recording_module
from recorder_fsm.media.output_file import Recording, sample_starts
from tests.programs import ENV, ask

PICTURE = ("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000")
CODECS = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
LIVE = ("-movflags", "delay_moov+default_base_moof", "-frag_duration", "500000", "-f", "mp4")


async def film(path: Path, *inputs: str, seconds: float = 2.0, options: tuple[str, ...] = LIVE) -> Path:
    """Make a small film as the capture writes it."""
    made = await ask(
        "ffmpeg", "-v", "error", "-y", *(inputs or (*PICTURE, *TONE)), "-t", str(seconds), *CODECS, *options, str(path),
        env={},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
async def live(tmp_path: Path) -> Path:
    return await film(tmp_path / "live.mp4")


@pytest.fixture
def room() -> Recording:
    return Recording(ENV)


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


async def test_finished_file_has_its_index_in_front(room: Recording, live: Path, final: Path) -> None:
    """It plays while it loads: `moov` comes before `mdat`, in one piece; the live file is still there."""
    assert boxes(live).count("moof") > 1
    assert await room.finalise(live, final) == final
    names = boxes(final)
    assert "moof" not in names
    assert names.index("moov") < names.index("mdat")
    assert live.exists()
    assert not list(final.parent.glob("*.part"))


async def test_finished_file_is_the_same_film(room: Recording, live: Path, final: Path) -> None:
    """Nothing is encoded anew: pictures and lengths agree."""
    await room.finalise(live, final)
    before = await room.verify(live, expected_s=None)
    after = await room.verify(final, expected_s=None)
    assert (before.width, before.height) == (after.width, after.height) == (320, 240)
    assert after.frames == 20
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.05)
    assert after.duration_s == pytest.approx(2.0, abs=0.1)
    assert after.size_bytes == final.stat().st_size


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
async def test_nothing_cannot_be_finished(room: Recording, tmp_path: Path, final: Path, content: bytes | None) -> None:
    """No file and an empty one are the same: nothing was recorded."""
    path = tmp_path / "live.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        await room.finalise(path, final)
    assert caught.value.code == "empty"
    assert not final.exists()


async def test_garbage_is_left_as_it_is(room: Recording, tmp_path: Path, final: Path, log: list[str]) -> None:
    """What ffmpeg cannot read is not lost by trying."""
    path = tmp_path / "live.mp4"
    path.write_bytes(os.urandom(10_000))
    assert await room.finalise(path, final) == path
    assert not final.exists()
    assert not list(tmp_path.glob("*.part"))
    assert any("could not be rewritten" in line for line in log)


async def test_file_is_finished_though_the_part_of_an_earlier_start_lies_there(
    room: Recording, live: Path, final: Path
) -> None:
    """A kill in the middle of the copy leaves a part; it is written over."""
    final.with_name("Call.mp4.part").write_bytes(b"half")
    assert await room.finalise(live, final) == final
    assert (await room.verify(final, expected_s=2.0)).defects == ()


async def test_live_file_is_used_where_the_copy_cannot_be_written(room: Recording, live: Path, tmp_path: Path) -> None:
    """No room, no directory: the live file plays too."""
    assert await room.finalise(live, tmp_path / "nowhere" / "Call.mp4") == live
    assert live.exists()


async def test_live_file_is_used_where_ffmpeg_is_missing_or_hangs(
    room: Recording, live: Path, final: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A remux that takes too long is wait_for_exit, and its part is removed."""
    monkeypatch.setattr(recording_module, "remux_command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(recording_module, "REMUX_LIMIT_S", 0.1)
    assert await room.finalise(live, final) == live
    monkeypatch.setattr(recording_module, "remux_command", lambda *_: ["no-such-ffmpeg"])
    assert await room.finalise(live, final) == live


async def test_remux_that_is_cancelled_costs_nothing(room: Recording, live: Path, final: Path) -> None:
    """The live file stays whole; the final name never shows half a film."""
    size = live.stat().st_size
    finishing = asyncio.create_task(room.finalise(live, final))
    await asyncio.sleep(0.01)
    finishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert live.stat().st_size == size
    assert not final.exists()


async def test_name_with_odd_characters_is_no_option_and_no_pattern(
    room: Recording, live: Path, tmp_path: Path
) -> None:
    """Names come from a server: a percent sign, a colon, a quote, an emoji."""
    final = tmp_path / "Call 100%d 'x' %03d [a] \U0001f389.mp4"
    assert await room.finalise(live, final) == final
    assert (await room.verify(final, expected_s=2.0)).defects == ()


# --- checking -----------------------------------------------------------------------------------------------------


async def test_good_film_has_no_defects(room: Recording, live: Path) -> None:
    """Sizes, lengths, pictures."""
    facts = await room.verify(live, expected_s=2.0)
    assert facts.defects == ()
    assert (facts.width, facts.height, facts.path) == (320, 240, live)
    assert facts.video_s == pytest.approx(2.0, abs=0.2)
    assert facts.audio_s == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize(
    ("inputs", "words"), [(PICTURE, "no audio"), (TONE, "no video")], ids=["without sound", "without picture"]
)
async def test_missing_stream_is_an_error(room: Recording, tmp_path: Path, inputs: tuple[str, ...], words: str) -> None:
    """A mute film is not what people think was recorded."""
    path = await film(tmp_path / "x.mp4", *inputs)
    with pytest.raises(RecordingError, match=words) as caught:
        await room.verify(path, expected_s=None)
    assert caught.value.code == "stream_missing"


@pytest.mark.parametrize("size", [0, 10, 1000])
async def test_file_that_is_no_film_is_an_error(room: Recording, tmp_path: Path, size: int) -> None:
    """Empty, cut in its head, or garbage."""
    path = tmp_path / "x.mp4"
    path.write_bytes(os.urandom(size))
    with pytest.raises(RecordingError) as caught:
        await room.verify(path, expected_s=None)
    assert caught.value.code == "unreadable"


async def test_missing_file_is_an_error(room: Recording, tmp_path: Path) -> None:
    """As one that cannot be read."""
    with pytest.raises(RecordingError):
        await room.verify(tmp_path / "missing.mp4", expected_s=None)


async def test_finished_file_that_was_cut_is_an_error(room: Recording, live: Path, final: Path) -> None:
    """Half an upload, half a copy: the index promises what is not there."""
    await room.finalise(live, final)
    final.write_bytes(final.read_bytes()[: final.stat().st_size * 2 // 3])
    with pytest.raises(RecordingError) as caught:
        await room.verify(final, expected_s=2.0)
    assert caught.value.code in ("undecodable", "unreadable")


async def test_live_file_that_was_cut_plays_up_to_the_cut(room: Recording, tmp_path: Path, final: Path) -> None:
    """After a kill in the middle of a write: what is whole is kept, and its length is said to be short."""
    live = await film(tmp_path / "live.mp4", seconds=6.0)
    live.write_bytes(live.read_bytes()[: live.stat().st_size // 2])
    fit = await room.finalise(live, final)
    facts = await room.verify(fit, expected_s=6.0, salvaged=True)
    assert 1.5 < facts.duration_s < 4.5
    assert any("were captured by the clock" in defect for defect in facts.defects)


async def test_bytes_that_were_spoiled_are_noticed(room: Recording, live: Path, final: Path) -> None:
    """A broken disk: the index is whole, the pictures are not."""
    await room.finalise(live, final)
    data = bytearray(final.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    final.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        await room.verify(final, expected_s=2.0)
    assert caught.value.code == "undecodable"


async def test_picture_and_sound_of_different_length_are_a_defect(room: Recording, tmp_path: Path) -> None:
    """Worth publishing, and worth saying."""
    path = await film(
        tmp_path / "x.mp4", *("-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=2"), *TONE, seconds=5.0
    )
    (defect,) = (await room.verify(path, expected_s=5.0)).defects
    assert "differ in length" in defect
    assert "2.0 s" in defect


@pytest.mark.parametrize(("expected_s", "count"), [(2.0, 0), (3.9, 0), (4.2, 1), (0.5, 0), (600.0, 1), (None, 0)])
async def test_length_is_compared_with_the_clock(
    room: Recording, live: Path, expected_s: float | None, count: int
) -> None:
    """Two seconds are allowed, and nothing is said where the clock is not known."""
    defects = (await room.verify(live, expected_s=expected_s)).defects
    assert len(defects) == count
    assert all("by the clock" in defect for defect in defects)


async def test_ffprobe_that_hangs_is_an_error_in_time(
    room: Recording, live: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check must not hold the upload for ever."""
    monkeypatch.setattr(recording_module, "probe_command", lambda _: ["sleep", "60"])
    monkeypatch.setattr(recording_module, "PROBE_LIMIT_S", 0.1)
    with pytest.raises(ProgramError, match="took too long"):
        await room.verify(live, expected_s=None)


@pytest.mark.parametrize("duration_s", [0.01, 0.5, 1.5, 1.6, 4.4, 4.5, 4.6, 60.0, 10_800.0])
def test_samples_cover_a_short_film_and_both_ends_of_a_long_one(duration_s: float) -> None:
    """None begins behind the end; a short film is decoded whole."""
    starts = sample_starts(duration_s)
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert all(0 <= start < duration_s for start in starts)
    assert starts[-1] + recording_module.SAMPLE_S >= duration_s - 1e-6
    if duration_s <= 3 * recording_module.SAMPLE_S:
        gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
        assert all(gap <= recording_module.SAMPLE_S for gap in gaps)


# --- the poster ---------------------------------------------------------------------------------------------------


async def test_poster_is_a_picture(room: Recording, live: Path, tmp_path: Path) -> None:
    """A PNG beside the film."""
    target = tmp_path / "poster.png"
    assert await room.take_poster(live, target, 2.0)
    assert target.read_bytes().startswith(b"\x89PNG")


async def test_film_without_a_poster_is_fine(room: Recording, tmp_path: Path, log: list[str]) -> None:
    """Whatever goes wrong, nothing is raised, and the log says so."""
    garbage = tmp_path / "x.mp4"
    garbage.write_bytes(b"garbage")
    assert not await room.take_poster(garbage, tmp_path / "poster.png", 2.0)
    assert any(line.startswith("WARNING no poster") for line in log)
