"""The websocket `/api/v4/websocket`: who may speak, joining, leaving, coming back (contract 3.1, 3.2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from recorder_fsm.standin.access import identify, user_of_token
from recorder_fsm.standin.calls import Calls
from recorder_fsm.standin.events import PREFIX, Connection, Hub
from recorder_fsm.standin.peers import Peers
from recorder_fsm.standin.scene import call_state, scene_of
from recorder_fsm.standin.state import State

HEARTBEAT_S = 30.0
CLOSE_LIMIT_S = 0.5  # a hung page never says goodbye
REFUSED_BY_SCENE = "job not in progress or already started"


class Websocket:
    """Serve the websocket route; one connection per call page."""

    def __init__(self, state: State, hub: Hub, calls: Calls, peers: Peers) -> None:
        self._state = state
        self._hub = hub
        self._calls = calls
        self._peers = peers
        self._leave_timers: dict[str, asyncio.TimerHandle] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v4/websocket", self.serve, name="websocket", allow_head=False)]

    def forget_timers(self) -> None:
        """Cancel every pending departure, for a reset or a shutdown."""
        for timer in self._leave_timers.values():
            timer.cancel()
        self._leave_timers.clear()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Talk with one client until its socket is lost."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=CLOSE_LIMIT_S)
        await socket.prepare(request)
        connection: Connection | None = None
        writer: asyncio.Task[None] | None = None
        if (user := identify(request, self._state).user) is not None:
            connection, writer = self._open(request, socket, user)
        try:
            async for frame in socket:
                message = _read(frame.data) if frame.type is WSMsgType.TEXT else None
                if message is None:
                    continue
                if connection is None:
                    opened = await self._challenge(request, socket, message)
                    if opened is None:
                        break
                    connection, writer = opened
                else:
                    self._answer(connection, message)
        finally:
            if writer is not None:
                writer.cancel()
            if connection is not None and connection.socket is socket:
                connection.socket = None
                self._lost(connection)
        return socket

    async def _challenge(
        self, request: web.Request, socket: web.WebSocketResponse, message: dict[str, Any]
    ) -> tuple[Connection, asyncio.Task[None]] | None:
        seq = message.get("seq")
        data = message.get("data")
        token = str(data.get("token", "")) if isinstance(data, dict) else ""
        # An empty token is a person looking at a call page of the demo; a wrong one is refused as anywhere.
        user = "person" if not token else user_of_token(token, self._state)
        if message.get("action") != "authentication_challenge" or user is None:
            error = {
                "id": "api.web_socket_router.not_authenticated.app_error",
                "message": "",
                "status_code": 401,
            }
            await socket.send_json({"status": "FAIL", "error": error, "seq_reply": seq})
            await socket.close()
            return None
        await socket.send_json({"status": "OK", "seq_reply": seq})
        return self._open(request, socket, user)

    def _open(
        self, request: web.Request, socket: web.WebSocketResponse, user: str
    ) -> tuple[Connection, asyncio.Task[None]]:
        known = "" if self._state.knobs.fresh_connections else request.query.get("connection_id", "")
        connection = self._hub.resumable(known, user)
        if connection is None:
            connection = self._hub.add(user)
            connection.attach(socket, request, 0)
        else:
            if (timer := self._leave_timers.pop(connection.id, None)) is not None:
                timer.cancel()
            number = request.query.get("sequence_number", "")
            connection.attach(socket, request, int(number) if number.isdecimal() else connection.next_seq)
        connection.send("hello", {"server_version": "10.0.0.standin", "connection_id": connection.id})
        self._state.changed()
        return connection, asyncio.create_task(connection.write_out(socket), name="websocket writer")

    def _answer(self, connection: Connection, message: dict[str, Any]) -> None:
        action = message.get("action")
        seq = message.get("seq")
        data = message.get("data")
        if action == "ping":
            connection.reply({"status": "OK", "data": {"text": "pong"}, "seq_reply": seq})
        elif action == f"{PREFIX}join":
            self._join(connection, data if isinstance(data, dict) else {})
        elif action == f"{PREFIX}reconnect":
            self._rejoin(connection, data if isinstance(data, dict) else {})
        elif action == f"{PREFIX}leave":
            self._leave(connection)
        else:
            connection.reply({"status": "OK", "seq_reply": seq})

    def _join(self, connection: Connection, data: dict[str, Any]) -> None:
        call_id, recording_id = str(data.get("channelID", "")), str(data.get("jobID", ""))
        call = self._state.calls.get(call_id)
        if connection.user == "bot":
            refusal = self._calls.refusal_to_join(call_id, recording_id)
            wish = scene_of(self._state, call)["page_faults"].get("join_refused")
            if wish:
                refusal = wish if isinstance(wish, str) else REFUSED_BY_SCENE
        else:
            refusal = "" if call is not None and call.viewable and not call.end_at else "forbidden"
        if refusal:
            connection.send(f"{PREFIX}error", {"connID": connection.id, "data": refusal})
        else:
            connection.call_id = call_id
            if connection.user == "bot" and call is not None and call.job is not None:
                connection.recording_id = recording_id
                call.job.bot_connection_id = connection.id
            connection.send(f"{PREFIX}join", {"connID": connection.id})
            connection.send(f"{PREFIX}call_state", call_state(self._state, call, connection))
        self._state.joins.append(
            {"call_id": call_id, "recording_id": recording_id, "user": connection.user, "refusal": refusal}
        )
        self._state.changed()

    def _rejoin(self, connection: Connection, data: dict[str, Any]) -> None:
        """Let a client that came back on a new connection go on with its session, while that is kept."""
        previous = self._hub.connections.get(str(data.get("prevConnID", "")))
        if previous is None or previous.user != connection.user or not previous.call_id:
            return
        if (timer := self._leave_timers.pop(previous.id, None)) is not None:
            timer.cancel()
        connection.call_id, connection.recording_id = previous.call_id, previous.recording_id
        connection.first_id = str(data.get("originalConnID", ""))
        del self._hub.connections[previous.id]
        if (job := self._state.find_job(connection.recording_id)) is not None:
            job.bot_connection_id = connection.id
        self._state.changed()

    def _leave(self, connection: Connection) -> None:
        job = self._state.find_job(connection.recording_id)
        connection.call_id = connection.recording_id = ""
        self._peers.close(connection.first_id)
        # The plugin compares what it stored with the id of the join: a new connection has another one (contract 6.11).
        if job is not None and job.bot_connection_id == connection.first_id:
            self._calls.bot_left(job)
        self._state.changed()

    def _lost(self, connection: Connection) -> None:
        """Keep a lost connection for a while; the server removes session and peer after 10 s (contract 3.2)."""
        if self._state.closing.is_set():
            return

        def depart() -> None:
            self._leave_timers.pop(connection.id, None)
            if not connection.open:
                self._hub.connections.pop(connection.id, None)
                self._leave(connection)

        grace_s = self._state.knobs.leave_grace_s
        self._leave_timers[connection.id] = asyncio.get_running_loop().call_later(grace_s, depart)
        self._state.changed()


def _read(text: str) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
