"""Websocket connections and the events sent over them.

A connection outlives its socket: after a loss its events are kept, and a client that comes back with its
connection id and sequence number gets what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any

import attrs
from aiohttp import web

from recorder_fsm.standin.state import new_id

PREFIX = "custom_com.mattermost.calls_"
KEPT_EVENTS = 128


@attrs.define(eq=False)
class Connection:
    """Hold one connection: who, which call it joined, and its sequence of events.

    `first_id` is the id with which its client joined: another one where it came back on a new connection.
    """

    user: str
    id: str = attrs.Factory(new_id)
    first_id: str = attrs.field(default=attrs.Factory(lambda self: self.id, takes_self=True))
    call_id: str = ""
    recording_id: str = ""
    next_seq: int = 0
    kept: deque[dict[str, Any]] = attrs.field(factory=lambda: deque(maxlen=KEPT_EVENTS))
    socket: web.WebSocketResponse | None = None
    request: web.Request | None = None
    outbox: asyncio.Queue[dict[str, Any]] = attrs.Factory(asyncio.Queue)

    @property
    def open(self) -> bool:
        return self.socket is not None

    def send(self, event: str, data: dict[str, Any], channel_id: str = "") -> None:
        """Queue an event; it is kept for a client that is away for a moment."""
        message = {
            "event": event,
            "data": data,
            "broadcast": {"omit_users": None, "user_id": "", "channel_id": channel_id, "team_id": ""},
            "seq": self.next_seq,
        }
        self.next_seq += 1
        self.kept.append(message)
        if self.socket is not None:
            self.outbox.put_nowait(message)

    def reply(self, message: dict[str, Any]) -> None:
        """Queue an answer to a client's message; answers have no sequence and are not repeated."""
        if self.socket is not None:
            self.outbox.put_nowait(message)

    def attach(self, socket: web.WebSocketResponse, request: web.Request, sequence_number: int) -> None:
        """Put a socket under the connection and send again what the client has not seen."""
        self.socket = socket
        self.request = request
        self.outbox = asyncio.Queue()
        for message in self.kept:
            if message["seq"] >= sequence_number:
                self.outbox.put_nowait(message)

    async def write_out(self, socket: web.WebSocketResponse) -> None:
        """Send what is queued, in order, until the socket is lost."""
        outbox = self.outbox
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_json(await outbox.get())


class Hub:
    """Hold all connections and know who hears what."""

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}

    def add(self, user: str) -> Connection:
        connection = Connection(user)
        self.connections[connection.id] = connection
        return connection

    def resumable(self, connection_id: str, user: str) -> Connection | None:
        """Return the connection to continue, if it is known and the same user's."""
        connection = self.connections.get(connection_id)
        return connection if connection is not None and connection.user == user else None

    def of_bot(self) -> list[Connection]:
        return [one for one in self.connections.values() if one.user == "bot"]

    def in_call(self, call_id: str | None) -> list[Connection]:
        """Return the connections that joined this call, or any call for None."""
        return [one for one in self.connections.values() if one.call_id and call_id in {None, one.call_id}]

    def publish(self, event: str, data: dict[str, Any], to: Iterable[Connection], channel_id: str = "") -> int:
        """Send one event to each connection; returns how many there were."""
        receivers = list(to)
        for connection in receivers:
            connection.send(event, data, channel_id)
        return len(receivers)

    def to_bot(self, event: str, data: dict[str, Any]) -> int:
        """Send to every connection of the bot, whatever call it is in, as the plugin does (contract 3.2)."""
        return self.publish(PREFIX + event, data, self.of_bot())

    def to_call(self, event: str, data: dict[str, Any], call_id: str) -> int:
        """Send to those in the call, and to bot connections that joined none; they go by the `channelID`."""
        receivers = [
            one
            for one in self.connections.values()
            if one.call_id == call_id or (one.user == "bot" and not one.call_id)
        ]
        return self.publish(PREFIX + event, {**data, "channelID": call_id}, receivers, call_id)

    async def close_all(self) -> None:
        """Say goodbye to every open socket, for a shutdown."""
        sockets = [one.socket for one in self.connections.values() if one.socket is not None]
        await asyncio.gather(*(socket.close(code=1001, message=b"server stops") for socket in sockets))
        self.connections.clear()
