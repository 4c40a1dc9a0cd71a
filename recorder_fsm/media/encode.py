"""The encoder: its settings, its command line, and what it says of its progress.

One ffmpeg reads raw video and raw audio from two pipes and writes a segment: a fragmented MP4 that plays up to its last
half second whatever happens. It is never interrupted: it ends at the end of its input, so nothing that was grabbed is
lost at the stop, and a starved encoder holds the grabbers back instead of filling memory.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

INPUT_QUEUE_FRAMES = 2
"""Raw frames are megabytes each, and wait in the pipe as well."""
INPUT_QUEUE_AUDIO_PACKETS = 512
KEYFRAME_EVERY_S = 10
"""How finely a player can seek."""
LONGEST_STILL_S = 0.5
"""An unchanged frame is repeated this often: a player shows it, and a kill loses no more."""
FRAGMENT_US = 500_000
"""What a kill may lose."""
INTERLEAVE_US = 200_000
"""Audio does not wait for a frame that does not come."""
LEVEL_EVERY_SAMPLES = 48_000
LEVEL_KEYS = ("lavfi.astats.Overall.RMS_level", "lavfi.astats.Overall.Peak_level")
BLACK_KEYS = ("lavfi.black_start", "lavfi.black_end")
BLACK_AFTER_S = 2
SILENCE_DBFS = -80.0
"""A second below this level holds nothing that can be heard."""


@attrs.frozen
class CaptureSettings:
    """What to record: sizes in pixels, rates in kbit/s and frames per second, the place of the audio in PulseAudio."""

    width: int
    height: int
    frame_rate: int
    video_rate_kbps: int
    audio_rate_kbps: int
    preset: str
    display: str
    audio_server: str
    audio_source: str
    constant_frame_rate: bool = False


def encoder_command(
    settings: CaptureSettings, segment: Path, *, video_fd: int, audio_fd: int, begin_s: float, from_s: float
) -> list[str]:
    """Return the command that encodes two NUT streams into `segment`, and prints its progress and the audio level.

    `video_fd`, `audio_fd`: the descriptors to read. `begin_s`: the begin of the recording in seconds since 1970; time
    stamps in every segment count from there. `from_s`: where in the recording this segment begins, in seconds.
    """
    start = f"start={begin_s + from_s:.6f}"
    # Unchanged frames are dropped before they are encoded; "unchanged" is every byte of every block.
    stills = max(1, round(settings.frame_rate * LONGEST_STILL_S) - 1)
    frames = f"mpdecimate=max={stills}:hi=0:lo=0:frac=0"
    if settings.constant_frame_rate:
        frames = f"fps={settings.frame_rate}:start_time={begin_s + from_s:.6f}"
    gaps = "aresample=async=1"  # filled with silence, so that every player keeps the audio in place
    level = (
        f"asetnsamples=n={LEVEL_EVERY_SAMPLES}:p=0,"
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level+Peak_level,"
        + _printed("ametadata", LEVEL_KEYS)
    )
    # Dark grey, the page's own background, is not black.
    black = f"blackdetect=d={BLACK_AFTER_S}:pic_th=0.995:pix_th=0.05," + _printed("metadata", BLACK_KEYS)
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-y"),
        "-copyts",
        # The formats stand in the head of the stream; by default it would wait for several frames to guess a rate.
        *("-thread_queue_size", str(INPUT_QUEUE_FRAMES)),
        *("-probesize", "100000", "-analyzeduration", "0", "-f", "nut", "-i", f"pipe:{video_fd}"),
        *("-thread_queue_size", str(INPUT_QUEUE_AUDIO_PACKETS)),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "nut", "-i", f"pipe:{audio_fd}"),
        "-filter_complex",
        f"[0:v]trim={start},{frames},{black}[video];"
        f"[1:a]atrim={start},{gaps},asplit[audio][meter];[meter]{level}[level]",
        *("-map", "[video]", "-map", "[audio]"),
        *("-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-preset", settings.preset, "-pix_fmt", "yuv420p"),
        # No look-ahead and no reordering: with them, up to 40 frames (20 s of a still call) live only in memory.
        *("-tune", "zerolatency"),
        *("-b:v", f"{settings.video_rate_kbps}k"),
        *("-force_key_frames", f"expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+{KEYFRAME_EVERY_S}))"),
        *("-c:a", "aac", "-b:a", f"{settings.audio_rate_kbps}k"),
        *("-output_ts_offset", f"-{begin_s:.6f}", "-avoid_negative_ts", "make_zero"),
        *("-max_interleave_delta", str(INTERLEAVE_US)),
        # `delay_moov` keeps the offset between the tracks.
        *("-f", "mp4", "-movflags", "delay_moov+default_base_moof", "-frag_duration", str(FRAGMENT_US)),
        *("-flush_packets", "1"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        str(segment),
        # An output of its own: with an `anullsink` instead, ffmpeg 7.1 aborts at the end of its input, and the last
        # half second is lost ("Assertion best_input >= 0 failed").
        *("-map", "[level]", "-f", "null", "-"),
    ]


def _printed(print_filter: str, keys: tuple[str, ...]) -> str:
    """Return the filters that print these measurements, one line each, beside the progress."""
    return ",".join(f"{print_filter}=mode=print:key={key}:file=pipe\\\\:1:direct=1" for key in keys)


@attrs.define
class Progress:
    """What the encoder reported so far: frames written, position in seconds, bytes written, speed against real time.

    `level_dbfs` is the audio of the last second (root mean square), `loudest_dbfs` its highest peak so far, `heard_s`
    the number of seconds that were not silent, of `measured_s`; `power` the sum of their mean squares. `black`: the
    frame is black now. `advanced`, `measured`: how often a new frame, a new level was told.
    """

    frames: int = 0
    position_s: float = 0.0
    size_bytes: int = 0
    dropped: int = 0
    speed: float = 0.0
    level_dbfs: float = -math.inf
    loudest_dbfs: float = -math.inf
    power: float = 0.0
    heard_s: int = 0
    measured_s: int = 0
    black: bool = False
    advanced_at: float = 0.0
    measured_at: float = 0.0

    def take(self, line: str) -> bool:
        """Take one line of the encoder's standard output: `key=value`; returns False for any other line."""
        key, separator, value = line.partition("=")
        if not separator:
            return line.startswith("frame:")  # the head of a level, which says nothing new
        if key in LEVEL_KEYS:
            self._take_level(key, _number(value))
        elif key in BLACK_KEYS:
            self.black = key == BLACK_KEYS[0]
        elif " " in key or " " in value.strip():  # ffmpeg's own last line: `frame=   99 fps= 20 q=...`
            return False
        else:
            self._take_position(key, value.strip())
        return True

    def facts(self) -> dict[str, float | int | None]:
        """Return what is worth keeping, fit for JSON; levels in dBFS, None for digital silence."""

        def level(value: float) -> float | None:
            return round(value, 1) if math.isfinite(value) else None

        mean = self.power / self.measured_s if self.measured_s else 0.0
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "size_bytes": self.size_bytes,
            "speed": self.speed,
            "mean_dbfs": level(10 * math.log10(mean)) if mean > 0 else None,
            "loudest_dbfs": level(self.loudest_dbfs),
            "heard_s": self.heard_s,
        }

    @classmethod
    def total(cls, parts: Iterable[Progress]) -> Progress:
        """Return what several encoders, one after another, add up to."""
        whole = cls()
        for part in parts:
            whole.frames += part.frames
            whole.size_bytes += part.size_bytes
            whole.dropped += part.dropped
            whole.power += part.power
            whole.heard_s += part.heard_s
            whole.measured_s += part.measured_s
            whole.loudest_dbfs = max(whole.loudest_dbfs, part.loudest_dbfs)
            whole.position_s, whole.speed, whole.level_dbfs = part.position_s, part.speed, part.level_dbfs
        return whole

    def _take_position(self, key: str, value: str) -> None:
        match key:
            case "frame":
                frames = int(_number(value))
                if frames > self.frames:
                    self.advanced_at = time.monotonic()
                self.frames = max(self.frames, frames)
            case "out_time_us":
                self.position_s = max(self.position_s, _number(value) / 1e6)
            case "total_size":
                self.size_bytes = max(self.size_bytes, int(_number(value)))
            case "drop_frames":
                self.dropped = int(_number(value))
            case "speed":
                self.speed = _number(value.rstrip("x"))

    def _take_level(self, key: str, level_dbfs: float) -> None:
        if key == LEVEL_KEYS[0]:
            self.measured_at = time.monotonic()
            self.level_dbfs = level_dbfs
            self.power += 10 ** (level_dbfs / 10) if math.isfinite(level_dbfs) else 0.0
            self.measured_s += 1
            self.heard_s += level_dbfs > SILENCE_DBFS
        else:
            self.loudest_dbfs = max(self.loudest_dbfs, level_dbfs)


def _number(text: str) -> float:
    """Return a number of ffmpeg's; what it does not know (`N/A`) is 0, silence is minus infinity."""
    try:
        return float(text)
    except ValueError:
        return 0.0
