"""The page's console in the log: bounded by the minute, and what explains a fault is not lost in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from recorder_fsm.browser import console as console_module
from recorder_fsm.browser.console import Console

NOISE = "x" * 200


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that the console sees; a test sets it."""
    now = [1000.0]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


@pytest.fixture
def console(clock: list[float]) -> Console:
    assert clock
    return Console()


def logged(log: list[str], kind: str) -> list[str]:
    return [line for line in log if line.startswith(f"DEBUG console {kind}: ")]


def test_lines_of_a_join_are_all_logged(console: Console, log: list[str]) -> None:
    """Three hundred lines within a second, and the error after them."""
    for number in range(300):
        console.heard("debug", f"line {number} {NOISE}")
    console.heard("error", "unexpected video track type")
    assert len(logged(log, "debug")) == 300
    assert log[-1] == "DEBUG console error: unexpected video track type"


@pytest.mark.parametrize("kind", ["error", "warning", "assert"])
def test_ordinary_lines_leave_room_for_grave_ones(console: Console, log: list[str], kind: str) -> None:
    """However many ordinary lines came before: a share of each minute is kept for what explains a fault."""
    for _ in range(100_000):
        console.heard("log", NOISE)
    for number in range(100):
        console.heard(kind, f"grave {number}")
    console.heard("log", "one more")
    assert len(logged(log, kind)) == 100
    assert "DEBUG console log: one more" not in log


@pytest.mark.parametrize("kind", ["log", "error"])
def test_a_minute_of_a_flood_is_bounded_and_counted(
    console: Console, log: list[str], clock: list[float], kind: str
) -> None:
    """Errors fill no disk either; what was left out is said by kind when the next minute begins."""
    for _ in range(10_000):
        console.heard(kind, NOISE)
    kept = len(logged(log, kind))
    limit = console_module.LIMIT_BYTES - (console_module.RESERVED_BYTES if kind == "log" else 0)
    assert kept == limit // len(NOISE)
    clock[0] += console_module.WINDOW_S
    console.heard("info", "next minute")
    assert log[-2:] == [
        f"DEBUG console: lines left out because there were too many: {10_000 - kept} {kind}",
        "DEBUG console info: next minute",
    ]


def test_bytes_count_and_not_characters(console: Console, log: list[str]) -> None:
    """What a volume has to hold."""
    for _ in range(1000):
        console.heard("log", "山" * 500)
    assert len(logged(log, "log")) == (console_module.LIMIT_BYTES - console_module.RESERVED_BYTES) // 1500


def test_what_was_left_out_is_said_by_kind_and_once(console: Console, log: list[str]) -> None:
    """Also at the end, when no other line comes."""
    for kind in ("log", "error", "debug"):
        for _ in range(3000):
            console.heard(kind, NOISE)
    console.tell_left_out()
    console.tell_left_out()
    told = [line for line in log if "left out" in line]
    assert len(told) == 1
    assert "3000 debug" in told[0]
    assert "error" in told[0]


def test_long_line_is_cut(console: Console, log: list[str]) -> None:
    """A page that logs a whole state does not fill the disk."""
    console.heard("log", "x" * 1_000_000)
    assert len(log[-1]) < console_module.LINE_CHARS + 100


def test_errors_are_kept_also_when_the_log_is_flooded(console: Console) -> None:
    """The last ones, cut, for causes and the report."""
    for number in range(10_000):
        console.heard("log", NOISE)
        console.heard("error", f"error {number} {'x' * 1000}")
    assert len(console.errors) == console_module.KEPT_ERRORS
    assert console.errors[-1].startswith("error 9999 ")
    assert max(map(len, console.errors)) == console_module.ERROR_CHARS
