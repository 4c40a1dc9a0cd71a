"""Who is asking: the accepted forms of the token, and the refusals (contract 2.1)."""

from __future__ import annotations

import json
from typing import Any

import attrs
from aiohttp import web

from recorder_fsm.standin.state import State

PLUGIN = "/plugins/com.mattermost.calls"
COOKIE = "MMAUTHTOKEN"
BODY = web.RequestKey("body", str)
NO_PERMISSION = ("You do not have the appropriate permissions.", "api.context.permissions.app_error")
"""The core API's words of a 403. Which permission is missing, a server in production tells nobody."""
JSON_BODY_LIMIT_BYTES = 1024 * 1024
CORE_ERRORS: dict[int, type[web.HTTPClientError]] = {
    400: web.HTTPBadRequest,
    401: web.HTTPUnauthorized,
    404: web.HTTPNotFound,
}


@attrs.frozen
class Session:
    """Say how a request authenticated itself (`kind`) and as whom: `bot`, `person` or nobody (None)."""

    kind: str
    user: str | None


def identify(request: web.Request, state: State) -> Session:
    """Return the session of a request: header first, then cookie, then query.

    A cookie on anything but GET counts only with `X-CSRF-Token` or `X-Requested-With: XMLHttpRequest`.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, rest = header.partition(" ")
    if rest and scheme.lower() in {"bearer", "token"}:
        kind, token = scheme.lower(), rest
    elif COOKIE in request.cookies:
        kind, token = "cookie", request.cookies[COOKIE]
        if request.method not in {"GET", "HEAD"} and not (
            request.headers.get("X-CSRF-Token") or request.headers.get("X-Requested-With") == "XMLHttpRequest"
        ):
            return Session("cookie", None)
    elif "access_token" in request.query:
        kind, token = "query", request.query["access_token"]
    else:
        return Session("none", None)
    return Session(kind, user_of_token(token, state))


def user_of_token(token: str, state: State) -> str | None:
    """Return `bot` (the Calls plugin's), `poster` (an administrator's bot) or `person`; None for a wrong token."""
    users = {state.bot_token: "bot", state.poster_token: "poster", state.person_token: "person"}
    return users.get(token)


def user_id_of(user: str, state: State) -> str:
    """Return the id of a user of `user_of_token`."""
    return {"bot": state.bot_id, "poster": state.poster_id}.get(user, state.person_id)


def require_bot(request: web.Request, state: State) -> None:
    """Raise the plugin's 401 for a stranger and its 403 for anyone but the bot, as plain text."""
    session = identify(request, state)
    if session.user is None:
        raise web.HTTPUnauthorized(text="Unauthorized")
    if session.user != "bot":
        raise web.HTTPForbidden(text="Forbidden")


def require_session(request: web.Request, state: State) -> str:
    """Return the user of a plugin route that any member may ask; raises its 401."""
    user = identify(request, state).user
    if user is None:
        raise web.HTTPUnauthorized(text="Unauthorized")
    return user


def require_core_session(request: web.Request, state: State) -> str:
    """Return the user of any session; raises the core API's 401, which is JSON."""
    user = identify(request, state).user
    if user is None:
        raise core_error(
            401, "api.context.session_expired.app_error", "Invalid or expired session, please login again."
        )
    return user


def core_error(status: int, error_id: str, message: str) -> web.HTTPException:
    """Return an error of the core API, to be raised."""
    body = json.dumps({"id": error_id, "message": message, "detailed_error": "", "status_code": status})
    return CORE_ERRORS[status](text=body, content_type="application/json")


def core_reply(status: int, message: str, error_id: str) -> web.Response:
    """Return an error of the core API, to be returned. Details are kept from clients of a server in production."""
    body = {"id": error_id, "message": message, "detailed_error": "", "request_id": "standin", "status_code": status}
    return web.json_response(body, status=status)


def plugin_reply(status: int, message: str) -> web.Response:
    """Return the plugin's own body for a success or an error.

    It arrives as text/plain: the plugin writes the status before it sets the content type (contract 2.1).
    """
    body: dict[str, Any] = {"message": message, "status_code": status}
    return web.Response(status=status, text=json.dumps(body) + "\n", content_type="text/plain")


class BodyError(ValueError):
    """Say why a JSON body cannot be read."""


async def read_json(request: web.Request) -> Any:
    """Return the JSON body; raises `BodyError` if there is none, it is broken or longer than 1 MiB."""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise BodyError("http: request body too large") from error
    request[BODY] = raw.decode(errors="replace")
    try:
        return json.loads(raw)
    except ValueError as error:
        raise BodyError(str(error)) from error


def folded(body: Any) -> dict[str, Any]:
    """Return an object with lower-case keys, as Go matches them; a later key wins. Raises `BodyError`."""
    if not isinstance(body, dict):
        raise BodyError(f"json: cannot unmarshal {type(body).__name__} into a struct")
    return {str(key).lower(): value for key, value in body.items()}


def text_of(fields: dict[str, Any], key: str) -> str:
    """Return a text field of a folded object, empty when missing or null; raises `BodyError`."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BodyError(f"json: cannot unmarshal {type(value).__name__} into field {key} of type string")
    return value
