"""Sets a fresh development Mattermost up, once: admin, team, channel, the Calls plugin, the bot's token.

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
from typing import Any

URL = os.environ.get("SITE_URL", "http://127.0.0.1:8065")
USER = os.environ.get("ADMIN_USER", "admin")
PASSWORD = os.environ.get("ADMIN_PASSWORD", "")
TEAM, CHANNEL = "calls", "recorded"
PLUGIN = "com.mattermost.calls"
WAIT_S = 180.0


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


def wait_for(server: Server) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            server.call("GET", "/api/v4/system/ping")
            return
        except (RefusedError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(1)


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
    settings = {"enablerecordings": True, "jobserviceurl": "http://127.0.0.1:4545", "defaultenabled": True}
    server.call(
        "PUT",
        "/api/v4/config/patch",
        {
            "ServiceSettings": {"EnableUserAccessTokens": True},
            "PluginSettings": {"Plugins": {PLUGIN: settings}, "PluginStates": {PLUGIN: {"Enable": True}}},
        },
    )
    server.call("POST", f"/api/v4/plugins/{PLUGIN}/enable")
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
    server.call("POST", f"/plugins/{PLUGIN}/calls/{channel['id']}/recording/start")
    sys.stdout.write("recording; stop it in the call, or end the call\n")


def main(words: list[str]) -> int:
    if not PASSWORD:
        sys.stderr.write("ADMIN_PASSWORD must be set\n")
        return 2
    server = Server()
    try:
        wait_for(server)
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
