"""The measuring of recordings, against files whose errors are known because ffmpeg was told to make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder_fsm.analysis import audio, pattern, tones, video
from recorder_fsm.analysis.probe import probe
from recorder_fsm.errors import RecordingError
from tests.analysis.conftest import AAC, H264, make

BEEP = r"aevalsrc=exprs='0.25*sin(2*PI*{hz}*t)*lt(mod(t-{onset}\,1)\,{length})*gte(t\,{onset})':s=48000:d={seconds}"


async def lit_and_heard(
    path: Path, *, kind: pattern.Kind = "pattern", late_ms: int = 0, fps: int = 50, more: tuple[str, ...] = ()
) -> Path:
    """Make 6 s in which the flash comes at 0.5 s, 1.5 s ... and the beep `late_ms` before it."""
    light = pattern.LIGHTS[kind]
    box = f"drawbox=x={light.x}:y={light.y}:w={light.width}:h={light.height}:t=fill"
    frame = (
        f"color=0x1e1e1e:s=320x288:r={fps}:d=6,{box}:c=black,"
        rf"{box}:c=white:enable='gte(mod(t\,1)\,0.4999)*lt(mod(t\,1)\,0.5999)'"
    )
    tone = BEEP.format(
        hz=pattern.TONES_HZ[kind], onset=0.5 - late_ms / 1000, length=0.1 if kind == "pattern" else 0.06, seconds=6
    )
    return await make(path, "-f", "lavfi", "-i", frame, "-f", "lavfi", "-i", tone, *H264, *AAC, *more)


def gray_rows(values: list[int | None], *, repeat: int = 1) -> bytes:
    """Return one row of 20 grey pixels for each counter value, None with broken parity."""
    rows = bytearray()
    for value in values:
        code = (value or 0) ^ ((value or 0) >> 1)
        bits = [code >> place & 1 for place in range(15, -1, -1)]
        parity = sum(bits) % 2 if value is not None else 1 - sum(bits) % 2
        rows += bytes(255 * bit for bit in (1, 0, *bits, parity, 1 - parity)) * repeat
    return bytes(rows)


async def counted(path: Path, tmp_path: Path, values: list[int | None], *more: str) -> Path:
    """Make a video at 25 frames per second that shows one counter value after the other."""
    raw = tmp_path / "rows.gray"
    raw.write_bytes(gray_rows(values))
    blow_up = "scale=640:32:flags=neighbor,pad=768:160:64:64"
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "20x1", "-r", "25", "-i", str(raw))
    return await make(path, *source, "-vf", blow_up, *H264, *more)


@pytest.mark.parametrize("late_ms", [0, 40, -25])
async def test_av_offsets_known_shift_is_measured(tmp_path: Path, late_ms: int) -> None:
    """A flash that is so many milliseconds late is measured as so late, to 2 ms, with its sign."""
    found = await pattern.av_offsets(await lit_and_heard(tmp_path / "a.mp4", late_ms=late_ms))
    assert len(found.offsets_ms) == 6
    assert found.median_ms == pytest.approx(late_ms, abs=2)
    assert found.spread_ms < 2
    assert found.frame_ms == pytest.approx(20)


async def test_av_offsets_sync_square_in_a_call_is_measured(tmp_path: Path) -> None:
    """The small square and the 3 kHz tick are found as well."""
    path = await lit_and_heard(tmp_path / "a.mp4", kind="sync", late_ms=40)
    assert (await pattern.av_offsets(path, "sync")).median_ms == pytest.approx(40, abs=2)


async def test_av_offsets_low_frame_rate_adds_up_to_a_frame(tmp_path: Path) -> None:
    """At 8 frames per second a flash between two frames is seen late, never early."""
    found = await pattern.av_offsets(await lit_and_heard(tmp_path / "a.mp4", late_ms=30, fps=8))
    assert 30 - 2 <= found.median_ms <= 30 + 125


async def test_av_offsets_sound_that_starts_late_is_on_the_same_clock(tmp_path: Path) -> None:
    """An audio stream that begins 300 ms after the frame shifts nothing but itself."""
    aligned = await lit_and_heard(tmp_path / "a.mp4")
    shifted = await make(
        tmp_path / "b.mp4", "-i", str(aligned), "-itsoffset", "0.3", "-i", str(aligned),
        "-map", "0:v", "-map", "1:a", "-c", "copy",
    )  # fmt: skip
    assert (await pattern.av_offsets(shifted)).median_ms == pytest.approx(-300, abs=3)


async def test_av_offsets_without_flash_is_refused(tmp_path: Path) -> None:
    """A frame that never flashes gives no number."""
    tone = BEEP.format(hz=1000, onset=0.5, length=0.1, seconds=3)
    dark = ("-f", "lavfi", "-i", "color=black:s=320x288:r=25:d=3")
    path = await make(tmp_path / "a.mp4", *dark, "-f", "lavfi", "-i", tone, *H264, *AAC)
    with pytest.raises(RecordingError, match="0 flashes, 3 beeps"):
        await pattern.av_offsets(path)


async def test_beeps_other_tones_are_not_taken_for_it(tmp_path: Path) -> None:
    """A louder tone at another frequency is not a beep; the quiet one beside it is."""
    tone = BEEP.format(hz=3000, onset=0.25, length=0.06, seconds=4).replace("0.25*sin", "0.03*sin")
    loud = "sine=frequency=440:d=4,volume=3"
    path = await make(
        tmp_path / "a.wav", "-f", "lavfi", "-i", tone, "-f", "lavfi", "-i", loud,
        "-filter_complex", "[0][1]amix=normalize=0",
    )  # fmt: skip
    assert await tones.beeps(path, 3000) == pytest.approx([0.25, 1.25, 2.25, 3.25], abs=0.002)
    assert await tones.beeps(path, 1000) == []


async def test_beeps_of_minutes_are_each_found_once(tmp_path: Path) -> None:
    """The audio is looked at minute by minute; a beep across a minute's edge is found once, and in its place."""
    tone = BEEP.format(hz=1000, onset=0.97, length=0.1, seconds=64)
    path = await make(tmp_path / "a.wav", "-f", "lavfi", "-i", tone)
    assert await tones.beeps(path, 1000) == pytest.approx([at + 0.97 for at in range(64)], abs=0.002)


async def test_corners_colours_are_read(tmp_path: Path) -> None:
    """Each corner reports its own colour, and a whole frame has no black edge."""
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", cornered(), *H264)
    found = await video.corners(path, 0.5)
    for seen, drawn in zip(
        (found.top_left, found.top_right, found.bottom_left, found.bottom_right),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
        strict=True,
    ):
        assert seen == pytest.approx(drawn, abs=12)
    assert not found.edge_rows_black


@pytest.mark.parametrize("edge", ["x=319:y=0:w=1:h=240", "x=0:y=239:w=320:h=1"])
async def test_corners_black_edge_is_noticed(tmp_path: Path, edge: str) -> None:
    """One black column at the right, or one black row at the bottom, is reported."""
    frame = f"{cornered()},drawbox={edge}:c=black:t=fill"
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", frame, *H264)
    assert (await video.corners(path, 0.5)).edge_rows_black


async def test_corners_moment_after_the_end_is_refused(tmp_path: Path) -> None:
    """There is no frame to look at after the last one."""
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", cornered(), *H264)
    with pytest.raises(RecordingError, match="no picture at"):
        await video.corners(path, 30)


async def test_counters_values_repeats_and_gaps_are_read(tmp_path: Path) -> None:
    """Values come back as drawn; a repeat, a broken frame, a jump and the wrap-around are told apart."""
    values: list[int | None] = [*range(65530, 65536), 0, 1, 1, 2, None, 4, 5, 6, 40, 41, 42]
    path = await counted(tmp_path / "a.mp4", tmp_path, values)
    found = await pattern.counters(path)
    assert [one.value for one in found.readings] == values
    assert [one.pts_s for one in found.readings] == pytest.approx([i / 25 for i in range(len(values))])
    assert found.repeat_share == pytest.approx(1 / len(values))
    assert found.unreadable_share == pytest.approx(1 / len(values))
    assert [gap.counts for gap in found.gaps] == [34]
    assert found.gaps[0].at_s == pytest.approx(13 / 25)
    assert found.longest_standstill_s == pytest.approx(0.04)


async def test_counters_of_a_long_recording_are_all_read(tmp_path: Path) -> None:
    """Some minutes of frames, of which ffmpeg prints more than it usually has to say."""
    values: list[int | None] = list(range(1500))
    readings = (await pattern.counters(await counted(tmp_path / "long.mp4", tmp_path, values))).readings
    assert [reading.value for reading in readings] == values


async def test_counters_variable_frame_rate_keeps_real_times(tmp_path: Path) -> None:
    """Frames that were dropped while nothing changed leave their times, not an even rhythm."""
    values: list[int | None] = [1, 2, 2, 2, 2, 3, 4]
    path = await counted(
        tmp_path / "a.mp4", tmp_path, values, "-vf",
        "scale=640:32:flags=neighbor,pad=768:160:64:64,mpdecimate", "-fps_mode", "vfr",
    )  # fmt: skip
    found = await pattern.counters(path)
    assert [(one.pts_s, one.value) for one in found.readings] == [
        (0.0, 1), (pytest.approx(0.04), 2), (pytest.approx(0.2), 3), (pytest.approx(0.24), 4),
    ]  # fmt: skip
    assert found.repeat_share == 0


async def test_counters_picture_without_counter_is_unreadable(tmp_path: Path) -> None:
    """A grey frame has no counter, and no invented one."""
    grey = ("-f", "lavfi", "-i", "color=gray:s=768x160:r=10:d=1")
    found = await pattern.counters(await make(tmp_path / "a.mp4", *grey, *H264))
    assert found.unreadable_share == 1
    assert found.gaps == ()


async def test_loudness_of_a_known_sine(tmp_path: Path) -> None:
    """A sine of amplitude 0.1 peaks at -20 dBFS and has its mean 3 dB below."""
    tone = r"aevalsrc=exprs=0.1*sin(2*PI*440*t):s=48000:d=2"
    found = await audio.loudness(await make(tmp_path / "a.wav", "-f", "lavfi", "-i", tone))
    assert found.peak_dbfs == pytest.approx(-20, abs=0.2)
    assert found.mean_dbfs == pytest.approx(-23, abs=0.2)


async def test_silent_share_counts_silent_seconds(tmp_path: Path) -> None:
    """Three silent seconds of four are three quarters."""
    tone = r"aevalsrc=exprs='0.1*sin(2*PI*440*t)*lt(t\,1)':s=48000:d=4"
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", tone, *AAC)
    assert await audio.silent_share(path) == pytest.approx(0.75)
    assert await audio.silent_share(path, floor_db=-10) == 1


async def test_black_share_and_tail(tmp_path: Path) -> None:
    """A second of black at the end of four is a quarter, all of it tail; the call's dark grey is not black."""
    frame = r"color=0x1e1e1e:s=320x240:r=25:d=4,drawbox=c=black:t=fill:enable='gte(t\,3)'"
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", frame, *H264)
    assert await video.black_share(path) == pytest.approx(0.25, abs=0.02)
    assert await video.black_tail_s(path) == pytest.approx(1, abs=0.05)


async def test_black_tail_is_none_when_only_the_beginning_is_black(tmp_path: Path) -> None:
    """Black at the beginning is a share, and no tail."""
    frame = r"color=0x1e1e1e:s=320x240:r=25:d=4,drawbox=c=black:t=fill:enable='lt(t\,2)'"
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", frame, *H264)
    assert await video.black_share(path) == pytest.approx(0.5, abs=0.02)
    assert await video.black_tail_s(path) == 0


async def test_longest_freeze_is_found_also_at_the_end(tmp_path: Path) -> None:
    """A frame that stops at 1 s of 4 is frozen for 3 s; in a moving one nothing is."""
    moving = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=4", *H264)
    stopping = "testsrc=s=320x240:r=25:d=1,tpad=stop_mode=clone:stop_duration=3"
    stopped = await make(tmp_path / "b.mp4", "-f", "lavfi", "-i", stopping, *H264)
    assert await video.longest_freeze_s(stopped) == pytest.approx(3, abs=0.1)
    assert await video.longest_freeze_s(moving, noise_db=-90) == 0


async def test_longest_freeze_of_a_region_ignores_the_rest(tmp_path: Path) -> None:
    """A corner that stands still is frozen though the frame beside it moves."""
    frame = "testsrc=s=320x240:r=25:d=2,drawbox=x=0:y=0:w=64:h=64:c=red:t=fill"
    path = await make(tmp_path / "a.mp4", "-f", "lavfi", "-i", frame, *H264)
    still = video.Region(4, 4, 48, 48)
    assert await video.longest_freeze_s(path, still) == pytest.approx(2, abs=0.1)


async def test_probe_tells_streams_brands_and_order_of_boxes(tmp_path: Path) -> None:
    """Sizes, codecs, durations and frames are the file's; the index is first only where ffmpeg put it first."""
    plain = await lit_and_heard(tmp_path / "plain.mp4")
    fast = await lit_and_heard(tmp_path / "fast.mp4", more=("-movflags", "+faststart"))
    found = await probe(fast)
    assert found.faststart
    assert not (await probe(plain)).faststart
    assert found.brands[0] == "isom"
    assert "avc1" in found.brands
    assert found.duration_s == pytest.approx(6, abs=0.1)
    assert found.size_bytes == fast.stat().st_size
    assert found.video is not None
    assert (found.video.codec, found.video.width, found.video.height) == ("h264", 320, 288)
    assert (found.video.pix_fmt, found.video.frames) == ("yuv420p", 300)
    assert found.audio is not None
    assert (found.audio.codec, found.audio.sample_rate, found.audio.channels) == ("aac", 48000, 1)


async def test_probe_truncated_file_is_refused(tmp_path: Path) -> None:
    """Half a file without its index is not called a recording."""
    whole = await lit_and_heard(tmp_path / "whole.mp4")
    half = tmp_path / "half.mp4"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(RecordingError, match="cannot be read"):
        await probe(half)


def cornered() -> str:
    """Return a lavfi source with the pattern's four corners on the call's dark grey."""
    corners = [(0, 0, "0xff0000"), (304, 0, "0x00ff00"), (0, 224, "0x0000ff"), (304, 224, "0xffff00")]
    boxes = [f"drawbox=x={x}:y={y}:w=16:h=16:c={colour}:t=fill" for x, y, colour in corners]
    return f"color=0x1e1e1e:s=320x240:r=10:d=1,format=gbrp,{','.join(boxes)}"
