"""Lines to a descriptor that may block, fail or be full: real pipes and files."""

from __future__ import annotations

import os
import resource
import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from recorder_fsm.system import line_writer
from recorder_fsm.system.line_writer import LineWriter

LIMIT_S = 20.0


FILLER = "." * 200_000


@attrs.frozen
class Stuck:
    """A writer whose thread is in the middle of a line that its pipe has no room for."""

    writer: LineWriter
    read_end: int
    write_end: int

    def read_until(self, last: str) -> list[str]:
        """Read until a line is `last`; returns the lines behind the one that filled the pipe."""
        text = b""
        while not text.endswith(b"\n" + last.encode() + b"\n"):
            text += os.read(self.read_end, 2**20)
        filler, *lines = text.decode().splitlines()
        assert filler == FILLER
        return lines


@pytest.fixture(params=[True, False], ids=["blocking", "not blocking"])
def stuck(request: pytest.FixtureRequest) -> Iterator[Stuck]:
    """Who started us may have made the descriptor such that a full pipe is an error: it is waited for all the same."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, request.param)
    writer = LineWriter("test", lambda: write_end, lambda lines: f"<{lines} left out>\n", owned=False)
    writer.put(FILLER + "\n")
    select.select([read_end], [], [])
    yield Stuck(writer, read_end, write_end)
    os.close(read_end)
    assert writer.close(LIMIT_S)
    os.close(write_end)


def test_what_waits_is_written_in_order_when_the_reader_goes_on(stuck: Stuck) -> None:
    """A stall that the queue can take costs no line."""
    for number in range(1000):
        stuck.writer.put(f"{number}\n")
    assert stuck.read_until("999") == [str(number) for number in range(1000)]
    assert stuck.writer.lost_lines == 0


@pytest.mark.parametrize(
    ("line", "most"),
    [("x" * 9_999, line_writer.QUEUE_BYTES // 10_000), ("x", line_writer.QUEUE_LINES)],
    ids=["bytes", "lines"],
)
def test_queue_has_a_limit_of_bytes_and_one_of_lines(stuck: Stuck, line: str, most: int) -> None:
    """A stall of hours takes no memory: long lines are left out by their size, short ones by their number."""
    for _ in range(10_000):
        stuck.writer.put(line + "\n")
    assert 10_000 - stuck.writer.lost_lines == most


def test_warnings_are_left_out_last(stuck: Stuck) -> None:
    """What explains a trouble has room of its own, behind a line that says what is missing before it."""
    most = line_writer.QUEUE_LINES
    for _ in range(most + 10):
        stuck.writer.put("ordinary\n")
    stuck.writer.put("a warning\n", important=True)
    stuck.writer.put("ordinary\n")
    stuck.writer.put("another\n", important=True)
    lines = stuck.read_until("another")
    assert lines == [*["ordinary"] * most, "<10 left out>", "a warning", "<1 left out>", "another"]


def test_warnings_have_a_limit_too(stuck: Stuck) -> None:
    """A flood of warnings takes no memory either."""
    for _ in range(10_000):
        stuck.writer.put("warning\n", important=True)
    assert 10_000 - stuck.writer.lost_lines == line_writer.QUEUE_LINES + line_writer.RESERVE_LINES


def test_what_is_missing_at_the_end_is_said_without_another_line(stuck: Stuck) -> None:
    """A reader who goes on learns of the hole although nothing is said after it."""
    for _ in range(line_writer.QUEUE_LINES + 10):
        stuck.writer.put("ordinary\n")
    assert len(stuck.read_until("<10 left out>")) == line_writer.QUEUE_LINES + 1


def test_long_hole_is_one(stuck: Stuck) -> None:
    """After a hole nothing is taken until there is room for much: not one line here, one there."""
    for _ in range(line_writer.QUEUE_LINES + 10):
        stuck.writer.put("ordinary\n")
    os.read(stuck.read_end, 2**20)  # part of the line that fills the pipe: nothing behind it has gone
    for _ in range(10):
        stuck.writer.put("ordinary\n")
    assert stuck.writer.lost_lines == 20


def test_end_does_not_wait_for_a_reader_who_does_not_read(stuck: Stuck) -> None:
    """It says that not all was written, and takes nothing more; who reads later reads all the rest."""
    stuck.writer.put("a line\n")
    assert not stuck.writer.drain(0.01)
    assert not stuck.writer.close(0.01)
    stuck.writer.put("another\n")
    assert stuck.read_until("a line") == ["a line"]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """A disk that has room for so many bytes in each file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_line_that_a_full_disk_cut_gets_its_end_when_there_is_room_again(tmp_path: Path) -> None:
    """The next line does not stand behind half of another, and the missing ones are counted."""
    path = tmp_path / "log"
    writer = LineWriter(
        "test", lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), lambda lines: f"<{lines} left out>\n"
    )
    with no_file_larger_than(25):
        for number in range(4):
            writer.put(f"{number} 23456789\n")
            assert writer.drain(LIMIT_S)
    writer.put("room again\n")
    assert writer.close(LIMIT_S)
    assert path.read_text().splitlines() == ["0 23456789", "1 23456789", "2 2", "<2 left out>", "room again"]
    assert writer.lost_lines == 2


def test_file_is_opened_beside_the_work_and_closed_in_the_end() -> None:
    """Opening may take for ever: lines wait for it."""
    open_it, ends = threading.Event(), os.pipe()

    def open_slowly() -> int:
        open_it.wait(LIMIT_S)
        return ends[1]

    writer = LineWriter("test", open_slowly, str)
    writer.put("a line\n")
    assert not writer.drain(0.01)
    open_it.set()
    assert writer.close(LIMIT_S)
    with os.fdopen(ends[0]) as lines:
        assert lines.read() == "a line\n"


def test_file_that_cannot_be_opened_is_told_once(tmp_path: Path) -> None:
    """Nothing waits for it any more."""
    errors: list[OSError] = []
    writer = LineWriter("test", lambda: os.open(tmp_path, os.O_WRONLY), str, on_refusal=errors.append)
    assert writer.close(LIMIT_S)
    writer.put("a line\n")
    assert writer.drain(0)
    assert [type(error) for error in errors] == [IsADirectoryError]


async def test_lines_of_many_threads_are_whole(tmp_path: Path) -> None:
    """Whoever says something at the same time does not mix with others."""
    path = tmp_path / "log"
    writer = LineWriter("test", lambda: os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), str)
    threads = [
        threading.Thread(target=deque, args=(map(writer.put, [name * 500 + "\n"] * 100), 0)) for name in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(LIMIT_S)
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted(name * 500 for name in "abcdefgh" for _ in range(100))
