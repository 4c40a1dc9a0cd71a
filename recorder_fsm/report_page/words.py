"""How numbers are written for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

DEEPEST = 6
MOST_FACTS = 300


def size(count: float) -> str:
    """Return bytes as people write them: `820 B`, `12.3 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.3g} {unit}" if count < 100 else f"{count:.0f} {unit}"
    return f"{count / 1000:.3g} TB"


def length(seconds: float) -> str:
    """Return a length of time: `0.53 s`, `12.3 s`, `4 min 05 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min"


def day_and_time(at: float | None) -> str:
    """Return a moment of the clock in UTC, "" where it is not known or not of this age."""
    moment = _moment(at)
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def time_of_day(at: float | None) -> str:
    """Return the time of a moment in UTC, likewise."""
    moment = _moment(at)
    return "" if moment is None else f"{moment:%H:%M:%S}"


def _moment(at: float | None) -> datetime | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def value(fact: Any) -> str:
    """Return a fact of any kind on one line."""
    if fact is None:
        return "none"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    if isinstance(fact, float):
        return f"{fact:g}" if abs(fact) < 1e6 else f"{fact:.0f}"
    return str(fact)


def pairs(facts: Any, name: str = "", depth: int = 0) -> Iterable[tuple[str, str]]:
    """Yield name and value of each fact in a mapping of any depth; names of inner ones are joined by dots."""
    if isinstance(facts, Mapping) and depth < DEEPEST:
        for key, inner in list(facts.items())[:MOST_FACTS]:
            yield from pairs(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(facts, list) and depth < DEEPEST and any(isinstance(one, Mapping | list) for one in facts):
        for place, inner in enumerate(facts[:MOST_FACTS], 1):
            yield from pairs(inner, f"{name}.{place}" if name else str(place), depth + 1)
    elif isinstance(facts, list):
        yield name, ", ".join(map(value, facts[:MOST_FACTS])) or "none"
    elif isinstance(facts, Mapping):
        yield name, f"{len(facts)} facts"
    elif name.endswith("_bytes") and isinstance(facts, int | float) and facts >= 1000:
        yield name, f"{size(facts)} ({value(facts)})"
    else:
        yield name, value(facts)
