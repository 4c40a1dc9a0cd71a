"""What the demo shows: progress while it runs, then a table.

Reads the recorder's JSON log lines. On a terminal two lines are drawn over and over; elsewhere plain lines follow one
another.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from recorder_fsm.machine.lifecycle import State
from recorder_fsm.standin.demo_check import Findings

PLAIN_EVERY_S = 4.0
WAY = (State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED, State.RECORDING, State.STOPPING, State.UPLOADING, State.DONE)


class DemoView:
    """The terminal's side of one demo of `seconds` seconds."""

    def __init__(self, seconds: float, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._seconds = seconds
        self._live: Live | None = None
        self._state = ""
        self._reached: list[str] = []
        self._recording_since: float | None = None
        self._stopped_at: float | None = None
        self._data: dict[str, Any] = {}
        self._rate = 0.0
        self._plain_at = 0.0

    def say(self, sentence: str) -> None:
        self._console.print(sentence, soft_wrap=True)

    def began(self, url: str) -> None:
        self.say(f"stand-in Mattermost at {url}; recording {self._seconds:g} s of its call (Ctrl-C ends it earlier)")

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Draw over and over while inside, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self._drawn, console=self._console, refresh_per_second=5, transient=False) as live:
            self._live = live
            yield
        self._live = None

    def recording(self) -> None:
        """Count the seconds from now on."""
        self._recording_since = time.monotonic()

    def stopped(self) -> None:
        """Count no further."""
        self._stopped_at = time.monotonic()

    def line(self, text: str) -> bool:
        """Take one line of the recorder's standard output; True if it was one of its log."""
        try:
            entry = json.loads(text)
            state, level, message = str(entry["state"]), str(entry["level"]), str(entry["message"])
        except (ValueError, KeyError, TypeError):
            return False
        if state != self._state:
            self._entered(state)
        if level in {"WARNING", "ERROR", "CRITICAL"}:
            self.say(f"  {level.lower()}: {message}")
        if isinstance(entry.get("data"), dict) and "frames" in entry["data"]:
            self._progressed(entry["data"])
        return True

    def table(self, findings: Findings, report: Mapping[str, Any]) -> None:
        """Show what was recorded: the recorder's own account of time, and what was measured in the file."""
        container, sound, offsets = findings.container, findings.sound, findings.offsets
        table = Table(show_header=False)
        table.add_column(justify="left")
        table.add_column(justify="left")
        for state, seconds in report.get("states_s", {}).items():
            table.add_row(f"in {state}", f"{seconds:.2f} s")
        table.add_section()
        table.add_row("start to `started`", _seconds(report.get("started_after_s")))
        table.add_row("stop to finished file", _seconds(report.get("file_ready_after_s")))
        table.add_section()
        table.add_row("duration", f"{container.duration_s:.2f} s")
        table.add_row("size", megabytes(container.size_bytes))
        if (video := container.video) is not None:
            pace = video.frames / video.duration_s if video.duration_s else 0.0
            table.add_row("resolution", f"{video.width}x{video.height}")
            table.add_row("frames", f"{video.frames} ({pace:.1f} per second; unchanged ones are left out)")
        table.add_row("dropped", str(report.get("capture", {}).get("dropped", "unknown")))
        if sound is not None:
            table.add_row("sound level", f"{sound.mean_dbfs:.1f} dBFS (peak {sound.peak_dbfs:.1f})")
        if offsets is not None:
            table.add_row(
                "A/V offset",
                f"{offsets.median_ms:+.0f} ms median, {offsets.p5_ms:+.0f} to {offsets.p95_ms:+.0f} ms "
                f"({len(offsets.offsets_ms)} flashes)",
            )
        self._console.print(table)

    def files(self, video: Path, poster: Path, report: Path) -> None:
        for name, path in (("video", video), ("poster", poster), ("report", report)):
            self.say(f"{name:<7} {_from_here(path)}")

    def failed(self, log: Path | None) -> None:
        if log is not None:
            self.say(f"log     {_from_here(log)}")

    def verdict(self, problems: Sequence[str]) -> None:
        for problem in problems:
            self.say(f"not good: {problem}")
        if not problems:
            self.say("the published file is good")

    def _entered(self, state: str) -> None:
        self._state = state
        self._reached.append(state)
        if self._live is None and not self._console.is_terminal:
            self.say(f"  {state}")

    def _progressed(self, data: dict[str, Any]) -> None:
        before, self._data = self._data, data
        passed_s = data["elapsed_s"] - before.get("elapsed_s", 0.0)
        if passed_s > 0:
            self._rate = (data["frames"] - before.get("frames", 0)) / passed_s
        now = time.monotonic()
        if self._live is None and not self._console.is_terminal and now - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = now
            self.say(f"  {self._state}: {self._numbers(data['elapsed_s'])}")

    def _numbers(self, elapsed_s: float) -> str:
        parts = [f"{elapsed_s:.0f} s of {self._seconds:g} s"]
        if self._data:
            level = self._data.get("mean_dbfs")
            parts += [
                megabytes(self._data["size_bytes"]),
                f"{self._rate:.0f} frames/s",
                "silence" if level is None else f"sound {level:.0f} dBFS",
            ]
        return ", ".join(parts)

    def _drawn(self) -> RenderableType:
        way = Text()
        for state in (one.value for one in WAY):
            if state == self._state:
                way.append(f"{state}  ", style="bold cyan")
            else:
                way.append(f"{state}  ", style="green" if state in self._reached else "dim")
        if State.FAILED.value in self._reached:
            way.append("failed", style="bold red")
        if self._recording_since is None:
            return Group(way, Text("starting ..."))
        return Group(way, Text(self._numbers((self._stopped_at or time.monotonic()) - self._recording_since)))


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it."""
    return f"{size_bytes / 1e6:.2f} MB"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"


def _from_here(path: Path) -> Path:
    """Return the path relative to the working directory, where it lies in it."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
