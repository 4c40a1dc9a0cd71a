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
)
NOT_OF_THE_PLUGIN = frozenset(
    {"config", "post", "create_post", "thread", "websocket", "file", "file_info", "users", "any"}
)
KINDS = frozenset(
    {"status", "hang", "slow", "reset", "drop_reply", "cut_at", "no_progress", "stale_offset", "busy"}
    | {"redirect", "endless", "lie_offset", "ends_at", "spoil_reply", "late_reply", "post_only"}
)
# Kinds that only one route can play, since they change what it does and not whether it is asked.
KIND_ROUTES = {
    "cut_at": "upload_data",
    "ends_at": "upload_data",
    "post_only": "save",
    "no_progress": "upload_data",
    "busy": "upload_data",
    "stale_offset": "upload_get",
    "lie_offset": "upload_get",
}


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
        if only is not None and self.route != only:
            raise KnobError(f"kind {self.kind!r} can only be played on route {only!r}")

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
    scene: dict[str, Any] = attrs.Factory(dict)
    faults: list[Fault] = attrs.Factory(list)

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
