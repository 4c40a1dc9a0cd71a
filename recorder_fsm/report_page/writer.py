"""Puts the page where it belongs: in the directory of the job, or where a person wants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import tempfile
from pathlib import Path

from loguru import logger

from recorder_fsm.analysis.contact_sheet import contact_sheet
from recorder_fsm.errors import DirectoryError, RecorderError
from recorder_fsm.report_page.evidence import Evidence, read_evidence
from recorder_fsm.report_page.page import render
from recorder_fsm.storage import logs
from recorder_fsm.storage.job_dir import recordings_in
from recorder_fsm.system.threads import in_daemon_thread

PAGE = "report.html"
LIMIT_S = 3.0
"""How long the end of a job may wait for its page."""
FRAMES_LIMIT_S = 120.0
"""How long a person may wait for the frames of a recording; the audio of hours takes so long."""
LEAST_S = 0.5
"""With less time than this no page is begun."""
LOG_LIMIT_S = 0.5
"""How long the last lines of the log may take to get into the file that the page is made of."""


async def leave_page(folder: Path, time_left_s: float) -> None:
    """Write the page of a job that ends into its directory; never raises, and takes no longer than `LIMIT_S`.

    `time_left_s`: what is left until the process must be gone. A volume that is full or hangs is a line of the log.
    """
    limit_s = min(LIMIT_S, time_left_s)
    if limit_s < LEAST_S:
        logger.info("no {} is made: there is no time left", PAGE)
        return
    try:
        async with asyncio.timeout(limit_s):
            await in_daemon_thread(logs.drain, LOG_LIMIT_S)
            page = await page_with_frames(folder, limit_s / 2)
            await in_daemon_thread(put, page, folder / PAGE)
    except TimeoutError:
        logger.warning("{} was not ready within {:.1f} s", PAGE, limit_s)
    except Exception as error:  # noqa: BLE001 - a page is no reason to fail
        logger.warning("{} cannot be made: {}", PAGE, error)


async def page_with_frames(folder: Path, frames_limit_s: float = FRAMES_LIMIT_S) -> bytes:
    """Return the page of the job in `folder`, with a contact sheet where a recording is kept there.

    Raises `NotAJobError`. Frames that cannot be had within `frames_limit_s` are left out.
    """
    evidence = await in_daemon_thread(read_evidence, folder)
    sheet = await _sheet(folder, frames_limit_s)
    return await in_daemon_thread(_page, evidence, sheet)


def _page(evidence: Evidence, sheet: bytes | None) -> bytes:
    return render(evidence, sheet).encode(errors="replace")


async def _sheet(folder: Path, limit_s: float) -> bytes | None:
    """Return a contact sheet of what is kept, None where nothing is or none can be made of it."""
    try:
        recording = await in_daemon_thread(_largest, folder)
        if recording is None:
            return None
        with tempfile.TemporaryDirectory() as place:
            sheet = Path(place) / "frames.png"
            async with asyncio.timeout(limit_s):
                await contact_sheet(recording, sheet)
            return sheet.read_bytes()
    except (TimeoutError, RecorderError, OSError) as error:
        logger.info("no frames are in {}: {}", PAGE, error or f"not ready within {limit_s:g} s")
        return None


def _largest(folder: Path) -> Path | None:
    """Return the largest recording that is kept, None where there is none. It looks at the volume, which may hang."""
    files = (file for file in recordings_in(folder) if not file.is_symlink())
    return max(files, key=lambda file: file.stat().st_size, default=None)


def put(page: bytes, target: Path) -> None:
    """Write the page to `target` for its user alone; raises `DirectoryError`.

    What is at `target` is replaced at once or not at all: a link there, and not what it leads to. What is neither, a
    device for example, stays as it is.
    """
    part = target.parent / f"{target.name}.part"
    try:
        if not _may_be_replaced(target):
            raise DirectoryError(detail=f"{target} is neither a file nor free")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(page)
        part.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise DirectoryError(detail=f"{target} cannot be written: {error.strerror}") from error


def _may_be_replaced(target: Path) -> bool:
    """Tell whether a file may take this place. The system's own names for what is open, /dev/stdout, are links, too."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return True
    return not target.is_relative_to("/dev") and (stat.S_ISREG(mode) or stat.S_ISLNK(mode))
