"""One job's steps with fakes around: a bot that answers as set, files whose text says what they are, a page."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from bench.harness.environment import JOB
from recorder_fsm.browser.shown_page import PageSigns
from recorder_fsm.config.settings import Settings
from recorder_fsm.errors import BrowserError, RecordingError
from recorder_fsm.machine.lifecycle import Event, Resource, State
from recorder_fsm.machine.runner import Ahead, Happened, Step
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.mattermost.posting import Evidence
from recorder_fsm.mattermost.upload_session import Begun
from recorder_fsm.media.join import Gap, JoinReport, Span
from recorder_fsm.media.output_file import Verified
from recorder_fsm.media.timeline import Segment
from recorder_fsm.steps import steps_of
from recorder_fsm.steps.context import JobContext
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.journal import Journal
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.signals import StopRequest

NAME = "Call_Town_Square"
RECORDING_ID = JOB["RECORDING_ID"]
KEEPS_UP_S = 1e6
"""How far an encoder that keeps up is, whatever the clock shows."""

Fact = tuple[str, dict[str, object]]
NAMED: Fact = ("named", {"name": NAME})
ANNOUNCED: Fact = ("announced", {"notice": "given"})
NOT_ANNOUNCED: Fact = ("announced", {"notice": "none"})
REFUSED: Fact = ("moved", {"event": "job_refused", "to": "failed", "cause": "", "keeps": False})
KEPT: Fact = ("moved", {"event": "step_failed", "to": "failed", "cause": "", "keeps": True})

Announce = Callable[[Notice], None]


class FakeBot:
    """The plugin's bot: answers as set, and remembers what it was asked. `starting` are its tries of `started`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.name: str | Exception = NAME
        self.starting: Callable[[Announce], Awaitable[None]] = started_at_once
        self.upload_error: Exception | None = None
        self.begun: Begun | None = None
        self.evidence = Evidence(False)
        self.size: int | None = None
        self.time_left: Callable[[], float] = lambda: 0.0
        self.uploading: Callable[[Callable[[int, int], None]], Any] = lambda _: None
        self.plugin_off = False

    async def filename(self, limit_s: float) -> str:
        assert limit_s > 0
        self.asked.append("filename")
        if isinstance(self.name, Exception):
            raise self.name
        return self.name

    async def plugin_is_off(self) -> bool:
        self.asked.append("plugin")
        return self.plugin_off

    async def report_started(self, announce: Announce) -> None:
        self.asked.append("started")
        await self.starting(announce)

    async def upload(
        self,
        file: Path,
        *,
        begun: Begun | None,
        on_session: Callable[[Begun], None],
        time_left: Callable[[], float],
        on_progress: Callable[[int, int], None],
    ) -> str:
        self.asked.append(f"upload {file.name} {file.read_text()}")
        self.begun, self.time_left = begun, time_left
        on_session(Begun("session-1", "file-1"))
        self.uploading(on_progress)
        if self.upload_error is not None:
            raise self.upload_error
        return "file-1"

    async def stored_size(self, file_id: str) -> int | None:
        self.asked.append(f"size {file_id}")
        return self.size

    async def posted(self, file_id: str | None, time_left: Callable[[], float]) -> Evidence:
        self.asked.append(f"posted {file_id}")
        return self.evidence

    async def names(self, user_ids: Collection[str], limit_s: float) -> dict[str, str]:
        assert limit_s > 0
        return {}

    async def save(self, file_id: str, time_left: Callable[[], float], *, may_be_posted: bool = False) -> None:
        assert time_left() > 0
        self.asked.append(f"save {file_id}{' again' if may_be_posted else ''}")


async def started_at_once(announce: Announce) -> None:
    """Be heard at the first try."""
    announce(Notice.GIVEN)


def refused(error: Exception, *, heard: Notice = Notice.NONE) -> Callable[[Announce], Awaitable[None]]:
    """Return tries that end with `error`; `heard`: one of them may have reached the server."""

    async def starting(announce: Announce) -> None:
        announce(Notice.GIVEN)
        announce(heard)
        raise error

    return starting


class FakeFiles:
    """The finished file is `final` with the texts of the segments; one whose text begins with `bad` is not fit."""

    def __init__(self) -> None:
        self.copies = True
        self.gaps: tuple[Gap, ...] = ()
        self.problems: tuple[str, ...] = ()
        self.finalised: list[list[str]] = []
        self.spans: list[Span] = []
        self.times_left: list[float] = []
        self.whole = True
        self.expected: list[float | None] = []

    async def finalise(
        self, segments: Sequence[Path], final: Path, span: Span, *, time_left_s: float, chapters: Path | None
    ) -> JoinReport:
        assert time_left_s > 0
        assert chapters is None
        self.spans.append(span)
        self.times_left.append(time_left_s)
        self.finalised.append([segment.name for segment in segments])
        if not segments:
            raise RecordingError("Nothing was recorded.", code="empty")
        if not self.copies:
            raise RecordingError(detail=f"{final.name} cannot be written")
        texts = [segment.read_text() for segment in segments]
        final.write_text("bad copy" if texts == ["half"] else f"final {' + '.join(texts)}")
        return JoinReport(2.0, self.gaps, self.problems)

    async def verify(self, path: Path, *, expected_s: float | None, salvaged: bool = False) -> Verified:
        assert salvaged is path.name.startswith("live"), "what an encoder wrote may be cut at its end, and only that"
        self.expected.append(expected_s)
        if not path.exists() or path.read_text().startswith("bad"):
            raise RecordingError(detail=path.name, code="unreadable")
        return Verified(path, path.stat().st_size, 2.0, 2.0, 2.0, 1280, 720, 60, ("a defect",), self.whole)


class FakePage:
    """The call page: takes note of who joins, and tells what it receives."""

    def __init__(self) -> None:
        self.joined: list[tuple[str, float]] = []
        self.notice_given = asyncio.Event()
        self.now: PageSigns | None = PageSigns(0.0, 0, 0)
        self.misfit: BrowserError | None = None
        self.lit = True

    async def join(self, url: str, limit_s: float) -> None:
        self.joined.append((url, limit_s))

    async def fill_picture(self) -> None:
        if self.misfit is not None:
            raise self.misfit

    async def is_lit(self) -> bool:
        return self.lit

    async def signs(self) -> PageSigns | None:
        return self.now


class FakeBrowser:
    """A browser with a page."""

    def __init__(self) -> None:
        self.page: FakePage | None = FakePage()
        self.drivers: list[object] = []

    async def connect(self, playwright: object) -> None:
        self.drivers.append(playwright)


class FakeDriver:
    """What a step asks of a driver."""

    playwright = "playwright"


class StepJob:
    """One start of a job, in a directory that may hold what earlier starts left; `take` runs a step.

    `starting` is what happens when a step starts the resources ahead; `started` counts how often it did.
    """

    def __init__(self, volume: Path, *, recover_only: bool = False, **environment: str) -> None:
        self.path = volume / RECORDING_ID
        self.path.mkdir(exist_ok=True)
        self.journal = Journal(self.path / "journal.jsonl")
        self.bot = FakeBot()
        self.files = FakeFiles()
        self.stop = StopRequest()
        self.directory = JobDirectory(self.path)
        self.page = FakePage()
        self.browser = FakeBrowser()
        self.browser.page = self.page
        self.resources: dict[Resource, object] = {
            Resource.DRIVER: FakeDriver(),
            Resource.BROWSER: self.browser,
        }
        self.started = 0
        self.starting: Callable[[], Awaitable[None]] = _at_once
        self.time_left_s = 20.0
        self._settings = Settings.from_environment({**JOB, **environment})
        self._recover_only = recover_only
        self._context: JobContext | None = None
        self._steps: dict[State, Step] = {}

    @property
    def context(self) -> JobContext:
        """The context of this start, made when it is first needed: the journal is read then, as in a job."""
        if self._context is None:
            self.journal.write("process_started", runtime="/run/x")
            began = time.monotonic()
            self._context = JobContext(
                settings=self._settings,
                directory=self.directory,
                journal=self.journal,
                make_bot=lambda: self.bot,  # type: ignore[arg-type, return-value]
                report=JobReport(RECORDING_ID, began),
                stop=self.stop,
                began=began,
                recover_only=self._recover_only,
            )
            self._steps = dict(steps_of(self._context, self.files))  # type: ignore[arg-type]
        return self._context

    async def take(self, state: State) -> Event:
        """Run the step of `state`; returns the event."""
        return (await self.happens(state)).event

    async def happens(self, state: State) -> Happened:
        """Run the step of `state`; returns the event and its cause."""
        assert self.context
        async with asyncio.timeout(10):
            return await self._steps[state](self.ahead)

    @property
    def ahead(self) -> Ahead:
        return Ahead(self.resources, self._start, lambda: self.time_left_s)  # type: ignore[arg-type]

    def file(self, name: str, text: str = "video") -> Path:
        """Write a file into the job directory."""
        path = self.path / name
        path.write_text(text)
        return path

    def segment(self, text: str = "video", *, ended: bool = True) -> Segment:
        """Capture one more segment in this process."""
        number = len(self.context.timeline.segments) + 1
        segment = self.context.timeline.open(self.directory.segment(number), 0.0, "fast")
        segment.path.write_text(text)
        segment.progress.position_s = KEEPS_UP_S
        if ended:
            self.context.timeline.stopped(segment)
            segment.ended.set()
        return segment

    def earlier(self, *facts: Fact) -> None:
        """Write what an earlier start noted."""
        self.journal.write("process_started", runtime="/run/earlier")
        for fact, details in facts:
            self.journal.write(fact, **details)

    @property
    def recordings(self) -> list[str]:
        """The names of the recordings in the job directory."""
        return sorted(path.name for path in self.path.glob("*.mp4"))

    def report(self) -> dict[str, Any]:
        """Return the report as it would be written now."""
        path = self.path / "report.json"
        self.context.report.write(path, exit_code=0, state="done", cause=None)
        report: dict[str, Any] = json.loads(path.read_text())
        return report

    async def _start(self) -> None:
        self.started += 1
        await self.starting()


async def _at_once() -> None:
    """Start nothing, without a failure."""
