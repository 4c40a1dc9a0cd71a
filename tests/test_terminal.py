"""The terminal's side: what a stream can show, tables, the bar, and Ctrl-C in a command."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

import pytest
from rich.table import Table

from recorder_fsm.terminal.progress import Progress, bar_below_output
from recorder_fsm.terminal.screen import Mark, Screen, speaks_utf8
from recorder_fsm.terminal.stopping import Interrupted, run_stoppable

UTF8 = {"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}
ROWS = [("Xvfb", "21.1"), ("字体 fonts", "ok"), ("x", "a long value")]


def table(rows: Sequence[tuple[str, str]]) -> Table:
    made = Table(show_header=False)
    for _ in rows[0]:
        made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


class Terminal:
    """A terminal of our own: `stream` is its inside, `shown()` all that it got until the stream was closed."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        self._parts: list[bytes] = []
        self.more = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._parts.append(os.read(self._ours, 4096))
                self.more.set()
            except OSError:
                return

    def shown(self) -> str:
        self.stream.close()
        self._reader.join(10)
        return b"".join(self._parts).decode().replace("\r\n", "\n")


@contextmanager
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    try:
        yield made
    finally:
        made.shown()
        os.close(made._ours)


@pytest.mark.parametrize(
    ("environment", "colour", "unicode"),
    [
        (UTF8, True, True),
        (UTF8 | {"NO_COLOR": "1"}, False, True),
        (UTF8 | {"NO_COLOR": ""}, True, True),
        (UTF8 | {"LC_ALL": "C"}, True, False),
    ],
)
def test_terminal_shows_what_its_owner_wants(environment: Mapping[str, str], colour: bool, unicode: bool) -> None:
    """NO_COLOR takes the colours away, a locale without UTF-8 the symbols; the words stay."""
    with terminal() as made:
        screen = Screen(environment, made.stream)
        screen.say(f"{screen.sign(Mark.OK)} {screen.word(Mark.OK)}")
        screen.console.print(table(ROWS))
        shown = made.shown()
    assert ("\x1b[" in shown) is colour
    assert ("✓" in shown) is unicode
    assert bool(re.search("[─━│┃]", shown)) is unicode
    assert "ok" in shown
    assert "a long value" in shown


@pytest.mark.parametrize("term", ["dumb", ""])
def test_terminal_that_knows_nothing_gets_plain_lines(term: str) -> None:
    """TERM=dumb, or none: no escape sequence at all."""
    with terminal() as made:
        screen = Screen({**UTF8, "TERM": term}, made.stream)
        screen.console.print(table(ROWS))
        with bar_below_output(screen) as show:
            show("upload", 1, 2, "")
        shown = made.shown()
    assert "\x1b" not in shown


def test_encoding_without_a_letter_is_no_error() -> None:
    """What the stream cannot say is replaced."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Screen(UTF8, stream).say("Zoë ✓")
    assert raw.getvalue() == b"Zo? ?\n"


def test_narrow_terminal_gets_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 40 columns no line is longer, and nothing is lost."""
    monkeypatch.setenv("COLUMNS", "40")
    with terminal() as made:
        Screen({**UTF8, "NO_COLOR": "1"}, made.stream).console.print(table([("a" * 30, "b" * 30)]))
        shown = made.shown()
    assert max(map(len, shown.splitlines())) <= 40
    assert shown.count("a") == shown.count("b") == 30


@pytest.mark.parametrize(
    ("environment", "utf8"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # the interpreter's own doing
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "POSIX"}, False),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
    ],
)
def test_locale_is_that_of_the_person(environment: Mapping[str, str], utf8: bool) -> None:
    """Only who chose UTF-8 has it."""
    assert speaks_utf8(environment) is utf8


def test_bar_is_drawn_below_the_lines() -> None:
    """A line that comes meanwhile stands above the bar, and the bar goes in the end."""
    with terminal() as made:
        screen = Screen({**UTF8, "NO_COLOR": "1"}, made.stream)
        with Progress(screen) as progress:
            progress.show("uploading", 5_000_000, 20_000_000, "bytes")
            progress.say("published")
        shown = made.shown()
    lines = shown.replace("\x1b[K", "").split("\n")
    assert "published" in [line.rpartition("\r")[2] for line in lines]
    assert lines[-1].rpartition("\r")[2] == "", "the bar is still there"


def test_bar_says_how_far_it_is() -> None:
    """Bytes as people read them, with their share."""
    with terminal() as made:
        progress = Progress(Screen({**UTF8, "NO_COLOR": "1"}, made.stream))
        progress.show("uploading", 5_000_000, 20_000_000, "bytes")
        assert re.fullmatch(r"uploading  █+░+   25%  5.0 MB of 20.0 MB", progress._bar())


def test_reader_who_stands_still_holds_nobody_up() -> None:
    """A terminal that takes nothing (Ctrl-S) costs the one who works no time, and little in the end."""
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w", encoding="utf-8")
    with Progress(Screen(UTF8, stream)) as progress:
        for number in range(20_000):  # more than a terminal's buffer holds
            progress.say("x" * 100)
            progress.show("uploading", number, 20_000)
    os.close(ours)


def test_output_of_the_process_stands_above_the_bar() -> None:
    """What anybody prints meanwhile is taken, line by line, as far as it is wanted; then the output is as before."""
    program = """
import os, sys
from recorder_fsm.terminal.progress import Progress
from recorder_fsm.terminal.screen import Screen
with Progress(Screen({"TERM": "xterm"})) as progress, progress.taking_output(lambda line: "no" not in line):
    progress.show("uploading", 1, 2)
    os.write(1, b"yes\\nno\\n")
print("after")
"""
    with terminal() as made:
        subprocess.run([sys.executable, "-c", program], stdout=made.stream, timeout=60, check=True)
        shown = made.shown()
    lines = [line.rpartition("\r")[2].replace("\x1b[K", "") for line in shown.split("\n")]
    assert [line for line in lines if line] == ["yes", "after"]


RECOVERING = """
import os, sys
from recorder_fsm.terminal.recovering import showing
with showing({"TERM": "xterm", "LANG": "C.UTF-8", **({"LOG_LEVEL": "DEBUG"} if "all" in sys.argv else {})}) as uploaded:
    os.write(1, b"2026-01-02T03:04:05.678Z DEBUG   id uploading      a detail\\n")
    os.write(1, b"2026-01-02T03:04:05.678Z WARNING id uploading      a doubt\\n")
    uploaded("abcdefghijklmnopqrstuvwxyz", 5_000_000, 20_000_000)
    sys.stdin.readline()
    uploaded("abcdefghijklmnopqrstuvwxyz", 20_000_000, 20_000_000)
    os.write(1, b"abc: published\\n")
"""


@pytest.mark.parametrize(("more", "details"), [([], 0), (["all"], 1)])
def test_recovery_at_a_terminal_is_a_bar_and_what_matters(more: list[str], details: int) -> None:
    """How far the upload is, and above it doubts and outcomes; the whole log for who asks for it."""
    with terminal() as made:
        with subprocess.Popen(
            [sys.executable, "-c", RECOVERING, *more], stdout=made.stream, stdin=subprocess.PIPE
        ) as run:
            assert run.stdin is not None
            while b"25%" not in (shown := b"".join(made._parts)):
                assert run.poll() is None
                made.more.wait(10)
                made.more.clear()
            run.stdin.close()
        shown_at_last = made.shown()
    assert "uploading abcdefgh" in shown.decode()
    assert shown_at_last.count("a detail") == details
    lines = [line.rpartition("\r")[2].replace("\x1b[K", "") for line in shown_at_last.split("\n")]
    assert [line for line in lines if line][-1] == "abc: published"
    assert any("a doubt" in line for line in lines)


STOPPABLE = """
import asyncio, sys
from recorder_fsm.terminal.stopping import Interrupted, run_stoppable

async def main():
    print("working", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        if "slow" in sys.argv:
            await asyncio.sleep(60)
        print("cleared up", flush=True)

try:
    run_stoppable(main(), lambda: print("stopping", flush=True))
except Interrupted as interrupted:
    sys.exit(interrupted.code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_stops_in_order(number: signal.Signals, code: int) -> None:
    """The first one is told, and waits for what clears up; the exit code is the one that shells give."""
    with subprocess.Popen([sys.executable, "-c", STOPPABLE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.stdout.read() == "stopping\ncleared up\n"
    assert process.returncode == code


def test_second_signal_ends_at_once() -> None:
    """Whoever does not want to wait need not."""
    with subprocess.Popen([sys.executable, "-c", STOPPABLE, "slow"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
    assert process.returncode == 130


def test_what_is_not_stopped_returns() -> None:
    """Without a signal it is a plain run; an error of its own comes out."""

    async def fails() -> None:
        raise ValueError("its own")

    assert run_stoppable(asyncio.sleep(0, "result"), lambda: None) == "result"
    with pytest.raises(ValueError, match="its own"):
        run_stoppable(fails(), lambda: None)
    assert issubclass(Interrupted, Exception)
