"""The calls by which tests and people steer the server; for this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler

from recorder_fsm.standin.access import BodyError, read_json
from recorder_fsm.standin.calls import DEMO_CALL_ID, Calls, NoSuchCallError
from recorder_fsm.standin.draining import Draining
from recorder_fsm.standin.events import Hub
from recorder_fsm.standin.knobs import KnobError, Knobs
from recorder_fsm.standin.network import Network, reset
from recorder_fsm.standin.peers import Peers
from recorder_fsm.standin.requestlog import shown
from recorder_fsm.standin.scene import scene_of
from recorder_fsm.standin.state import Call, Job, State

GUARDED = frozenset({"control", "knobs", "log", "state", "calls", "reset"})


class Control:
    """Serve /standin/control, knobs, log, state, calls and reset; `restart` brings the first state back."""

    def __init__(
        self,
        state: State,
        hub: Hub,
        calls: Calls,
        network: Network,
        *,
        draining: Draining,
        peers: Peers,
        restart: Callable[[], Awaitable[None]],
    ) -> None:
        self._state = state
        self._hub = hub
        self._calls = calls
        self._network = network
        self._draining = draining
        self._peers = peers
        self._restart = restart

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/standin/control", self.act),
            web.get("/standin/knobs", self.knobs),
            web.put("/standin/knobs", self.set_knobs),
            web.patch("/standin/knobs", self.patch_knobs),
            web.get("/standin/log", self.log),
            web.get("/standin/state", self.state),
            web.post("/standin/calls", self.create_call),
            web.post("/standin/reset", self.reset),
        ]

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep other machines from the controls, and other sites' pages from all that changes something."""
        parts = request.path.split("/")
        if parts[1] == "standin":
            if len(parts) > 2 and parts[2] in GUARDED and not is_loopback(request.remote):
                raise web.HTTPForbidden(text="only from this machine")
            origin = request.headers.get("Origin")
            if request.method != "GET" and origin is not None and urlsplit(origin).netloc != request.host:
                raise web.HTTPForbidden(text="not from another site")
        return await handler(request)

    async def act(self, request: web.Request) -> web.Response:
        """Do one action, in one call or in all; replies with how many calls, sockets or pages it reached."""
        body = await _object(request)
        action, call_id = body.get("action"), body.get("call_id")
        try:
            calls = [self._calls.find(str(call_id))] if call_id is not None else list(self._state.calls.values())
        except NoSuchCallError as problem:
            raise web.HTTPNotFound(text=str(problem)) from problem
        calls = [call for call in calls if not call.end_at]
        match action:
            case "end_call":
                for call in calls:
                    self._calls.end_call(call.id)
                reached = len(calls)
            case "stop_recording":
                live = self._live_jobs(calls)
                for job in live:
                    self._calls.stop_recording(job.id)
                reached = len(live)
            case "everyone_leaves":
                for call in calls:
                    self._calls.everyone_leaves(call.id)
                reached = len(calls)
            case "drop_network":
                reached = self._network.drop(_seconds(body), spare=request)
            case "crash_plugin" | "deactivate_plugin":
                self._end_plugin(str(action), body)
                reached = len(calls)
            case "ws_drop":
                reached = self.drop_websockets(call_id)
            case "page":
                reached = self.page_command(call_id, {k: v for k, v in body.items() if k not in {"action", "call_id"}})
            case _:
                raise web.HTTPBadRequest(text=f"unknown action {action!r}")
        return web.json_response({"reached": reached})

    def _live_jobs(self, calls: list[Call]) -> list[Job]:
        """Return the jobs that a host may stop; raises Mattermost's 404 where the plugin is off."""
        if self._state.plugin_off:
            raise web.HTTPNotFound(text="404 page not found")
        return [call.job for call in calls if call.job is not None and not call.job.end_at]

    def _end_plugin(self, action: str, body: dict[str, Any]) -> None:
        if action == "crash_plugin":
            self.crash_plugin(_seconds(body), rtc=bool(body.get("rtc", True)))
        else:
            self._draining.begin(back_after_s=_seconds(body), revoke=bool(body.get("revoke", True)))

    def crash_plugin(self, seconds: float, *, rtc: bool) -> None:
        """Take the plugin's routes away for `seconds`, and for good, with `rtc`, all its peer connections."""
        self._network.crash_plugin(seconds)
        if rtc:
            self._peers.crash()

    def drop_websockets(self, call_id: str | None) -> int:
        """Reset the sockets of all who joined the call; they may come back within the grace."""
        open_ones = [one for one in self._hub.in_call(call_id) if one.open and one.request is not None]
        for connection in open_ones:
            if connection.request is not None:
                reset(connection.request)
        return len(open_ones)

    def page_command(self, call_id: str | None, command: dict[str, Any]) -> int:
        """Tell the bot's pages in a call to misbehave; returns how many were told."""
        if not command.get("command"):
            raise web.HTTPBadRequest(text="a page action needs a command")
        pages = [one for one in self._hub.in_call(call_id) if one.user == "bot"]
        return self._hub.publish("standin_command", command, pages)

    async def knobs(self, _: web.Request) -> web.Response:
        """Reply with the knobs; each fault says how often it was used."""
        return web.json_response(self._state.knobs.to_json())

    async def set_knobs(self, request: web.Request) -> web.Response:
        """Replace all knobs; those not given return to their defaults."""
        return await self._put_knobs(request, Knobs())

    async def patch_knobs(self, request: web.Request) -> web.Response:
        """Replace the given knobs only."""
        return await self._put_knobs(request, self._state.knobs)

    async def _put_knobs(self, request: web.Request, base: Knobs) -> web.Response:
        try:
            self._state.knobs = base.patched(await _object(request))
        except KnobError as problem:
            raise web.HTTPBadRequest(text=str(problem)) from problem
        self._state.changed()
        return web.json_response(self._state.knobs.to_json())

    async def log(self, request: web.Request) -> web.Response:
        """Reply with the requests so far, oldest first, without secrets; `?route=` picks one route."""
        route = request.query.get("route")
        entries = [entry for entry in self._state.log if route in {None, entry.route}]
        return web.json_response([shown(entry, self._state) for entry in entries])

    async def state(self, _: web.Request) -> web.Response:
        """Reply with everything the server knows, and the demo call's ids with the bot's token."""
        return web.json_response(self.snapshot())

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON takes it; paths become text."""
        state = self._state
        demo = state.calls.get(DEMO_CALL_ID)
        return {
            "demo": attrs.asdict(self._calls.ids(demo)) if demo else None,
            "calls": [
                {**attrs.asdict(call), "participants": scene_of(state, call)["participants"]}
                for call in state.calls.values()
            ],
            "posts": [attrs.asdict(post) for post in state.posts],
            "thread_posts": [attrs.asdict(post) for post in state.thread_posts],
            "files": [_plain(attrs.asdict(one)) for one in state.files.values()],
            "upload_sessions": [_plain(attrs.asdict(one)) for one in state.sessions.values()],
            "upload_sessions_created": len(state.sessions),
            "bytes_received": sum(one.bytes_received for one in state.sessions.values()),
            "statuses": [attrs.asdict(one) for one in state.statuses],
            "joins": state.joins,
            "connections": [
                {
                    "id": one.id,
                    "user": one.user,
                    "call_id": one.call_id,
                    "open": one.open,
                    "peer": one.first_id in self._peers.open,
                }
                for one in self._hub.connections.values()
            ],
            "network_down": state.network_down,
        }

    async def create_call(self, request: web.Request) -> web.Response:
        """Make a call with a job, or one more job in the call `call_id`; replies with ids and token."""
        body = await _object(request) if request.can_read_body else {}
        scene = body.get("scene", {})
        if not isinstance(scene, dict):
            raise web.HTTPBadRequest(text="scene is a JSON object")
        try:
            if "call_id" in body:
                ids = self._calls.create_job(str(body["call_id"]))
            else:
                ids = self._calls.create_call(
                    name=str(body.get("name", "Town Square")),
                    scene=scene,
                    viewable=bool(body.get("viewable", True)),
                )
        except NoSuchCallError as problem:
            raise web.HTTPNotFound(text=str(problem)) from problem
        return web.json_response(attrs.asdict(ids), status=201)

    async def reset(self, _: web.Request) -> web.Response:
        """Stop all recorders, forget everything, and return to the first knobs."""
        await self._restart()
        return web.json_response({"reset": True})


def is_loopback(address: str | None) -> bool:
    """Say whether a peer's address is this machine's own."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = await read_json(request)
    except BodyError as problem:
        raise web.HTTPBadRequest(text=str(problem)) from problem
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="a JSON object is needed")
    return body


def _seconds(body: dict[str, Any]) -> float:
    seconds = body.get("seconds")
    if not isinstance(seconds, int | float) or seconds <= 0:
        raise web.HTTPBadRequest(text=f"{body.get('action')} needs seconds above 0")
    return float(seconds)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "path": str(fields["path"])}
