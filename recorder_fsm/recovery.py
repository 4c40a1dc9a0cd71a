"""Recovery: finish and publish what killed or refused jobs left under a data directory.

Each directory is treated as a restart of its job would treat it; nothing is recorded. The ids come from the job's
journal, the token from the environment: it may have been renewed since. What cannot be looked at counts as left:
whoever reads that nothing is left may delete the volume.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from recorder_fsm.app import record
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.storage.job_dir import recordings_in
from recorder_fsm.storage.journal import Journal
from recorder_fsm.system.signals import StopRequest

JOB = re.compile("[a-z0-9]{26}")
"""The name of a job's directory. A volume may hold others, `lost+found` for example, that are none of ours."""


def _unseen(_name: str, _done: int, _total: int) -> None:
    """Show no progress."""


async def recover(
    root: Path,
    environment: Mapping[str, str],
    stop: StopRequest,
    say: Callable[[str], None],
    uploaded: Callable[[str, int, int], None] = _unseen,
) -> int:
    """Recover each job under `root` and say what was done; returns 0 when nothing is left there to save.

    `uploaded` is called with a job's name, the bytes that are delivered, and all of them.
    """
    keep_secret(environment.get("AUTH_TOKEN", ""))
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        cure = _cure(root, error) or "; name the directory that was DATA_DIR for the jobs"
        say(f"{root}: {error.strerror}; nothing was looked at{cure}")
        return 1
    pending, refused = 0, 0
    for folder in folders:
        if (outcome := await _recovered(folder, environment, stop, uploaded)) is not None:
            kept, words = outcome
            pending, refused = pending + 1, refused + kept
            say(f"{folder.name}: {words}")
    looked_at = f"{len(folders)} {'directory was' if len(folders) == 1 else 'directories were'} looked at"
    if refused:
        say(f"{root}: {looked_at}, {refused} of {pending} recordings could not be recovered")
    else:
        say(f"{root}: {looked_at}, nothing is left to recover")
    return 1 if refused else 0


async def _recovered(
    folder: Path, environment: Mapping[str, str], stop: StopRequest, uploaded: Callable[[str, int, int], None]
) -> tuple[bool, str] | None:
    """Recover one job; returns whether something is left to save, and what is said; None where nothing waited."""
    try:
        files = _readable(folder)
    except OSError as error:
        return (True, f"kept, because it cannot be read{_cure(folder, error)}") if JOB.fullmatch(folder.name) else None
    if not files:
        return None
    job, obstacle = _job(folder, environment)
    if stop.requested_at is not None:
        obstacle = "a stop was asked for"
    if obstacle:
        return True, f"kept, because {obstacle}"
    if await record(job, stop, time.monotonic(), recovering=partial(uploaded, folder.name)):
        return True, "kept, see the log above"
    if files := recordings_in(folder):
        names = " and ".join(file.name for file in files)
        return False, f"published, but {names} could not be removed: remove it by hand"
    return False, "published, or nothing worth keeping"


def _job(folder: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return the environment of a restart of this job, and what is in its way, "" where nothing is."""
    path = folder / "journal.jsonl"
    memory = Journal(path).remembered()
    ids = {"CALL_ID": memory.call_id or "", "POST_ID": memory.post_id or ""}
    # Of the server the environment knows more than the journal: the site may have moved since.
    named = {name: value for name, value in ids.items() if value}
    # Who shall publish, the environment may say anew: what the plugin could not take, a bot may still post.
    job = {"SITE_URL": memory.site_url or "", "PUBLISH": memory.publish or "", **environment, **named}
    job.pop("RECORD_URL", None)  # nothing is recorded
    needed = ("SITE_URL", "CALL_ID", *(() if job["PUBLISH"] == "post" else ("POST_ID",)), "AUTH_TOKEN")
    missing = [name for name in needed if not job.get(name)]
    obstacle = f"{' and '.join(missing)} must be set" if missing else ""
    if missing and path.exists() and not os.access(path, os.R_OK):
        obstacle += f"; its journal, which may know, cannot be read{_cure(path, PermissionError())}"
    return {**job, "RECORDING_ID": folder.name, "DATA_DIR": str(folder.parent)}, obstacle


def _readable(folder: Path) -> list[Path]:
    """Return the recordings in a job's directory; raises `OSError` where one, or the directory, cannot be read."""
    os.scandir(folder).close()
    files = recordings_in(folder)
    for file in files:
        file.open("rb").close()
    return files


def _cure(path: Path, error: OSError) -> str:
    """Return what a person can do about a path that cannot be read, for the end of a sentence."""
    if not isinstance(error, PermissionError):
        return ""
    us = os.geteuid()
    try:
        owner = path.stat().st_uid
    except OSError:
        owner = us
    whose = "" if owner == us else f" (it belongs to user {owner})"
    return f" by user {us}{whose}: run this as its owner or as root, or give it away first (chown -R {us} {path})"
