"""A plugin of pytest: gathers the rows of the faults that were overcome, also from workers, and shows their table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from tests.faults.scene import Row
from tests.faults.table import write_table

MADE: pytest.StashKey[list[Row]] = pytest.StashKey()
"""The rows that a test has made so far."""

PROPERTY = "fault row"
PASSED: list[Row] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Lay the rows of a test that passed beside its report, which is what a worker sends."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.when == "call" and report.passed:
        report.user_properties += [(PROPERTY, attrs.asdict(row)) for row in item.stash.get(MADE, [])]
    return report  # type: ignore[return-value]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take the rows out of each report."""
    if report.when == "call":
        PASSED.extend(Row(**value) for name, value in report.user_properties if name == PROPERTY)  # type: ignore[arg-type]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table. FAULT_TABLE names the file that gets it: anew, or, with `FAULT_ROWS=some`, what was played."""
    if PASSED:
        target = os.environ.get("FAULT_TABLE")
        some = os.environ.get("FAULT_ROWS") == "some"
        for line in write_table(PASSED, Path(target) if target else None, on=datetime.now(UTC).date(), keep=some):
            terminalreporter.write_line(line)
