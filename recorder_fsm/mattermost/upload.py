"""Delivering a finished file: an upload session, its parts, and what can go wrong between them.

Owns the order of requests and the decision what to do after each answer (contract 2.4 and 2.5); the requests
themselves belong to `client`. The server appends every part at an offset of its own that the client cannot choose, so
nothing is ever sent before the server's offset is known for sure. The session asks for a file id of our own: with it a
file can be found whose last answer was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

from loguru import logger

from recorder_fsm.errors import (
    AccessRefused,
    MattermostError,
    RecordingError,
    RequestRejected,
    ServerUnavailable,
    SettingInTheWay,
)
from recorder_fsm.mattermost.answers import Means, Route, meaning
from recorder_fsm.mattermost.part_body import PartBody
from recorder_fsm.mattermost.parts import Parts, in_words
from recorder_fsm.mattermost.retry import PartSizes, RetryPolicy, RetryTiming, reason, retry
from recorder_fsm.mattermost.upload_session import ID, Begun, Session, UploadRoutes, new_file_id

CUTS_BEFORE_SMALLER_PARTS = 2
UNKNOWN_ENDS = 2
AGREEING_LOOKS = 2


class SessionGone(Exception):
    """The server does not know the session: its file is complete, or it was forgotten."""


class Upload:
    """One file on its way. `run()` delivers it; the object is used once.

    What it knows of the current session: `confirmed` bytes are stored for certain, at most `sent` can
    be. After a part whose outcome is in doubt an offset counts only when several looks in a row agree: the
    server may still be storing bytes of a connection that has died, or a replica may answer with an old
    offset, and a part sent then would be appended in the wrong place. An offset that denies the progress that the
    server has just promised (204) must be told for much longer.
    """

    def __init__(
        self,
        routes: UploadRoutes,
        file: Path,
        *,
        max_file_size: Callable[[], Awaitable[int | None]],
        on_session: Callable[[Begun], None],
        on_progress: Callable[[int, int], None],
        time_left: Callable[[], float],
        timing: RetryTiming,
        sizes: PartSizes,
        name: str = "",
    ) -> None:
        """`name`: what the server shall call the file, "" for its name on the disk."""
        self._routes = routes
        self._file = file
        self._name = name or file.name
        self._max_file_size = max_file_size
        self._on_session = on_session
        self._on_progress = on_progress
        self._timing = timing
        self._parts = Parts(sizes)
        self._policy = RetryPolicy("upload", timing, time_left, timing.longest_wait_s)
        self._size = 0
        self._session: Session | None = None
        self._file_id = ""
        self._created = self._unknown_ends = self._stuck = self._best = 0
        self._begin(0)

    async def run(self, begun: Begun | None) -> str:
        """Deliver the file, continuing what was begun if the server still has it; returns the file's id."""
        try:
            self._size = self._file.stat().st_size
        except OSError as error:
            raise RecordingError("The recording could not be read.", detail=str(error)) from error
        if self._size == 0:
            raise RecordingError("The recording is empty.", detail=f"{self._file.name} has no bytes")
        try:
            if begun is not None and (file_id := await retry(lambda: self._resume(begun), self._policy)):
                return file_id
            return await retry(self._proceed, self._policy)
        except SettingInTheWay as error:
            raise SettingInTheWay(
                f"{error.sentence} The file is kept.", detail=error.detail, status=error.status
            ) from error
        except ServerUnavailable as error:
            raise ServerUnavailable(
                "The recording could not be delivered in time; the file is kept.",
                detail=str(error),
                status=error.status,
            ) from error

    async def _resume(self, begun: Begun) -> str | None:
        """Take up the session, or return the file's id where it is complete."""
        if not ID.fullmatch(begun.session_id):
            return None
        self._file_id = begun.file_id if ID.fullmatch(begun.file_id) else ""
        try:
            session = await self._routes.look(begun.session_id)
        except RequestRejected as error:
            if self._file_id and (info := await self._found()) and info.get("size") == self._size:
                logger.info("upload session {} had been completed", begun.session_id)
                return self._delivered(info)
            logger.info("upload session {} is gone, a new one is opened: {}", begun.session_id, reason(error))
            return None
        if session.size != self._size:
            logger.info("upload session {} is for {} bytes, not {}", begun.session_id, session.size, self._size)
            return None
        logger.info("upload session {} continues at byte {}", begun.session_id, session.offset)
        self._session = session
        self._begin(self._size)
        self._in_doubt = self._resumed = True
        return None

    async def _proceed(self) -> str:
        """Send parts until the file is complete; a failure that may heal is raised, and leads back here."""
        if self._session is None:
            await self._open()
        elif self._too_small:
            self._parts.learn(await self._max_file_size())
        while True:
            session = self._session
            if session is None:
                raise ServerUnavailable(detail="no upload session")
            try:
                offset = await self._offset(session)
                info = await self._send(session, offset)
            except SessionGone as gone:
                return await self._ended(str(gone))
            if info is not None:
                return self._delivered(info)

    async def _open(self) -> None:
        if self._created >= self._timing.new_sessions:
            raise RequestRejected(
                "Mattermost lost the recording's upload again and again; the file is kept.",
                detail=f"{self._created} upload sessions were used up",
            )
        self._parts.learn(await self._max_file_size())
        file_id = new_file_id()
        try:
            session = await self._routes.create(self._name, self._size, file_id)
        except RequestRejected as error:
            if error.status != 400:
                raise
            logger.info("no upload session with a file id of ours: {}", reason(error))
            session = await self._routes.create(self._name, self._size, "")
        self._session = session
        self._file_id = session.file_id
        self._created += 1
        self._begin(0)
        logger.info("upload session {} opened for {} bytes", session.id, self._size)
        self._on_session(Begun(session.id, session.file_id))

    def _begin(self, sent: int) -> None:
        self._confirmed = 0
        self._sent = sent
        self._expected: int | None = None
        self._in_doubt = self._promised = self._broken_promise = self._too_small = self._resumed = False
        self._looks = AGREEING_LOOKS
        self._busy = self._cuts = 0

    def _advanced(self, done: int, *, confirmed: bool = False) -> None:
        """Tell of progress: bytes that the server has confirmed, or more of them on the way than ever before."""
        if confirmed or done > self._best:
            self._best = max(self._best, done)
            self._on_progress(done, self._size)

    async def _offset(self, session: Session) -> int:
        """Return the server's offset once it is beyond doubt.

        Raises if it does not move or makes no sense, `SessionGone` if there is none any more.
        """
        if not self._in_doubt:
            return self._confirmed
        previous: int | None = None
        agreeing = 0
        for look in range(2 * self._timing.lag_looks):
            if look:
                await self._timing.sleep(self._timing.settle_s)
            try:
                offset = (await self._routes.look(session.id)).offset
            except RequestRejected as error:
                raise SessionGone(reason(error)) from error
            if not self._confirmed <= offset <= self._sent:
                logger.debug("the server's offset {} cannot be, it is asked again", offset)
                previous = None
                continue
            agreeing = agreeing + 1 if offset == previous else 1
            previous = offset
            enough = self._looks if offset == self._confirmed else AGREEING_LOOKS
            if offset == self._expected or agreeing >= enough:
                self._settle(offset)
                return offset
        return self._lose_session("its offset makes no sense")

    def _settle(self, offset: int) -> None:
        moved, promised = offset > self._confirmed, self._promised
        unsure, self._resumed = self._resumed, False  # nobody knows what the earlier process was promised
        self._in_doubt = self._promised = False
        self._confirmed = self._sent = offset
        if moved:
            self._advanced(offset, confirmed=True)
            self._broken_promise = unsure
            self._policy.failures = self._stuck = self._busy = self._cuts = 0
            self._parts.went_well()
        elif promised:
            self._broken_promise = True
            self._stuck += 1
            if self._stuck >= self._timing.stuck_rounds:
                raise RequestRejected(
                    "Mattermost does not store the recording; the file is kept.",
                    detail=f"{self._stuck} parts were accepted at byte {offset} and not kept",
                )
            raise ServerUnavailable(detail=f"a part was accepted at byte {offset} and not kept")

    def _length(self, offset: int) -> int:
        length = self._parts.length(offset, self._size)
        if self._broken_promise and offset + length == self._size:
            # Had the server kept the part that it denies, the rest of the file would complete it with wrong bytes, and
            # nobody could tell. A shorter part completes it too early, and that is seen.
            length -= 1
            if length < self._parts.least(offset, self._size):
                self._lose_session("a part was accepted and not kept")
        return length

    async def _send(self, session: Session, offset: int) -> dict[str, Any] | None:
        length = self._length(offset)
        if length == 0 and self._file_id and (info := await self._found(looks=1)):
            return info
        body = PartBody(self._file, offset, length)
        self._in_doubt = True
        self._expected = None
        self._looks = AGREEING_LOOKS
        try:
            info = await self._watched(session, body)
        except MattermostError as error:
            if error.status == 413:
                self._too_large(error, offset, length)
                return None
            if isinstance(error, ServerUnavailable):
                self._cut()
            elif isinstance(error, RequestRejected | AccessRefused):
                self._refused(error)
            raise
        finally:
            self._sent = max(self._sent, offset + body.sent)
        if info is None:
            self._expected = offset + length
            self._promised = True
            self._looks = self._timing.lag_looks
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
                self._advanced(body.offset + seen)
        finally:
            body.abandon()
            sending.cancel()

    def _cut(self) -> None:
        """Take note of a part that somebody on the way cut or answered."""
        self._looks = self._timing.cut_looks
        self._cuts += 1
        if self._cuts % CUTS_BEFORE_SMALLER_PARTS == 0:  # some proxies cut what is too large for them
            self._parts.were_cut()

    def _too_large(self, error: MattermostError, offset: int, length: int) -> None:
        """Make parts smaller; raises where they cannot be."""
        if smaller := self._parts.too_large(length, offset, self._size):
            logger.warning("a part of {} bytes is too large for a server on the way, now {}", length, smaller)
            return
        raise SettingInTheWay(
            f"A server before Mattermost refuses parts of {in_words(length)}; it must take larger requests.",
            detail=reason(error),
            status=413,
        ) from error

    def _refused(self, error: RequestRejected | AccessRefused) -> NoReturn:
        """Deal with what the server itself has against a part."""
        match meaning(Route.UPLOAD_DATA, error):
            case Means.NOT_OUR_SESSION:  # a missing right sounds different
                self._lose_session(reason(error))
            case Means.FIRST_PART_TOO_SMALL:
                self._too_small = True
                if not self._parts.limit_in_the_way:  # the part was cut on its way
                    raise ServerUnavailable(detail=reason(error), status=error.status) from error
                needed = self._parts.needed_first
                raise SettingInTheWay(
                    f"Mattermost's MaxFileSize is too small for this recording; set it to {in_words(needed)} or more.",
                    detail=f"MaxFileSize is {self._parts.limit or 'unknown'}, a first part needs {needed} bytes: "
                    f"{reason(error)}",
                    status=error.status,
                ) from error
            case Means.BUSY | Means.PERHAPS_BUSY as means:
                # An earlier part is still being stored, or the server's replicas disagree.
                self._busy += 1
                rounds = self._timing.busy_rounds if means is Means.BUSY else self._timing.perhaps_busy_rounds
                if self._busy < rounds:
                    raise ServerUnavailable(detail=reason(error), status=error.status) from error
        if error.status == 404:
            raise SessionGone(reason(error)) from error
        raise error

    async def _ended(self, why: str) -> str:
        """Return the file's id where the session is gone since its file is complete; else the session is lost."""
        if self._sent >= self._size:
            if self._file_id and (info := await self._found()):
                logger.info("the file is complete, the answer to its last part was lost")
                return self._delivered(info)
            self._unknown_ends += 1
            if self._unknown_ends >= UNKNOWN_ENDS:
                raise RequestRejected(
                    "Mattermost's answer to the recording's last part does not arrive; the file is kept.",
                    detail=f"{self._unknown_ends} uploads ended without one; the server may have as many copies that "
                    f"no post shows: {why}",
                )
        return self._lose_session(why)

    async def _found(self, looks: int | None = None) -> dict[str, Any] | None:
        """Return the description of the file with our id, if there is one; a replica may know of it late."""
        for look in range(looks or self._timing.lag_looks):
            if look:
                await self._timing.sleep(self._timing.settle_s)
            try:
                info = await self._routes.stored(self._file_id)
            except (RequestRejected, AccessRefused) as error:
                logger.debug("no file {}: {}", self._file_id, reason(error))
                if error.status != 404:
                    return None
            else:
                return info if info.get("id") == self._file_id else None
        return None

    def _lose_session(self, why: str) -> NoReturn:
        if self._session is not None:
            orphan = "; the server may keep a file that no post shows" if self._sent >= self._size else ""
            logger.warning("upload session {} is lost: {}{}", self._session.id, why, orphan)
        self._session = None
        raise ServerUnavailable(detail=f"the upload session is lost: {why}")

    def _delivered(self, info: dict[str, Any]) -> str:
        file_id, size = info.get("id"), info.get("size")
        if not isinstance(file_id, str) or not ID.fullmatch(file_id):
            raise ServerUnavailable("Mattermost's answer was not understood.", detail="a file without an id")
        if size is not None and size != self._size:
            raise RecordingError(
                "Mattermost did not store the whole recording; the file is kept.",
                detail=f"file {file_id} has {size} bytes there and {self._size} here",
            )
        self._advanced(self._size, confirmed=True)
        logger.info("uploaded {} bytes as file {}", self._size, file_id)
        return file_id
