"""Under the HTTP client: the token's header, sockets that notice a dead network, and whom TLS trusts."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from recorder_fsm.errors import MattermostError

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
        self._options: dict[str, Any] = {"socket_options": SOCKET_OPTIONS}
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
    """Return a TLS context that trusts the system and `ca_file`; raises `MattermostError`."""
    bundle = SYSTEM_BUNDLE if SYSTEM_BUNDLE.is_file() else Path(DEFAULT_CA_BUNDLE_PATH)
    context = ssl.create_default_context(cafile=str(bundle))
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except OSError as error:  # ssl.SSLError is one
            raise MattermostError(
                "The recorder's certificate file cannot be used.",
                detail=f"TLS_CA_CERT_FILE {ca_file}: {error}",
                code="certificate",
            ) from error
    return context
