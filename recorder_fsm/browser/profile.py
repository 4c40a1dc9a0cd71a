"""A fresh profile for Chromium that keeps nothing of the session: the page's address has the token in it.

The profile lies in memory where there is any, and goes with the job. Where it lies on a disk, or is looked at while the
call runs, the token must not be in it either.
"""

from __future__ import annotations

import json
from pathlib import Path

from recorder_fsm.browser import questions

PROFILE = "profile"
PREFERENCES = {
    **questions.PREFERENCES,
    "history": {"saving_disabled": True},  # the policy SavingBrowserHistoryDisabled; holds for the most visited, too
}
NOT_WRITTEN = (
    # What it would restore after a crash. With the basic password store the key of the second is no secret.
    "profile/Default/Sessions",
    "profile/Default/Sessions_Encrypted",
    # Statistics of the pages that were shown, with their addresses.
    "profile/segmentation_platform",
    # Dumps of the memory of what crashed, which --disable-breakpad only keeps from being sent.
    "config/chromium/Crash Reports",
)
"""Directories, below the runtime directory, of what no switch turns off."""


def prepare(runtime: Path) -> None:
    """Make the profile below `runtime` as Chromium is to find it; one that a Chromium left is made so again."""
    for name in NOT_WRITTEN:  # where a file is, no directory can be made, and Chromium does without
        path = runtime / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    preferences = runtime / PROFILE / "Default" / "Preferences"
    preferences.write_text(json.dumps(PREFERENCES), encoding="utf-8")
    (runtime / PROFILE / "Local State").write_text(json.dumps(questions.LOCAL_STATE), encoding="utf-8")
