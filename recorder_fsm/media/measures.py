"""The measures of one recording: what its own programs saw of clock, frames and audio while they made it.

Nothing is decoded for them. `recorder-fsm verify` looks at the file itself.
"""

from __future__ import annotations

from recorder_fsm.media.timeline import Timeline

Measures = dict[str, float | int | None]


def measures(timeline: Timeline) -> Measures:
    """Return what is known by now, fit for JSON: seconds, dBFS, frames per second, and shares from 0 to 1.

    None stands for what nobody has measured: no audio has come, or it was digital silence.
    """
    progress, length_s = timeline.progress, max(timeline.captured_s, 1e-3)
    facts = progress.facts()
    wanted = progress.frames + progress.dropped
    audio_from_s = timeline.audio_from_s
    return {
        "audio_start_skew_s": None if audio_from_s is None else round(max(0.0, audio_from_s - timeline.head_s), 3),
        "audio_clock_drift_s": round(progress.drift_s, 4),
        "audio_clock_drift_ppm": round(progress.drift_s / length_s * 1e6, 1),
        "dropped_frames": progress.dropped,
        "dropped_share": round(progress.dropped / wanted, 4) if wanted else 0.0,
        "longest_wait_s": round(progress.late_s, 3),
        "lowest_frame_rate": progress.lowest_rate or None,
        "still_share": _share(progress.still_s, length_s),
        "black_share": _share(progress.black_s, length_s),
        "mean_dbfs": facts["mean_dbfs"],
        "loudest_dbfs": facts["loudest_dbfs"],
        "heard_share": _share(progress.heard_s, length_s),
    }


def _share(part_s: float, whole_s: float) -> float:
    return round(min(1.0, part_s / whole_s), 3)
