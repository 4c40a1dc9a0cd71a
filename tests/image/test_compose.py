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


ENVIRONMENT = {
    **os.environ,
    "COMPOSE_DOCKER_CLI_BUILD": "1",
    "DOCKER_BUILDKIT": "1",
    "STANDIN_PORT": "18165",
    "SECONDS_RECORDED": "4",
}


def compose(*words: str) -> subprocess.CompletedProcess[str]:
    words = (*TOOL, "--profile", "standin", *words)
    return subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


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


def leftovers() -> set[str]:
    """Return what engine and Compose hold: containers, volumes with and without a name, and networks."""
    lists = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
    return {
        f"{words[0]} {name}"
        for words in lists
        for name in subprocess.run(
            ["docker", *words, "--quiet"], capture_output=True, text=True, check=True
        ).stdout.split()
    }


@pytest.mark.timeout(400)
def test_standin_up_records_end_to_end_and_leaves_nothing() -> None:
    """Three containers of our image alone: the stand-in, a hardened recorder, a host who sees the post; then none."""
    before = leftovers()
    done = subprocess.run(
        ["make", "standin-up"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=360, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published: Call_Town_Square_" in done.stdout
    assert leftovers() - before == set()
