"""Posting: from a finished file to posts of it by Mattermost's own API. The step of `uploading` with PUBLISH=post.

Mattermost refuses a file above MaxFileSize here. Such a recording is cut into parts, each posted by itself, in order:
one can be watched while the next is on its way, only one part at a time needs room on the disk, and a restart sees what
is missing. The plan and each step of a part are in the journal; the recording stays until all of it is posted.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from loguru import logger

from recorder_fsm.errors import MattermostError, RecordingError, SettingInTheWay
from recorder_fsm.machine.runner import Happened
from recorder_fsm.mattermost.channel import TOO_LARGE, WITHOUT_FILE
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.media.output_file import RecordingFiles, Verified
from recorder_fsm.media.split import Part
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.finish import Finish
from recorder_fsm.steps.publish import Publish

CUT_FILE = "upload.part"
"""The name of the part that is on its way: `storage.job_dir` takes it for nothing that is worth keeping."""
WHOLE = "whole"
KEY = re.compile(r"[0-9]{1,9}-[0-9]{1,9}")
MOST_PLANS = 5
"""So often the plan is made anew for a limit that was lowered meanwhile."""


@attrs.frozen
class Piece:
    """What one post has: the part `number` of `total`; `part` is None for the whole file."""

    number: int
    total: int
    size_bytes: int
    length_s: float
    part: Part | None = None

    @property
    def key(self) -> str:
        """What names the piece in the journal and in its post: the same frames have the same key."""
        return WHOLE if self.part is None else f"{self.part.first}-{self.part.end}"

    def file_name(self, stem: str) -> str:
        """Return what the file is called on the server."""
        return f"{stem}.mp4" if self.part is None else f"{stem} (part {self.number} of {self.total}).mp4"

    def message(self, stem: str) -> str:
        """Return the text of the post. The name is code in it: it may hold what would mention somebody."""
        name = stem.replace("`", "'")
        text = f"Recording `{name}`, {clock(self.length_s)} long"
        if self.part is None:
            return f"{text}."
        begin_s, end_s = self.part.begin_s, self.part.begin_s + self.part.length_s
        return f"{text}, part {self.number} of {self.total}: {clock(begin_s)} to {clock(end_s)}."


class PostParts(Publish):
    """The last step, by Mattermost's own API. `finish` has made the file."""

    def __init__(self, job: JobContext, finish: Finish, files: RecordingFiles) -> None:
        super().__init__(job, finish)
        self._files = files
        self._delivery = job.memory.delivery
        self._parts: list[Part] | None = None
        self._facts: dict[str, dict[str, Any]] = {}

    async def _publish(self, file: Verified) -> Happened:
        await self._job.still_ours()
        self._plain_plan()
        if not self._job.timeline.segments:  # recorded by an earlier process, which may have posted some of it
            for one in await self._job.channel.found(self._time_left_s):
                self._delivery.files[one.part], self._delivery.posts[one.part] = one.file_id, one.post_id
        limit = await self._job.channel.max_file_size()
        pieces = await self._planned(file, limit)
        for _ in range(MOST_PLANS):
            too_large = await self._deliver_all(file, pieces)
            if too_large is None:
                return self._all_done(file, pieces)
            pieces = await self._planned_anew(file, pieces, too_large)
        raise RecordingError(detail="the server's limit was lowered again and again", code="file_too_large")

    async def _deliver_all(self, file: Verified, pieces: Sequence[Piece]) -> MattermostError | None:
        """Post what is missing; returns the error where a piece is larger than the server takes now."""
        for piece in pieces:
            if piece.key not in self._delivery.posts:
                await self._job.still_ours()
                try:
                    await self._deliver(file, pieces, piece)
                except MattermostError as error:
                    if error.code == TOO_LARGE:
                        return error
                    raise
            self._facts[piece.key] = {
                "file_id": self._delivery.files.get(piece.key, ""),
                "post_id": self._delivery.posts[piece.key],
                "size_bytes": piece.size_bytes,
            }
        return None

    async def _deliver(self, file: Verified, pieces: Sequence[Piece], piece: Piece) -> None:
        journal, key, stem = self._job.journal, piece.key, self._job.name
        before_it = sum(one.size_bytes for one in pieces[: piece.number - 1])
        whole = sum(one.size_bytes for one in pieces)
        file_id = self._delivery.files.get(key)
        before = file_id is not None
        if file_id is None:
            async with self._on_disk(file, piece) as path:
                session = self._delivery.sessions.get(key)
                file_id = await self._job.channel.upload(
                    path,
                    piece.file_name(stem),
                    begun=Begun(session) if session else None,
                    on_session=lambda begun: journal.note("part_session", part=key, id=begun.session_id),
                    time_left=self._time_left_s,
                    on_progress=lambda sent, _: self._on_upload_progress(before_it + sent, whole),
                )
            self._delivery.files[key] = file_id
            journal.note("part_file", part=key, id=file_id)
        await self._check_stored(piece, file_id)
        await self._job.still_ours()
        message = piece.message(stem)
        try:
            post_id = await self._job.channel.post(file_id, message, key, self._time_left_s, may_be_posted=before)
        except MattermostError as error:
            if error.code == WITHOUT_FILE:
                self._forget(piece)
            raise
        self._delivery.posts[key] = post_id
        journal.note("part_post", part=key, id=post_id)
        self._still.restart()
        logger.info(
            "part {} of {} is posted: {} bytes as file {}", piece.number, piece.total, piece.size_bytes, file_id
        )

    @asynccontextmanager
    async def _on_disk(self, file: Verified, piece: Piece) -> AsyncIterator[Path]:
        """Give the file of a piece; one that was cut is removed again. What was begun is cut to the same bytes."""
        if piece.part is None:
            yield file.path
            return
        target = self._job.directory.workspace / CUT_FILE
        self._check_room(piece)
        try:
            try:
                await self._files.cut(file.path, piece.part, target, time_left_s=self._time_left_s())
            except RecordingError:
                self._job.journal.note("parts", parts=None)  # if that was wrong, the next start makes another
                raise
            self._still.restart()
            yield target
        finally:
            with contextlib.suppress(OSError):
                target.unlink()

    def _check_room(self, piece: Piece) -> None:
        free, least = self._job.directory.free_bytes(), piece.size_bytes + self._job.settings.min_free_bytes
        if free < least:
            raise RecordingError(
                "The recorder's disk has no room to cut the recording; it is kept.",
                detail=f"{free} bytes are free in {self._job.directory.workspace}, a part needs {least}",
                code="no_room",
            )

    async def _check_stored(self, piece: Piece, file_id: str) -> None:
        size = await self._job.channel.stored_size(file_id)
        if size is not None and size != piece.size_bytes:
            self._forget(piece)
            raise RecordingError(
                "The published file is not complete.",
                detail=f"the server has {size} bytes, part {piece.number} has {piece.size_bytes}",
                code="size_differs",
            )

    def _forget(self, piece: Piece) -> None:
        """Have the next start upload it anew."""
        for fact in ("part_session", "part_file"):
            self._job.journal.note(fact, part=piece.key, id=None)

    def _plain_plan(self) -> None:
        """Take the remembered plan for what it is: it may come from a journal that somebody damaged."""
        parts = self._delivery.parts
        try:
            self._parts = None if not parts else [Part(*map(_number, part)) for part in parts]
        except (TypeError, ValueError):
            self._parts = None
        parts = self._parts or []
        if [one.first for one in parts] != [0, *(one.end for one in parts)][: len(parts)]:
            self._parts = None

    async def _planned(self, file: Verified, limit: int | None) -> list[Piece]:
        """Return the pieces of the recording, in order: as an earlier process planned them, where that still fits."""
        most = limit or math.inf
        if self._parts:
            pieces = self._pieces(self._parts)
            if all(piece.size_bytes <= most or piece.key in self._delivery.posts for piece in pieces):
                return pieces
            return await self._rest_planned(file, pieces, int(most))
        if posted := self._posted_without_plan():  # the journal is lost, and the channel knows
            if file.frames and posted[-1].end >= file.frames:
                return self._pieces(posted)
            return await self._cut_up(file, posted, int(min(most, file.size_bytes)))
        if file.size_bytes <= most or WHOLE in self._delivery.posts:
            return [Piece(1, 1, file.size_bytes, file.duration_s)]
        return await self._cut_up(file, [], int(most))

    def _posted_without_plan(self) -> list[Part]:
        """Return the parts that are posted, from the begin on, by their frames alone."""
        ends = dict(key.split("-", maxsplit=1) for key in self._delivery.posts if KEY.fullmatch(key))
        parts: list[Part] = []
        while (at := parts[-1].end if parts else 0) < int(ends.get(str(at), -1)):
            parts.append(Part(at, int(ends[str(at)]), 0, 0.0, 0.0))
        return parts

    async def _planned_anew(self, file: Verified, pieces: Sequence[Piece], error: MattermostError) -> list[Piece]:
        """Return smaller pieces, since the server refused one; raises its error where it does not say how small."""
        limit = await self._job.channel.max_file_size()
        largest = max(piece.size_bytes for piece in pieces if piece.key not in self._delivery.posts)
        if limit is None or limit >= largest:
            raise SettingInTheWay(
                f"{error.sentence} The file is kept.", detail=error.detail, code=error.code, status=error.status
            ) from error
        return await self._rest_planned(file, pieces, limit)

    async def _rest_planned(self, file: Verified, pieces: Sequence[Piece], limit: int) -> list[Piece]:
        """Return a plan in which what is posted stays, and the rest of the recording is cut to `limit` bytes."""
        posted = []
        for piece in pieces:
            if piece.part is None or piece.key not in self._delivery.posts:
                break
            posted.append(piece.part)
        return await self._cut_up(file, posted, limit)

    async def _cut_up(self, file: Verified, posted: list[Part], limit: int) -> list[Piece]:
        first = posted[-1].end if posted else 0
        rest = await self._files.plan(file.path, limit, first=first, time_left_s=self._time_left_s())
        parts = [*posted, *rest]
        self._job.journal.note("parts", parts=[attrs.astuple(part) for part in parts])
        logger.info("the recording has {} bytes, the server takes {}: {} parts", file.size_bytes, limit, len(parts))
        self._still.restart()
        return self._pieces(parts)

    def _pieces(self, parts: Sequence[Part]) -> list[Piece]:
        return [Piece(n, len(parts), part.size_bytes, part.length_s, part) for n, part in enumerate(parts, 1)]

    def _all_done(self, file: Verified, pieces: Sequence[Piece]) -> Happened:
        self._job.report.posted([self._facts[piece.key] for piece in pieces])
        return self._finished(file)


def clock(seconds: float) -> str:
    """Return a length as people read it: 0:07, 59:59, 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("no number of a plan")
    return value
