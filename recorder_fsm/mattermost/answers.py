"""What an answer means: who gave it, and what follows from its words (contract 2.1, 2.4, 6.13).

Whether an answer is final is decided by who gave it, not by its number. The plugin and the server have forms of their
own; what comes in another form was said by somebody on the way, or by a server whose plugin is off, and may heal.
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any

import attrs

from recorder_fsm.errors import (
    PLUGIN_OFF,
    UNREADABLE,
    AccessRefused,
    MattermostError,
    RequestRejected,
    ServerUnavailable,
    SettingInTheWay,
)
from recorder_fsm.plain_text import plain

SHOWN_CHARACTERS = 300
READ_BYTES = 1024
OWN_TEXTS = {401: "Unauthorized", 403: "Forbidden"}
"""The plugin's two refusals without JSON."""
PLUGIN_IS_OFF = "404 page not found"
"""What the server says on the routes of a plugin that does not run; the plugin's router says it of wrong addresses."""
TRY_AGAIN = (408, 425, 429)
FEATURE_OFF = 501
"""Mattermost's own number for what its settings or its licence switch off."""
PROXY_ASKS = 407
ASKS_FOR_PASSWORD = "The proxy between the recorder and Mattermost asks for a password."  # noqa: S105 - a sentence
REJECTED = {
    404: "Mattermost does not know what the recorder asks for.",
    FEATURE_OFF: "Mattermost has this feature switched off.",
}


@attrs.frozen
class Reply:
    """A successful answer: 200 with a body, or 204 without."""

    status: int
    body: bytes

    def fields(self) -> dict[str, Any]:
        """Return the body as a JSON object, whatever its Content-Type; raises `ServerUnavailable`.

        What is no JSON object is not the server's, but the page of a proxy or a portal.
        """
        value = _json(self.body)
        if not isinstance(value, dict):
            raise self.foreign("no JSON object")
        return value

    def objects(self) -> list[dict[str, Any]]:
        """Return the body as a JSON list of objects, likewise."""
        value = _json(self.body)
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.foreign("no JSON list of objects")
        return value

    def confirm(self) -> None:
        """Raise `ServerUnavailable` unless this is the plugin's own word for a success (contract 2.1)."""
        if own_words(self.status, self.body) is None:
            raise self.foreign("not the plugin's answer")

    def foreign(self, why: str) -> ServerUnavailable:
        """Return the error for an answer in a form that this route does not have."""
        start = shown(self.body[:READ_BYTES].decode(errors="replace"))
        return ServerUnavailable(
            "Mattermost's answer was not understood.",
            detail=f"{self.status}, {why}: {start or 'empty'}",
            code=UNREADABLE,
            status=self.status,
        )


def own_words(status: int, body: bytes) -> str | None:
    """Return what the plugin or the server says in its own form, None if somebody else speaks.

    Own is a JSON object with a `message` and the answer's own `status_code`, and two plain texts of the plugin. The id
    and the details of one of Mattermost's errors come with its words.
    """
    text = body.decode(errors="replace").strip()
    if text == OWN_TEXTS.get(status):
        return text
    value = _json(body)
    if not isinstance(value, dict) or value.get("status_code") != status:
        return None
    parts = [value.get(key) for key in ("id", "message", "detailed_error")]
    if not isinstance(parts[1], str) or not parts[1]:
        return None
    return " ".join(part for part in parts if isinstance(part, str) and part)


def refusal(status: int, body: bytes, what: str, location: str = "") -> MattermostError:
    """Return the error for an answer with an HTTP status of 300 or more; `what` is the request."""
    words = own_words(status, body)
    text = words if words is not None else body.decode(errors="replace")
    if status < 400:
        text = f"to {location or 'nowhere'}"
    detail = f"{what}: {status} {shown(text)}"
    if words is None or status < 400:
        return _foreign(status, body, detail)
    said: dict[str, Any] = {"detail": detail, "status": status, "words": words}
    if status in TRY_AGAIN or (status >= 500 and status != FEATURE_OFF):
        return ServerUnavailable(f"Mattermost could not answer (error {status}).", **said)
    if status == 401:
        return AccessRefused("The recorder's access to Mattermost has ended.", **said)
    if status == 403:
        return AccessRefused("Mattermost does not let the recorder do this.", **said)
    return RequestRejected(REJECTED.get(status, ""), **said)


def _foreign(status: int, body: bytes, detail: str) -> ServerUnavailable:
    """Return the error for somebody else's answer: it may heal, and it proves nothing about the job."""
    if status < 400:
        return SettingInTheWay(
            "Mattermost is at another address than the recorder was given.", detail=detail, status=status
        )
    if status == 404 and body.decode(errors="replace").strip() == PLUGIN_IS_OFF:
        return ServerUnavailable("Mattermost's Calls plugin is off.", detail=detail, status=status, code=PLUGIN_OFF)
    if status == PROXY_ASKS:
        return SettingInTheWay(ASKS_FOR_PASSWORD, detail=detail, status=status)
    if status == 413:
        return SettingInTheWay("A server on the way refuses files of this size.", detail=detail, status=status)
    return ServerUnavailable(f"Mattermost could not answer (error {status}).", detail=detail, status=status)


class Route(enum.Enum):
    """The routes on which the words of a refusal matter."""

    STATUS = enum.auto()
    UPLOAD_DATA = enum.auto()
    SAVE = enum.auto()


class Means(enum.Enum):
    """What follows from the words of a refusal."""

    JOB_OVER = enum.auto()
    ALREADY_STARTED = enum.auto()
    BUSY = enum.auto()
    PERHAPS_BUSY = enum.auto()
    FIRST_PART_TOO_SMALL = enum.auto()
    NOT_OUR_SESSION = enum.auto()
    NOT_POSTED = enum.auto()


WORDS: tuple[tuple[Route, int, str, Means], ...] = (
    # The job was stopped, replaced or has failed, or its call is over; plugins that keep ended jobs say the last one.
    (Route.STATUS, 400, "no call ongoing", Means.JOB_OVER),
    (Route.STATUS, 400, "no job ongoing", Means.JOB_OVER),
    (Route.STATUS, 400, "invalid job id", Means.JOB_OVER),
    (Route.STATUS, 400, "job has ended", Means.JOB_OVER),
    (Route.STATUS, 400, "job has already started", Means.ALREADY_STARTED),
    # The number is the least size of a first part: it stands in the text in every language.
    (Route.UPLOAD_DATA, 400, r"first[ _]part|\b5242880\b", Means.FIRST_PART_TOO_SMALL),
    (Route.UPLOAD_DATA, 400, r"upload_data\.concurrent|more than one request|fileoffset mismatch", Means.BUSY),
    # The server words it in its own language, and names the function in which it happened. All other errors of that
    # function are known, and a file that is rejected is rejected in another one.
    (Route.UPLOAD_DATA, 400, r"^uploaddata: ", Means.PERHAPS_BUSY),
    (Route.UPLOAD_DATA, 403, "not allowed to upload data for this session", Means.NOT_OUR_SESSION),
    # Said before anything was posted. "failed to update call thread" is said after it.
    (Route.SAVE, 500, "failed to (lock call|get call post|create post)", Means.NOT_POSTED),
)
"""Their texts that lead to something else than giving up (contract 2.4): route, status, pattern, what follows."""


def meaning(route: Route, error: MattermostError) -> Means | None:
    """Return what follows from the server's own words on this route, None if nothing special does."""
    for of_route, status, pattern, means in WORDS:
        if of_route is route and status == error.status and re.search(pattern, error.words, re.IGNORECASE):
            return means
    return None


def shown(text: str) -> str:
    """Return as much of somebody's words as a cause bears."""
    return plain(text, SHOWN_CHARACTERS)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def table(value: Any) -> dict[str, Any]:
    """Return an object of an answer, an empty one where it is something else."""
    return value if isinstance(value, dict) else {}
