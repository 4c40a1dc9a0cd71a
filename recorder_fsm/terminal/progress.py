"""How far something is: a bar in the last line of a terminal, nothing elsewhere.

A thread of its own draws. So whoever works never waits for the terminal, which may stand still for as long as a person
likes (Ctrl-S); a line that nobody takes is lost with it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import attrs

from recorder_fsm.plain_text import plain
from recorder_fsm.terminal.screen import Screen, size

DRAWN_EVERY_S = 0.2
LAST_LINES_LIMIT_S = 1.0
BAR_COLUMNS = 24
LEAST_BAR_COLUMNS = 8
LAST_LINE = "\0"
CLEAR_LINE = "\r\x1b[K"


@attrs.define
class _Now:
    """What is under way: `done` of `total`, in `unit`; `begun_at` is of the steady clock, in seconds."""

    what: str = ""
    done: float = 0
    total: float = 0
    unit: str = ""
    begun_at: float = 0.0
    begun_with: float = 0


class Progress:
    """A bar on `screen`, a terminal. Enter it, call `show` as often as you like from any thread.

    `say` writes lines above the bar.
    """

    def __init__(self, screen: Screen, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._stream = screen.stream
        self._clock = clock
        self._now = _Now()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._draw, name="progress", daemon=True)

    def __enter__(self) -> Self:
        stream = self._screen.stream
        with contextlib.suppress(OSError, ValueError):  # one without a descriptor, as tests have it
            # A descriptor of its own: standard output may be taken meanwhile.
            self._stream = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.put(None)
        self._thread.join(LAST_LINES_LIMIT_S)

    def show(self, what: str, done: float, total: float, unit: str = "") -> None:
        """Show how far `what` is. With the unit "bytes" the numbers are shown as people read them."""
        now = self._now
        if what != now.what or done < now.done:
            now = _Now(what, begun_at=self._clock(), begun_with=done)
        self._now = attrs.evolve(now, done=done, total=total, unit=unit)

    def nothing(self) -> None:
        """Show no bar any more."""
        self._now = _Now()

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self._lines.put(line)

    @contextmanager
    def taking_output(self, wanted: Callable[[str], bool]) -> Iterator[None]:
        """Take what this process writes to standard output meanwhile, and write the `wanted` lines of it above the bar.

        Whoever holds standard output longer than this is not waited for.
        """
        read_end, write_end = os.pipe()
        before = os.dup(1)
        os.dup2(write_end, 1)
        reader = threading.Thread(target=self._read, args=(read_end, wanted), name="lines above the bar", daemon=True)
        reader.start()
        try:
            yield
        finally:
            os.dup2(before, 1)
            os.close(before)
            os.write(write_end, f"\n{LAST_LINE}\n".encode())
            os.close(write_end)
            reader.join(LAST_LINES_LIMIT_S)

    def _read(self, descriptor: int, wanted: Callable[[str], bool]) -> None:
        with open(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                text = line.rstrip("\n")
                if text == LAST_LINE:
                    return
                if text and wanted(text):
                    self.say(text)

    def _draw(self) -> None:
        try:
            self._draw_until_left()
        finally:
            if self._stream is not self._screen.stream:
                with contextlib.suppress(OSError):  # the terminal has gone
                    self._stream.close()

    def _draw_until_left(self) -> None:
        bar, ended = "", False
        while not ended:
            lines, ended = self._waiting()
            shown = "" if ended else self._bar()
            if not lines and shown == bar:
                continue
            text = (CLEAR_LINE if bar else "") + "".join(f"{line}\n" for line in lines) + shown
            bar = shown
            try:
                self._write(text)
            except (OSError, ValueError):  # nobody reads any more
                return

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _waiting(self) -> tuple[list[str], bool]:
        """Wait a moment for lines; returns those that came, and whether these are the last."""
        lines: list[str] = []
        with contextlib.suppress(queue.Empty):
            line = self._lines.get(timeout=DRAWN_EVERY_S)
            while line is not None:
                lines.append(line)
                line = self._lines.get_nowait()
            return lines, True
        return lines, False

    def _bar(self) -> str:
        now = self._now
        if not now.what:
            return ""
        share = min(1.0, now.done / now.total) if now.total else 0.0
        passed_s = self._clock() - now.begun_at
        rate = (now.done - now.begun_with) / passed_s if passed_s > 0 else 0.0
        numbers = f"{share:4.0%}  {_amount(now.done, now.unit)} of {_amount(now.total, now.unit)}"
        if now.unit == "bytes" and rate > 0:
            numbers += f", {_amount(rate, now.unit)}/s"
        return self._fitted(plain(now.what), numbers, share)

    def _fitted(self, what: str, numbers: str, share: float) -> str:
        """Return name, bar and numbers in one line of the terminal: the bar shrinks first, then it goes."""
        room = self._screen.columns - 1 - len(what) - len(numbers) - 4
        columns = min(BAR_COLUMNS, room)
        if columns < LEAST_BAR_COLUMNS:
            return f"{what} {numbers}"[: self._screen.columns - 1]
        full, empty = ("█", "░") if self._screen.unicode else ("#", ".")
        filled = round(share * columns)
        bar = self._screen.painted(full * filled, "36") + self._screen.painted(empty * (columns - filled), "2")
        return f"{what}  {bar}  {numbers}"


@contextmanager
def bar_below_output(
    screen: Screen, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[Callable[[str, float, float, str], None]]:
    """Draw a bar on a terminal, below the `wanted` lines of what the process prints meanwhile; nothing elsewhere.

    Yields what is called with what is under way, how much is done, of how much, and the unit. All done is no bar.
    """
    if not screen.drawn:
        yield lambda _what, _done, _total, _unit: None
        return

    def show(what: str, done: float, total: float, unit: str) -> None:
        if done < total:
            progress.show(what, done, total, unit)
        else:
            progress.nothing()

    with Progress(screen) as progress, progress.taking_output(wanted):
        yield show


def _amount(number: float, unit: str) -> str:
    return size(number) if unit == "bytes" else f"{number:g}{f' {unit}' if unit else ''}"
