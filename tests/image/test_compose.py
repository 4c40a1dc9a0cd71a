"""The compose file: valid in all its profiles, and its stand-in profile for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.harness.containers import IMAGE

ROOT = Path(__file__).parents[2]
TOOL = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def compose(*words: str, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "COMPOSE_DOCKER_CLI_BUILD": "1",
        "DOCKER_BUILDKIT": "1",
        "COMPOSE_PROJECT_NAME": "recorder-fsm-test",
        "STANDIN_PORT": "18165",
        "SECONDS_RECORDED": "4",
    }
    return subprocess.run(
        [*TOOL, "--profile", "standin", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def compose_is_here() -> bool:
    try:
        return compose("version").returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not IMAGE or not compose_is_here(), reason="needs docker-compose, or Docker with its compose plugin"
)


def test_all_profiles_are_valid() -> None:
    """Compose accepts the file, both profiles and all."""
    checked = compose("--profile", "stack", "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.timeout(400)
def test_standin_profile_records_end_to_end() -> None:
    """Three containers of our image alone: the stand-in, a hardened recorder, and a host who sees the post."""
    built = compose("build", "--quiet")
    assert built.returncode == 0, built.stderr
    try:
        host = compose("run", "--rm", "standin-host", limit_s=150)
        log = compose("logs", "--no-color", "standin-recorder").stdout
        assert host.returncode == 0, host.stdout + log
        assert "published: Call_Town_Square_" in host.stdout
    finally:
        compose("down", "--volumes")
