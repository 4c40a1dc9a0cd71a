"""The ordered log of requests: whole for tests in this process, without secrets for whoever asks over HTTP."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import unquote

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.access import BODY, identify
from recorder_fsm.standin.faults import route_name
from recorder_fsm.standin.network import is_ours
from recorder_fsm.standin.state import MASK, LogEntry, State

DROPPED = "dropped"
CREDENTIALS = frozenset({"Authorization", "Proxy-Authorization"})
COOKIES = frozenset({"Cookie"})


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
            entry.body = request.get(BODY)
            self._state.changed()

    def _open(self, request: web.Request) -> LogEntry:
        session = identify(request, self._state)
        entry = LogEntry(
            time=time.time(),
            method=request.method,
            path=request.path,
            route=route_name(request),
            query=request.rel_url.raw_query_string,
            headers=headers_of(request),
            auth={"kind": session.kind, "right": session.user is not None, "user": session.user},
        )
        self._state.log.append(entry)
        self._state.changed()
        return entry


def headers_of(request: web.BaseRequest) -> dict[str, str]:
    """Return every header that was sent; names as Go writes them (`X-Calls-Recorder`), repeated ones joined."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        known = name.title()
        headers[known] = f"{headers[known]}, {value}" if known in headers else value
    return headers


def shown(entry: LogEntry, state: State) -> dict[str, Any]:
    """Return an entry for people: every credential is hidden, right or wrong, and our tokens wherever they stand."""
    return {
        **attrs.asdict(entry),
        "path": state.without_tokens(entry.path),
        "query": state.without_tokens(masked_query(entry.query)),
        "headers": {name: state.without_tokens(_masked_header(name, value)) for name, value in entry.headers.items()},
        "body": None if entry.body is None else state.without_tokens(entry.body),
    }


def masked_query(query: str) -> str:
    """Return a query with the value of `access_token` hidden, right or wrong."""
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(
        f"{key}={MASK}" if unquote(key) == "access_token" else key + mark + value for key, mark, value in pairs
    )


def _masked_header(name: str, value: str) -> str:
    if name in CREDENTIALS:
        scheme, space, _ = value.partition(" ")
        return f"{scheme} {MASK}" if space else MASK
    return re.sub(r"=[^;]*", f"={MASK}", value) if name in COOKIES else value
