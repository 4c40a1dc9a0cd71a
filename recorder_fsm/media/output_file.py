"""The recording as a file: finish it, check that it is fit to publish, take its poster.

Works on files alone: it waits for no browser and no display.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from loguru import logger

from recorder_fsm.errors import ProgramError, RecordingError
from recorder_fsm.media.join import ALL, JoinError, JoinReport, Span, join_beside, part_of
from recorder_fsm.media.probe import decode_command, poster_command, probe_command, remux_command
from recorder_fsm.media.split import Part, SplitError, cut_beside, plan_beside
from recorder_fsm.system.disk import sync
from recorder_fsm.system.process import run
from recorder_fsm.system.threads import in_daemon_thread

PROBE_LIMIT_S = 20.0
POSTER_LIMIT_S = 20.0
DECODE_LIMIT_S = 30.0
REWRITE_LIMIT_S = 120.0
REWRITE_BYTES_PER_S = 8_000_000
"""What the slowest disk does while it is shared with others; it adds to the limit."""
SAMPLE_S = 1.5
"""Decoded at the beginning, in the middle and at the end: a whole decode of three hours takes minutes."""
STREAMS_DIFFER_S = 1.0
"""Video and audio may differ by this much in length: an unchanged frame is repeated every half second at least."""
CLOCK_DIFFERS_S = 0.2


@attrs.frozen
class Verified:
    """What is known to be true of a file: lengths in seconds, size in bytes and pixels, number of frames."""

    path: Path
    size_bytes: int
    duration_s: float
    video_s: float
    audio_s: float
    width: int
    height: int
    frames: int
    defects: tuple[str, ...] = ()
    """What is not as it should be, though the file plays."""
    whole: bool = True
    """Whether every check could be made."""

    def facts(self) -> dict[str, str | int | float]:
        """Return what is worth keeping, fit for JSON; not the name, which tells of the meeting."""
        return {
            "size_bytes": self.size_bytes,
            "duration_s": round(self.duration_s, 3),
            "video_s": round(self.video_s, 3),
            "audio_s": round(self.audio_s, 3),
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
        }

    def at(self, path: Path) -> Verified:
        """Return the same facts for the file under its new name."""
        return attrs.evolve(self, path=path)


class RecordingFiles:
    """The files of one recording in the job's directory. `env` is what ffmpeg may see of the environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)

    async def finalise(
        self,
        segments: Sequence[Path],
        final: Path,
        span: Span = ALL,
        *,
        time_left_s: float = math.inf,
        chapters: Path | None = None,
    ) -> JoinReport:
        """Copy the streams of `segments` into `final`, an MP4 with its index in front; returns what is missing in it.

        Of the segments `span` is taken. They stay. `chapters` is a file as `join_beside` reads it. Where they cannot be
        joined, the only segment is rewritten by ffmpeg, as a whole. Takes half of `time_left_s` seconds at most. Raises
        `RecordingError` where there is nothing playable, or `final` could not be made.
        """
        if not segments:
            raise RecordingError("Nothing was recorded.", detail="there is no segment", code="empty")
        with contextlib.suppress(OSError):
            part_of(final).unlink()  # of a process that was killed
        limit_s = min(rewrite_limit_s(sum(segment.stat().st_size for segment in segments)), time_left_s / 2)
        try:
            return await join_beside(segments, final, span, env=self._env, limit_s=limit_s, chapters=chapters)
        except ProgramError as error:  # it was too slow, and would be again
            raise RecordingError(detail=f"the file could not be rewritten: {error}", code="rewrite") from error
        except JoinError as error:
            if len(segments) > 1:
                raise RecordingError(detail=f"the segments could not be joined: {error}", code="join") from error
            logger.warning("the segment could not be read ({}); it is rewritten by ffmpeg", error)
        await self._remux(segments[0], final, limit_s)
        return JoinReport(0.0, (), ())

    async def _remux(self, source: Path, final: Path, limit_s: float) -> None:
        part = part_of(final)
        try:
            done = await run("ffmpeg (remux)", remux_command(source, part), env=self._env, limit_s=limit_s)
            if done.returncode:
                raise RecordingError(detail=f"{source.name}: {_words(source, done.stderr)}", code="unreadable")
            await in_daemon_thread(_to_disk, part)
            part.rename(final)
        except (ProgramError, OSError) as error:
            raise RecordingError(detail=f"{source.name} could not be rewritten: {error}", code="rewrite") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink()

    async def verify(self, path: Path, *, expected_s: float | None, salvaged: bool = False) -> Verified:
        """Check that `path` decodes, has video and audio of one length, and is as long as the capture was.

        `expected_s`: seconds by the wall clock; None where that is not known (after a crash). A wrong length is a
        defect of a file that is still worth publishing; raises `RecordingError` for one that does not play. A check
        that could not be made (its program is missing, or too slow here) says nothing against the file: a defect, too.
        `salvaged`: the file may have been cut in the middle of a frame; that its beginning decodes is enough.
        """
        try:
            facts = await self._probe(path)
        except ProgramError as error:
            return _unchecked(path, expected_s or 0.0, error)
        if facts.duration_s <= 0:
            raise RecordingError(detail="the file has no length", code="empty")
        defects = []
        if abs(facts.video_s - facts.audio_s) > STREAMS_DIFFER_S:
            defects.append(f"video ({facts.video_s:.1f} s) and audio ({facts.audio_s:.1f} s) differ in length")
        if expected_s is not None and abs(facts.duration_s - expected_s) > CLOCK_DIFFERS_S:
            defects.append(f"the file has {facts.duration_s:.1f} s, {expected_s:.1f} s were captured by the clock")
        starts = sample_starts(facts.duration_s)
        results = await asyncio.gather(*(self._decode(path, from_s) for from_s in starts), return_exceptions=True)
        whole = True
        for from_s, failure in zip(starts, results, strict=True):
            if isinstance(failure, ProgramError):
                whole = False
                defects.append(f"whether the file decodes at {from_s:.1f} s could not be checked: {failure}")
            elif isinstance(failure, RecordingError) and salvaged and from_s > 0:
                defects.append(f"the file was cut short and does not decode to its end: {failure.detail}")
            elif failure is not None:
                raise failure
        return attrs.evolve(facts, defects=tuple(defects), whole=whole)

    async def plan(self, path: Path, most_bytes: int, *, first: int = 0, time_left_s: float = math.inf) -> list[Part]:
        """Return the parts of a finished recording from frame `first` on, each of `most_bytes` at most.

        Raises `RecordingError` where it cannot be cut so.
        """
        limit_s = min(rewrite_limit_s(path.stat().st_size), time_left_s)
        try:
            return await plan_beside(path, most_bytes, env=self._env, limit_s=limit_s, first=first)
        except (SplitError, ProgramError) as error:
            raise RecordingError(
                "The recording is larger than Mattermost takes, and cannot be cut into smaller parts; it is kept.",
                detail=f"{error}; raise MaxFileSize above {most_bytes} bytes, or publish it by the plugin",
                code="cut",
            ) from error

    async def cut(self, path: Path, part: Part, target: Path, *, time_left_s: float = math.inf) -> None:
        """Write a part of a finished recording to `target`, and check that it plays; raises `RecordingError`."""
        limit_s = min(rewrite_limit_s(part.size_bytes), time_left_s)
        try:
            await cut_beside(path, part, target, env=self._env, limit_s=limit_s)
        except (SplitError, ProgramError) as error:
            raise RecordingError(detail=f"a part could not be cut: {error}", code="cut") from error
        made = target.stat().st_size
        if made != part.size_bytes:
            raise RecordingError(detail=f"a part has {made} bytes, {part.size_bytes} were planned", code="cut")
        for defect in (await self.verify(target, expected_s=part.length_s)).defects:
            logger.warning("a part: {}", defect)

    async def take_poster(self, source: Path, target: Path, duration_s: float) -> bool:
        """Write a frame of the recording to `target`; returns whether it could. A video without a poster is fine."""
        try:
            command = poster_command(source, target, at_s=min(duration_s / 2, 10.0))
            done = await run("ffmpeg (poster)", command, env=self._env, limit_s=POSTER_LIMIT_S)
        except ProgramError as error:
            logger.warning("no poster: {}", error)
            return False
        if done.returncode or not target.exists():
            logger.warning("no poster: {}", done.stderr.strip()[-200:])
            return False
        return True

    async def _probe(self, path: Path) -> Verified:
        done = await run("ffprobe", probe_command(path), env=self._env, limit_s=PROBE_LIMIT_S)
        try:
            found = json.loads(done.stdout)
            streams = {stream["codec_type"]: stream for stream in found["streams"]}
            missing = [name for name in ("video", "audio") if name not in streams]
            if missing:
                raise RecordingError(f"The recording has no {' and no '.join(missing)}.", code="stream_missing")
            video, audio = streams["video"], streams["audio"]
            return Verified(
                path=path,
                size_bytes=int(found["format"]["size"]),
                duration_s=float(found["format"]["duration"]),
                video_s=_end_s(video),
                audio_s=_end_s(audio),
                width=int(video["width"]),
                height=int(video["height"]),
                frames=int(video.get("nb_frames", 0)),
            )
        except (ValueError, KeyError, TypeError) as error:
            words = _words(path, done.stderr) or str(error)
            raise RecordingError(detail=f"the file cannot be read: {words}", code="unreadable") from error

    async def _decode(self, path: Path, from_s: float) -> None:
        command = decode_command(path, from_s=from_s, for_s=SAMPLE_S)
        done = await run("ffmpeg (decode)", command, env=self._env, limit_s=DECODE_LIMIT_S)
        if done.returncode or done.stderr.strip():
            raise RecordingError(
                detail=f"the file does not decode at {from_s:.1f} s: {_words(path, done.stderr)}",
                code="undecodable",
            )


def rewrite_limit_s(size_bytes: int) -> float:
    """Return how many seconds may be spent on rewriting so many bytes."""
    return REWRITE_LIMIT_S + size_bytes / REWRITE_BYTES_PER_S


def _words(path: Path, printed: str) -> str:
    """Return the end of what a program printed about a file, without the file's name: log and report outlive it."""
    return printed.replace(str(path), "the file").replace(path.name, "the file").strip()[-300:]


def _unchecked(path: Path, length_s: float, error: ProgramError) -> Verified:
    """Return what is known of a file that could not be looked at; `length_s` by the clock."""
    try:
        size = path.stat().st_size
    except OSError as missing:
        raise RecordingError(detail=f"the file cannot be read: {missing.strerror}", code="unreadable") from missing
    defect = f"the file could not be checked: {error}"
    return Verified(path, size, length_s, length_s, length_s, 0, 0, 0, defects=(defect,), whole=False)


def sample_starts(duration_s: float) -> list[float]:
    """Return where to decode: all of a short file, else its beginning, middle and end."""
    if duration_s <= 3 * SAMPLE_S:
        return [SAMPLE_S * part for part in range(math.ceil(duration_s / SAMPLE_S))]
    return [0.0, (duration_s - SAMPLE_S) / 2, duration_s - SAMPLE_S]


def _end_s(stream: Mapping[str, str]) -> float:
    return float(stream.get("start_time", 0)) + float(stream["duration"])


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        sync(handle)
    finally:
        os.close(handle)
