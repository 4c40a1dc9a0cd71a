"""Whether a recording is a file that plays: streams, length, gaps, seeking.

The limits stand here, each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from recorder_fsm.analysis.check import Check, counted, listed_holes
from recorder_fsm.analysis.contact_sheet import clock, sized
from recorder_fsm.analysis.examination import Examination

PLAYED_EVERYWHERE = {"h264", "vp8", "vp9", "av1", "aac", "opus", "mp3", "vorbis"}
"""Codecs that browsers play (developer.mozilla.org, "Web video codec guide")."""
BEGIN_S = 0.05
HOLE_S = 1.5
"""The recorder writes a frame at least once a second, also where nothing changes."""
AUDIO_HOLE_S = 0.1
CUT_S = 1.0
DIFFER_S = (0.5, 2.0)
"""The recorder ends both streams together. Half a second is seen by nobody; two are a lost sentence."""
KEY_INTERVAL_S = 25.0
"""The recorder makes a key frame at least every 20 s (`media/encode.py`), at the next frame that comes."""


def judge_video(found: Examination) -> Iterator[Check]:
    """Name the video, and say whether browsers play it and know its colours."""
    video = found.container.video
    if video is None or found.video is None:
        yield Check(
            "video",
            "no frames" if video else "none",
            "bad",
            "There is nothing to see.",
            "Look in the job's log for what became of the capture.",
        )
        return
    tags = video.colours[1:]
    parts = [
        f"{video.codec} {video.profile}".strip(), f"{video.width}x{video.height}", video.pix_fmt,
        f"{video.rate_fps:.3g} frames/s" if video.rate_fps else "", _kbps(video.bit_rate_bps),
        "/".join(dict.fromkeys(tag for tag in tags if tag)) or "colours not named",
        f"turned by {video.rotation_deg} degrees" if video.rotation_deg else "",
    ]  # fmt: skip
    value = ", ".join(part for part in parts if part)
    if video.codec not in PLAYED_EVERYWHERE or video.pix_fmt not in ("yuv420p", "yuvj420p", ""):
        yield Check(
            "video", value, "warning", "Some browsers do not play this kind of video.",
            "Encode it as H.264, yuv420p: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p -c:a copy OUT.mp4",
        )  # fmt: skip
    elif not all(tags):
        yield Check(
            "video", value, "warning", "The file does not name its colours: players guess, and some show them wrong.",
            "Nothing, unless colours matter: recordings of this recorder name theirs (BT.709).",
        )  # fmt: skip
    else:
        yield Check("video", value)


def judge_audio(found: Examination) -> Iterator[Check]:
    """Name the audio, and say whether browsers play it."""
    audio = found.container.audio
    if audio is None or found.audio is None:
        yield Check(
            "audio",
            "no samples" if audio else "none",
            "bad",
            "There is nothing to hear.",
            "Look in the job's log for what became of the audio.",
        )
        return
    channels = {1: "mono", 2: "stereo"}.get(audio.channels, f"{audio.channels} channels")
    parts = [f"{audio.codec} {audio.profile}".strip(), f"{audio.sample_rate} Hz", channels, _kbps(audio.bit_rate_bps)]
    value = ", ".join(part for part in parts if part)
    if audio.codec in PLAYED_EVERYWHERE:
        yield Check("audio", value)
    else:
        yield Check(
            "audio", value, "warning", "Some browsers do not play this kind of audio.",
            "Encode it as AAC: ffmpeg -i IN -c:v copy -c:a aac OUT.mp4",
        )  # fmt: skip


def judge_length(found: Examination) -> Iterator[Check]:
    """Say how long it is, and whether its end is there."""
    promised = found.container.duration_s
    value = f"{clock(found.length_s, 1)} ({found.length_s:.3f} s), {sized(found.container.size_bytes)}"
    if found.length_s <= 0:
        yield Check("length", value, "bad", "Nothing can be played.", "Make a new recording; this file holds nothing.")
    elif promised - found.length_s > CUT_S:
        yield Check(
            "length", f"{value}; its index promises {clock(promised, 1)}", "bad",
            "The file is cut off: its end is not there.", "Copy it again from where it came from.",
        )  # fmt: skip
    else:
        yield Check("length", value)


def judge_begin(found: Examination) -> Iterator[Check]:
    """Say what a player has at the beginning."""
    firsts = [
        (name, track.times_s[0] - found.zero_s)
        for name, track in (("frame", found.video), ("audio", found.audio))
        if track and track.times_s
    ]
    value = ", ".join(f"first {name} at {max(0.0, at_s):.3f} s" for name, at_s in firsts)
    late = [name for name, at_s in firsts if at_s > BEGIN_S]
    if late:
        yield Check(
            "begin", value, "warning", f"The file begins without {' and '.join(late)}: players show black, or wait.",
            "Nothing, if it is short. A recording of this recorder begins with a frame at 0.",
        )  # fmt: skip
    elif firsts:
        yield Check("begin", value)


def judge_gaps(found: Examination) -> Iterator[Check]:
    """Say where no frame or no audio came."""
    if found.video and found.video.times_s:
        holes = found.video.holes(HOLE_S)
        longest_s = found.video.longest_hole_s
        if holes:
            yield Check(
                "frame gaps",
                f"{counted(len(holes), 'gap')} over {HOLE_S:g} s, longest {longest_s:.3f} s: {listed_holes(holes)}",
                "warning", "No frame came for that long: the last one stands still. What happened there is not in it.",
                "Compare with the gaps in the job's report: a restart of the capture leaves one.",
            )  # fmt: skip
        else:
            yield Check("frame gaps", f"longest {longest_s:.3f} s")
    if found.audio and found.audio.times_s:
        holes = found.audio.holes(AUDIO_HOLE_S)
        if holes:
            yield Check(
                "audio gaps", f"{counted(len(holes), 'gap')}, {listed_holes(holes)}", "warning",
                "Players are silent there, or play on and are out of step from then on.",
                "Write it anew with the gaps filled: ffmpeg -i IN -c:v copy -af aresample=async=1 OUT.mp4",
            )  # fmt: skip
        else:
            yield Check("audio gaps", "none")


def judge_lengths(found: Examination) -> Iterator[Check]:
    """Compare the ends of both streams."""
    if not (found.video and found.audio):
        return
    differ_s = found.video.end_s - found.audio.end_s
    longer = "no difference" if abs(differ_s) < 0.001 else f"{'video' if differ_s > 0 else 'audio'} is longer"
    value = f"{abs(differ_s):.3f} s, {longer}" if abs(differ_s) >= 0.001 else longer
    warn_s, bad_s = DIFFER_S
    if abs(differ_s) <= warn_s:
        yield Check("A/V length", value)
    else:
        yield Check(
            "A/V length", value, "bad" if abs(differ_s) > bad_s else "warning",
            f"One of both ends early: the {'audio' if differ_s > 0 else 'video'} of the end is missing.",
            "Look in the job's log at what ended first; the longer one holds all that there is.",
        )  # fmt: skip


def judge_seeking(found: Examination) -> Iterator[Check]:
    """Say how a player gets to a place in it."""
    if found.container.brands:
        if found.container.faststart:
            yield Check("index", "in front")
        else:
            yield Check(
                "index", "at the end", "warning", "Browsers begin to play only when they have all of the file.",
                "Move it: ffmpeg -i IN -c copy -movflags +faststart OUT.mp4",
            )  # fmt: skip
    if not found.video:
        return
    interval_s = found.video.key_interval_s
    value = f"every {interval_s:.1f} s at most, {counted(len(found.video.keys_s), 'key frame')}"
    if interval_s > KEY_INTERVAL_S:
        yield Check(
            "key frames", value, "warning", "Seeking is slow: up to that much must be decoded first.",
            "Nothing, if it plays well; else encode it anew with a key frame every 10 s (-force_key_frames).",
        )  # fmt: skip
    else:
        yield Check("key frames", value)
    usual_s = max(found.video.usual_s, 0.001)
    right = [
        seek
        for seek in found.seeks
        if seek.got_s is not None and abs(seek.got_s - seek.wanted_s) <= usual_s and seek.same
    ]
    if len(right) == len(found.seeks) and right:
        yield Check("seeking", f"right at {counted(len(right), 'place')} of {len(found.seeks)}")
    elif found.seeks:
        wrong = ", ".join(clock(seek.wanted_s, 1) for seek in found.seeks if seek not in right)
        yield Check(
            "seeking", f"wrong at {wrong}", "bad",
            "After a jump to these times another frame is shown than in playing.",
            "Write the file anew: ffmpeg -i IN -c copy -movflags +faststart OUT.mp4",
        )  # fmt: skip


def judge_plays(found: Examination) -> Iterator[Check]:
    """Say whether all of it can be decoded."""
    played = found.played
    if not played.error_count:
        yield Check("plays", "to the end, without errors")
        return
    yield Check(
        "plays", f"{counted(played.error_count, 'error')}: {'; '.join(played.errors)}", "bad",
        "Parts of it cannot be decoded: players stop there, jump, or show blocks.",
        "Copy it again from where it came from; if the original is the same, what plays is all that there is.",
    )  # fmt: skip


def _kbps(bit_rate_bps: int) -> str:
    return f"{bit_rate_bps / 1000:.0f} kbit/s" if bit_rate_bps else ""
