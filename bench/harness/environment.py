"""The environment of a job, as a launcher gives it (contract 1.1): the one place where tests write it down."""

from __future__ import annotations

import os
from pathlib import Path

from recorder_fsm.standin.state import CallIds

ID = "abcdefghijklmnopqrstuvwxyz"
TOKEN = "0123456789tokentokentoken9"
JOB = {
    "SITE_URL": "https://chat.example.com/",
    "CALL_ID": ID,
    "POST_ID": "post" + ID[:22],
    "RECORDING_ID": "rec" + ID[:23],
    "AUTH_TOKEN": TOKEN,
}
"""The variables that a job cannot do without, for tests that start no recorder."""
SMALL = {"WIDTH": "1280", "HEIGHT": "720", "VIDEO_PRESET": "veryfast"}
"""The smallest frame that is allowed, encoded with little work."""


def job_variables(url: str, ids: CallIds, **more: str) -> dict[str, str]:
    """Return the variables that say which job it is, for a call of the stand-in, and `more`."""
    return {
        "SITE_URL": url,
        "CALL_ID": ids.call_id,
        "POST_ID": ids.post_id,
        "RECORDING_ID": ids.recording_id,
        "AUTH_TOKEN": ids.token,
        **more,
    }


def job_environment(url: str, ids: CallIds, data: Path, **more: str) -> dict[str, str]:
    """Return the whole environment of a recorder on this machine: small frames, a log in JSON, and `more`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "DATA_DIR": str(data),
        "DEV_MODE": "true" if os.geteuid() == 0 else "false",  # Chromium's sandbox does not run as root
        "LOG_FORMAT": "json",
        **job_variables(url, ids, **{**SMALL, **more}),
    }
