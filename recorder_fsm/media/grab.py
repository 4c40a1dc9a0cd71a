"""The grabbers: the command lines that read screen and audio, each into a pipe of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recorder_fsm.media.encode import CaptureSettings, frames_that_wait

AUDIO_LATENCY_MS = 20
LONGEST_STILL_S = 0.5
"""An unchanged frame is repeated this often at least: a player shows it."""
LONGEST_WAIT_S = 1.2
"""Within this time a frame has left the encoder, and a kill cannot lose it; nor the audio of its time. ffmpeg reads the
input whose output is furthest behind, so where frames wait in x264 for those behind them, audio waits with them."""
RELAY = Path(__file__).parent / "audio_relay.py"


def video_grabber_command(python: str, settings: CaptureSettings, wishes: Sequence[str] = ()) -> list[str]:
    """Return the command that writes the screen as raw frames to its standard output, from a time on that it reads.

    `wishes`: those for another preset that may be followed (`governor`).
    """
    # -I: nothing of the environment and of the working directory.
    numbers = (settings.width, settings.height, settings.frame_rate, f"{repeated_every_s(settings):.3f}")
    return [python, "-I", "-m", "recorder_fsm.media.video_grabber", settings.display, *map(str, numbers), *wishes]


def repeated_every_s(settings: CaptureSettings) -> float:
    """Return how often a frame is repeated where nothing changes, in seconds.

    What comes after those that wait lets the first of them go.
    """
    return max(1 / settings.frame_rate, min(LONGEST_STILL_S, LONGEST_WAIT_S / (frames_that_wait(settings) + 1)))


def audio_grabber_command(settings: CaptureSettings) -> list[str]:
    """Return the command that writes what the call plays as raw samples to its standard output, as it comes."""
    return [
        *("parec", "--server", settings.audio_server, "--device", settings.audio_source, "--raw"),
        *("--format", "s16le", "--rate", "48000", "--channels", "2"),
        *("--latency-msec", str(AUDIO_LATENCY_MS)),  # the default of two seconds comes in one lump
    ]


def relay_command(python: str, start_s: float, told_fd: int) -> list[str]:
    """Return the command of the audio relay; `start_s`: the segment's begin by `system.clock.now_s`.

    `told_fd`: the socket by which it is told of another encoder.
    """
    # -I: nothing of the environment; -S: nothing but the standard library. Both make it start sooner.
    return [python, "-I", "-S", str(RELAY), f"{start_s:.6f}", str(told_fd)]
