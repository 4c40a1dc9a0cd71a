"""A bounded piece of a file as the body of a request."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Self

from recorder_fsm.errors import RecordingError


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
