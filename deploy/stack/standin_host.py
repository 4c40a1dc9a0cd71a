"""The host of the stand-in's call: lets it be recorded for SECONDS, stops the recording, says what was published.

Exit code 0 if a recording was posted. Standard library only.
"""

# ruff: noqa: S310 - the addresses are those of the stack's own servers
from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

URL = os.environ.get("STANDIN_URL", "http://127.0.0.1:8065")
SECONDS = float(os.environ.get("SECONDS", "10"))
LIMIT_S = 120.0
LOOK_EVERY_S = 0.5


def call(path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


def recorded_call(state: dict[str, Any]) -> str:
    """Return the id of a call that is being recorded, or nothing."""
    for one in state["calls"]:
        if any(job["start_at"] and not job["end_at"] for job in one["jobs"]):
            return str(one["id"])
    return ""


def main() -> int:
    until = time.monotonic() + LIMIT_S
    stop_at = 0.0
    while time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        try:
            state = call("/standin/state")
        except urllib.error.URLError:
            continue
        if state["posts"]:
            for file in state["files"]:
                sys.stdout.write(f"published: {file['name']}, {file['size']} bytes\n")
            return 0
        running = recorded_call(state)
        if running and not stop_at:
            sys.stdout.write(f"the call is being recorded; it is stopped after {SECONDS:g} s\n")
            sys.stdout.flush()
            stop_at = time.monotonic() + SECONDS
        if running and time.monotonic() > stop_at:
            call("/standin/control", {"action": "stop_recording", "call_id": running})
    sys.stdout.write(f"nothing was published within {LIMIT_S:g} s\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
