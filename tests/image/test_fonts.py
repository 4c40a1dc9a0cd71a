"""The image has a font for each script: see `tests.scripts`."""

from __future__ import annotations

from bench.harness.containers import IMAGE
from tests.scripts import drawn_as_boxes


async def test_image_draws_names_in_all_scripts() -> None:
    """With what it leaves out of the font packages, too."""
    run = ("docker", "run", "--rm", "--network", "none", "--user", "calls", "--entrypoint", "chromium")
    assert await drawn_as_boxes([*run, IMAGE]) == {}
