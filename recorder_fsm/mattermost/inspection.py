"""Looking at a server from outside: requests that only read, for somebody who wants to know whether a job would work.

The same client as a job's: proxies, authorities, limits and errors are those that a job would meet.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import attrs
import requests
from mattermostdriver import Driver

from recorder_fsm.config.address import site_address
from recorder_fsm.errors import MattermostError, ServerUnavailable
from recorder_fsm.mattermost.answers import Reply
from recorder_fsm.mattermost.client import PLUGIN, BotClient, trust
from recorder_fsm.mattermost.proxies import proxy_for, shown_proxy

TIMEOUT_S = (4.0, 4.0)
PAGE = "/standalone/recording.html"
PAGE_HEADER = {"X-Calls-Recorder": "true"}
"""Without it the plugin refuses the page (contract 3.1)."""
SOME_CHANNEL = "a" * 26
"""The route for a file's name answers for any channel (contract 2.2): it tells whether the token is the bot's."""


class Inspection:
    """One server, asked with one token. Blocking: call it in a thread. `close()` ends its connections."""

    def __init__(self, site_url: str, token: str, ca_file: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Prepare; raises `MattermostError` where the address or the certificate file cannot be used."""
        self.site = site_address(site_url)
        self.proxy = shown_proxy(proxy_for(site_url))
        self._ca_file = ca_file
        options = {**Driver.default_options, "token": token, "ca_file": ca_file, "debug": False}
        self._client = _NotingClient(
            {**options, "scheme": self.site.scheme, "url": self.site.host, "port": self.site.port}, clock
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def server(self) -> dict[str, Any]:
        """Return what the server tells its clients of itself: anybody its `Version`, a session its `MaxFileSize`."""
        return self._client.make_request(
            "get", "/config/client", params={"format": "old"}, timeout_s=TIMEOUT_S
        ).fields()

    @property
    def skew_s(self) -> float | None:
        """By how much our clock is ahead of the server's, by its last answer; None where it did not say the time."""
        return self._client.skew_s

    def me(self) -> dict[str, Any]:
        """Return the account whose token it is."""
        return self._get("/users/me").fields()

    def name_for(self, channel_id: str) -> str:
        """Return the name that a recording of this channel would have: only the Calls bot is told."""
        return str(self._get(f"/bot/calls/{channel_id or SOME_CHANNEL}/filename", PLUGIN).fields().get("filename", ""))

    def plugin_version(self) -> str:
        """Return the plugin's version."""
        return str(self._get("/version", PLUGIN).fields().get("version", ""))

    def plugin_config(self) -> dict[str, Any]:
        """Return the configuration that the plugin tells its clients."""
        return self._get("/config", PLUGIN).fields()

    def page_bytes(self) -> int:
        """Return the size of the recording page."""
        return len(self._get(PAGE, PLUGIN).body)

    def max_file_size(self) -> int | None:
        """Return MaxFileSize in bytes, None where the server does not tell."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return int(self.server()["MaxFileSize"])
        return None

    def certificate(self) -> Certificate:
        """Return the server's certificate; raises `MattermostError` where it is not trusted, or nobody answers."""
        context = trust(self._ca_file)
        host = self.site.host.strip("[]")
        try:
            with (
                socket.create_connection((host, self.site.port), TIMEOUT_S[0]) as plain,
                context.wrap_socket(plain, server_hostname=host) as secured,
            ):
                found: Mapping[str, Any] = secured.getpeercert() or {}
                version = secured.version() or ""
        except ssl.SSLCertVerificationError as error:
            raise MattermostError(detail=error.verify_message, code="certificate") from error
        except OSError as error:
            raise ServerUnavailable(detail=f"{self.site.host}: {error.strerror or error}") from error
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
        issuer = dict(pair[0] for pair in found.get("issuer", ()))
        return Certificate(ends, str(issuer.get("organizationName") or issuer.get("commonName") or "unknown"), version)

    def _get(self, route: str, base: str | None = None) -> Reply:
        return self._client.make_request("get", route, basepath=base, timeout_s=TIMEOUT_S)


@attrs.frozen
class Certificate:
    """When it ends, who signed it, and the version of TLS that was agreed."""

    ends: datetime
    issuer: str
    tls: str


class _NotingClient(BotClient):
    """Notes what time it is for the server."""

    def __init__(self, options: Mapping[str, Any], clock: Callable[[], float]) -> None:
        super().__init__(options)
        self._session.headers.update(PAGE_HEADER)
        self._clock = clock
        self.skew_s: float | None = None

    def _taken(self, what: str, response: requests.Response, until: float, most_bytes: int) -> Reply:
        with contextlib.suppress(KeyError, ValueError, TypeError):
            self.skew_s = self._clock() - parsedate_to_datetime(response.headers["Date"]).timestamp()
        return super()._taken(what, response, until, most_bytes)
