"""One job against the stand-in, as a launcher would start it: make a call, put the job into the environment, go on.

Runs in the recorder's container before its entrypoint. Standard library only.
"""

# ruff: noqa: S310 - the addresses are those of the stack's own servers
from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request

URL = os.environ.get("STANDIN_URL", "http://127.0.0.1:8065")
WAIT_S = 30.0


def post(path: str, body: dict[str, object]) -> dict[str, str]:
    """Send JSON to the stand-in and return its answer; waits until it is there."""
    until = time.monotonic() + WAIT_S
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                answer: dict[str, str] = json.load(reply)
                return answer
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def main() -> None:
    ids = post("/standin/calls", {"name": "Town Square", "scene": {"mode": "call", "share": True}})
    job = {
        "SITE_URL": URL,
        "CALL_ID": ids["call_id"],
        "POST_ID": ids["post_id"],
        "RECORDING_ID": ids["recording_id"],
        "AUTH_TOKEN": ids["token"],
    }
    os.execve("/usr/local/bin/entrypoint", ["entrypoint", "run"], {**os.environ, **job})  # noqa: S606 - as a launcher does


if __name__ == "__main__":
    main()
