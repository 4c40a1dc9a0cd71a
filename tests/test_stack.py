"""deploy/stack/setup.py against a Mattermost whose Calls plugin looks for its job service as the real one does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import yaml
from aiohttp import web

ROOT = Path(__file__).parent.parent
SETUP = ROOT / "deploy" / "stack" / "setup.py"
PLUGIN = "com.mattermost.calls"
PASSWORD = "Developers-only-1"


@attrs.define
class Server:
    """Mattermost with the plugin, and the offloader, which answers only from the third time on that it is asked.

    The plugin is on from the start, with recordings off. It registers with the offloader while it is activated, where
    recordings are on then, and at no other time: neither a changed configuration nor an `enable` of one that is enabled
    activates it.
    """

    url: str = ""
    recordings: bool = False
    enabled: bool = True
    registered: bool = False
    registering: int = 0
    """How many times a recording is refused yet, because the plugin is still registering."""
    refuses: str = ""
    tries: int = 0
    made: set[str] = attrs.Factory(set)
    asked_offloader: int = 0
    started: list[str] = attrs.Factory(list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/version", self.version),
            web.get("/api/v4/system/ping", self.ok),
            web.post("/api/v4/users", self.user),
            web.post("/api/v4/users/login", self.log_in),
            web.post("/api/v4/teams", self.make),
            web.get("/api/v4/teams/name/calls", self.made_before),
            web.post("/api/v4/channels", self.make),
            web.get("/api/v4/teams/calls-id/channels/name/recorded", self.made_before),
            web.put("/api/v4/config/patch", self.patch),
            web.get("/api/v4/plugins/statuses", self.statuses),
            web.post(f"/api/v4/plugins/{PLUGIN}/{{step}}", self.switch),
            web.get("/api/v4/bots", self.bots),
            web.post("/api/v4/users/bot-id/tokens", self.token),
            web.post(f"/plugins/{PLUGIN}/calls/{{call}}/recording/start", self.record),
        ]

    async def version(self, _: web.Request) -> web.Response:
        self.asked_offloader += 1
        return web.json_response({}) if self.answers else web.Response(status=502)

    @property
    def answers(self) -> bool:
        return self.asked_offloader > 2

    async def ok(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})

    async def user(self, request: web.Request) -> web.Response:
        return await self.make(request)

    async def log_in(self, request: web.Request) -> web.Response:
        right = (await request.json())["password"] == PASSWORD
        return web.json_response({}, status=200 if right else 401, headers={"Token": "admins-token"})

    async def make(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body.get("name") or body["username"]
        if name in self.made:
            return web.json_response({"message": "it is there"}, status=400)
        self.made.add(name)
        return web.json_response({"id": f"{name}-id"})

    async def made_before(self, request: web.Request) -> web.Response:
        return web.json_response({"id": f"{request.path.rpartition('/')[2]}-id"})

    async def patch(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer admins-token"
        plugins = (await request.json())["PluginSettings"]
        self.recordings = plugins["Plugins"][PLUGIN]["enablerecordings"]
        if plugins["PluginStates"][PLUGIN]["Enable"] and not self.enabled:
            self.activate()
        return web.json_response({})

    async def switch(self, request: web.Request) -> web.Response:
        if request.match_info["step"] == "disable":
            self.enabled = self.registered = False
        elif not self.enabled:
            self.activate()
        return web.json_response({"status": "OK"})

    def activate(self) -> None:
        self.enabled = True
        self.registered = self.recordings and self.answers

    async def statuses(self, _: web.Request) -> web.Response:
        return web.json_response([{"plugin_id": PLUGIN, "state": 2 if self.enabled else 0}])

    async def bots(self, _: web.Request) -> web.Response:
        return web.json_response([{"owner_id": "other", "user_id": "x"}, {"owner_id": PLUGIN, "user_id": "bot-id"}])

    async def token(self, _: web.Request) -> web.Response:
        return web.json_response({"token": "bots-token"})

    async def record(self, request: web.Request) -> web.Response:
        self.tries += 1
        if self.refuses:
            return web.json_response({"message": self.refuses}, status=404)
        if not self.registered or self.registering:
            self.registering -= bool(self.registering)
            return web.json_response({"message": "Job service is not initialized"}, status=403)
        self.started.append(request.match_info["call"])
        return web.json_response({"message": "success"})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    there = Server()
    app = web.Application()
    app.add_routes(there.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield there
    await runner.cleanup()


async def run(server: Server, *words: str) -> tuple[int, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "SITE_URL": server.url,
        "OFFLOADER_URL": server.url,
        "ADMIN_PASSWORD": PASSWORD,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(SETUP), *words),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_set_up_stack_can_record(server: Server) -> None:
    """The plugin is registered with an offloader that comes late; a call is recorded, and all may be repeated."""
    code, said = await run(server)
    assert (code, server.registered) == (0, True), said
    assert said.endswith("CALL_ID=recorded-id\n")
    server.registering = 1
    assert await run(server, "record") == (0, "recording; stop it in the call, or end the call\n")
    assert server.started == ["recorded-id"]
    assert await run(server, "token") == (0, "bots-token\n")
    code, said = await run(server)
    assert (code, server.registered) == (0, True), said


async def test_refusal_of_a_recording_is_said(server: Server) -> None:
    """What has nothing to do with the job service is said, and not tried again."""
    server.refuses = "there is no call"
    code, said = await run(server, "record")
    assert code == 1
    assert "there is no call" in said
    assert server.tries == 1


def test_stack_names_what_exists() -> None:
    """The offloader's newest tag, the name of the retention that it does not overwrite, and its place in the order."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["offloader"]["image"] == "mattermost/calls-offloader:v0.9.5"
    environment = services["offloader"]["environment"]
    assert environment["JOBS_FAILEDJOBSRETENTIONTIME"] == "30d"
    assert "JOBS_DOCKER_FAILEDJOBSRETENTIONTIME" not in environment
    assert "offloader" in services["setup"]["depends_on"]
