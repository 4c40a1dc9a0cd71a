"""The HTTP client under mattermostdriver: one `requests.Session` per bot, with limits on everything.

mattermostdriver 7.3.2 opens a connection per call, knows no default timeout, lets `.netrc` override the
token, follows redirects with it, sends a body with every GET and hides status codes (contract 2.6).
`BotClient` takes the place of its client class and mends that; a refusal or a failure becomes an error of
our tree, worded for people, with the server's own words in its detail. What a status means for a call is
left to `mattermost`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import attrs
import requests
import urllib3.exceptions
from mattermostdriver.client import Client
from requests.utils import get_environ_proxies

from recorder_fsm import __version__
from recorder_fsm.errors import AccessRefused, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.transport import Bearer, CarefulAdapter, trust

REPLY_LIMIT_BYTES = 1024 * 1024
ERROR_TEXT_BYTES = 4096
READ_BYTES = 1024
IDLE_LIMIT_S = 30.0
SHOWN_CHARACTERS = 300

UNREACHABLE = "server_unreachable"  # the request never reached the server, so it cannot have had an effect
UNREADABLE = "reply_unreadable"  # the server did something, but its answer makes no sense

CONNECTING = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
OBJECT_AT = re.compile(r"<[^<>]* object at 0x[0-9a-f]+>[:,]? ?|\w+\(host=[^()]*\): ")


@attrs.frozen
class Reply:
    """A successful answer: 200 with a body, or 204 without."""

    status: int
    body: bytes

    def fields(self) -> dict[str, Any]:
        """Return the body as a JSON object, whatever its Content-Type; raises `RequestRejected`."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            start = plain(self.body[:READ_BYTES].decode(errors="replace"))
            raise RequestRejected(
                "Mattermost's answer was not understood.",
                detail=f"{self.status}, not a JSON object: {start}",
                code=UNREADABLE,
                status=self.status,
            )
        return value


class BotClient(Client):  # type: ignore[misc]  # mattermostdriver has no types
    """The client class for mattermostdriver's `Driver`; its endpoints call `get`, we call `make_request`.

    Holds one session and its connections until `close()`. Needs the option `ca_file` beside the driver's own.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.token = options["token"]
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
        options: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        data: Any = None,
        files: None = None,
        basepath: str | None = None,
        *,
        timeout_s: tuple[float, float] = (5.0, 10.0),
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
        what = f"{method.upper()} {endpoint}"
        try:
            with self._session.request(
                method.upper(),
                url,
                params=params,
                json=dict(options) if options is not None and method.lower() != "get" else None,
                data=data,
                timeout=timeout_s,
                allow_redirects=False,  # the token must not follow to another place
                stream=True,
                proxies=get_environ_proxies(url),
            ) as response:
                return self._taken(what, response, time.monotonic() + sum(timeout_s))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise self._failure(what, error) from error
        finally:
            self._used_at = time.monotonic()

    def get(self, endpoint: str, options: Any = None, params: Mapping[str, str] | None = None) -> Any:
        """Return the JSON object at `endpoint`, whatever its Content-Type."""
        return self.make_request("get", endpoint, params=params).fields()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _taken(self, what: str, response: requests.Response, until: float) -> Reply:
        status = response.status_code
        limit = REPLY_LIMIT_BYTES if status < 300 else ERROR_TEXT_BYTES
        body = bytearray()
        for chunk in response.iter_content(READ_BYTES):
            body += chunk
            if len(body) > limit or time.monotonic() > until:
                if status < 300:
                    raise RequestRejected(
                        "Mattermost's answer was not understood.",
                        detail=f"{what}: {status}, a reply without end",
                        code=UNREADABLE,
                        status=status,
                    )
                break
        if status < 300:
            return Reply(status, bytes(body))
        text = _message(bytes(body[:ERROR_TEXT_BYTES]))
        if status < 400:
            text = f"to {response.headers.get('Location', 'nowhere')}"
        raise refusal(status, self._masked(f"{what}: {status} {plain(text)}"))

    def _failure(self, what: str, error: Exception) -> MattermostError:
        inner = _innermost(error)
        detail = self._masked(f"{what}: {plain(OBJECT_AT.sub('', str(inner)) or type(inner).__name__)}")
        if "CERTIFICATE_VERIFY_FAILED" in str(error) or "doesn't match" in str(inner):
            return MattermostError(
                "The recorder does not trust Mattermost's certificate.", detail=detail, code="certificate"
            )
        if isinstance(error, ValueError | UnicodeError):  # requests' InvalidURL and its kin
            return RequestRejected("Mattermost's address is not valid.", detail=detail)
        connecting = isinstance(error, requests.ConnectTimeout) or isinstance(inner, CONNECTING)
        return ServerUnavailable(detail=detail, code=UNREACHABLE if connecting else "")

    def _masked(self, text: str) -> str:
        return text.replace(self.token, "***") if self.token else text


def refusal(status: int, detail: str) -> MattermostError:
    """Return the error for an HTTP status of 300 or more."""
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        sentence = f"Mattermost could not answer (error {status})."
        return ServerUnavailable(sentence, detail=detail, status=status)
    if status == 401:
        return AccessRefused("The recorder's access to Mattermost has ended.", detail=detail, status=status)
    if status == 403:
        return AccessRefused("Mattermost does not let the recorder do this.", detail=detail, status=status)
    sentences = {
        404: "Mattermost does not know this call, or its Calls plugin is off.",
        413: "A server on the way refuses files of this size.",
    }
    redirected = "Mattermost is at another address than the recorder was given." if status < 400 else ""
    return RequestRejected(redirected or sentences.get(status, ""), detail=detail, status=status)


def plain(text: str) -> str:
    """Return `text` on one line, without control characters, cut to what a log line bears."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."


def _message(body: bytes) -> str:
    """Return the plugin's message out of an error body, or the body's text."""
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    message = value.get("message") if isinstance(value, dict) else None
    return message if isinstance(message, str) and message else text


def _innermost(error: Exception) -> BaseException:
    """Return what lies under requests' and urllib3's wrappings."""
    inner: BaseException = error
    while True:
        below = getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        if not isinstance(below, BaseException):
            return inner
        inner = below
