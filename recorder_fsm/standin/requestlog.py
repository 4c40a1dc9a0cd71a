"""The ordered log of requests, without secrets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.access import BODY, identify
from recorder_fsm.standin.faults import route_name
from recorder_fsm.standin.network import is_ours
from recorder_fsm.standin.state import LogEntry, State

DROPPED = "dropped"
MASK = "***"
KEPT_HEADERS = (
    "X-Calls-Recorder",
    "User-Agent",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Range",
    "Referer",
)


class RequestLog:
    """Write one entry for each request that is not for the stand-in itself."""

    def __init__(self, state: State) -> None:
        self._state = state

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log a request when it comes, and its status when it is answered or dropped."""
        if is_ours(request.path):
            return await handler(request)
        entry = self._open(request)
        started = time.monotonic()
        status: int | str = DROPPED
        try:
            reply = await handler(request)
            status = reply.status
            return reply
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        except Exception:
            status = 500
            raise
        finally:
            gone = request.transport is None or request.transport.is_closing()
            entry.status = DROPPED if gone and status != 101 else status
            entry.elapsed_s = round(time.monotonic() - started, 3)
            body = request.get(BODY)
            entry.body = None if body is None else self._masked(body)
            self._state.changed()

    def _open(self, request: web.Request) -> LogEntry:
        session = identify(request, self._state)
        entry = LogEntry(
            time=time.time(),
            method=request.method,
            path=request.path,
            route=route_name(request),
            query=self._masked(masked_query(request.query)),
            headers={name: self._masked(request.headers[name]) for name in KEPT_HEADERS if name in request.headers},
            auth={"kind": session.kind, "right": session.user is not None, "user": session.user},
        )
        self._state.log.append(entry)
        self._state.changed()
        return entry

    def _masked(self, text: str) -> str:
        for token in (self._state.bot_token, self._state.person_token):
            text = text.replace(token, MASK)
        return text


def masked_query(query: Mapping[str, Any]) -> str:
    """Return a query as text with the value of `access_token` hidden, right or wrong."""
    return "&".join(f"{key}={MASK if key == 'access_token' else value}" for key, value in query.items())
