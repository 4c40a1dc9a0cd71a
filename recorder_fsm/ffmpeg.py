"""The command lines of ffmpeg. Pure functions: nothing is started here.

Two programs record. The *grabber* reads the screen and the sound on one clock (wall-clock time stamps, `-copyts`) and
writes both raw into one pipe; the *encoder* reads that pipe and writes the live file. So that

- nothing is lost at the end: the grabber stops at once, the encoder reads the pipe to its end. A single ffmpeg drops
  what waits in its input queues, which is as much sound as the picture's encoder lags behind, up to a second;
- a starved encoder holds back the grabber, which then takes fewer pictures: the clock stays right and memory flat.
"""

from __future__ import annotations

from pathlib import Path

import attrs

GRABBER_QUEUE_PICTURES = 4  # what waits here is lost at the stop, and raw pictures are megabytes each
GRABBER_QUEUE_SOUNDS = 512  # 10 ms each
SOUND_FRAGMENT_BYTES = 3840  # 20 ms of 48 kHz stereo: the default of two seconds comes in one lump
KEYFRAME_EVERY_S = 10  # how finely a player can seek
LONGEST_STILL_S = 0.5  # an unchanged picture is repeated this often: a player shows it, a kill loses no more
LIVE_FRAGMENT_US = 500_000  # what a kill may lose
INTERLEAVE_US = 200_000  # sound does not wait for a picture that does not come
LEVEL_EVERY_SAMPLES = 48_000
LEVEL_KEYS = ("lavfi.astats.Overall.RMS_level", "lavfi.astats.Overall.Peak_level")
BLACK_KEYS = ("lavfi.black_start", "lavfi.black_end")
BLACK_AFTER_S = 2


# A clock that is set forward must not get into the file before the grabber is started anew (see `capture`); a gap as
# long as this ends the capture anyway.
_NO_LEAP = r"'isnan(prev_selected_t)+lt(t-prev_selected_t,12)'"


@attrs.frozen
class CaptureSettings:
    """What to record: sizes in pixels, rates in kbit/s and pictures per second, the sound's place in PulseAudio."""

    width: int
    height: int
    frame_rate: int
    video_rate_kbps: int
    audio_rate_kbps: int
    preset: str
    display: str
    sound_server: str
    sound_source: str
    constant_frame_rate: bool = False


def grabber_command(settings: CaptureSettings, *, clock_shift_s: float = 0.0) -> list[str]:
    """Return the command that writes raw picture and sound, in one NUT stream, to its standard output.

    `clock_shift_s`: by how much the system clock has been set since the capture began; taken out of the time stamps.
    """
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info"),
        "-copyts",  # both inputs keep the wall-clock stamps that their devices give them: one clock
        *("-thread_queue_size", str(GRABBER_QUEUE_SOUNDS)),
        *("-probesize", "32", "-analyzeduration", "0"),  # the formats are known: start at once
        *("-f", "pulse", "-server", settings.sound_server, "-sample_rate", "48000", "-channels", "2"),
        *("-fragment_size", str(SOUND_FRAGMENT_BYTES), "-i", settings.sound_source),
        *("-thread_queue_size", str(GRABBER_QUEUE_PICTURES)),
        *("-probesize", "32", "-analyzeduration", "0"),
        *("-f", "x11grab", "-framerate", str(settings.frame_rate), "-draw_mouse", "0"),
        *("-video_size", f"{settings.width}x{settings.height}", "-i", settings.display),
        *("-map", "1:v", "-map", "0:a"),
        *("-vf", f"select={_NO_LEAP},format=yuv420p", "-fps_mode", "passthrough", "-c:v", "rawvideo"),
        # PulseAudio's first stamps are up to 0.3 s too early until its clock has settled: fill such a gap at once
        # (over 30 ms) instead of stretching the sound for half a minute. The encoder leaves that part out.
        *("-af", f"aselect={_NO_LEAP},aresample=async=1000:min_hard_comp=0.03", "-c:a", "pcm_s16le"),
        *("-max_interleave_delta", str(INTERLEAVE_US), "-flush_packets", "1"),
        *(("-output_ts_offset", f"{-clock_shift_s:.6f}") if clock_shift_s else ()),
        *("-f", "nut", "pipe:1"),
    ]


def encoder_command(settings: CaptureSettings, live: Path, *, begin_s: float) -> list[str]:
    """Return the command that encodes its standard input into `live`, and prints its progress and the sound's level.

    `begin_s`: seconds since 1970; picture and sound both begin there, and time stamps in the file count from there.
    """
    begin = f"start={begin_s:.6f}"
    # Unchanged pictures are dropped before they are encoded; "unchanged" is every byte of every block.
    stills = max(1, round(settings.frame_rate * LONGEST_STILL_S) - 1)
    pictures = f"mpdecimate=max={stills}:hi=0:lo=0:frac=0"
    if settings.constant_frame_rate:
        pictures = f"fps={settings.frame_rate}:start_time={begin_s:.6f}"
    gaps = "aresample=async=1"  # filled with silence, so that every player keeps the sound in place
    level = (
        f"asetnsamples=n={LEVEL_EVERY_SAMPLES}:p=0,"
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level+Peak_level,"
        + _told("ametadata", LEVEL_KEYS)
    )
    # Dark grey, the page's own background, is not black.
    black = f"blackdetect=d={BLACK_AFTER_S}:pic_th=0.995:pix_th=0.05," + _told("metadata", BLACK_KEYS)
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-y"),
        "-copyts",
        # The formats stand in the head of the stream; by default it would wait for several pictures to guess a rate.
        *("-probesize", "100000", "-analyzeduration", "0", "-f", "nut", "-i", "pipe:0"),
        "-filter_complex",
        f"[0:v]trim={begin},{pictures},{black}[picture];[0:a]atrim={begin},{gaps},asplit[sound][meter];[meter]{level}[level]",
        *("-map", "[picture]", "-map", "[sound]"),
        *("-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-preset", settings.preset, "-pix_fmt", "yuv420p"),
        # No look-ahead and no reordering: with them, up to 40 pictures (20 s of a still call) live only in memory.
        *("-tune", "zerolatency"),
        *("-b:v", f"{settings.video_rate_kbps}k"),
        *("-force_key_frames", f"expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+{KEYFRAME_EVERY_S}))"),
        *("-c:a", "aac", "-b:a", f"{settings.audio_rate_kbps}k"),
        *("-output_ts_offset", f"-{begin_s:.6f}", "-avoid_negative_ts", "make_zero"),
        *("-max_interleave_delta", str(INTERLEAVE_US)),
        # Playable up to its last half second whatever happens; `delay_moov` keeps the tracks' offset.
        *("-f", "mp4", "-movflags", "delay_moov+default_base_moof", "-frag_duration", str(LIVE_FRAGMENT_US)),
        *("-flush_packets", "1"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        str(live),
        # An output of its own: with an `anullsink` instead, ffmpeg 7.1 aborts at the end of its input, and the last
        # half second is lost ("Assertion best_input >= 0 failed").
        *("-map", "[level]", "-f", "null", "-"),
    ]


def _told(print_filter: str, keys: tuple[str, ...]) -> str:
    """Return the filters that print these measurements, one line each, beside the progress."""
    return ",".join(f"{print_filter}=mode=print:key={key}:file=pipe\\\\:1:direct=1" for key in keys)


def remux_command(source: Path, target: Path) -> list[str]:
    """Return the command that copies `source` into an MP4 whose index comes first: it plays while it loads."""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y", "-i", str(source)),
        *("-map", "0", "-c", "copy", "-movflags", "+faststart", "-f", "mp4", str(target)),
    ]


def screenshot_command(display: str, width: int, height: int, target: Path) -> list[str]:
    """Return the command that writes what the display shows now as a PNG."""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "x11grab", "-draw_mouse", "0"),
        *("-video_size", f"{width}x{height}", "-i", display, "-frames:v", "1", "-update", "1", str(target)),
    ]


def poster_command(source: Path, target: Path, *, at_s: float) -> list[str]:
    """Return the command that writes the picture at `at_s` seconds as a PNG of at most 1280 pixels in width."""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"),
        *("-ss", f"{at_s:.3f}", "-i", str(source), "-frames:v", "1", "-vf", "scale='min(1280,iw)':-2"),
        *("-f", "image2", "-c:v", "png", "-update", "1", str(target)),
    ]


def decode_command(source: Path, *, from_s: float, for_s: float) -> list[str]:
    """Return the command that decodes a stretch of both streams and fails at the first error."""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-xerror"),
        *("-ss", f"{from_s:.3f}", "-t", f"{for_s:.3f}", "-i", str(source), "-map", "0"),
        # One stamp per picture, as in the file: rounded to the frame rate, two of them may meet.
        *("-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"),
    ]


def probe_command(source: Path) -> list[str]:
    """Return the command that prints what is in `source`, as JSON."""
    entries = "format=duration,size:stream=codec_type,codec_name,width,height,start_time,duration,nb_frames"
    return ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", str(source)]
