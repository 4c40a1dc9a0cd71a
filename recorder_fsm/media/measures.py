"""The measures of one recording: what its own programs saw of clock, frames and audio while they made it.

Nothing is decoded for them. `recorder-fsm verify` looks at the file itself.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from recorder_fsm.media.presets import quickest
from recorder_fsm.media.timeline import Timeline

Measures = dict[str, Any]


def measures(timeline: Timeline) -> Measures:
    """Return what is known by now, fit for JSON: seconds, dBFS, frames per second, and shares from 0 to 1.

    `presets`: which one the encoder had, and from when on, in seconds of the recording.
    None stands for what nobody has measured: no audio has come, or it was digital silence.
    """
    progress, length_s = timeline.progress, max(timeline.captured_s, 1e-3)
    facts = progress.facts()
    wanted = progress.frames + progress.dropped
    audio_from_s = timeline.audio_from_s
    presets = _presets(timeline)
    return {
        "audio_start_skew_s": None if audio_from_s is None else round(max(0.0, audio_from_s - timeline.head_s), 3),
        "audio_clock_drift_s": round(progress.drift_s, 4),
        "audio_clock_drift_ppm": round(progress.drift_s / length_s * 1e6, 1),
        "dropped_frames": progress.dropped,
        "dropped_share": round(progress.dropped / wanted, 4) if wanted else 0.0,
        "longest_wait_s": round(progress.late_s, 3),
        "lowest_frame_rate": progress.lowest_rate or None,
        "lowest_preset": quickest(one["preset"] for one in presets),
        "preset_changes": sum(one.preset != after.preset for one, after in pairwise(timeline.segments)),
        "presets": presets,
        "still_share": _share(progress.still_s, length_s),
        "black_share": _share(progress.black_s, length_s),
        "mean_dbfs": facts["mean_dbfs"],
        "loudest_dbfs": facts["loudest_dbfs"],
        "heard_share": _share(progress.heard_s, length_s),
    }


def _presets(timeline: Timeline) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for segment in timeline.segments:
        if segment.preset and (not found or found[-1]["preset"] != segment.preset):
            from_s = round(max(0.0, segment.from_s - timeline.head_s), 1)
            found.append({"preset": segment.preset, "from_s": from_s})
    return found


def _share(part_s: float, whole_s: float) -> float:
    return round(min(1.0, part_s / whole_s), 3)
