"""The reference: one ffmpeg that captures and encodes, with the options of the recorder that this project replaces.

It is the yardstick of the bench: alsa `default` (through PulseAudio) and x11grab, both with a queue of 4096, a constant
rate, `-draw_mouse 0`, `-c:v h264 -preset P -vf format=yuv420p -b:v Rk -b:a Ak -movflags +faststart`.
"""

from __future__ import annotations

from pathlib import Path

from bench.scenes import Point

QUEUE = ("-thread_queue_size", "4096")
ALSA_PLUGIN = "libasound_module_pcm_pulse.so"
PLUGIN_FOLDERS = ("/usr/lib", "/usr/lib64")
ASOUND = """pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def has_alsa() -> bool:
    """Tell whether alsa knows PulseAudio here (Debian: libasound2-plugins)."""
    return any(next(Path(folder).rglob(ALSA_PLUGIN), None) for folder in PLUGIN_FOLDERS if Path(folder).is_dir())


def audio_words(source: str, config: Path) -> tuple[list[str], dict[str, str]]:
    """Return the words of the audio input, and what its environment needs; alsa's settings are written to `config`.

    Where alsa does not know PulseAudio, PulseAudio itself is the input.
    """
    if not has_alsa():
        return [*QUEUE, "-f", "pulse", "-i", source], {}
    config.write_text(ASOUND, encoding="utf-8")
    return [*QUEUE, "-f", "alsa", "-i", "default"], {"ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{config}"}


def encoder_words(point: Point, audio_rate_kbps: int) -> list[str]:
    """Return the words of its output, all but the file."""
    return [
        *("-c:v", "h264", "-preset", point.preset, "-vf", "format=yuv420p"),
        *("-b:v", f"{point.video_rate_kbps}k", "-b:a", f"{audio_rate_kbps}k", "-movflags", "+faststart"),
    ]


def command(point: Point, display: str, audio: list[str], target: Path, *, audio_rate_kbps: int = 64) -> list[str]:
    """Return its whole command line."""
    return [
        *("ffmpeg", "-hide_banner", "-nostats", "-loglevel", "info", "-y", *audio),
        *(*QUEUE, "-f", "x11grab", "-r", str(point.frame_rate), "-draw_mouse", "0"),
        *("-video_size", f"{point.width}x{point.height}", "-i", display),
        *encoder_words(point, audio_rate_kbps),
        str(target),
    ]
