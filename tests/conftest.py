"""What all tests share: quiet libraries, the log as a list, a stand-in Mattermost with a call, a volume."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from signal import SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGQUIT, default_int_handler, getsignal, signal

import aiohttp
import pytest
from loguru import logger

from recorder_fsm.plain_text import keep_secret
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.storage.logs import QUIET_LIBRARIES
from tests.faults.often import KINDS
from tests.standin_page import CALLS, Page, log_in
from tests.tiers import is_long, starts_programs

pytest_plugins = ["tests.faults.rows"]

RECORDINGS = ("end_to_end", "faults")
PUBLISHING = ("test_publishing.py", "test_recovery.py", "test_shared_volume.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test that records its worker and its mark, and bring them to the front: they take longest.

    On one worker they record, one after another; on another they publish what lies there, which needs little. Tests of
    one browser or one event loop stay together as well, so that each worker does not start its own.
    """
    here = Path(__file__).parent
    kinds = set(KINDS)
    for item in items:
        whole = item.nodeid.removeprefix("tests/")
        folder, _, name = whole.partition("/")
        if is_long(whole):
            item.add_marker(pytest.mark.rest)
        if starts_programs(whole):
            item.add_marker(pytest.mark.programs)
        if folder in RECORDINGS and any(item.get_closest_marker(mark) for mark in ("e2e", "fault")):
            item.add_marker(pytest.mark.xdist_group("publishing" if item.path.name in PUBLISHING else "recordings"))
            if f"{folder}/{name}" not in kinds:
                item.add_marker(pytest.mark.rest)
            kinds.discard(f"{folder}/{name}")
        elif item.get_closest_marker("e2e") or _loop_of_module(item):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: item.path.parent == here)
    if kinds and config.args == ["tests"] and not config.option.keyword:
        raise pytest.UsageError(f"tests/faults/often.py names tests that are not there: {sorted(kinds)}")


def _loop_of_module(item: pytest.Item) -> bool:
    loop = item.get_closest_marker("asyncio")
    return loop is not None and loop.kwargs.get("loop_scope") == "module"


@pytest.fixture(autouse=True, scope="session")
def _quiet_libraries() -> None:
    """As in a recorder: libraries speak from their warnings on."""
    for name, lowest in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(lowest)


@pytest.fixture(autouse=True, scope="session")
def _signals() -> None:
    """As of a terminal, also where nohup or a shell's background ignores some: children inherit that."""
    for number in (SIGHUP, SIGQUIT, SIGINT):
        if getsignal(number) is SIG_IGN:
            signal(number, default_int_handler if number is SIGINT else SIG_DFL)


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
async def client(standin: StandIn) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a token in its headers, as a browser's websocket is."""
    async with aiohttp.ClientSession(standin.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def page(client: aiohttp.ClientSession, ids: CallIds) -> Page:
    """A recorder's page that has joined its call, as the stand-in's websocket knows it."""
    joined = await log_in(client, ids.token)
    assert (await joined.join(ids))["event"] == f"{CALLS}join"
    return joined


@pytest.fixture
def world() -> Iterator[Path]:
    """A directory that every user can enter; pytest's own are for one, and each session makes them so again."""
    with tempfile.TemporaryDirectory(prefix="world-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume of the jobs."""
    path = tmp_path / "data"
    path.mkdir()
    return path
