"""The webhook: one signed message to one server, as the Standard Webhooks specification has it.

(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)

The address may hold a secret, in its path or its query, so nothing here shows more of it than its origin.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests
import stamina
import urllib3.exceptions
from loguru import logger
from requests.utils import get_environ_proxies

from recorder_fsm import __version__
from recorder_fsm.config.kinds import WRITTEN_KEY
from recorder_fsm.errors import MattermostError
from recorder_fsm.hooks.message import Message
from recorder_fsm.hooks.patience import Left, within
from recorder_fsm.mattermost.client import OBJECT_AT, CarefulAdapter, innermost, trust
from recorder_fsm.plain_text import plain
from recorder_fsm.system.threads import in_daemon_thread

LIMIT_S = 20.0
"""All tries together."""
TRY_S = 5.0
"""One try: to connect, and to be answered. Nobody reads the answer's body."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0
AGAIN = frozenset({408, 425, 429})
"""Answers below 500 that may change."""
WORDS_CHARS = 200


class NotTakenError(Exception):
    """The receiver did not take the message. `again`: whether it may at another try, and after how many seconds."""

    def __init__(self, words: str, *, again: bool, after_s: float | None = None) -> None:
        super().__init__(words)
        self.again = again
        self.after_s = after_s


class Webhook:
    """One receiver. `secret` signs, "" leaves the message unsigned."""

    def __init__(self, url: str, secret: str, ca_file: Path | None) -> None:
        self._url = url
        self._key = signing_key(secret)
        self._ca_file = ca_file
        parts = urlsplit(url)
        self.origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """All that may be shown of the address."""

    async def deliver(self, message: Message, left_s: Left) -> str:
        """Deliver the message, again and again while `left_s()` lasts; returns why it was not taken, "" where it was.

        Never raises.
        """
        if not self._key:
            logger.warning("WEBHOOK_SECRET is not set: the message to {} is not signed", self.origin)
        last, wait = "no answer in time", FIRST_WAIT_S

        def wait_s(error: Exception) -> bool | float:
            nonlocal last, wait
            if not isinstance(error, NotTakenError):
                return False
            last = str(error)
            pause = wait * random.uniform(0.5, 1.0) if error.after_s is None else error.after_s  # noqa: S311
            wait = min(2 * wait, LONGEST_WAIT_S)
            if not error.again or pause >= left_s():
                return False
            logger.info("the webhook {}: {}; next try in {:.1f} s", self.origin, last, pause)
            return pause

        async def tries() -> None:
            async for attempt in stamina.retry_context(on=wait_s, attempts=None, timeout=None):
                with attempt:
                    await self._try(message, left_s)

        try:
            await within(left_s, tries())
        except (NotTakenError, TimeoutError) as error:
            return str(error) or last
        except Exception as error:  # noqa: BLE001 - whatever it is, the recording is safe, and the job ends as it would
            return f"unexpected: {type(error).__name__}"
        return ""

    async def _try(self, message: Message, left_s: Left) -> None:
        until = time.monotonic() + min(2 * TRY_S, left_s())
        try:
            status, retry_after = await within(
                lambda: until - time.monotonic(), in_daemon_thread(self._post, message.body, self._headers(message))
            )
        except TimeoutError as error:
            raise NotTakenError("no answer in time", again=True) from error
        except MattermostError as error:
            raise NotTakenError(error.detail, again=False) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            raise NotTakenError(self._words(error), again=not isinstance(error, ValueError)) from error
        if not 200 <= status < 300:
            elsewhere = ", and it is not followed elsewhere" if 300 <= status < 400 else ""
            raise NotTakenError(
                f"it answered {status}{elsewhere}",
                again=status >= 500 or status in AGAIN,
                after_s=seconds_of(retry_after),
            )

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Send the message once; returns the status and the header `Retry-After`."""
        https = self._url.startswith("https:")
        with requests.Session() as session:
            session.trust_env = False  # proxies are taken from the environment below, nothing else
            session.mount("https://" if https else "http://", CarefulAdapter(trust(self._ca_file) if https else None))
            with session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=(TRY_S, TRY_S),
                allow_redirects=False,  # the message is for this receiver
                stream=True,
                proxies=get_environ_proxies(self._url),
            ) as response:
                return response.status_code, response.headers.get("Retry-After", "")

    def _headers(self, message: Message) -> dict[str, str]:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"recorder-fsm/{__version__}",
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
        }
        if self._key:
            headers["webhook-signature"] = f"v1,{signature(self._key, message.id, now, message.body)}"
        return headers

    def _words(self, error: Exception) -> str:
        inner = innermost(error)
        if isinstance(error, ValueError):  # it says the address
            return f"the address cannot be used ({type(inner).__name__})"
        words = OBJECT_AT.sub("", str(inner)) or type(inner).__name__
        parts = urlsplit(self._url)
        for secret in (self._url, f"{parts.path}?{parts.query}", parts.path, parts.query):
            words = words.replace(secret, "...") if len(secret) > 1 else words
        return plain(words, WORDS_CHARS)


def signing_key(secret: str) -> bytes:
    """Return the key that a secret stands for: base64 behind `whsec_`, or the text itself."""
    if secret.startswith(WRITTEN_KEY):
        try:
            return base64.b64decode(secret.removeprefix(WRITTEN_KEY), validate=True)
        except binascii.Error:
            return b""
    return secret.encode(errors="surrogateescape")


def signature(key: bytes, number: str, at_s: int, body: bytes) -> str:
    """Return the signature of a message at a moment, in base64."""
    signed = hmac.new(key, f"{number}.{at_s}.".encode() + body, hashlib.sha256)
    return base64.b64encode(signed.digest()).decode()


def seconds_of(retry_after: str) -> float | None:
    """Return what `Retry-After` asks for, None where it is no number of seconds; `LONGEST_WAIT_S` at most."""
    return min(float(retry_after), LONGEST_WAIT_S) if retry_after.isascii() and retry_after.isdecimal() else None
