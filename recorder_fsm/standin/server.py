"""One stand-in server: its parts put together, started, and stopped in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web

from recorder_fsm.standin.access import JSON_BODY_LIMIT_BYTES
from recorder_fsm.standin.botapi import BotApi
from recorder_fsm.standin.calls import Calls
from recorder_fsm.standin.channel import Channel
from recorder_fsm.standin.control import Control
from recorder_fsm.standin.core_uploads import CoreUploads
from recorder_fsm.standin.coreapi import CoreApi
from recorder_fsm.standin.draining import Draining
from recorder_fsm.standin.events import Hub
from recorder_fsm.standin.faults import Faults
from recorder_fsm.standin.knobs import Fault, KnobError, Knobs
from recorder_fsm.standin.launcher import RECORDER, Launcher, default_environ
from recorder_fsm.standin.network import HalfOpen, Network
from recorder_fsm.standin.pages import Pages
from recorder_fsm.standin.peers import Peers
from recorder_fsm.standin.posts import PostsApi
from recorder_fsm.standin.requestlog import RequestLog
from recorder_fsm.standin.state import CallIds, LogEntry, State
from recorder_fsm.standin.uploads import EARLY_REPLY_LINGER_S, Uploads
from recorder_fsm.standin.websocket import Websocket
from recorder_fsm.terminal.stopping import AGAIN, SIGNALLED

SHUTDOWN_S = 2.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to


class StandIn:
    """Hold one running server; ready inside `async with`, gone with all its recorders after it.

    `port` 0 takes any free port. `environ` is what recorders started here inherit from, `recorder_argv` their
    command line.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        data_dir: Path,
        knobs: Knobs | Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        recorder_argv: Sequence[str] = RECORDER,
    ) -> None:
        self._host, self._port = host, port
        self.data_dir = data_dir
        chosen = knobs if isinstance(knobs, Knobs) else Knobs.from_json(knobs or {})
        self.state = State(data_dir, chosen)
        self.hub = Hub()
        self.calls = Calls(self.state, self.hub)
        self.launcher = Launcher(
            self.state,
            self.calls,
            environ=default_environ() if environ is None else environ,
            argv=recorder_argv,
        )
        self._network = Network(self.state)
        self._draining = Draining(self.state, self.hub)
        self.peers = Peers(self.state, self.hub)
        self._websocket = Websocket(self.state, self.hub, self.calls, self.peers)
        self._core = CoreApi(self.state)
        self._control = Control(
            self.state,
            self.hub,
            self.calls,
            self._network,
            draining=self._draining,
            peers=self.peers,
            restart=self.restart,
        )
        self._channel = Channel(self.state, self.calls, self.launcher, "")
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            # aiohttp reads on for so long after a reply that came before the end of the body, then closes.
            lingering_time=EARLY_REPLY_LINGER_S,
        )
        await runner.setup()
        self._runner = runner
        self._network.server = runner.server
        connect = cast("Callable[[], asyncio.Protocol]", runner.server)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: HalfOpen(connect()), self._host, self._port)
        port = self._listener.sockets[0].getsockname()[1]
        host = ANY_ADDRESS.get(self._host, self._host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._channel.site_url = self.url
        self.calls.add_demo_call()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Recorders first: they still want to publish here.
        await self.launcher.stop_all()
        self.state.closing.set()
        self.state.changed()
        self._forget_timers()
        await self.hub.close_all()
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def restart(self) -> None:
        """Stop all recorders, forget all calls and files, and make the demo call anew."""
        await self.launcher.stop_all()
        self._forget_timers()
        await self.hub.close_all()
        self._forget_timers()
        self._core.rate_limit.clear()
        self.state.clear()
        self.calls.add_demo_call()

    def create_call(
        self, *, name: str = "Town Square", scene: dict[str, Any] | None = None, viewable: bool = True
    ) -> CallIds:
        """Make a call with one job that waits for its recorder; `scene` is what its page draws."""
        return self.calls.create_call(name=name, scene=scene, viewable=viewable)

    def create_job(self, call_id: str) -> CallIds:
        """Make a newer recording job in a call; raises `NoSuchCallError`."""
        return self.calls.create_job(call_id)

    def set_faults(self, *faults: Fault | Mapping[str, Any]) -> None:
        """Replace all faults; raises `KnobError` for one that cannot be read."""
        self.state.knobs.faults = [one if isinstance(one, Fault) else Fault.from_json(one) for one in faults]
        self.state.changed()

    def stop_recording(self, recording_id: str) -> None:
        """Stop a recording as its host does; raises `NoSuchCallError`."""
        self.calls.stop_recording(recording_id)

    def end_call(self, call_id: str) -> None:
        """End a call for everyone; raises `NoSuchCallError`."""
        self.calls.end_call(call_id)

    def everyone_leaves(self, call_id: str) -> None:
        """Let all people leave a call; raises `NoSuchCallError`."""
        self.calls.everyone_leaves(call_id)

    def drop_network(self, seconds: float) -> int:
        """Reset all connections and refuse new ones for `seconds`; returns how many were open."""
        return self._network.drop(seconds)

    def crash_plugin(self, seconds: float, *, rtc: bool = True) -> None:
        """Let the plugin's routes answer 404 as those of a plugin that is off, for `seconds`.

        Its RTC server dies with it, and all peer connections; not where `rtc` is false, as with a server apart.
        """
        self._control.crash_plugin(seconds, rtc=rtc)

    def deactivate_plugin(self, *, back_after_s: float = 1.0, revoke: bool = True) -> None:
        """Let the plugin drain, go, and come back after `back_after_s`; see `Draining`."""
        self._draining.begin(back_after_s=back_after_s, revoke=revoke)

    def drop_websockets(self, call_id: str | None = None) -> int:
        """Reset the websockets of a call, or of all; returns how many were open."""
        return self._control.drop_websockets(call_id)

    def page_command(self, call_id: str | None, command: str, **args: Any) -> int:
        """Send a command to the call pages that the bot has in a call; returns how many were told."""
        return self._control.page_command(call_id, {"command": command, **args})

    def person_does(self, call_id: str, event: str, person_id: str) -> int:
        """Tell a call's pages what a person does: `user_voice_on` and the like; returns how many were told."""
        return self.calls.person_does(call_id, event, person_id)

    def requests(self, route: str | None = None) -> list[LogEntry]:
        """Return the requests so far, oldest first, of one route or of all."""
        return [entry for entry in self.state.log if route in {None, entry.route}]

    def uploaded(self, file_id: str) -> Path:
        """Return where a complete file lies; raises KeyError."""
        return self.state.files[file_id].path

    async def wait_for(self, predicate: Callable[[], Any], limit_s: float = 10.0) -> Any:
        """Return the first true value of `predicate`, asked at every change; raises TimeoutError."""
        return await self.state.wait_for(predicate, limit_s)

    def _forget_timers(self) -> None:
        self.calls.forget_timers()
        self._websocket.forget_timers()
        self.peers.forget()
        self._draining.cancel()

    def _application(self) -> web.Application:
        log, faults = RequestLog(self.state), Faults(self.state)
        application = web.Application(
            middlewares=[log.middleware, self._network.gate, self._control.guard, faults.middleware],
            client_max_size=JSON_BODY_LIMIT_BYTES,
        )
        parts = (
            BotApi(self.state, self.calls),
            Uploads(self.state),
            CoreUploads(self.state),
            PostsApi(self.state),
            self._core,
            Pages(self.state),
            self._websocket,
            self.peers,
            self._channel,
            self._control,
        )
        for part in parts:
            application.add_routes(part.routes())
        return application


def read_knobs(path: Path) -> Knobs:
    """Read knobs from a JSON file; raises `KnobError` where they are not understood, OSError without a file."""
    try:
        return Knobs.from_json(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise KnobError(f"{path} is not JSON: {error}") from error


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def serve(
    host: str = "127.0.0.1",
    port: int = 8065,
    data_dir: Path | None = None,
    knobs_file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    recorder_argv: Sequence[str] = RECORDER,
    say: Callable[[str], None] | None = None,
) -> None:
    """Run a server until SIGTERM or SIGINT; raises `KnobError`, or OSError where the port is taken.

    Says one line with the address, on standard output unless `say` takes it elsewhere. Without `data_dir` its files
    live in a temporary directory.
    """
    say = say or _say
    if data_dir is None:
        with tempfile.TemporaryDirectory(prefix="recorder-standin-") as folder:
            await serve(host, port, Path(folder), knobs_file, environ=environ, recorder_argv=recorder_argv, say=say)
        return
    knobs = read_knobs(knobs_file) if knobs_file is not None else Knobs()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopped.is_set():
            os._exit(SIGNALLED + number)
        stopped.set()
        if number == signal.SIGINT:  # by a person
            say(f"Stopping the stand-in and its recorders. {AGAIN}")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    async with StandIn(
        host, port, data_dir=data_dir, knobs=knobs, environ=environ, recorder_argv=recorder_argv
    ) as standin:
        say(f"stand-in Mattermost at {standin.url}")
        await stopped.wait()
