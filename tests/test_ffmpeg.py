"""ffmpeg's command lines: what they must hold, and that each holds its paths and settings whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from recorder_fsm.media import ffmpeg
from recorder_fsm.media.ffmpeg import (
    CaptureSettings,
    decode_command,
    encoder_command,
    grabber_command,
    poster_command,
    probe_command,
    remux_command,
    screenshot_command,
)

SETTINGS = CaptureSettings(
    width=1280,
    height=720,
    frame_rate=20,
    video_rate_kbps=1500,
    audio_rate_kbps=64,
    preset="veryfast",
    display=":7",
    sound_server="unix:/run/x/pulse.sock",
    sound_source="calls.monitor",
)
SOURCE, TARGET = Path("/data/100%d 'a'.mp4"), Path("/data/b c.mp4")
COMMANDS = {
    "grabber": grabber_command(SETTINGS),
    "encoder": encoder_command(SETTINGS, TARGET, begin_s=1000.25),
    "remux": remux_command(SOURCE, TARGET),
    "poster": poster_command(SOURCE, TARGET, at_s=1.5),
    "decode": decode_command(SOURCE, from_s=1.0, for_s=1.5),
    "screenshot": screenshot_command(":7", 1280, 720, TARGET),
    "probe": probe_command(SOURCE),
}


def after(command: Sequence[str], option: str, *, nth: int = 0) -> str:
    """Return the value of the nth `option`."""
    places = [index for index, word in enumerate(command) if word == option]
    return command[places[nth] + 1]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_command_reads_no_terminal_and_has_only_words(command: list[str]) -> None:
    """ffmpeg would take keys from our standard input; a number among the words would fail to start."""
    assert all(isinstance(word, str) and word for word in command)
    assert command[0] in ("ffmpeg", "ffprobe")
    if command[0] == "ffmpeg" and command is not COMMANDS["encoder"]:
        assert "-nostdin" in command


def test_grabber_takes_screen_and_sound_as_they_are_set() -> None:
    """Size, rate, display, server and source; both into one pipe, on one clock."""
    command = COMMANDS["grabber"]
    assert after(command, "-video_size") == "1280x720"
    assert after(command, "-framerate") == "20"
    assert after(command, "-server") == "unix:/run/x/pulse.sock"
    assert after(command, "-i") == "calls.monitor"
    assert after(command, "-i", nth=1) == ":7"
    assert "-copyts" in command
    assert command[-1] == "pipe:1"
    assert after(command, "-draw_mouse") == "0"


def test_encoder_writes_what_was_asked_for() -> None:
    """Rates in kbit/s, preset, pixel format that every player knows; to the live file."""
    command = COMMANDS["encoder"]
    assert (after(command, "-b:v"), after(command, "-b:a")) == ("1500k", "64k")
    assert after(command, "-preset") == "veryfast"
    assert (after(command, "-c:v"), after(command, "-c:a")) == ("libx264", "aac")
    assert after(command, "-pix_fmt") == "yuv420p"
    assert str(TARGET) in command


def test_live_file_can_be_cut_anywhere() -> None:
    """Fragments of half a second, written at once."""
    command = COMMANDS["encoder"]
    assert after(command, "-frag_duration") == "500000"
    assert "delay_moov" in after(command, "-movflags")
    assert "faststart" not in after(command, "-movflags")
    assert after(command, "-flush_packets") == "1"


def test_picture_and_sound_begin_at_one_instant() -> None:
    """Both are cut at the same second, and the file counts from there."""
    command = COMMANDS["encoder"]
    filters = after(command, "-filter_complex")
    assert "trim=start=1000.250000" in filters
    assert "atrim=start=1000.250000" in filters
    assert after(command, "-output_ts_offset") == "-1000.250000"


@pytest.mark.parametrize("frame_rate", [10, 15, 20, 30, 60])
def test_still_picture_is_repeated_every_half_second(frame_rate: int) -> None:
    """At each rate: a player shows it, a kill loses no more."""
    command = encoder_command(attrs.evolve(SETTINGS, frame_rate=frame_rate), TARGET, begin_s=0)
    filters = after(command, "-filter_complex")
    dropped = int(filters.partition("mpdecimate=max=")[2].partition(":")[0])
    assert (dropped + 1) / frame_rate <= ffmpeg.LONGEST_STILL_S + 0.05
    assert dropped >= 1


def test_constant_rate_drops_nothing() -> None:
    """For those who want it: a picture at each tick."""
    command = encoder_command(attrs.evolve(SETTINGS, constant_frame_rate=True), TARGET, begin_s=0)
    assert "mpdecimate" not in after(command, "-filter_complex")
    assert "fps=20" in after(command, "-filter_complex")


def test_encoder_prints_what_the_capture_reads() -> None:
    """Progress and levels, on standard output."""
    command = COMMANDS["encoder"]
    assert after(command, "-progress") == "pipe:1"
    assert float(after(command, "-stats_period")) <= 1
    for key in (*ffmpeg.LEVEL_KEYS, *ffmpeg.BLACK_KEYS):
        assert f"key={key}:" in after(command, "-filter_complex")


def test_clock_that_was_set_is_taken_out_of_the_stamps() -> None:
    """And nothing is changed where it was not."""
    assert "-output_ts_offset" not in COMMANDS["grabber"]
    assert after(grabber_command(SETTINGS, clock_shift_s=3600.5), "-output_ts_offset") == "-3600.500000"


def test_remux_copies_both_streams_with_the_index_in_front() -> None:
    """No encoding, and the format does not hang on the name (`.part`)."""
    command = COMMANDS["remux"]
    assert after(command, "-c") == "copy"
    assert after(command, "-map") == "0"
    assert after(command, "-movflags") == "+faststart"
    assert after(command, "-f") == "mp4"
    assert (after(command, "-i"), command[-1]) == (str(SOURCE), str(TARGET))


def test_decoding_fails_at_the_first_error() -> None:
    """Else ffmpeg would conceal it and end with 0."""
    command = COMMANDS["decode"]
    assert "-xerror" in command
    assert (after(command, "-ss"), after(command, "-t")) == ("1.000", "1.500")
    assert command.index("-ss") < command.index("-i")
    assert command[-3:] == ["-f", "null", "-"]


def test_poster_is_one_picture_under_a_name_that_is_no_pattern() -> None:
    """`-update 1`: a percent sign in a path is not a counter."""
    command = COMMANDS["poster"]
    assert after(command, "-frames:v") == "1"
    assert after(command, "-update") == "1"
    assert command[-1] == str(TARGET)
