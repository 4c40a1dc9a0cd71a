"""What all tests share: quiet libraries, the log as a list, a stand-in Mattermost with a call, a volume."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from loguru import logger

from recorder_fsm.plain_text import keep_secret
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.storage.logs import QUIET_LIBRARIES

pytest_plugins = ["tests.faults.rows"]

_RECORDS = ("e2e", "fault")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that record go one after another on one worker, and first: they take longest, and mind each other.

    Tests of one browser or one loop stay together as well, so that each worker does not start its own.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in _RECORDS):
            item.add_marker(pytest.mark.xdist_group("recordings"))
        elif (loop := item.get_closest_marker("asyncio")) and loop.kwargs.get("loop_scope") == "module":
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in _RECORDS))


@pytest.fixture(autouse=True, scope="session")
def _quiet_libraries() -> None:
    """As in a recorder: libraries speak from their warnings on."""
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


@pytest.fixture(autouse=True)
def _no_secret() -> Iterator[None]:
    """Forget the token of a test behind it: it would be masked in the words of the next."""
    yield
    keep_secret("")


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that were logged during the test, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).rstrip("\n")), level="TRACE", format="{level} {message}")
    yield lines
    logger.remove(sink)


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    """A stand-in Mattermost on a free port."""
    async with StandIn(data_dir=tmp_path / "standin") as server:
        yield server


@pytest.fixture
async def ids(standin: StandIn) -> CallIds:
    """A call with a job that waits for its recorder."""
    return standin.create_call()


@pytest.fixture
async def bot_client(standin: StandIn) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client with the bot's token."""
    headers = {"Authorization": f"BEARER {standin.state.bot_token}"}
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(standin.url, headers=headers, timeout=timeout) as client:
        yield client


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume of the jobs."""
    path = tmp_path / "data"
    path.mkdir()
    return path
