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


SAVING_HZ = 30
"""How often a Chromium draws that saves energy; otherwise it draws 60 times in a second."""
SAVING_ENERGY = {"performance_tuning": {"battery_saver_mode": {"state": 3}}}
"""The policy BatterySaverModeAvailability, always on (3). It slows what is drawn, and freezes hidden pages."""


def prepare(runtime: Path, frame_rate: int | None = None) -> None:
    """Make the profile below `runtime` as Chromium is to find it; one that a Chromium left is made so again.

    Chromium draws half as often where that is two or three times `frame_rate`: half the work. For 30 frames that would
    not be enough: of a video of 30, by WebRTC, a tenth come two to a drawing, and one of them is never seen.
    """
    for name in NOT_WRITTEN:  # where a file is, no directory can be made, and Chromium does without
        path = runtime / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    preferences = runtime / PROFILE / "Default" / "Preferences"
    preferences.write_text(json.dumps(PREFERENCES), encoding="utf-8")
    enough = frame_rate is not None and 2 * frame_rate <= SAVING_HZ and SAVING_HZ % frame_rate == 0
    saving = SAVING_ENERGY if enough else {}
    local_state = json.dumps({**questions.LOCAL_STATE, **saving})
    (runtime / PROFILE / "Local State").write_text(local_state, encoding="utf-8")
