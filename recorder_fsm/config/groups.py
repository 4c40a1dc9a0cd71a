"""The settings as a person looks for them: in groups, one line each, made from `settings.TABLE`."""

from __future__ import annotations

from recorder_fsm.config.kinds import Identifier, Site
from recorder_fsm.config.settings import TABLE, Variable

GROUPS: dict[str, tuple[str, ...]] = {
    "The job (required)": ("SITE_URL", "CALL_ID", "POST_ID", "RECORDING_ID", "AUTH_TOKEN"),
    "Video and audio": (
        "WIDTH",
        "HEIGHT",
        "VIDEO_RATE",
        "AUDIO_RATE",
        "FRAME_RATE",
        "FRAME_TIMING",
        "VIDEO_PRESET",
        "OUTPUT_FORMAT",
    ),
    "What is recorded, and who posts it": ("PUBLISH", "RECORD_URL"),
    "Browser and server": ("TLS_CA_CERT_FILE", "EXTRA_CHROMIUM_ARGS", "DEV_MODE"),
    "Files and limits": ("DATA_DIR", "MIN_FREE_BYTES", "MAX_DURATION_SECONDS", "STOP_GRACE_SECONDS"),
    "After a job": ("WEBHOOK_URL", "WEBHOOK_SECRET", "ON_END", "ON_END_SECONDS", "NOTIFY_FAILURES"),
    "Log and status": ("LOG_LEVEL", "LOG_FORMAT", "STATUS_ADDR", "DOCS_URL"),
}
OTHERS = "Others"


def in_groups() -> dict[str, list[tuple[str, str]]]:
    """Return each group with its variables: the name, and its meaning, limits and default in a sentence."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    groups: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, OTHERS)}
    for variable in TABLE:
        groups[group_of.get(variable.name, OTHERS)].append((variable.name, _in_words(variable)))
    return {group: entries for group, entries in groups.items() if entries}


def _in_words(variable: Variable) -> str:
    kind = variable.kind
    if kind.default:
        default = f"default {kind.default}"
    else:
        default = "required" if isinstance(kind, Site | Identifier) else "no default"
    return f"{variable.meaning} [{kind.limits}; {default}]"
