"""The image under test is named by RECORDER_FSM_IMAGE, which `make image-test` sets; without it nothing here runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness.containers import IMAGE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all tests of this directory where no image is named."""
    for item in items:
        if not IMAGE and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="no image to test: `make image-test` builds one (needs Docker)"))
