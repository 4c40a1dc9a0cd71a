"""The requests to Mattermost's own API by which a file gets into a channel, each made once.

Sources: `server/channels/api4/upload.go`, `post.go`, `file.go`, `channel.go` and `app/upload.go`, `app/post.go` of the
server. An upload session is the user's own; a file has one post, and later ones of the same file come without it.
"""

from __future__ import annotations

from typing import Any

from recorder_fsm.errors import AccessRefused, RequestRejected
from recorder_fsm.mattermost.part_body import PartBody
from recorder_fsm.mattermost.routes import ServerRoutes, read_session
from recorder_fsm.mattermost.upload_session import Session

ANOTHERS_SESSION = "api.upload.get_upload.forbidden"


class ChannelRoutes(ServerRoutes):
    """What a user with an ordinary token asks of one channel; raises kinds of `MattermostError`."""

    async def me(self) -> dict[str, Any]:
        """Return the user of the token."""
        return await self.get("/users/me")

    async def channel(self) -> dict[str, Any]:
        """Return the channel."""
        return await self.get(f"/channels/{self._channel_id}")

    async def membership(self) -> dict[str, Any]:
        """Return the user's membership of the channel."""
        return await self.get(f"/channels/{self._channel_id}/members/me")

    async def settings(self) -> dict[str, Any]:
        """Return the server's settings for clients; all values are texts."""
        return await self.get("/config/client?format=old")

    # The requests of an upload (`UploadRoutes`).

    async def create(self, filename: str, size: int, file_id: str) -> Session:
        """Open an upload session for `size` bytes. The server chooses the file's id, whatever is asked for."""
        body = {"channel_id": self._channel_id, "filename": filename, "file_size": size}
        return read_session(await self.ask("post", "/uploads", body))

    async def look(self, session_id: str) -> Session:
        """Return an upload session with the server's offset."""
        try:
            return read_session(await self.ask("get", f"/uploads/{session_id}"))
        except AccessRefused as error:
            if ANOTHERS_SESSION not in error.words:
                raise
            # Another user's, of the token before this one: for us there is none.
            raise RequestRejected(detail=error.detail, status=error.status, words=error.words) from error

    async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
        """Send one part; see `UploadRoutes`."""
        return await self._send(f"/uploads/{session_id}", body, None)
