"""What a call page does on its websocket to the stand-in, one step at a time."""

from __future__ import annotations

from typing import Any

import aiohttp

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.state import Job

SOCKET = "/api/v4/websocket"
CALLS = "custom_com.mattermost.calls_"


class Page:
    """One logged-in websocket, and the connection id that it was greeted with."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, connection_id: str = "") -> None:
        self.socket = socket
        self.connection_id = connection_id
        self.there: dict[str, Any] = {}

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = await self.socket.receive_json(timeout=5)
        return message

    async def hear_event(self, name: str) -> dict[str, Any]:
        """Return the data of the next event called `name`, passing over others."""
        while True:
            message = await self.hear()
            if message.get("event") == name:
                data: dict[str, Any] = message["data"]
                return data

    async def join(self, ids: CallIds) -> dict[str, Any]:
        """Ask to join and return the reply, an event; one that joined has heard who is there."""
        data = {"channelID": ids.call_id, "jobID": ids.recording_id}
        await self.socket.send_json({"action": f"{CALLS}join", "seq": 2, "data": data})
        reply = await self.hear()
        if reply["event"] == f"{CALLS}join":
            self.there = await self.hear_event(f"{CALLS}call_state")
        return reply

    async def rejoin(self, ids: CallIds, before: Page) -> None:
        """Ask to go on with the session of a page whose connection was lost."""
        data = {"channelID": ids.call_id, "originalConnID": before.connection_id, "prevConnID": before.connection_id}
        await self.socket.send_json({"action": f"{CALLS}reconnect", "seq": 2, "data": data})

    async def leave(self) -> None:
        await self.socket.send_json({"action": f"{CALLS}leave", "seq": 9})


async def log_in(client: aiohttp.ClientSession, token: str) -> Page:
    """Open a websocket, pass the challenge, and hear hello."""
    socket = await client.ws_connect(SOCKET)
    await socket.send_json({"seq": 1, "action": "authentication_challenge", "data": {"token": token}})
    page = Page(socket)
    assert await page.hear() == {"status": "OK", "seq_reply": 1}
    page.connection_id = (await page.hear_event("hello"))["connection_id"]
    return page


def job_of(standin: StandIn, ids: CallIds) -> Job:
    job = standin.state.find_job(ids.recording_id)
    assert job is not None
    return job
