"""The seams of a recording whose segments overlap: one encoder followed another without a gap (`resources.capture`).

For a while both wrote, and heard the same. What both have is taken from one of them: of the video the first one's up to
the first frame of the second one, which is a key frame; of the audio a half from each, since an encoder of audio needs
some frames to begin, and pads its last one.

A second encoder that ended earlier than the first one never took over: a kill came, or it failed. It has nothing that
the first one has not.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from itertools import count, filterfalse, pairwise

import attrs

from recorder_fsm.media.fragments import Run, Segment
from recorder_fsm.media.mp4_index import FRAME

LEAST_SHARED_FRAMES = 6
"""Of audio. Fewer are no seam: the first frame of an encoder, and the last one of another."""


def without_doubles(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments, in their order, without what of them is not to be taken."""
    left = _without_covered(segments, lambda run: not run.track.is_video, lambda run: run.end)
    left = _without_covered(left, lambda run: run.track.is_video, _last_shown)
    return _with_audio_seams(left)


def shown_before(segment: Segment, until_s: float) -> Segment:
    """Return the segment with only the frames that are shown before `until_s`.

    A frame behind that time stays where one in front of it needs it (a B-frame is decoded after what follows it): it is
    shown in the last ticks before it.
    """
    track = segment.track(is_video=True)
    if track is None or until_s == math.inf:
        return segment
    until = math.ceil(round(until_s * track.timescale, 3))  # a whole number of ticks need not look like one
    shown = [stamp for run in segment.runs_of(is_video=True) for _, stamp, _ in run.stamps()]
    taken = max((number for number, stamp in enumerate(shown, 1) if stamp < until), default=0)
    late = sorted(stamp for stamp in shown[:taken] if stamp >= until)
    free = filterfalse(set(shown[:taken]).__contains__, count(until - 1, -1))
    places = dict(zip(reversed(late), free, strict=False))
    runs = []
    for run in segment.runs:
        if run.track.is_video:
            one = run.part(0, min(taken, run.count))
            taken -= one.count
            shifts = (places.get(stamp, stamp) - decoded for decoded, stamp, _ in one.stamps())
            runs.append(attrs.evolve(one, shifts=array("i", shifts)))
        else:
            runs.append(run)
    return attrs.evolve(segment, runs=tuple(run for run in runs if run.count))


def _without_covered(
    segments: Sequence[Segment], wanted: Callable[[Run], bool], end_of: Callable[[Run], int]
) -> list[Segment]:
    """Leave out the runs of one kind in each segment that ends with them no later than one before it."""
    left, until_s = [], float("-inf")
    for segment in segments:
        ends_s = [end_of(run) / run.track.timescale for run in [one for one in segment.runs if wanted(one)][-2:]]
        if ends_s and max(ends_s) <= until_s:
            left.append(attrs.evolve(segment, runs=tuple(run for run in segment.runs if not wanted(run))))
        else:
            left.append(segment)
            until_s = max(ends_s, default=until_s)
    return left


def _last_shown(run: Run) -> int:
    return max(shown for _, shown, _ in run.stamps())


def _with_audio_seams(segments: Sequence[Segment]) -> list[Segment]:
    """Cut the audio of each segment in the middle of what it shares with the next one that has some."""
    left = list(segments)
    heard = [n for n, segment in enumerate(left) if segment.track(is_video=False) is not None]
    for earlier, later in pairwise(heard):
        end = max(run.end for run in left[earlier].runs_of(is_video=False))
        begin = left[later].runs_of(is_video=False)[0].begin
        if (end - begin) // FRAME >= LEAST_SHARED_FRAMES:
            cut = (begin + end) // 2
            runs = [run if run.track.is_video else _until(run, cut) for run in left[earlier].runs]
            left[earlier] = attrs.evolve(left[earlier], runs=tuple(run for run in runs if run.count))
    return left


def _until(run: Run, cut: int) -> Run:
    """Return the run without the frames of audio that are over later than `cut`."""
    return run.part(0, sum(shown + length <= cut for _, shown, length in run.stamps()))
