"""Recovery: finish and publish what killed or refused jobs left under a data directory.

Each directory is treated as a restart of its job would treat it; nothing is recorded. The ids come from the job's
journal, the token from the environment: it may have been renewed since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from recorder_fsm.app import record
from recorder_fsm.storage.job_dir import recordings_in
from recorder_fsm.storage.journal import Journal
from recorder_fsm.system.signals import StopRequest


async def recover(root: Path, environment: Mapping[str, str], stop: StopRequest, say: Callable[[str], None]) -> int:
    """Recover each job under `root` and say what was done; returns 0 when nothing is left there to save."""
    left = 0
    jobs = sorted(path for path in root.iterdir() if path.is_dir() and recordings_in(path)) if root.is_dir() else []
    if not jobs:
        say(f"{root}: nothing is left to recover")
    for path in jobs:
        memory = Journal(path / "journal.jsonl").remembered()
        ids = {"CALL_ID": memory.call_id or "", "POST_ID": memory.post_id or ""}
        # Of the server the environment knows more than the journal: the site may have moved since.
        named = {name: value for name, value in ids.items() if value}
        job = {"SITE_URL": memory.site_url or "", **environment, **named}
        if missing := [name for name in ("SITE_URL", "CALL_ID", "POST_ID", "AUTH_TOKEN") if not job.get(name)]:
            say(f"{path.name}: kept, because {' and '.join(missing)} must be set")
            left += 1
            continue
        if stop.requested_at is not None:
            say(f"{path.name}: kept, because a stop was asked for")
            left += 1
            continue
        job |= {"RECORDING_ID": path.name, "DATA_DIR": str(root)}
        code = await record(job, stop, time.monotonic(), recover_only=True)
        left += code != 0
        say(f"{path.name}: {'published, or nothing worth keeping' if code == 0 else 'kept, see the log above'}")
    return 1 if left else 0
