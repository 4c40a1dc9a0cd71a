"""Fixtures of the fault suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults import rows
from tests.faults.pending import Clip, make_clip
from tests.faults.scene import Row


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str, str], Row]:
    """Makes the row of a test; it enters the table when the test has passed (tests/faults/rows.py)."""
    made: list[Row] = []
    request.node.stash[rows.MADE] = made  # anew for each try of a test

    def make(name: str, done: str) -> Row:
        row = Row(name, done)
        made.append(row)
        return row

    return make


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Six seconds in a few hundred KiB."""
    return make_clip(tmp_path_factory.mktemp("small"), seconds=6, kbps=400)


@pytest.fixture(scope="session")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Some 8 MiB: more than a first part must have, and less than two of them."""
    return make_clip(tmp_path_factory.mktemp("large"), seconds=6, kbps=11_000)
