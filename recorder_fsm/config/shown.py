"""The settings as a report may show them: whoever reads it must not learn what only this job may know."""

from __future__ import annotations

from pathlib import Path

from recorder_fsm.config.kinds import Choice, Number
from recorder_fsm.config.settings import FLAG, TABLE, Settings

OPEN = ("SITE_URL", "CALL_ID", "POST_ID", "DATA_DIR", "EXTRA_CHROMIUM_ARGS", "TLS_CA_CERT_FILE")
"""Texts that may be shown. Of any other, addresses and commands for example, only that it is set: it may hold a key."""
SET = "(set)"


def shown_settings(settings: Settings) -> dict[str, str | int]:
    """Return each variable that has a value, by its name, without what is secret."""
    shown: dict[str, str | int] = {}
    for variable in TABLE:
        value = getattr(settings, variable.field, None)
        if variable.kind.secret or value is None or value in ("", ()):
            continue
        if isinstance(value, bool):
            shown[variable.name] = str(value).lower()
        elif isinstance(value, int):
            shown[variable.name] = value
        elif isinstance(variable.kind, Number | Choice) or variable.kind is FLAG or variable.name in OPEN:
            shown[variable.name] = _text(value)
        else:
            shown[variable.name] = SET
    return shown


def _text(value: str | Path | tuple[str, ...]) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
