"""Lines to one descriptor, written by a thread of their own: whoever has a line to say never waits for its reader.

A log driver that stalls, a stopped terminal, a full pipe, a volume that hangs: write(2), and open(2) before it, may
take for ever. Here they do so in a daemon thread behind a queue with limits. What the queue cannot take is left out and
counted, and a line in its place says how many they were. Warnings are left out last.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence

import attrs

QUEUE_BYTES = 1024 * 1024
QUEUE_LINES = 5000
RESERVE_BYTES = 256 * 1024
RESERVE_LINES = 500
"""For warnings, when ordinary lines are left out already."""
WRITE_BYTES = 64 * 1024
"""As much is given to one write(2), which a kill in between may cut."""


@attrs.frozen
class _Entry:
    """One line; or, where it stands in, one that says that `lines` others were left out."""

    data: bytes
    lines: int = 1
    stands_in: bool = False


class LineWriter:
    """Takes lines at any time, from any thread; writes them in order.

    `open_descriptor` is called in the thread and returns the descriptor, which is closed in the end where `owned`; what
    it raises goes to `on_refusal`, and every line is left out then. `left_out_line` returns the line that stands for so
    many lost ones.
    """

    def __init__(
        self,
        name: str,
        open_descriptor: Callable[[], int],
        left_out_line: Callable[[int], str],
        *,
        owned: bool = True,
        on_refusal: Callable[[OSError], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.lost_lines = 0
        """How many lines were left out so far."""
        self._open = open_descriptor
        self._left_out_line = left_out_line
        self._owned = owned
        self._on_refusal = on_refusal
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._bytes = 0
        self._writing = False
        self._full = False
        self._ending = False
        self._missing = 0
        """Lines left out since the last one that was taken."""
        self._thread = threading.Thread(target=self._work, name=f"lines to {name}", daemon=True)
        self._thread.start()

    def put(self, line: str, *, important: bool = False) -> None:
        """Take a line, with its end; an important one also where there is no room for others. Never waits."""
        data = line.encode(errors="replace")
        with self._changed:
            if self._ending:
                self.lost_lines += 1
                return
            if not self._has_room(len(data), important=important):
                self._full = True
                self._missing += 1
                self.lost_lines += 1
                return
            self._say_what_is_missing()
            self._append(_Entry(data))
            self._changed.notify_all()

    def drain(self, limit_s: float) -> bool:
        """Wait until everything is written, at most `limit_s` seconds; tells whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._writing, limit_s)

    def close(self, limit_s: float) -> bool:
        """Take no more lines, write those that wait, at most for `limit_s` seconds; tells whether that was enough."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _has_room(self, size: int, *, important: bool) -> bool:
        if not self._queue:
            return True
        if important:
            return self._bytes + size <= QUEUE_BYTES + RESERVE_BYTES and len(self._queue) < QUEUE_LINES + RESERVE_LINES
        # Once full it takes nothing until half of it has gone: one long hole is easier to read than a thousand.
        return not self._full and self._bytes + size <= QUEUE_BYTES and len(self._queue) < QUEUE_LINES

    def _append(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._bytes += len(entry.data)

    def _say_what_is_missing(self) -> None:
        if self._missing:
            self._append(
                _Entry(self._left_out_line(self._missing).encode(errors="replace"), self._missing, stands_in=True)
            )
            self._missing = 0

    def _work(self) -> None:
        try:
            descriptor = self._open()
        except OSError as error:
            with self._changed:
                self._ending = True
                self.lost_lines += len(self._queue)
                self._queue.clear()
                self._changed.notify_all()
            self._on_refusal(error)
            return
        whole, failing = True, False
        while entries := self._next(failing):
            lost, whole = _write(descriptor, entries, whole=whole)
            failing = bool(lost)
            with self._changed:
                self._writing = False
                self._missing += sum(entry.lines for entry in lost)
                self.lost_lines += sum(not entry.stands_in for entry in lost)
                self._changed.notify_all()
        if self._owned:
            os.close(descriptor)

    def _next(self, failing: bool) -> list[_Entry]:
        """Wait for lines; returns those for one write, none at the end."""
        with self._changed:
            if not self._queue and not failing:
                self._say_what_is_missing()
            self._changed.wait_for(lambda: self._queue or self._ending)
            entries: list[_Entry] = []
            size = 0
            while self._queue and (not entries or size + len(self._queue[0].data) <= WRITE_BYTES):
                entries.append(self._queue.popleft())
                size += len(entries[-1].data)
            self._bytes -= size
            if self._bytes <= QUEUE_BYTES // 2 and len(self._queue) <= QUEUE_LINES // 2:
                self._full = False
            self._writing = bool(entries)
            return entries


def _write(descriptor: int, entries: Sequence[_Entry], *, whole: bool) -> tuple[list[_Entry], bool]:
    """Write the entries; returns those that were not written to their end, and whether the last line written is whole.

    `whole`: whether the line before them is; one that was cut by a full disk gets its end first.
    """
    data = memoryview((b"" if whole else b"\n") + b"".join(entry.data for entry in entries))
    done = 0
    try:
        while done < len(data):
            try:
                done += os.write(descriptor, data[done:])
            except BlockingIOError:  # whoever gave us the descriptor does not want to wait: this thread does
                room = select.poll()
                room.register(descriptor, select.POLLOUT)
                room.poll()
    except OSError:  # a full disk, a reader that has gone
        end = 0 if whole else 1
        lost = []
        for entry in entries:
            end += len(entry.data)
            if end > done:
                lost.append(entry)
        return lost, data[done - 1] == ord("\n") if done else whole
    return [], True
