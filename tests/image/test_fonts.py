"""The image has a font for each script (see `tests.scripts`), and a list of them that holds when it runs."""

from __future__ import annotations

import pytest

from bench.harness.containers import IMAGE, docker
from tests.scripts import drawn_as_boxes

AS_JOB = ("--read-only", "--tmpfs", "/tmp", "--env", "HOME=/tmp", "--env", "XDG_CACHE_HOME=/tmp/cache")  # noqa: S108 - in the container
# As in a job, nothing is kept from an earlier start. Who has to read a font directory leaves a list of it in the cache.
PAGE_IS_DRAWN = """
mkdir /tmp/cache
chromium --headless --no-sandbox --disable-gpu --dump-dom 'data:text/html,<p id=drawn>text' 2> /dev/null
find /tmp/cache -path '*/fontconfig/*.cache-*'
"""
NOT_IN_WHOLE_SECONDS = (
    "find /usr/share/fonts /usr/local/share/fonts -type d -printf '%T@ %p\\n' | grep -v '^[0-9]*[.]0* '"
)


async def test_image_draws_names_in_all_scripts() -> None:
    """With what it leaves out of the font packages, too."""
    run = ("docker", "run", "--rm", "--network", "none", "--user", "calls", "--entrypoint", "chromium")
    assert await drawn_as_boxes([*run, IMAGE]) == {}


@pytest.mark.parametrize("user", ["calls", "root"])
async def test_browser_need_not_read_the_fonts_to_know_them(user: str) -> None:
    """Chromium finds each font directory in the image's own list, whoever it runs as, with a read-only root too."""
    run = ("run", "--rm", "--network", "none", *AS_JOB, "--user", user, "--entrypoint", "sh", IMAGE, "-c")
    shown = await docker(*run, PAGE_IS_DRAWN)
    assert 'id="drawn"' in shown
    assert "fontconfig" not in shown
    directories = [line for line in (await docker(*run, "fc-cache --verbose")).splitlines() if line.startswith("/usr/")]
    directories = [line for line in directories if "looped directory" not in line]  # named before
    assert any(line.startswith("/usr/share/fonts/truetype/noto: ") for line in directories)
    assert [line for line in directories if "existing cache is valid" not in line] == []


async def test_list_of_fonts_outlives_a_registry() -> None:
    """It is valid for a directory's time to the nanosecond, of which a layer that was pulled keeps the seconds."""
    run = ("run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c")
    assert await docker(*run, NOT_IN_WHOLE_SECONDS + " || true") == ""
