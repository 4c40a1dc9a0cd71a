"""Requests to the Calls plugin and to Mattermost, one call each, off the event loop.

Owns the driver and its threads: an address becomes a client, a request gets a limit on its whole time and an
answer a type. Nothing is repeated here; what the answers mean for a job is `mattermost`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

from mattermostdriver import Driver

from recorder_fsm.errors import RequestRejected, ServerUnavailable
from recorder_fsm.http_session import BotClient, Reply
from recorder_fsm.pace import Pace
from recorder_fsm.parts import ID, PartBody, Session
from recorder_fsm.threads import in_daemon_thread

PLUGIN = "/plugins/com.mattermost.calls"
DEFAULT_PORTS = {"http": 80, "https": 443}

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class PluginRoutes:
    """One client of one server, with the bot's token. Ready at once; `close()` ends its connections.

    Methods must be called in one event loop; a cancelled call returns at once and leaves its thread behind.
    """

    def __init__(self, site_url: str, token: str, call_id: str, ca_file: Path | None, pace: Pace) -> None:
        self._call_id = call_id
        self._pace = pace
        options = {
            **_address(site_url),
            "token": token,
            "ca_file": ca_file,
            "debug": False,  # it would print the token
        }
        self.driver = Driver(options, client_cls=BotClient)
        self._client: BotClient = self.driver.client

    def close(self) -> None:
        """Close all connections to the server."""
        self._client.close()

    async def plugin(
        self, method: str, route: str, body: dict[str, Any] | None = None, *, read_s: float | None = None
    ) -> Reply:
        """Make one request to the plugin's `route`; `read_s` seconds without a byte of the answer end it."""
        timeout_s = (self._pace.connect_s, read_s or self._pace.read_s)

        def request() -> Reply:
            return self._client.make_request(method, route, options=body, basepath=PLUGIN, timeout_s=timeout_s)

        spare_s = self._pace.call_limit_s - self._pace.read_s
        return await self.call(request, limit_s=timeout_s[1] + spare_s)

    async def call(self, func: Callable[[*Ts], T], *args: *Ts, limit_s: float) -> T:
        """Run a blocking request with a limit on its whole time, whatever the server dribbles."""
        try:
            async with asyncio.timeout(limit_s):
                return await in_daemon_thread(func, *args)
        except TimeoutError as error:
            raise ServerUnavailable(
                "Mattermost did not answer in time.", detail=f"no reply within {limit_s:g} s"
            ) from error

    # The three requests of an upload (`uploads.UploadRoutes`).

    async def create(self, filename: str, size: int) -> Session:
        """Open an upload session for `size` bytes."""
        body = {"channel_id": self._call_id, "filename": filename, "file_size": size}
        return _session(await self.plugin("post", "/bot/uploads", body))

    async def look(self, session_id: str) -> Session:
        """Return an upload session with the server's offset."""
        return _session(await self.plugin("get", f"/bot/uploads/{session_id}"))

    async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
        """Send one part; returns the file's description once it is complete, None if more is wanted."""

        def post() -> Reply:
            with body:
                return self._client.make_request(
                    "post",
                    f"/bot/uploads/{session_id}",
                    data=body,
                    basepath=PLUGIN,
                    timeout_s=(self._pace.send_s, self._pace.stall_s),
                )

        reply = await in_daemon_thread(post)
        return None if reply.status == 204 else reply.fields()


def _session(reply: Reply) -> Session:
    fields = reply.fields()
    session_id, offset, size = (fields.get(key) for key in ("id", "file_offset", "file_size"))
    if not (
        isinstance(session_id, str) and ID.fullmatch(session_id) and isinstance(offset, int) and isinstance(size, int)
    ):
        raise RequestRejected(
            "Mattermost's answer was not understood.", detail="not an upload session", status=reply.status
        )
    return Session(session_id, offset, size)


def _address(site_url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(site_url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise RequestRejected("Mattermost's address is not valid.", detail=f"SITE_URL: {error}") from error
    if scheme not in DEFAULT_PORTS or not host:
        missing = "host" if scheme in DEFAULT_PORTS else "scheme http or https"
        raise RequestRejected("Mattermost's address is not valid.", detail=f"SITE_URL has no {missing}")
    return {
        "scheme": scheme,
        "url": f"[{host}]" if ":" in host else host,
        "port": port or DEFAULT_PORTS[scheme],
    }
