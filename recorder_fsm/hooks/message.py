"""The message: what programs and servers are told of the end of a job. docs/hooks.md describes it for them.

It is made once, so that every repetition is the same to the byte, and never longer than `LIMIT_BYTES`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from recorder_fsm.plain_text import plain_facts

SCHEMA = 1
"""Counts up when something that receivers may rely on goes away or changes its meaning. New keys do not count."""
LIMIT_BYTES = 64 * 1024
MOST_LISTED = (200, 20, 0)
"""How many gaps and how many notes are listed; fewer where the message would be too long."""
LISTS = ("gaps", "notes")
OURS = uuid.UUID("7b0f3c52-6a0e-4a50-9a57-4b6f3f1d8a11")


@attrs.frozen
class Message:
    """One message. `id` is the same in every repetition, also by a later start that ends as this one did."""

    id: str
    body: bytes


def make_message(outcome: str, data: Mapping[str, Any], *, run: str) -> Message:
    """Return the message of a job that ended as `outcome` ("done", "failed"); `data` says the rest.

    `run` names what ended: the job for what happens once in its life, the start of it for what may happen again.
    """
    name = f"{run} {outcome}".encode(errors="replace").decode()  # an id that is none may hold any byte
    number = str(uuid.uuid5(OURS, name))
    for most in MOST_LISTED:
        shorter = {name: data[name][:most] for name in LISTS if name in data and len(data[name]) > most}
        whole = {
            "schema": SCHEMA,
            "id": number,
            "type": f"recording.{outcome}",
            "timestamp": rfc3339(),
            "data": {"outcome": outcome, **data, **shorter, **({"shortened": sorted(shorter)} if shorter else {})},
        }
        body = json.dumps(plain_facts(whole), separators=(",", ":")).encode()
        if len(body) <= LIMIT_BYTES:
            break
    return Message(number, body)


def rfc3339(at_s: float | None = None) -> str:
    """Return a moment, in seconds since 1970, as RFC 3339 has it; now where none is given."""
    moment = datetime.now(UTC) if at_s is None else datetime.fromtimestamp(at_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cause_of(code: str, sentence: str, advice: str) -> dict[str, str]:
    """Return a cause as the message has it; details stay in the log: they may quote programs."""
    return {"code": code, "sentence": sentence, "what_to_do": advice}


def all_of(facts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return these of the facts, None for those that are not known."""
    return {name: facts.get(name) for name in names}
