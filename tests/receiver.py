"""A receiver of webhooks: a real server that notes what comes and answers as it is told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

LARGEST = 2**20


@attrs.frozen
class Request:
    """What came: headers in lower case, the body as it was sent."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.body)
        return message

    def signed_with(self, key: bytes) -> bool:
        """Check the signature by the text of the specification, not by the code under test."""
        signed = b".".join([self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body])
        wanted = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return f"v1,{wanted}" in self.headers["webhook-signature"].split()


@attrs.define
class Receiver:
    """The server. `answers` are given in turn, the last one for ever; `url` is where it listens."""

    answers: list[web.Response | None] = attrs.Factory(list)
    requests: list[Request] = attrs.Factory(list)
    url: str = ""
    came: asyncio.Event = attrs.Factory(asyncio.Event)
    over: asyncio.Event = attrs.Factory(asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Request(request.path_qs, headers, await request.read()))
        self.came.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else (self.answers or [web.Response()])[0]
        if answer is None:
            await self.over.wait()
            return web.Response()
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    @property
    def one(self) -> Request:
        """The only request that came."""
        assert len(self.requests) == 1, self.requests
        return self.requests[0]


@asynccontextmanager
async def receiving(*answers: web.Response | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on the loopback; `None` among the answers is one that never comes."""
    receiver = Receiver(list(answers))
    app = web.Application(client_max_size=LARGEST)
    app.router.add_route("*", "/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{port}"
    try:
        yield receiver
    finally:
        receiver.over.set()
        await runner.cleanup()
