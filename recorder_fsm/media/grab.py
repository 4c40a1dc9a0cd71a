"""The grabbers: the command lines that read screen and audio, each into a pipe of its own."""

from __future__ import annotations

from pathlib import Path

from recorder_fsm.media.encode import CaptureSettings

AUDIO_LATENCY_MS = 20
RELAY = Path(__file__).parent / "audio_relay.py"
CONVERTED = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp,format=yuv420p"
"""How RGB becomes what is encoded: `encode.TAGGED` says the same to players. Without `full_chroma_inp` it takes half as
much work again, with neither of the two flags colours are off by one step more."""
LEAP_S = 12
"""A clock that is set forward must not get into the file before the grabber is restarted (`resources.capture`)."""


def video_grabber_command(settings: CaptureSettings, *, clock_shift_s: float = 0.0) -> list[str]:
    """Return the command that writes the screen as raw frames in a NUT stream to its standard output.

    `clock_shift_s`: by how much the system clock has been set since the recording began; taken out of the time stamps.
    """
    # A grabber that was held up takes the frames that it missed all at once: one of them is enough.
    once = f"select='isnan(prev_selected_t)+between(t-prev_selected_t,{0.5 / settings.frame_rate:.4f},{LEAP_S})'"
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"),
        "-copyts",  # the stamps of the wall clock, which video and audio share
        *("-probesize", "32", "-analyzeduration", "0"),  # the format is known: start at once
        *("-f", "x11grab", "-framerate", str(settings.frame_rate), "-draw_mouse", "0"),
        *("-video_size", f"{settings.width}x{settings.height}", "-i", settings.display),
        *("-vf", f"{once},{CONVERTED}", "-fps_mode", "passthrough", "-c:v", "rawvideo"),
        *(("-output_ts_offset", f"{-clock_shift_s:.6f}") if clock_shift_s else ()),
        *("-flush_packets", "1", "-f", "nut", "pipe:1"),
    ]


def audio_grabber_command(settings: CaptureSettings) -> list[str]:
    """Return the command that writes what the call plays as raw samples to its standard output, as it comes."""
    return [
        *("parec", "--server", settings.audio_server, "--device", settings.audio_source, "--raw"),
        *("--format", "s16le", "--rate", "48000", "--channels", "2"),
        *("--latency-msec", str(AUDIO_LATENCY_MS)),  # the default of two seconds comes in one lump
    ]


def relay_command(python: str, start_s: float) -> list[str]:
    """Return the command of the audio relay; `start_s`: the segment's begin by `system.clock.now_s`."""
    # -I: nothing of the environment; -S: nothing but the standard library. Both make it start sooner.
    return [python, "-I", "-S", str(RELAY), f"{start_s:.6f}"]
