"""The grabbers: the command lines that read screen and audio, each into a pipe of its own.

Both stamp by the wall clock (`-copyts`), so video and audio have one clock, and a fault of one leaves the other
alone.
"""

from __future__ import annotations

from recorder_fsm.media.encode import CaptureSettings

AUDIO_FRAGMENT_BYTES = 3840
"""20 ms of 48 kHz stereo: the default of two seconds comes in one lump."""
LEAP_S = 12
"""A clock that is set forward must not get into the file before the grabber is restarted (`resources.capture`)."""

_NO_LEAP = f"'isnan(prev_selected_t)+lt(t-prev_selected_t,{LEAP_S})'"
_QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info")
_AT_ONCE = ("-probesize", "32", "-analyzeduration", "0")  # the formats are known: start at once


def video_grabber_command(settings: CaptureSettings, *, clock_shift_s: float = 0.0) -> list[str]:
    """Return the command that writes the screen as raw frames in a NUT stream to its standard output.

    `clock_shift_s`: by how much the system clock has been set since the recording began; taken out of the time stamps.
    """
    return [
        *_QUIET,
        "-copyts",
        *_AT_ONCE,
        *("-f", "x11grab", "-framerate", str(settings.frame_rate), "-draw_mouse", "0"),
        *("-video_size", f"{settings.width}x{settings.height}", "-i", settings.display),
        *("-vf", f"select={_NO_LEAP},format=yuv420p", "-fps_mode", "passthrough", "-c:v", "rawvideo"),
        *_to_pipe(clock_shift_s),
    ]


def audio_grabber_command(settings: CaptureSettings, *, clock_shift_s: float = 0.0) -> list[str]:
    """Return the command that writes what the call plays as raw samples in a NUT stream to its standard output."""
    return [
        *_QUIET,
        "-copyts",
        *_AT_ONCE,
        *("-f", "pulse", "-server", settings.audio_server, "-sample_rate", "48000", "-channels", "2"),
        *("-fragment_size", str(AUDIO_FRAGMENT_BYTES), "-i", settings.audio_source),
        # PulseAudio's first stamps are up to 0.3 s too early until its clock has settled: fill such a gap at once
        # (over 30 ms) instead of stretching the audio for half a minute. The encoder leaves that part out.
        *("-af", f"aselect={_NO_LEAP},aresample=async=1000:min_hard_comp=0.03", "-c:a", "pcm_s16le"),
        *_to_pipe(clock_shift_s),
    ]


def silence_command(*, clock_shift_s: float = 0.0) -> list[str]:
    """Return the command that writes silence in place of the audio grabber, on the same clock."""
    return [
        *_QUIET,
        "-copyts",
        *("-use_wallclock_as_timestamps", "1", "-re"),
        *("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:n=480"),
        *("-c:a", "pcm_s16le"),
        *_to_pipe(clock_shift_s),
    ]


def _to_pipe(clock_shift_s: float) -> tuple[str, ...]:
    offset = ("-output_ts_offset", f"{-clock_shift_s:.6f}") if clock_shift_s else ()
    return ("-flush_packets", "1", *offset, "-f", "nut", "pipe:1")
