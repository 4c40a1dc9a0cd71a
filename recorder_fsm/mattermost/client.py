"""The HTTP client: requests to the Calls plugin and to Mattermost, one call each, off the event loop.

Bottom up: sockets that notice a dead network, and whom TLS trusts; `BotClient`, which takes the place of
mattermostdriver's client class. The requests that it makes are in `routes` and `channel_routes`.
mattermostdriver 7.3.2 opens a connection per call, knows no default timeout, lets `.netrc` override the token, follows
redirects with it, sends a body with every GET and hides status codes (contract 2.6); `BotClient` mends that. A refusal
or a failure becomes an error of our tree, worded for people, with the server's own words in its detail. Nothing is
retried here, and what an answer means for a job is left to `bot`.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests
import urllib3.exceptions
from loguru import logger
from mattermostdriver.client import Client
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies

from recorder_fsm import __version__
from recorder_fsm.config.authorities import VARIABLE, read_authorities
from recorder_fsm.errors import (
    UNREACHABLE,
    UNREADABLE,
    MattermostError,
    RequestRejected,
    ServerUnavailable,
    SettingInTheWay,
    SettingsError,
)
from recorder_fsm.mattermost.answers import ASKS_FOR_PASSWORD, READ_BYTES, Reply, refusal, shown
from recorder_fsm.mattermost.proxies import proxy_for, shown_proxy
from recorder_fsm.plain_text import keep_secret

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
DEAD_PEER_S = 30

# tcp(7). A network that is gone shows within half a minute, also while we only wait for an answer; a slow one,
# whose bytes are acknowledged late, may take its time.
SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_S // 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER_S // 6),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_S * 1000),
]


def accepted(options: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return those options that this system takes: a connection without one of them is better than none."""
    taken = []
    with socket.socket() as probe:
        for option in options:
            with contextlib.suppress(OSError):  # a seccomp filter, or a kernel that knows it not
                probe.setsockopt(*option)
                taken.append(option)
    return taken


class Bearer(AuthBase):
    """Sets the token's header. An auth object, since requests would else look for the host in `.netrc`."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class CarefulAdapter(HTTPAdapter):
    """Notices dead connections soon, and verifies servers against one TLS context made by `trust`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._options: dict[str, Any] = {"socket_options": accepted(SOCKET_OPTIONS)}
        if context is not None:
            self._options["ssl_context"] = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **self._options, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, **self._options, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Require a valid certificate; the bundle that requests would load here is already in the context."""
        if url.lower().startswith("https"):
            conn.cert_reqs = "CERT_REQUIRED"


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the system and `ca_file`; raises `MattermostError`.

    Takes what Chromium takes, on every Python: from 3.13 on, `ssl.create_default_context` asks a company's certificates
    for key identifiers and a key usage (VERIFY_X509_STRICT), as neither Chromium nor curl does. It also obeys
    SSLKEYLOGFILE, and so would write down what opens the connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asks for a certificate, and compares the name
    context.hostname_checks_common_name = False
    # Whatever is trusted ends the chain, an intermediate or a server's own certificate, too.
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    bundle = SYSTEM_BUNDLE if SYSTEM_BUNDLE.is_file() else Path(DEFAULT_CA_BUNDLE_PATH)
    context.load_verify_locations(cafile=str(bundle))
    if ca_file is None:
        return context
    try:
        authorities = read_authorities(ca_file)
    except SettingsError as error:
        raise MattermostError(error.sentence, detail=error.detail, code="certificate") from error
    if authorities.left_out:
        logger.warning("{} {}: {}", VARIABLE, ca_file, authorities.left_out)
    context.load_verify_locations(cadata=b"".join(authorities.certificates))
    return context


PLUGIN = "/plugins/com.mattermost.calls"
REPLY_LIMIT_BYTES = 1024 * 1024
THREAD_LIMIT_BYTES = 32 * 1024 * 1024
ERROR_TEXT_BYTES = 64 * 1024  # the server's own words in JSON must be read to their end
IDLE_LIMIT_S = 30.0


CONNECTING = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
NOBODY_SIGNED = re.compile("self.signed certificate|issuer certificate")  # as OpenSSL says it
NO_TUNNEL = re.compile(r"Tunnel connection failed: (\d+)")  # as http.client says it
OBJECT_AT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>[:,]? ?|\w+\(host=[^()]*\): ")


class BotClient(Client):  # type: ignore[misc]  # mattermostdriver has no types
    """The client class for mattermostdriver's `Driver`; its endpoints call `get`, we call `make_request`.

    Holds one session and its connections until `close()`. Needs the option `ca_file` beside the driver's own.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.token = options["token"]
        keep_secret(self.token)
        self._session = requests.Session()
        self._session.trust_env = False  # proxies are taken from the environment below, nothing else
        self._session.auth = Bearer(self.token)
        self._session.headers.update({"User-Agent": f"recorder-fsm/{__version__}", "Accept-Encoding": "identity"})
        https = options["scheme"] == "https"
        adapter = CarefulAdapter(trust(options["ca_file"]) if https else None)
        self._session.mount(f"{options['scheme']}://", adapter)
        self._used_at = 0.0

    def make_request(  # noqa: PLR0917 - the driver's signature
        self,
        method: str,
        endpoint: str,
        options: Mapping[str, Any] | list[str] | None = None,
        params: Mapping[str, str] | None = None,
        data: Any = None,
        files: None = None,
        basepath: str | None = None,
        *,
        timeout_s: tuple[float, float] = (5.0, 10.0),
        most_bytes: int = REPLY_LIMIT_BYTES,
    ) -> Reply:
        """Ask once and return the whole reply; `timeout_s` is for connecting and sending, and for reading.

        Raises `ServerUnavailable` (code `server_unreachable` if the request cannot have arrived),
        `AccessRefused`, `RequestRejected`, or a plain `MattermostError` for a certificate that is not
        trusted.
        """
        base = f"{self._options['scheme']}://{self._options['url']}:{self._options['port']}"
        url = base + (basepath or self._basepath) + endpoint
        if time.monotonic() - self._used_at > IDLE_LIMIT_S:
            self._session.close()  # a connection that was idle may be dead without our knowing
        proxy = shown_proxy(proxy_for(url))
        what = f"{method.upper()} {endpoint}{f' by the proxy {proxy}' if proxy else ''}"
        try:
            with self._session.request(
                method.upper(),
                url,
                params=params,
                json=(dict(options) if isinstance(options, Mapping) else options) if method.lower() != "get" else None,
                data=data,
                timeout=timeout_s,
                allow_redirects=False,  # the token must not follow to another place
                stream=True,
                proxies=get_environ_proxies(url),
            ) as response:
                return self._taken(what, response, time.monotonic() + sum(timeout_s), most_bytes)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise self._failure(what, error) from error
        finally:
            self._used_at = time.monotonic()

    def get(self, endpoint: str, options: Any = None, params: Mapping[str, str] | None = None) -> Any:
        """Return the JSON object at `endpoint`, whatever its Content-Type."""
        return self.make_request("get", endpoint, params=params).fields()

    def post(self, endpoint: str, options: Any = None, params: Any = None, data: Any = None, files: Any = None) -> Any:
        """Post a JSON object to `endpoint`; returns the one that comes back, whatever its Content-Type."""
        return self.make_request("post", endpoint, options=options).fields()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _taken(self, what: str, response: requests.Response, until: float, most_bytes: int) -> Reply:
        status = response.status_code
        limit = most_bytes if status < 300 else ERROR_TEXT_BYTES
        body = bytearray()
        for chunk in response.iter_content(READ_BYTES):
            body += chunk
            if len(body) > limit or time.monotonic() > until:
                if status < 300:
                    raise ServerUnavailable(
                        "Mattermost's answer was not understood.",
                        detail=f"{what}: {status}, a reply without end",
                        code=UNREADABLE,
                        status=status,
                    )
                break
        if status < 300:
            return Reply(status, bytes(body))
        raise refusal(status, bytes(body[:ERROR_TEXT_BYTES]), what, response.headers.get("Location", ""))

    def _failure(self, what: str, error: Exception) -> MattermostError:
        inner = innermost(error)
        detail = f"{what}: {shown(OBJECT_AT.sub('', str(inner)) or type(inner).__name__)}"
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or "doesn't match" in str(inner):
            cure = f"; name the authority that signed it in {VARIABLE}" if NOBODY_SIGNED.search(detail) else ""
            return MattermostError(
                "The recorder does not trust Mattermost's certificate.", detail=detail + cure, code="certificate"
            )
        if isinstance(error, ValueError | UnicodeError):  # requests' InvalidURL and its kin
            return RequestRejected("Mattermost's address is not valid.", detail=detail)
        tunnel = NO_TUNNEL.search(str(inner))
        if tunnel and tunnel[1] == "407":
            return SettingInTheWay(ASKS_FOR_PASSWORD, detail=detail, code=UNREACHABLE)
        connecting = isinstance(error, requests.ConnectTimeout) or isinstance(inner, CONNECTING)
        return ServerUnavailable(detail=detail, code=UNREACHABLE if connecting or tunnel else "")


def innermost(error: Exception) -> BaseException:
    """Return what lies under requests' and urllib3's wrappings."""
    inner: BaseException = error
    while True:
        below = getattr(inner, "reason", None) or getattr(inner, "original_error", None)
        below = below or (inner.args[0] if inner.args else None)
        if not isinstance(below, BaseException):
            return inner
        inner = below
