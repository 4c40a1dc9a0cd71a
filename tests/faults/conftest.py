"""Fixtures of the fault suite, and its table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.pending import Clip, make_clip
from tests.faults.scene import Row
from tests.faults.table import write_table

ROWS: list[Row] = []


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Row]]:
    """Makes the row of a test; it enters the table when the test has passed."""
    made: list[Row] = []

    def make(name: str, done: str) -> Row:
        made.append(Row(name, done))
        return made[-1]

    yield make
    if getattr(request.node, "passed", False):
        ROWS.extend(made)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call":
        item.passed = report.passed  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and write it into the file that FAULT_TABLE names."""
    if ROWS:
        target = os.environ.get("FAULT_TABLE")
        for line in write_table(ROWS, Path(target) if target else None):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Six seconds in a few hundred KiB."""
    return make_clip(tmp_path_factory.mktemp("small"), seconds=6, kbps=400)


@pytest.fixture(scope="session")
def large_clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Some 8 MiB: more than a first part must have, and less than two of them."""
    return make_clip(tmp_path_factory.mktemp("large"), seconds=6, kbps=11_000)
