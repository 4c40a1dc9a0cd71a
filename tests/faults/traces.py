"""What a recorder leaves on the machine while it runs: which files it writes, and which of them hold the token."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path
from urllib.parse import quote

import psutil

from bench.harness.recorder_process import RecorderProcess

ODD = "ein längerer Ort: mit \"Leerzeichen\", 'Häkchen' und mehr Zeichen, als die Adresse eines Sockets hat"
"""The name of a directory that no socket can lie in, and that no command line of a program takes without quotes."""


def forms(token: str) -> list[str]:
    """Return the token as it may be written: plain, in the page's fragment, quoted."""
    found = [token]
    for separators in ((",", ":"), (", ", ": ")):
        fragment = json.dumps({"token": token}, separators=separators).encode()
        found += [
            base64.b64encode(fragment).decode().rstrip("="),
            base64.urlsafe_b64encode(fragment).decode().rstrip("="),
        ]
    return [*found, *(quote(form, safe="") for form in found)]


def family(run: RecorderProcess) -> list[psutil.Process]:
    """Return the recorder's process and all that descend from it."""
    recorder = psutil.Process(run.process.pid)
    return [recorder, *recorder.children(recursive=True)]


def holding(folder: str, token: str) -> list[str]:
    """Return the files below `folder` that hold the token, in any form, also in UTF-16 as Chromium writes its words."""
    needles = [form.encode(code) for form in forms(token) for code in ("utf-8", "utf-16-le")]
    found = []
    for path in Path(folder).rglob("*"):
        with contextlib.suppress(OSError):  # a socket, or one that has gone
            content = path.read_bytes() if path.is_file() else os.fsencode(path.name)
            found += [str(path)] if any(needle in content for needle in needles) else []
    return found


def written_elsewhere(run: RecorderProcess) -> list[str]:
    """Return the files that the job's processes hold open for writing, outside the job's two directories."""
    large = Path("/proc", str(run.process.pid), "root", run.runtime[1:], "tmp")  # it may have mounts of its own
    homes = (str(run.job_dir), run.runtime, *([str(large.readlink())] if large.is_symlink() else []), "/dev/null")
    found = []
    for process in family(run):
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    info = Path(f"/proc/{process.pid}/fdinfo/{descriptor.name}").read_text()
                    writes = int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE != os.O_RDONLY
                    if writes and target.startswith("/") and not target.startswith(homes):
                        found.append(f"{process.name()}: {target}")
    # Memory that is shared has a name no more; of what is in /dev/shm, only the job's own directory is.
    return [one for one in found if not one.endswith("(deleted)")]
