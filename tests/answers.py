"""What the server and those before it say, as faults of the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

OFF = {"status": 404, "body": "404 page not found\n", "content_type": "text/plain"}
"""Mattermost on the routes of a plugin that does not run."""
FOREIGN: dict[str, dict[str, Any]] = {
    "plugin off": OFF,
    "html 404": {"status": 404, "body": "<html>Not Found</html>"},
    "empty 401": {"status": 401},
    "proxy's 403": {"status": 403, "body": "<html>Forbidden</html>"},
    "empty 405": {"status": 405},
    "409": {"status": 409, "body": "conflict"},
    "421": {"status": 421},
    "423": {"status": 423, "body": '{"message":"locked"}', "content_type": "application/json"},
    "451": {"status": 451},
    "499": {"status": 499},
    "501": {"status": 501, "body": "<html>Not Implemented</html>"},
    "302": {"status": 302},
    "another's number": {"status": 404, "body": '{"message":"no route","status_code":400}'},
}
"""Answers that nobody gave who knows of the job: they may heal."""


def own(status: int, message: str = "not today", **more: Any) -> dict[str, Any]:
    """Return the plugin's own refusal; with `id` it is Mattermost's."""
    return {"status": status, "body": json.dumps({"message": message, "status_code": status, **more})}


OWN: dict[str, dict[str, Any]] = {
    "401": {"status": 401, "body": "Unauthorized\n", "content_type": "text/plain"},
    "403": {"status": 403, "body": "Forbidden\n", "content_type": "text/plain"},
    "400": own(400),
    "403, JSON": own(403),
    "404": own(404, "Failed to get upload.", id="app.upload.get.app_error", detailed_error=""),
    "501": own(501, "off", id="api.file.attachments.disabled.app_error"),
}
"""Answers of the plugin or the server itself that will not change."""


def some(count: int, left_s: float = 60.0) -> Callable[[], float]:
    """Return a `time_left` that ends after so many questions."""
    left = iter([left_s] * count)
    return lambda: next(left, 0.0)
