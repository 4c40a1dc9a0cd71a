"""The doctor in the container: as jobs should be run, and under a profile that refuses the sandbox."""

from __future__ import annotations

import json
from typing import Any

from bench.harness.containers import IMAGE, SECCOMP, docker

OURS = ("--security-opt", f"seccomp={SECCOMP}")
SMALL = ("--env", "WIDTH=1280", "--env", "HEIGHT=720", "--env", "FRAME_RATE=10", "--env", "VIDEO_PRESET=ultrafast")


async def examined(*options: str) -> dict[str, dict[str, Any]]:
    """Run it in a fresh container; returns what it found, by name."""
    said = await docker("run", "--rm", "--network", "none", *SMALL, *options, IMAGE, "doctor", "--json", check=False)
    return {one["name"]: one for one in json.loads(said[said.index("{") :])["checks"]}


def bad(found: dict[str, dict[str, Any]]) -> list[str]:
    return [f"{name}: {one['value']}" for name, one in found.items() if one["result"] == "bad"]


async def test_container_is_fit_as_the_documents_run_it() -> None:
    """Programs, sandbox, fonts and a measured capture."""
    found = await examined(*OURS)
    assert bad(found) == []
    assert found["user namespaces"]["result"] == "ok"
    assert found["fonts"]["data"]["missing"] == []
    assert -15 < found["audio level"]["data"]["peak_dbfs"] < -9
    assert found["frames"]["data"]["frames_per_s"] > 1


async def test_default_profile_is_named_as_what_is_wrong() -> None:
    """Docker's own profile refuses user namespaces: the line says which profile to give, and the rest is looked at."""
    found = await examined()
    assert found["user namespaces"]["result"] == "bad"
    assert "seccomp" in found["user namespaces"]["cure"]
    assert found["browser"]["result"] == "bad"
    assert found["capture"]["result"] == "skipped"
    assert found["ffmpeg"]["result"] == "ok"
