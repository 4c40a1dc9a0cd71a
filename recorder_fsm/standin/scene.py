"""What the call page draws: the scene, its people, and their pictures."""

from __future__ import annotations

import hashlib
import html
import json
from typing import Any

from recorder_fsm.standin.events import Connection
from recorder_fsm.standin.state import Call, State, new_id

# Five names that want more than one font: Latin with accents, CJK, an emoji, a long one.
PEOPLE: tuple[dict[str, Any], ...] = (
    {"id": "pamina0000000000000000000a", "name": "Ana-María Østergård", "host": True},
    {"id": "kenji00000000000000000000b", "name": "山田 健二"},
    {"id": "otter00000000000000000000c", "name": "Otto 🦦"},
    {"id": "sofia00000000000000000000d", "name": "София Ковальчук"},
    {"id": "maxim00000000000000000000e", "name": "Maximiliana von der Hohenstauffen-Lichtenberg"},
)
RTC_CHROMIUM_ARG = "--allow-loopback-in-peer-connection"
"""What Chromium wants for `rtc` where there is no network but the loopback; elsewhere it changes nothing."""
DEFAULT_SCENE: dict[str, Any] = {
    "mode": "call",
    "share": False,
    "cameras": False,
    "film": "document",
    "rtc": False,
    "v2": False,
    "sync": False,
}


def scene_of(state: State, call: Call | None) -> dict[str, Any]:
    """Return a call's scene: the defaults, the knobs', its own; `page_faults` are merged key by key."""
    layers = [state.knobs.scene, call.scene if call else {}]
    scene: dict[str, Any] = {**DEFAULT_SCENE, "participants": list(PEOPLE), "page_faults": {}}
    for layer in layers:
        faults = {**scene["page_faults"], **layer.get("page_faults", {})}
        scene = {**scene, **layer, "page_faults": faults}
    if call is not None and call.everyone_left:
        scene["participants"] = []
    scene["call_name"] = call.name if call else ""
    return scene


def call_state(state: State, call: Call | None, connection: Connection) -> dict[str, Any]:
    """Return who is in a call, as the plugin tells whoever joins it (contract 3.6): JSON in JSON.

    Everybody has a session, the one who joins as well; a person's has the person's id.
    """
    scene = scene_of(state, call)
    people = [str(one["id"]) for one in scene["participants"] if "id" in one]
    users = {**{one: one for one in people}, connection.id: state.bot_id if connection.user == "bot" else new_id()}
    body = {
        "id": call.id if call else "",
        "sessions": [
            {"session_id": session, "user_id": user, "unmuted": False, "raised_hand": 0}
            for session, user in users.items()
        ],
        "screen_sharing_session_id": people[0] if scene["share"] and people else "",
    }
    return {"channel_id": call.id if call else "", "call": json.dumps(body)}


def initials(name: str) -> str:
    """Return one or two first letters of a name, in capitals."""
    words = [word for word in name.replace("-", " ").split() if word[0].isalpha()]
    return "".join(word[0] for word in words[:2]).upper() or name[:1]


def colour(identity: str) -> str:
    """Return a colour that stays the same for the same person, as CSS takes it."""
    hue = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:2], "big") % 360
    return f"hsl({hue} 45% 42%)"


def avatar(identity: str, name: str) -> str:
    """Return a picture of a person as SVG: initials on the person's colour."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">'
        f'<rect width="128" height="128" fill="{colour(identity)}"/>'
        '<text x="64" y="64" dy=".36em" text-anchor="middle" font-family="sans-serif" font-size="52" '
        f'font-weight="600" fill="#fff">{html.escape(initials(name))}</text></svg>'
    )


def everyone(state: State) -> dict[str, dict[str, Any]]:
    """Return all people of all scenes by id."""
    found = {person["id"]: person for person in PEOPLE}
    for call in state.calls.values():
        found |= {person["id"]: person for person in scene_of(state, call)["participants"] if "id" in person}
    return found
