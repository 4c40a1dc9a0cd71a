"""The encoder: its settings and its command line.

One ffmpeg reads raw video and raw audio from two pipes and writes a segment: a fragmented MP4 that plays up to its last
fragment whatever happens. The audio has no stamps of its own: the relay writes it without a gap
(`audio_relay`). The encoder is never interrupted: it ends at the end of its input, so nothing that was grabbed is lost
at the stop, and a starved encoder holds the video grabber back instead of filling memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import attrs

INPUT_QUEUE_FRAMES = 8
"""Raw frames are megabytes each. Audio arrives some frames after the video of its time."""
INPUT_QUEUE_AUDIO_PACKETS = 512
KEYFRAME_EVERY_S, KEYFRAME_EVERY_FRAMES = 20, 300
"""How finely a player can seek, and how much it must decode to show what is between. Of a call in which nothing moves
they are most of the bytes."""
KEY_FRAMES = (
    "expr:if(isnan(prev_forced_t),1,"
    f"gte(t,prev_forced_t+{KEYFRAME_EVERY_S})+gte(n,prev_forced_n+{KEYFRAME_EVERY_FRAMES}))"
)
FRAGMENT_US = 250_000
"""What a kill may lose."""
INTERLEAVE_US = 200_000
"""Audio does not wait for a frame that does not come."""
TIME_BASE = "1:90000"
"""MPEG's clock."""
LOOK_AHEAD_S = 0.6
"""How far x264 looks ahead at most: what waits for it lives only in memory."""
NO_LOOK_AHEAD = ("ultrafast", "superfast")
"""The presets that have none. Each other has one of ten frames or more, and B-frames."""
MOST_THREADS = 4
"""Each thread of x264 works on a frame of its own, so each but the first makes one more wait; and one waits for the
time of the next."""
RATE_WINDOW_S = 10.0
"""Over no window of this length the rate that was asked for is exceeded."""


class Effort(NamedTuple):
    """How many frames x264 looks ahead, how many B-frames it may use in a row, and how many earlier frames one may
    refer to (the presets have one to three); the constant quality that it aims at (its CRF); what may be sent at
    once, in seconds of the rate that was asked for; and what else it is told.

    What waits in the encoder must get out in time, in a still call too, so an unchanged frame comes again the more
    often the further it looks ahead (`grab`): that makes better files for more CPU. What may be sent at once is missing
    in the rest of a window: a slide that changes takes it, a film is the better for less of it. The same CRF says
    different things: who looks ahead spends on what stays, and saves on what is gone in a moment. docs/performance.md
    measures all of it.
    """

    frames: int
    b_frames: int
    references: int
    quality: float
    buffer_s: float
    more: tuple[str, ...]


PAGE = ("aq-strength=0.6", "b-pyramid=none")
"""x264 takes bits from where much happens in a picture, for where little does. Most of a page is plain already. And no
B-frame waits for another."""
AT_ONCE = Effort(frames=0, b_frames=0, references=2, quality=18, buffer_s=1.0, more=("cabac=1", "no-deblock=0"))
"""`ultrafast` leaves out the better entropy coding, the filter against blocks, and a second frame to refer to. Where a
rate is the limit they cost little, and give much."""
FEW_FRAMES = Effort(frames=8, b_frames=2, references=3, quality=6.0, buffer_s=1.25, more=(*PAGE, "qcomp=0.4"))
MANY_FRAMES = Effort(frames=7, b_frames=2, references=3, quality=11.1, buffer_s=1.5, more=(*PAGE, "qcomp=0.3"))
"""`qcomp`: what others will refer to gets the more, the lower it is. What stands on a page stands for long."""
REFINED = ("faster", "fast")
"""Presets that refine their search less than `medium`, whose refinement (`subme=7`) is cheaper here, where they have
B-frames: it finds out sooner that nothing changed in a block. Quicker ones do so little that they stay cheaper."""
FEW_PER_S = 20
"""Up to this frame rate the frames are few: looking further ahead costs less, and there are more bits for each."""
TAGGED = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1:range=tv"
"""What `pixels` makes of the screen, said in the video and in the container: players that are told nothing
guess by the size of the picture. The transfer is the display's own, sRGB: told BT.709's, whatever knows the difference
(a PNG of a frame, QuickTime) shows a dark grey of 64 as 71. Browsers show both alike."""


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
    settings: CaptureSettings, segment: Path, *, video_fd: int, audio_fd: int, from_s: float
) -> list[str]:
    """Return the command that encodes video (`raw_stream`) and audio (raw samples) into `segment`.

    It prints its progress. `video_fd`, `audio_fd`: the descriptors to read; both begin at 0. `from_s`: where this
    segment begins, in seconds since the origin of the timeline; time stamps in every segment count from there.
    """
    frames = f"fps={settings.frame_rate}:start_time=0," if settings.constant_frame_rate else ""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-y"),
        "-copyts",  # what is late stays late
        # The formats stand in the head of the stream; by default it would wait for several frames to guess a rate.
        *("-thread_queue_size", str(INPUT_QUEUE_FRAMES)),
        *("-probesize", "32", "-analyzeduration", "0", "-f", "matroska", "-i", f"pipe:{video_fd}"),
        *("-thread_queue_size", str(INPUT_QUEUE_AUDIO_PACKETS)),
        *("-probesize", "32", "-analyzeduration", "0"),
        *("-f", "s16le", "-ar", "48000", "-ac", "2", "-i", f"pipe:{audio_fd}"),
        *("-map", "0:v", "-map", "1:a", "-vf", f"{frames}{TAGGED}"),
        # Frames come when they come; by default their times are rounded to the frame rate.
        *("-fps_mode", "passthrough", "-enc_time_base", TIME_BASE),
        *("-c:v", "libx264", "-preset", settings.preset, "-pix_fmt", "yuv420p"),
        *("-x264-params", x264_params(settings), *rate_control(settings)),
        *("-force_key_frames", KEY_FRAMES),
        *("-c:a", "aac", "-b:a", f"{settings.audio_rate_kbps}k"),
        # The segment keeps its place in the recording, to the sample: the place stands in the edit lists.
        *("-output_ts_offset", f"{from_s:.6f}", "-movie_timescale", "48000"),
        *("-max_interleave_delta", str(INTERLEAVE_US)),
        # `delay_moov` keeps the offset between the tracks.
        *("-f", "mp4", "-movflags", "delay_moov+default_base_moof", "-frag_duration", str(FRAGMENT_US)),
        *("-flush_packets", "1"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        str(segment),
    ]


def x264_params(settings: CaptureSettings) -> str:
    """Return what is said to x264 beside its preset.

    Of its own it makes a key frame only where the picture is another at once, 25 frames behind one at the least: the
    others are asked for (`KEY_FRAMES`). No `psy`: it spends bits to make noise look like noise, and a page has none.
    `sync-lookahead` would keep more frames waiting, for a thread of its own.
    """
    effort = _effort(settings)
    frames = (f"rc-lookahead={effort.frames}", f"bframes={effort.b_frames}", f"ref={effort.references}")
    keys = ("keyint=infinite", "min-keyint=25")
    return ":".join((*frames, *keys, f"threads={_threads()}", "sync-lookahead=0", "psy=0", *effort.more))


def frames_that_wait(settings: CaptureSettings) -> int:
    """Return how many frames may wait in the encoder for later ones, at most."""
    return _effort(settings).frames + _threads()


def rate_control(settings: CaptureSettings) -> list[str]:
    """Return the words for a constant quality that over no `RATE_WINDOW_S` takes more than `video_rate_kbps`."""
    effort = _effort(settings)
    most_kbps = round(settings.video_rate_kbps * (1 - effort.buffer_s / RATE_WINDOW_S))
    buffer_kbit = round(settings.video_rate_kbps * effort.buffer_s)
    return ["-crf", str(effort.quality), "-maxrate", f"{most_kbps}k", "-bufsize", f"{buffer_kbit}k"]


def _effort(settings: CaptureSettings) -> Effort:
    if settings.preset in NO_LOOK_AHEAD:
        return AT_ONCE
    effort = FEW_FRAMES if settings.frame_rate <= FEW_PER_S else MANY_FRAMES
    frames = min(effort.frames, round(LOOK_AHEAD_S * settings.frame_rate))
    more = (*effort.more, "subme=7") if settings.preset in REFINED else effort.more
    return effort._replace(frames=frames, more=more)


def _threads() -> int:
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))
