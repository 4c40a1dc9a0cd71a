"""What the documents tell operators to run, run: the commands are taken from the pages."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import textwrap
from pathlib import Path

from bench.harness.containers import IMAGE, docker
from recorder_fsm import __version__

ROOT = Path(__file__).parents[2]
PAGES = [
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("deployment.md", "configure.md", "recovering.md")
]
PAGE = "\n".join(PAGES)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(begin: str, page: str = PAGE) -> str:
    """Return the indented block of a page that begins with these words, about the image under test."""
    found = re.search(rf"^    {re.escape(begin)}.*\n(?:    .*\n)*", page, re.MULTILINE)
    assert found is not None, begin
    return textwrap.dedent(found[0]).replace("mattermost/calls-recorder:v0.8.13", IMAGE)


async def shell(script: str, **more: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", script),
        env={**os.environ, **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_image_with_settings_has_them(tmp_path: Path) -> None:
    """The image for plugins that pass no settings: its own are the job's, and all else is as before."""
    (tmp_path / "Dockerfile").write_text(block("FROM recorder-fsm").replace("recorder-fsm", IMAGE))
    name = f"recorder-fsm-test-{secrets.token_hex(4)}"
    await docker("build", "--tag", name, str(tmp_path))
    try:
        variables = (await docker("run", "--rm", "--network", "none", "--entrypoint", "env", name)).splitlines()
        assert {"MAX_DURATION_SECONDS=3600", "LOG_FORMAT=json"} <= set(variables)
        entry = "{{json .Config.Entrypoint}}"
        assert await docker("inspect", "--format", entry, name) == await docker("inspect", "--format", entry, IMAGE)
    finally:
        await docker("rmi", name)


async def test_left_volumes_are_looked_at_and_removed() -> None:
    """Of those that no container uses the empty one goes; one with a recording that cannot be published stays."""
    empty, waiting = (f"calls-recorder-{secrets.token_hex(4)}" for _ in range(2))
    job = "a" * 26
    for name in (empty, waiting):
        await docker("volume", "create", name)
    mount = ("--volume", f"{waiting}:/data", "--user", "calls", "--entrypoint", "sh")
    await docker(
        "run", "--rm", *mount, IMAGE, "-c", f"mkdir /data/{job} && head -c 4096 /dev/zero > /data/{job}/live.mp4"
    )
    try:
        _, said = await shell(block("for volume in"), AUTH_TOKEN="t" * 26)
        left = (await docker("volume", "ls", "--quiet", "--filter", "name=calls-recorder-")).split()
        assert empty not in left, said
        assert waiting in left, said
        assert f"{job}: kept, because SITE_URL and CALL_ID and POST_ID must be set" in said
    finally:
        for name in (empty, waiting):
            await docker("volume", "rm", "--force", name, check=False)


async def test_build_line_of_the_readme_gives_the_image_its_labels() -> None:
    """A plain `docker build`: version, revision and source. What `make image` has built is taken from the cache."""
    name = f"recorder-fsm-test-{secrets.token_hex(4)}"
    build, _, _ = block("docker build", README).partition("docker tag")
    build = build.replace("docker build", "docker build --network host")  # as `make image`, or the cache is not used
    code, said = await shell(f"cd {ROOT} && {build.replace('--tag recorder-fsm', f'--tag {name}')}")
    assert code == 0, said
    try:
        labels = json.loads(await docker("image", "inspect", "--format", "{{json .Config.Labels}}", name))
        assert labels["org.opencontainers.image.version"] == __version__
        assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
        _, source = await shell(f"cd {ROOT} && git config remote.origin.url")
        assert labels["org.opencontainers.image.source"] == (source.strip() or "unknown")
    finally:
        await docker("rmi", name)


async def test_bill_can_be_printed() -> None:
    """The command that shows what is in the image."""
    code, said = await shell(block("docker run --rm --entrypoint cat").replace("cat recorder-fsm", f"cat {IMAGE}"))
    assert code == 0, said
    assert '"CycloneDX"' in said


async def test_image_explains_an_error_code() -> None:
    """Whoever has only the image and a code is told what to do, without a network."""
    said = await docker("run", "--rm", "--network", "none", "--read-only", IMAGE, "explain", "memory")
    assert "Raise the limit of memory" in " ".join(said.split())
