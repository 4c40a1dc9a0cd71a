"""ffmpeg's command lines: what they must hold, and that each holds its paths and settings whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from recorder_fsm.config.settings import PRESETS
from recorder_fsm.media.encode import CaptureSettings, encoder_command, frames_that_wait
from recorder_fsm.media.grab import (
    LONGEST_STILL_S,
    LONGEST_WAIT_S,
    audio_grabber_command,
    relay_command,
    repeated_every_s,
    video_grabber_command,
)
from recorder_fsm.media.probe import (
    decode_command,
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
    audio_server="unix:/run/x/pulse.sock",
    audio_source="calls.monitor",
)
SOURCE, TARGET = Path("/data/100%d 'a'.mp4"), Path("/data/b c.mp4")


def encoder(settings: CaptureSettings = SETTINGS, *, from_s: float = 0.0) -> list[str]:
    return encoder_command(settings, TARGET, video_fd=11, audio_fd=12, from_s=from_s)


COMMANDS = {
    "video grabber": video_grabber_command("python3", SETTINGS),
    "audio grabber": audio_grabber_command(SETTINGS),
    "relay": relay_command("python3", 12.5, 7),
    "encoder": encoder(),
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
    if command[0] == "ffmpeg":
        assert "-nostdin" in command


def test_video_grabber_takes_the_screen_as_it_is_set() -> None:
    """Display, size, rate, and how often an unchanged frame comes; it sees nothing of the environment of a job."""
    command = COMMANDS["video grabber"]
    every_s = float(command[-1])
    assert command[-5:-1] == [":7", "1280", "720", "20"]
    assert "-I" in command
    assert 1 / 20 <= every_s <= LONGEST_STILL_S


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("frame_rate", [10, 15, 20, 30, 60])
def test_frame_leaves_the_encoder_in_time_where_nothing_changes(preset: str, frame_rate: int) -> None:
    """So many frames come behind it, and the next one; the audio of its time waits for it."""
    settings = attrs.evolve(SETTINGS, preset=preset, frame_rate=frame_rate)
    assert (frames_that_wait(settings) + 1) * repeated_every_s(settings) <= LONGEST_WAIT_S


def test_audio_grabber_takes_what_the_call_plays() -> None:
    """Server and source; as raw samples, which the encoder reads in the same form, and at once."""
    command, encoder_ = COMMANDS["audio grabber"], COMMANDS["encoder"]
    assert after(command, "--server") == "unix:/run/x/pulse.sock"
    assert after(command, "--device") == "calls.monitor"
    assert "--raw" in command
    assert after(command, "--format") == "s16le"
    assert after(command, "--rate") == after(encoder_, "-ar")
    assert after(command, "--channels") == after(encoder_, "-ac")
    assert int(after(command, "--latency-msec")) <= 50


def test_relay_begins_where_it_is_told() -> None:
    """By the clock that nobody can set; it sees nothing of the environment of a job."""
    command = COMMANDS["relay"]
    assert command[-2:] == ["12.500000", "7"]
    assert "-I" in command
    assert Path(command[-3]).is_file()


def test_encoder_reads_the_pipes_that_it_is_given() -> None:
    """Video first; what is late in either stays late."""
    assert [after(COMMANDS["encoder"], "-i", nth=nth) for nth in (0, 1)] == ["pipe:11", "pipe:12"]
    assert "-copyts" in COMMANDS["encoder"]


def test_encoder_writes_what_was_asked_for() -> None:
    """Rates in kbit/s, preset, pixel format that every player knows; to the segment."""
    command = COMMANDS["encoder"]
    assert after(command, "-b:a") == "64k"
    assert after(command, "-preset") == "veryfast"
    assert (after(command, "-c:v"), after(command, "-c:a")) == ("libx264", "aac")
    assert after(command, "-pix_fmt") == "yuv420p"
    assert str(TARGET) in command


def test_live_file_can_be_cut_anywhere() -> None:
    """Fragments of a quarter of a second, written at once."""
    command = COMMANDS["encoder"]
    assert after(command, "-frag_duration") == "250000"
    assert "delay_moov" in after(command, "-movflags")
    assert "faststart" not in after(command, "-movflags")
    assert after(command, "-flush_packets") == "1"


@pytest.mark.parametrize("from_s", [0.0, 61.5])
def test_video_and_audio_of_a_segment_begin_at_one_instant(from_s: float) -> None:
    """That of the segment; the time stamps of each segment count from the begin of the recording."""
    command = encoder(from_s=from_s)
    assert after(command, "-output_ts_offset") == f"{from_s:.6f}"
    assert "-itsoffset" not in command


def test_constant_rate_has_a_frame_at_each_tick() -> None:
    """For those who want it."""
    assert "fps=20" in after(encoder(attrs.evolve(SETTINGS, constant_frame_rate=True)), "-vf")
    assert "fps=" not in after(encoder(), "-vf")


def test_encoder_prints_what_the_capture_reads() -> None:
    """Progress, on standard output."""
    command = COMMANDS["encoder"]
    assert after(command, "-progress") == "pipe:1"
    assert float(after(command, "-stats_period")) <= 1


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


def test_poster_is_one_frame_under_a_name_that_is_no_pattern() -> None:
    """`-update 1`: a percent sign in a path is not a counter."""
    command = COMMANDS["poster"]
    assert after(command, "-frames:v") == "1"
    assert after(command, "-update") == "1"
    assert command[-1] == str(TARGET)
