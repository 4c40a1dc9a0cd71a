"""What all tests share: a quiet library, and the log as a list."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from loguru import logger

from recorder_fsm.storage.logs import QUIET_LIBRARIES


@pytest.fixture(autouse=True, scope="session")
def _quiet_libraries() -> None:
    """As in a recorder: libraries speak from their warnings on."""
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that were logged during the test, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).rstrip("\n")), level="DEBUG", format="{level} {message}")
    yield lines
    logger.remove(sink)
