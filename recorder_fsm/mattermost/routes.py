"""The requests to Mattermost and to the Calls plugin, each made once, off the event loop, with a limit on its time.

`ServerRoutes` owns the driver and its threads; `PluginRoutes` are those of the plugin's bot. Those to a channel, by an
ordinary user, are in `channel_routes`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from loguru import logger
from mattermostdriver import Driver

from recorder_fsm.config.address import site_address
from recorder_fsm.errors import MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.answers import Reply
from recorder_fsm.mattermost.client import PLUGIN, REPLY_LIMIT_BYTES, THREAD_LIMIT_BYTES, BotClient
from recorder_fsm.mattermost.part_body import PartBody
from recorder_fsm.mattermost.retry import RetryTiming, reason
from recorder_fsm.mattermost.upload_session import ID, Session, UploadRoutes
from recorder_fsm.system.clock import running_timeout
from recorder_fsm.system.threads import in_daemon_thread

POSTS_OF_A_PAGE = 100

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ServerRoutes(UploadRoutes):
    """One client of one server, with one token. Ready at once; `close()` ends its connections.

    Methods must be called in one event loop; a cancelled call returns at once and leaves its thread behind.
    """

    def __init__(self, site_url: str, token: str, channel_id: str, ca_file: Path | None, timing: RetryTiming) -> None:
        self._channel_id = channel_id
        self._timing = timing
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

    async def ask(
        self,
        method: str,
        route: str,
        body: dict[str, Any] | None = None,
        *,
        basepath: str | None = None,
        read_s: float | None = None,
        most_bytes: int = REPLY_LIMIT_BYTES,
    ) -> Reply:
        """Make one request below `basepath`, None for Mattermost's own API.

        `read_s` seconds without a byte of the answer end it. Raises as `BotClient.make_request`.
        """
        timeout_s = (self._timing.connect_s, read_s or self._timing.read_s)

        def request() -> Reply:
            return self._client.make_request(
                method, route, options=body, basepath=basepath, timeout_s=timeout_s, most_bytes=most_bytes
            )

        spare_s = self._timing.call_limit_s - self._timing.read_s
        return await self.call(request, limit_s=timeout_s[1] + spare_s)

    async def call(self, func: Callable[[*Ts], T], *args: *Ts, limit_s: float) -> T:
        """Run a blocking request with a limit on its whole time, whatever the server dribbles."""
        try:
            async with running_timeout(limit_s):
                return await in_daemon_thread(func, *args)
        except TimeoutError as error:
            raise ServerUnavailable(
                "Mattermost did not answer in time.", detail=f"no reply within {limit_s:g} s"
            ) from error

    async def get(self, route: str) -> dict[str, Any]:
        """Return what stands at a route of Mattermost's own API."""
        return (await self.ask("get", route, most_bytes=THREAD_LIMIT_BYTES)).fields()

    async def max_file_size(self) -> int | None:
        """Return the server's MaxFileSize in bytes, None if it is not readable (contract 2.5). Never raises."""
        try:
            config = await self.call(
                self.driver.system.get_client_configuration, {"format": "old"}, limit_s=self._timing.call_limit_s
            )
            size = int(config["MaxFileSize"])
        except (MattermostError, KeyError, TypeError, ValueError) as error:
            logger.info("MaxFileSize is not known: {}", reason(error))
            return None
        return size if size > 0 else None

    async def thread(self, post_id: str) -> dict[str, Any]:
        """Return the thread of a post, as the server lists it: all of it, which may be long."""
        return await self.get(f"/posts/{post_id}/thread")

    async def page_of_posts(self, page: int) -> dict[str, Any]:
        """Return a page of the channel's posts, the newest on page 0."""
        return await self.get(f"/channels/{self._channel_id}/posts?page={page}&per_page={POSTS_OF_A_PAGE}")

    async def post(self, root_id: str, message: str, **more: Any) -> Reply:
        """Make a post in the channel, or in the thread of `root_id`."""
        body = {"channel_id": self._channel_id, "root_id": root_id, "message": message, **more}
        return await self.ask("post", "/posts", body, read_s=self._timing.save_read_s)

    async def stored(self, file_id: str) -> dict[str, Any]:
        """Return the description of a complete file; whoever uploaded it may always read it."""
        info: dict[str, Any] = await self.call(
            self.driver.files.get_file_metadata, file_id, limit_s=self._timing.call_limit_s
        )
        return info

    async def users(self, ids: list[str]) -> list[dict[str, Any]]:
        """Return the users with these ids, as the call page asks for them; unknown ones are left out."""

        def request() -> Reply:
            return self._client.make_request("post", "/users/ids", options=ids)

        return (await self.call(request, limit_s=self._timing.call_limit_s)).objects()

    async def _send(self, route: str, body: PartBody, basepath: str | None) -> dict[str, Any] | None:
        """Send one part; returns the file's description once it is complete, None if more is wanted."""

        def post() -> Reply:
            with body:
                return self._client.make_request(
                    "post",
                    route,
                    data=body,
                    basepath=basepath,
                    timeout_s=(self._timing.send_s, self._timing.stall_s),
                )

        reply = await in_daemon_thread(post)
        return None if reply.status == 204 else reply.fields()


class PluginRoutes(ServerRoutes):
    """The routes of the Calls plugin's bot."""

    async def plugin(
        self, method: str, route: str, body: dict[str, Any] | None = None, *, read_s: float | None = None
    ) -> Reply:
        """Make one request to the plugin's `route`; `read_s` seconds without a byte of the answer end it."""
        return await self.ask(method, route, body, basepath=PLUGIN, read_s=read_s)

    # The requests of an upload (`UploadRoutes`).

    async def create(self, filename: str, size: int, file_id: str) -> Session:
        """Open an upload session for `size` bytes; "" leaves the file's id to the server."""
        body = {"channel_id": self._channel_id, "filename": filename, "file_size": size}
        if file_id:
            body["req_file_id"] = file_id
        return read_session(await self.plugin("post", "/bot/uploads", body), file_id)

    async def look(self, session_id: str) -> Session:
        """Return an upload session with the server's offset."""
        return read_session(await self.plugin("get", f"/bot/uploads/{session_id}"))

    async def send(self, session_id: str, body: PartBody) -> dict[str, Any] | None:
        """Send one part; see `UploadRoutes`."""
        return await self._send(f"/bot/uploads/{session_id}", body, PLUGIN)


def read_session(reply: Reply, asked: str = "") -> Session:
    """Read a session; its file has the id that was `asked` for unless the server names another or none."""
    fields = reply.fields()
    session_id, offset, size = (fields.get(key) for key in ("id", "file_offset", "file_size"))
    if not (
        isinstance(session_id, str) and ID.fullmatch(session_id) and isinstance(offset, int) and isinstance(size, int)
    ):
        raise reply.foreign("no upload session")
    return Session(session_id, offset, size, asked if fields.get("req_file_id", asked) == asked else "")


def _address(site_url: str) -> dict[str, Any]:
    try:
        site = site_address(site_url)
    except ValueError as error:
        raise RequestRejected("Mattermost's address is not valid.", detail=f"SITE_URL: {error}") from error
    return {"scheme": site.scheme, "url": site.host, "port": site.port}
