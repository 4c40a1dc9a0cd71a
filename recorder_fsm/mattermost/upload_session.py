"""An upload session as we know it, and what can be asked about it (contract 2.3, 2.5)."""

from __future__ import annotations

import re
import secrets
from typing import Any, Protocol

import attrs

from recorder_fsm.mattermost.part_body import PartBody

ID = re.compile(r"[A-Za-z0-9]{1,64}")  # of a session or a file: it comes from outside and goes into a path
ID_ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
ID_LENGTH = 26


def new_file_id() -> str:
    """Return an id as Mattermost makes its own: 26 characters, 130 bits by chance."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


@attrs.frozen
class Session:
    """An upload session as the server describes it; sizes in bytes.

    `file_id` is the id that the file will have, "" where the server chooses it.
    """

    id: str
    offset: int
    size: int
    file_id: str = ""


@attrs.frozen
class Begun:
    """What a later process needs to go on with an upload: its session, and the file's id where we could choose it."""

    session_id: str
    file_id: str = ""


class UploadRoutes(Protocol):
    """The requests of an upload, each made once; they raise kinds of `MattermostError`."""

    async def create(self, filename: str, size: int, file_id: str) -> Session: ...

    async def look(self, session_id: str) -> Session: ...

    async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
        """Send a part; returns the file's description once the file is complete, else None."""

    async def stored(self, file_id: str) -> dict[str, Any]:
        """Return the description of a complete file."""
