"""Command lines that look at files and at the display. Pure functions: nothing is started here."""

from __future__ import annotations

from pathlib import Path

_SILENT = ("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error")


def remux_command(source: Path, target: Path) -> list[str]:
    """Return the command that copies `source` into an MP4 whose index comes first: it plays while it loads."""
    return [
        *_SILENT,
        "-y",
        *("-i", str(source)),
        *("-map", "0", "-c", "copy", "-movflags", "+faststart", "-f", "mp4", str(target)),
    ]


def screenshot_command(display: str, width: int, height: int, target: Path) -> list[str]:
    """Return the command that writes what the display shows now as a PNG."""
    return [
        *(*_SILENT, "-y"),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "x11grab", "-draw_mouse", "0"),
        *("-video_size", f"{width}x{height}", "-i", display, "-frames:v", "1", "-update", "1", str(target)),
    ]


def thumbnail_command(display: str, width: int, height: int, thumbnail_width: int) -> list[str]:
    """Return the command that prints what the display shows now as a small JPEG, when nothing else wants the CPU."""
    return [
        *("nice", "-n", "19", *_SILENT, "-threads", "1"),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "x11grab", "-draw_mouse", "0"),
        *("-video_size", f"{width}x{height}", "-i", display, "-frames:v", "1"),
        *("-vf", f"scale={thumbnail_width}:-2:flags=area", "-c:v", "mjpeg", "-q:v", "4", "-threads", "1"),
        *("-f", "image2pipe", "pipe:1"),
    ]


def poster_command(source: Path, target: Path, *, at_s: float) -> list[str]:
    """Return the command that writes the frame at `at_s` seconds as a PNG of at most 1280 pixels in width."""
    return [
        *(*_SILENT, "-y"),
        *("-ss", f"{at_s:.3f}", "-i", str(source), "-frames:v", "1", "-vf", "scale='min(1280,iw)':-2"),
        *("-f", "image2", "-c:v", "png", "-update", "1", str(target)),
    ]


def decode_command(source: Path, *, from_s: float, for_s: float) -> list[str]:
    """Return the command that decodes a stretch of both streams and fails at the first error."""
    return [
        *(*_SILENT, "-xerror"),
        *("-ss", f"{from_s:.3f}", "-t", f"{for_s:.3f}", "-i", str(source), "-map", "0"),
        # One stamp per frame, as in the file: rounded to the frame rate, two of them may meet.
        *("-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"),
    ]


def probe_command(source: Path) -> list[str]:
    """Return the command that prints what is in `source`, as JSON."""
    entries = "format=duration,size:stream=codec_type,codec_name,width,height,start_time,duration,nb_frames"
    return ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(source)]
