"""The knobs: what people and tests may change about the server while it runs, and the faults they order.

Read from JSON and given back as JSON; a key that does not exist is refused, since a misspelt fault would let
a test pass for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

MIB = 1024 * 1024
ROUTES = frozenset(
    {
        "filename",
        "page",
        "asset",
        "status",
        "upload_create",
        "upload_data",
        "upload_get",
        "save",
        "config",
        "post",
        "create_post",
        "thread",
    }
    | {
        "websocket",
        "file",
        "file_info",
        "users",
        "version",
        "plugin_config",
        "active",
        "channel",
        "avatar",
        "turn",
    }
    | {"any", "plugin"}
    | {"core_upload_create", "core_upload_data", "core_upload_get", "create_post", "me", "core_channel", "member"}
    | {"channel_posts"}
)
NOT_OF_THE_PLUGIN = frozenset(
    {"config", "post", "thread", "websocket", "file", "file_info", "users", "any"}
    | {"core_upload_create", "core_upload_data", "core_upload_get", "create_post", "me", "core_channel", "member"}
    | {"channel_posts"}
)
KINDS = frozenset(
    {"status", "hang", "slow", "reset", "drop_reply", "cut_at", "no_progress", "stale_offset", "busy"}
    | {"redirect", "endless", "lie_offset", "ends_at", "stand_at", "spoil_reply", "late_reply", "post_only"}
)
# Kinds that only some routes can play, since they change what these do and not whether they are asked.
_DATA, _LOOK = ("upload_data", "core_upload_data"), ("upload_get", "core_upload_get")
KIND_ROUTES = {
    "cut_at": _DATA,
    "ends_at": _DATA,
    "stand_at": _DATA,
    "post_only": ("save",),
    "no_progress": _DATA,
    "busy": _DATA,
    "stale_offset": _LOOK,
    "lie_offset": _LOOK,
}
PERMISSIONS = frozenset({"upload_file", "create_post", "read_channel", "member"})
"""What a user of Mattermost's own API may lack; `member` is no permission there, but what comes with most."""


class KnobError(ValueError):
    """Say which knob or fault cannot be read, in one sentence."""


def _one_of(known: frozenset[str]) -> Any:
    def check(_: object, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in known:
            raise KnobError(f"{attribute.name} {value!r} is not one of {', '.join(sorted(known))}")

    return check


@attrs.define
class Fault:
    """Hold one fault: which route, what kind, how often. It counts itself down.

    `times` 0 means always; `skip` lets so many matching requests pass first. `above_bytes` restricts it to
    bodies that declare more than this length, or none at all (chunked). Every kind waits `delay_s` before the
    request goes on, where it goes on.
    """

    route: str = attrs.field(validator=_one_of(ROUTES))
    kind: str = attrs.field(validator=_one_of(KINDS))
    times: int = 1
    skip: int = 0
    status: int = 502
    body: str = ""
    content_type: str = "text/html"
    delay_s: float = 0.0
    at_byte: int = 0
    location: str = ""
    bytes_per_s: int = 0
    above_bytes: int | None = None
    used: int = 0

    def __attrs_post_init__(self) -> None:
        only = KIND_ROUTES.get(self.kind)
        if only is not None and self.route not in only:
            raise KnobError(f"kind {self.kind!r} can only be played on route {' or '.join(map(repr, only))}")

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Fault:
        """Read a fault; raises `KnobError` for an unknown key, route or kind."""
        known = {field.name for field in attrs.fields(cls)}
        if unknown := set(raw) - known:
            raise KnobError(f"unknown key of a fault: {', '.join(sorted(unknown))}")
        if not {"route", "kind"} <= set(raw):
            raise KnobError("a fault needs a route and a kind")
        return cls(**raw)

    def strikes(self, route: str, body_bytes: int | None) -> bool:
        """Say whether this request gets the fault, and count it; `body_bytes` is None for a chunked body."""
        of_plugin = self.route == "plugin" and route in ROUTES - NOT_OF_THE_PLUGIN
        if not (of_plugin or self.route in {route, "any"}) or (self.times and self.used >= self.times):
            return False
        if self.above_bytes is not None and body_bytes is not None and body_bytes <= self.above_bytes:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.used += 1
        return True


@attrs.define
class Knobs:
    """Hold the server's settings; `max_file_size` in bytes, `start_limit_s` in seconds (None: no limit).

    `offset_lag_s`: for so long after a part its session tells the offset before it. `own_file_ids`: a session may
    choose its file's id. `scanner`: why a complete file is rejected, "" takes it. `keeps_ended_jobs`: the plugin is one
    that knows a job after its end. `fresh_connections`: a websocket that comes back gets a new connection id.
    Of Mattermost's own API: `forbidden` are `PERMISSIONS` that users lack; `attachments` is EnableFileAttachments;
    `archived`, `guest`, `thread_deleted`: every channel is, every user is, the call's post is.
    """

    max_file_size: int = 100 * MIB
    five_mib_rule: bool = True
    filename: str | None = None
    rate_limit: bool = False
    allow_referer: bool = False
    start_limit_s: float | None = 60.0
    leave_grace_s: float = 10.0
    offset_lag_s: float = 0.0
    own_file_ids: bool = True
    scanner: str = ""
    keeps_ended_jobs: bool = False
    fresh_connections: bool = False
    forbidden: list[str] = attrs.Factory(list)
    attachments: bool = True
    archived: bool = False
    guest: bool = False
    thread_deleted: bool = False
    scene: dict[str, Any] = attrs.Factory(dict)
    faults: list[Fault] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        if unknown := set(self.forbidden) - PERMISSIONS:
            raise KnobError(f"forbidden: {', '.join(sorted(unknown))} is not one of {', '.join(sorted(PERMISSIONS))}")

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Knobs:
        """Read knobs, all others at their defaults; raises `KnobError` for anything it does not know."""
        return cls().patched(raw)

    def patched(self, raw: Mapping[str, Any]) -> Knobs:
        """Return new knobs with the keys of `raw` replaced; raises `KnobError`."""
        if not isinstance(raw, Mapping):
            raise KnobError("knobs are a JSON object")
        known = {field.name for field in attrs.fields(type(self))}
        if unknown := set(raw) - known:
            raise KnobError(f"unknown knob: {', '.join(sorted(unknown))}")
        values = dict(raw)
        if "faults" in values:
            values["faults"] = [Fault.from_json(fault) for fault in values["faults"]]
        return attrs.evolve(self, **values)

    def to_json(self) -> dict[str, Any]:
        """Return the knobs as JSON takes them; reading them back gives the same knobs."""
        return attrs.asdict(self)

    def fault_for(self, route: str, body_bytes: int | None) -> Fault | None:
        """Return the first fault that strikes this request, counted, or None."""
        return next((fault for fault in self.faults if fault.strikes(route, body_bytes)), None)
