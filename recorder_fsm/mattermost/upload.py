"""Delivering a finished file: an upload session, its parts, and what can go wrong between them.

Owns the order of requests and the decision what to do after each answer (contract 2.4 and 2.5); the requests
themselves belong to `client`. The server appends every part at an offset of its own that the client cannot choose, so
nothing is ever sent before the server's offset is known for sure.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, Self

import attrs
from loguru import logger

from recorder_fsm.errors import (
    UNREADABLE,
    AccessRefused,
    MattermostError,
    RecordingError,
    RequestRejected,
    ServerUnavailable,
)
from recorder_fsm.mattermost.retry import PartSizes, RetryPolicy, RetryTiming, reason, retry

ID = re.compile(r"[A-Za-z0-9]{1,64}")  # of a session or a file: it comes from outside and goes into a path


@attrs.frozen
class Session:
    """An upload session as the server describes it; sizes in bytes."""

    id: str
    offset: int
    size: int


class UploadRoutes(Protocol):
    """The three requests of an upload, each made once; they raise kinds of `MattermostError`."""

    async def create(self, filename: str, size: int) -> Session: ...

    async def look(self, session_id: str) -> Session: ...

    async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
        """Send a part; returns the file's description once the file is complete, else None."""


class Abandoned(Exception):
    """The part is no longer wanted."""


class PartBody:
    """A bounded piece of a file as the body of a request; read in the sending thread, watched from the loop.

    `sent` counts the bytes that were read for sending. After `abandon()` every read raises, so a thread that is
    still sending stops. Leaving the context closes the file.
    """

    def __init__(self, path: Path, offset: int, length: int) -> None:
        self.offset = offset
        self.length = length
        self.sent = 0
        self._path = path
        self._file: BinaryIO | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Self:  # requests streams what can be iterated
        return self

    def __next__(self) -> bytes:
        if chunk := self.read(64 * 1024):
            return chunk
        raise StopIteration

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; raises `RecordingError` if the file ends before the part does."""
        if self._abandoned:
            raise Abandoned
        left = self.length - self.sent
        wanted = left if size < 0 else min(size, left)
        if wanted == 0:
            return b""
        try:
            if self._file is None:
                self._file = self._path.open("rb")
                self._file.seek(self.offset)
            chunk = self._file.read(wanted)
        except OSError as error:
            raise RecordingError("The recording could not be read.", detail=str(error)) from error
        if not chunk:
            where = self.offset + self.sent
            raise RecordingError("The recording could not be read.", detail=f"it ends at byte {where}")
        self.sent += len(chunk)
        return chunk

    def abandon(self) -> None:
        """Make every further read fail."""
        self._abandoned = True


CUTS_BEFORE_SMALLER_PARTS = 2


class Upload:
    """One file on its way. `run()` delivers it; the object is used once.

    What it knows of the current session: `confirmed` bytes are stored for certain, at most `sent` can
    be. After a part whose outcome is in doubt the offset counts only when two looks in a row agree: the
    server may still be storing bytes of a connection that has died, or a replica may answer with an old
    offset, and a part sent then would be appended in the wrong place.
    """

    def __init__(
        self,
        routes: UploadRoutes,
        file: Path,
        *,
        max_file_size: Callable[[], Awaitable[int | None]],
        on_session: Callable[[str], None],
        on_progress: Callable[[int, int], None],
        time_left: Callable[[], float],
        timing: RetryTiming,
        sizes: PartSizes,
    ) -> None:
        self._routes = routes
        self._file = file
        self._max_file_size = max_file_size
        self._on_session = on_session
        self._on_progress = on_progress
        self._timing = timing
        self._sizes = sizes
        self._policy = RetryPolicy("upload", timing, time_left, timing.longest_wait_s)
        self._size = 0
        self._session: Session | None = None
        self._created = 0
        self._largest = self._part = sizes.part
        self._begin(0)

    async def run(self, session_id: str | None) -> str:
        """Deliver the file, continuing `session_id` if the server still has it; returns the file's id."""
        try:
            self._size = self._file.stat().st_size
        except OSError as error:
            raise RecordingError("The recording could not be read.", detail=str(error)) from error
        if self._size == 0:
            raise RecordingError("The recording is empty.", detail=f"{self._file.name} has no bytes")
        try:
            if session_id is not None:
                await retry(lambda: self._resume(session_id), self._policy)
            return await retry(self._proceed, self._policy)
        except ServerUnavailable as error:
            raise ServerUnavailable(
                "The recording could not be delivered in time; the file is kept.",
                detail=reason(error),
                status=error.status,
            ) from error

    async def _resume(self, session_id: str) -> None:
        if not ID.fullmatch(session_id):
            return
        try:
            session = await self._routes.look(session_id)
        except RequestRejected as error:
            logger.info("upload session {} is gone, a new one is opened: {}", session_id, reason(error))
            return
        if session.size != self._size:
            logger.info("upload session {} is for {} bytes, not {}", session_id, session.size, self._size)
            return
        logger.info("upload session {} continues at byte {}", session_id, session.offset)
        self._session = session
        self._begin(self._size)
        self._in_doubt = True

    async def _proceed(self) -> str:
        """Send parts until the file is complete; a failure that may heal is raised, and leads back here."""
        if self._session is None:
            await self._open()
        while True:
            session = self._session
            if session is None:
                raise ServerUnavailable(detail="no upload session")
            offset = await self._offset(session)
            info = await self._send(session, offset)
            if info is not None:
                return self._delivered(info)

    async def _open(self) -> None:
        if self._created >= self._timing.new_sessions:
            raise RequestRejected(
                "Mattermost lost the recording's upload again and again; the file is kept.",
                detail=f"{self._created} upload sessions were used up",
            )
        limit = await self._max_file_size()
        if limit is not None:
            if limit < self._sizes.first_part and limit < self._size:
                raise RequestRejected(
                    "Mattermost's file size limit is too small for this recording; the file is kept.",
                    detail=f"MaxFileSize is {limit} bytes, the file has {self._size}, "
                    f"and a first part needs {self._sizes.first_part}",
                )
            self._largest = min(self._largest, limit)
            self._part = min(self._part, self._largest)
        try:
            self._session = await self._routes.create(self._file.name, self._size)
        except RequestRejected as error:
            if error.code == UNREADABLE:  # a proxy's page in place of the server's answer
                raise ServerUnavailable(detail=reason(error)) from error
            raise
        self._created += 1
        self._begin(0)
        logger.info("upload session {} opened for {} bytes", self._session.id, self._size)
        self._on_session(self._session.id)

    def _begin(self, sent: int) -> None:
        self._confirmed = 0
        self._sent = sent
        self._expected: int | None = None
        self._in_doubt = False
        self._accepted = False
        self._stuck = self._busy = self._cuts = 0

    async def _offset(self, session: Session) -> int:
        """Return the server's offset once it is beyond doubt.

        Raises if it does not move or makes no sense.
        """
        if not self._in_doubt:
            return self._confirmed
        previous: int | None = None
        for look in range(self._timing.looks):
            if look:
                await self._timing.sleep(self._timing.settle_s)
            try:
                offset = (await self._routes.look(session.id)).offset
            except RequestRejected as error:
                if error.code == UNREADABLE:
                    raise ServerUnavailable(detail=reason(error)) from error
                self._lose_session(reason(error))
            if not self._confirmed <= offset <= self._sent:
                logger.debug("the server's offset {} cannot be, it is asked again", offset)
                previous = None
            elif offset in (self._expected, previous):
                self._settle(offset)
                return offset
            else:
                previous = offset
        return self._lose_session("its offset makes no sense")

    def _settle(self, offset: int) -> None:
        moved, accepted = offset > self._confirmed, self._accepted
        self._in_doubt = self._accepted = False
        self._confirmed = self._sent = offset
        self._on_progress(offset, self._size)
        if moved:
            self._policy.failures = self._stuck = self._busy = self._cuts = 0
            self._part = min(self._largest, self._part * 2)
        elif accepted:  # the server said that it took the part
            self._stuck += 1
            if self._stuck >= self._timing.stuck_rounds:
                if offset == self._size:
                    self._lose_session("all bytes are there and it does not end")
                raise RequestRejected(
                    "Mattermost does not store the recording; the file is kept.",
                    detail=f"{self._stuck} parts were accepted at byte {offset} and not kept",
                )
            raise ServerUnavailable(detail=f"a part was accepted at byte {offset} and not kept")

    async def _send(self, session: Session, offset: int) -> dict[str, Any] | None:
        length = min(self._part, self._size - offset)
        if offset == 0:
            length = min(max(length, self._sizes.first_part), self._size)
        body = PartBody(self._file, offset, length)
        self._in_doubt = True
        self._expected = None
        try:
            info = await self._watched(session, body)
        except RequestRejected as error:
            self._refused(error, offset, length)
            return None
        except AccessRefused as error:
            if "session" in error.detail.lower():  # the session is not ours; a missing right sounds different
                self._lose_session(reason(error))
            raise
        except ServerUnavailable:
            self._cuts += 1
            if self._cuts % CUTS_BEFORE_SMALLER_PARTS == 0:  # some proxies cut what is too large for them
                self._part = max(self._part // 2, self._sizes.smallest)
            raise
        finally:
            self._sent = max(self._sent, offset + body.sent)
        if info is None:
            self._expected = offset + length
            self._accepted = True
        elif offset + length < self._size:
            self._lose_session("it was complete too early, so its bytes are not ours alone")
        return info

    async def _watched(self, session: Session, body: PartBody) -> dict[str, Any] | None:
        """Wait for a part; ends it if no byte moves for `stall_s`. While bytes flow it may take any time."""
        sending = asyncio.ensure_future(self._routes.send(session.id, body))
        seen, quiet_s = 0, 0.0
        try:
            while True:
                done, _ = await asyncio.wait({sending}, timeout=self._timing.watch_s)
                if done:
                    return sending.result()
                quiet_s = quiet_s + self._timing.watch_s if body.sent == seen else 0.0
                seen = body.sent
                if quiet_s >= self._timing.stall_s:
                    raise ServerUnavailable(detail=f"no byte moved for {quiet_s:g} s at byte {body.offset + seen}")
                if not quiet_s:
                    self._on_progress(body.offset + seen, self._size)
        finally:
            body.abandon()
            sending.cancel()

    def _refused(self, error: RequestRejected, offset: int, length: int) -> None:
        """Deal with an answer to a part that is neither success nor trouble on the way."""
        if error.code == UNREADABLE:
            raise ServerUnavailable(detail=reason(error)) from error
        if error.status == 413:
            first = self._sizes.first_part if offset == 0 else 0
            smaller = max(length // 2, self._sizes.smallest, first)
            if smaller >= length:
                raise error
            logger.warning("a part of {} bytes is too large for a server on the way, now {}", length, smaller)
            self._largest = self._part = smaller
            return
        if error.status == 404:
            self._lose_session(reason(error))
        if error.status != 400 or re.search("first part|invalid upload type", error.detail, re.IGNORECASE):
            raise error
        self._busy += 1  # an earlier part is still being stored, or the server's replicas disagree
        if self._busy >= self._timing.busy_rounds:
            raise error
        raise ServerUnavailable(detail=reason(error), status=error.status) from error

    def _lose_session(self, why: str) -> NoReturn:
        if self._session is not None:
            orphan = "; the server may keep a file that no post shows" if self._sent >= self._size else ""
            logger.warning("upload session {} is lost: {}{}", self._session.id, why, orphan)
        self._session = None
        raise ServerUnavailable(detail=f"the upload session is lost: {why}")

    def _delivered(self, info: dict[str, Any]) -> str:
        file_id, size = info.get("id"), info.get("size")
        if not isinstance(file_id, str) or not ID.fullmatch(file_id):
            raise MattermostError("Mattermost's answer was not understood.", detail="a file without an id")
        if size is not None and size != self._size:
            raise RecordingError(
                "Mattermost did not store the whole recording; the file is kept.",
                detail=f"file {file_id} has {size} bytes there and {self._size} here",
            )
        self._on_progress(self._size, self._size)
        logger.info("uploaded {} bytes as file {}", self._size, file_id)
        return file_id
