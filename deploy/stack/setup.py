"""Sets a fresh development Mattermost up, once: admin, team, channel, the Calls plugin, the bot's token.

The plugin looks for its job service only while it is activated, and only with recordings on; Mattermost activates it at
its own start, with recordings off. So they are turned on, the offloader is waited for, and the plugin goes off and on.
Everything goes through Mattermost's API and may be repeated. Standard library only. `python3 setup.py token` prints the
token alone; `python3 setup.py record` starts a recording of the call that is going on in the channel.
"""

# ruff: noqa: S310 - the addresses are those of the stack's own servers
from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

URL = os.environ.get("SITE_URL", "http://127.0.0.1:8065")
OFFLOADER = os.environ.get("OFFLOADER_URL", "http://127.0.0.1:4545")
USER = os.environ.get("ADMIN_USER", "admin")
PASSWORD = os.environ.get("ADMIN_PASSWORD", "")
TEAM, CHANNEL = "calls", "recorded"
PLUGIN = "com.mattermost.calls"
WAIT_S = 180.0
PLUGIN_RUNS = 2
"""The state of a plugin that runs, in Mattermost's list of their statuses."""
REGISTERING_S = 30.0
"""How long after its activation the plugin may take to register with the offloader; it tries by itself."""


class RefusedError(Exception):
    """Mattermost's answer, where it is not a success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


class Server:
    """Talks to the API; `token` is that of the logged-in admin."""

    def __init__(self) -> None:
        self.token = ""

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(URL + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                self.token = reply.headers.get("Token") or self.token
                text = reply.read()
        except urllib.error.HTTPError as error:
            raise RefusedError(error.code, error.read(2000).decode(errors="replace")) from error
        return json.loads(text) if text[:1] in {b"{", b"["} else None

    def first(self, method: str, path: str, body: object, *, otherwise: str) -> Any:
        """Make something, or return what was made before."""
        try:
            return self.call(method, path, body)
        except RefusedError:
            return self.call("GET", otherwise)

    def log_in(self) -> None:
        self.call("POST", "/api/v4/users/login", {"login_id": USER, "password": PASSWORD})


def repeat(what: Callable[[], bool], limit_s: float) -> None:
    """Try until it is so; what went wrong last is raised when the time is over."""
    until = time.monotonic() + limit_s
    while True:
        try:
            if what():
                return
            trouble: Exception = TimeoutError(f"not so within {limit_s:g} s")
        except (RefusedError, OSError) as error:
            trouble = error
        if time.monotonic() > until:
            raise trouble
        time.sleep(1)


def answers(server: Server) -> bool:
    server.call("GET", "/api/v4/system/ping")
    return True


def offloader_answers() -> bool:
    with urllib.request.urlopen(f"{OFFLOADER}/version", timeout=5):
        return True


def plugin_runs(server: Server) -> bool:
    statuses = server.call("GET", "/api/v4/plugins/statuses")
    return any(one["plugin_id"] == PLUGIN and one["state"] == PLUGIN_RUNS for one in statuses)


def set_up(server: Server) -> None:
    """Make what is missing. The first user of a server is its admin."""
    try:
        server.call(
            "POST",
            "/api/v4/users",
            {"email": f"{USER}@example.test", "username": USER, "password": PASSWORD},
        )
    except RefusedError as error:
        if error.status != 400:  # the user is there already
            raise
    server.log_in()
    team = server.first(
        "POST",
        "/api/v4/teams",
        {"name": TEAM, "display_name": "Calls", "type": "O"},
        otherwise=f"/api/v4/teams/name/{TEAM}",
    )
    channel = server.first(
        "POST",
        "/api/v4/channels",
        {"team_id": team["id"], "name": CHANNEL, "display_name": "Recorded", "type": "O"},
        otherwise=f"/api/v4/teams/{team['id']}/channels/name/{CHANNEL}",
    )
    settings = {"enablerecordings": True, "jobserviceurl": OFFLOADER, "defaultenabled": True}
    server.call(
        "PUT",
        "/api/v4/config/patch",
        {
            "ServiceSettings": {"EnableUserAccessTokens": True},
            "PluginSettings": {"Plugins": {PLUGIN: settings}, "PluginStates": {PLUGIN: {"Enable": True}}},
        },
    )
    repeat(offloader_answers, WAIT_S)
    for step in ("disable", "enable"):
        server.call("POST", f"/api/v4/plugins/{PLUGIN}/{step}")
    repeat(lambda: plugin_runs(server), WAIT_S)
    sys.stdout.write(f"channel: {URL}/{TEAM}/channels/{CHANNEL}  (user {USER}); CALL_ID={channel['id']}\n")


def bot_token(server: Server) -> str:
    """Return a new token of the Calls bot: a personal access token does as well as the plugin's own session.

    The plugin's session, by SQL: SELECT Token FROM Sessions JOIN Bots ON Sessions.UserId = Bots.UserId
    WHERE Bots.OwnerId = 'com.mattermost.calls' ORDER BY Sessions.CreateAt DESC LIMIT 1;
    """
    bots = server.call("GET", "/api/v4/bots?per_page=200")
    bot = next(bot for bot in bots if bot["owner_id"] == PLUGIN)
    token = server.call("POST", f"/api/v4/users/{bot['user_id']}/tokens", {"description": "recorder by hand"})
    return str(token["token"])


def record(server: Server) -> None:
    """Start recording, as the host does with `/call recording start`; the call must be going on, started by `USER`."""
    team = server.call("GET", f"/api/v4/teams/name/{TEAM}")
    channel = server.call("GET", f"/api/v4/teams/{team['id']}/channels/name/{CHANNEL}")

    def start() -> bool:
        server.call("POST", f"/plugins/{PLUGIN}/calls/{channel['id']}/recording/start")
        return True

    try:
        start()
    except RefusedError as error:
        if "job service" not in str(error).lower():
            raise
        repeat(start, REGISTERING_S)
    sys.stdout.write("recording; stop it in the call, or end the call\n")


def main(words: list[str]) -> int:
    if not PASSWORD:
        sys.stderr.write("ADMIN_PASSWORD must be set\n")
        return 2
    server = Server()
    try:
        repeat(lambda: answers(server), WAIT_S)
        if words == ["token"]:
            server.log_in()
            sys.stdout.write(f"{bot_token(server)}\n")
        elif words == ["record"]:
            server.log_in()
            record(server)
        else:
            set_up(server)
    except (RefusedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
