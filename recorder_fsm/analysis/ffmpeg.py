"""ffmpeg and ffprobe as instruments: they read a recording, and never write one."""

from __future__ import annotations

from recorder_fsm.errors import RecordingError
from recorder_fsm.system.process import Finished, run

PROGRAM_LIMIT_S = 600.0
MEASURES_BYTES = 256 * 2**20
"""What ffmpeg prints of each frame of a long recording: some 220 bytes."""
PROGRAM_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


async def ffmpeg(*arguments: str) -> Finished:
    """Run ffmpeg to its end; raises `RecordingError` where it fails."""
    finished = await run(
        "ffmpeg",
        ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", *arguments],
        env=PROGRAM_ENV,
        limit_s=PROGRAM_LIMIT_S,
        words_bytes=MEASURES_BYTES,
    )
    if finished.returncode:
        raise RecordingError("The recording cannot be read.", detail=finished.stderr[-500:].strip())
    return finished
