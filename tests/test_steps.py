"""The work of each state, with a server and a file room of fakes: leftovers, names, deadlines, publishing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recorder_fsm.config.settings import Settings
from recorder_fsm.errors import (
    AccessRefused,
    DirectoryError,
    DisplayError,
    JobOver,
    MattermostError,
    RecorderError,
    RecordingError,
    RequestRejected,
    ServerUnavailable,
)
from recorder_fsm.machine.lifecycle import Event, Resource, State
from recorder_fsm.machine.resources import ResourceStack
from recorder_fsm.media.output_file import Verified
from recorder_fsm.resources.capture import Progress
from recorder_fsm.steps import context as context_module
from recorder_fsm.steps import finish as finishing
from recorder_fsm.steps import job_steps as steps_module
from recorder_fsm.steps import record as watching
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.job_steps import JobSteps
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.journal import Journal
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.signals import StopRequest
from tests.fakes import FakeResource, for_ever, raising
from tests.test_settings import JOB

NAME = "Call_Town_Square"
RECORDING_ID = JOB["RECORDING_ID"]

Fact = tuple[str, dict[str, object]]
RECORDED: Fact = ("moved", {"event": "capture_started", "to": "recording"})
NAMED: Fact = ("named", {"name": NAME})
REFUSED: Fact = ("moved", {"event": "job_refused", "to": "failed"})


class FakeBot:
    """The plugin's bot: answers as set, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.name: str | Exception = NAME
        self.started: Exception | None = None
        self.upload_error: Exception | None = None
        self.session: str | None = None
        self.saved_before: bool | None = False
        self.size: int | None = None
        self.time_left: Callable[[], float] = lambda: 0.0
        self.uploading: Callable[[Callable[[int, int], None]], Any] = lambda _: None

    async def filename(self, limit_s: float) -> str:
        assert limit_s > 0
        self.asked.append("filename")
        if isinstance(self.name, Exception):
            raise self.name
        return self.name

    async def report_started(self, limit_s: float) -> None:
        assert limit_s > 0
        self.asked.append("started")
        if self.started is not None:
            raise self.started

    async def report_failed(self, text: str, limit_s: float) -> bool:
        assert limit_s > 0
        self.asked.append(f"failed {text}")
        return True

    async def upload(
        self,
        file: Path,
        *,
        session_id: str | None,
        on_session: Callable[[str], None],
        time_left: Callable[[], float],
        on_progress: Callable[[int, int], None],
    ) -> str:
        self.asked.append(f"upload {file.name} {file.read_text()}")
        self.session, self.time_left = session_id, time_left
        on_session("session-1")
        self.uploading(on_progress)
        if self.upload_error is not None:
            raise self.upload_error
        return "file-1"

    async def published_size(self, file_id: str) -> int | None:
        self.asked.append(f"size {file_id}")
        return self.size

    async def already_saved(self) -> bool | None:
        self.asked.append("already saved")
        return self.saved_before

    async def save(self, file_id: str, time_left: Callable[[], float]) -> None:
        assert time_left() > 0
        self.asked.append(f"save {file_id}")


class FakeRecording:
    """The file room: a file is fit if its text does not begin with `bad`."""

    def __init__(self) -> None:
        self.remux = True
        self.expected: list[float | None] = []
        self.posters: list[str] = []

    async def finalise(self, live: Path, final: Path) -> Path:
        if not live.exists() or not live.read_text():
            raise RecordingError("Nothing was recorded.", code="empty")
        if not self.remux:
            return live
        final.write_text(f"remuxed {live.read_text()}" if live.read_text() != "half" else "bad remux")
        return final

    async def verify(self, path: Path, *, expected_s: float | None, **_: object) -> Verified:
        self.expected.append(expected_s)
        if not path.exists() or path.read_text().startswith("bad"):
            raise RecordingError(detail=path.name, code="unreadable")
        return Verified(path, path.stat().st_size, 2.0, 2.0, 2.0, 1280, 720, 60, defects=("a defect",))

    async def take_poster(self, source: Path, target: Path, duration_s: float) -> bool:
        assert duration_s > 0
        self.posters.append(f"{source.name} -> {target.name}")
        return True


class FakeCapture(FakeResource):
    """What the steps ask of a capture."""

    def __init__(self, ledger: list[str]) -> None:
        super().__init__("capture", ledger)
        self.ended = asyncio.Event()
        self.progress = Progress()
        self.duration_s = 5.0
        self.begin_s = 1.0
        self.behind_s = 0.0
        self.stopped_at = 0.0


class Bench:
    """One job's steps with fakes around, in a directory that may hold what earlier starts left."""

    def __init__(self, path: Path) -> None:
        self.path = path / RECORDING_ID
        self.path.mkdir(exist_ok=True)
        self.journal = Journal(self.path / "journal.jsonl")
        self.bot = FakeBot()
        self.recording = FakeRecording()
        self.stop = StopRequest()
        self.began = time.monotonic()
        self.ledger: list[str] = []
        self.fakes: dict[Resource, FakeResource] = {
            resource: FakeResource(resource.value, self.ledger)
            for resource in Resource
            if resource is not Resource.CAPTURE
        }
        self.capture = FakeCapture(self.ledger)
        self.fakes[Resource.CAPTURE] = self.capture
        self.happened: asyncio.Queue[tuple[Event, RecorderError | None]] = asyncio.Queue()
        self.resources = ResourceStack(
            {resource: lambda fake=fake: fake for resource, fake in self.fakes.items()},  # type: ignore[misc]
            {},
            lambda event, cause: self.happened.put_nowait((event, cause)),
        )
        self.directory = JobDirectory(self.path)
        self._steps: JobSteps | None = None
        self._job: JobContext | None = None
        self.environment: dict[str, str] = {}
        self.recover_only = False

    @property
    def steps(self) -> JobSteps:
        """The steps of this start, made when they are first needed: the journal is read then, as in a job."""
        if self._steps is None:
            self.journal.write("process_started", runtime="/run/x")
            self._job = JobContext(
                settings=Settings.from_environment({**JOB, **self.environment}),
                directory=self.directory,
                journal=self.journal,
                bot=self.bot,  # type: ignore[arg-type]
                report=JobReport(RECORDING_ID, self.began),
                stop=self.stop,
                began=self.began,
                recover_only=self.recover_only,
            )
            self._steps = JobSteps(self._job, self.recording)  # type: ignore[arg-type]
        return self._steps

    @property
    def kept(self) -> Path | None:
        """What waits for the next start."""
        assert self.steps
        assert self._job
        return self._job.kept

    async def take(self, state: State) -> Event:
        return await self.steps.take(state, self.resources)

    def file(self, name: str, text: str = "film") -> Path:
        path = self.path / name
        path.write_text(text)
        return path

    def earlier(self, *facts: Fact) -> None:
        """Write what an earlier start noted."""
        self.journal.write("process_started", runtime="/run/earlier")
        for fact, details in facts:
            self.journal.write(fact, **details)

    async def next_happening(self) -> tuple[Event, RecorderError | None]:
        async with asyncio.timeout(5):
            return await self.happened.get()

    @property
    def films(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("*.mp4"))


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that the steps see."""
    now = [time.monotonic()]
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        yield now


# --- what an earlier start left -----------------------------------------------------------------------------------


async def test_first_start_finds_nothing_and_raises_the_stage(bench: Bench) -> None:
    """Display, sound and driver are up, the name is known and remembered."""
    assert await bench.take(State.INIT) is Event.DISPLAY_READY
    assert {Resource.DISPLAY, Resource.AUDIO, Resource.DRIVER} == {r for r in Resource if r in bench.resources}
    assert bench.journal.remembered().name == NAME


@pytest.mark.parametrize("name", ["live.mp4", f"{NAME}.mp4"])
async def test_recording_of_a_killed_start_is_found(bench: Bench, name: str) -> None:
    """Live or finished: it is published before anything else is started."""
    bench.earlier(NAMED, RECORDED)
    bench.file(name)
    assert await bench.take(State.INIT) is Event.PENDING_FOUND
    assert bench.ledger == []
    assert bench.films == [name]


async def test_leftover_without_a_journal_is_found(bench: Bench) -> None:
    """A lost journal is no reason to record over a film, or to leave it behind."""
    bench.file("live.mp4")
    assert await bench.take(State.INIT) is Event.PENDING_FOUND


async def test_finished_leftover_of_unknown_name_is_published_under_it(bench: Bench) -> None:
    """Without a journal the file itself says what it is called."""
    bench.file("Call_Somewhere.mp4")
    assert await bench.take(State.INIT) is Event.PENDING_FOUND
    assert await bench.take(State.STOPPING) is Event.FILE_READY
    assert await bench.take(State.UPLOADING) is Event.PUBLISHED
    assert "upload Call_Somewhere.mp4 film" in bench.bot.asked
    assert bench.films == []


async def test_leftover_is_found_again_by_a_third_start(tmp_path: Path) -> None:
    """The name that a recovery gave it is remembered, should its upload fail as well."""
    first = Bench(tmp_path)
    first.file("live.mp4")
    first.bot.upload_error = ServerUnavailable(detail="502")
    assert await first.take(State.INIT) is Event.PENDING_FOUND
    first.journal.note("moved", event="pending_found", to="stopping")  # as the lifecycle's listener does
    assert await first.take(State.STOPPING) is Event.FILE_READY
    with pytest.raises(ServerUnavailable):
        await first.take(State.UPLOADING)
    second = Bench(tmp_path)
    assert await second.take(State.INIT) is Event.PENDING_FOUND
    assert await second.take(State.STOPPING) is Event.FILE_READY
    assert await second.take(State.UPLOADING) is Event.PUBLISHED
    assert f"upload {NAME}.mp4 remuxed film" in second.bot.asked
    assert "filename" not in second.bot.asked


@pytest.mark.parametrize("facts", [(), (NAMED,), (NAMED, REFUSED), (NAMED, RECORDED, REFUSED)])
async def test_what_nobody_knew_of_is_removed(bench: Bench, facts: tuple[Fact, ...]) -> None:
    """A start that never reached the recording, or was refused, publishes nothing, and the next one begins anew."""
    bench.earlier(*facts)
    bench.file("live.mp4")
    bench.file(f"{NAME}.mp4")
    assert await bench.take(State.INIT) is Event.DISPLAY_READY
    assert bench.films == []


async def test_what_a_later_start_recorded_after_a_refusal_is_found(bench: Bench) -> None:
    """The refusal was of another film."""
    bench.earlier(NAMED, REFUSED)
    bench.earlier(RECORDED)
    bench.file("live.mp4")
    assert await bench.take(State.INIT) is Event.PENDING_FOUND


async def test_published_recording_is_removed_and_nothing_more(bench: Bench) -> None:
    """Saved means that the post is there: what is left are bytes."""
    bench.earlier(NAMED, RECORDED, ("uploaded", {"file_id": "f"}), ("saved", {}))
    bench.file("live.mp4")
    bench.file(f"{NAME}.mp4")
    assert await bench.take(State.INIT) is Event.PENDING_PUBLISHED
    assert bench.films == []
    assert bench.bot.asked == []
    assert bench.kept is None


@pytest.mark.parametrize("facts", [(), (NAMED, RECORDED)])
async def test_empty_leftover_is_none(bench: Bench, facts: tuple[Fact, ...]) -> None:
    """A file without a byte was no recording."""
    bench.earlier(*facts)
    bench.file("live.mp4", "")
    assert await bench.take(State.INIT) is Event.DISPLAY_READY


async def test_recovery_without_a_leftover_records_nothing(bench: Bench) -> None:
    """`recover` must not join a call."""
    bench.recover_only = True
    with pytest.raises(RecordingError, match="Nothing was left"):
        await bench.take(State.INIT)
    assert (bench.ledger, bench.bot.asked) == ([], [])


# --- init ---------------------------------------------------------------------------------------------------------


async def test_full_disk_is_refused_with_numbers(bench: Bench) -> None:
    """Before anything is started."""
    bench.environment["MIN_FREE_BYTES"] = str(2**40)
    with pytest.raises(DirectoryError) as caught:
        await bench.take(State.INIT)
    assert caught.value.code == "disk_full"
    assert str(2**40) in caught.value.detail
    assert bench.ledger == []


async def test_leftover_is_found_on_a_full_disk(bench: Bench) -> None:
    """Publishing is what makes room."""
    bench.environment["MIN_FREE_BYTES"] = str(2**40)
    bench.earlier(NAMED, RECORDED)
    bench.file("live.mp4")
    assert await bench.take(State.INIT) is Event.PENDING_FOUND


@pytest.mark.parametrize("error", [AccessRefused(status=403), RequestRejected(), ServerUnavailable()])
async def test_name_that_is_not_given_fails_the_start(bench: Bench, error: MattermostError) -> None:
    """With the server's cause."""
    bench.bot.name = error
    with pytest.raises(type(error)):
        await bench.take(State.INIT)


async def test_failed_stage_does_not_wait_for_the_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The display's cause is told at once, and the question is given up."""
    given_up = asyncio.Event()

    async def slow(_: float) -> str:
        try:
            await for_ever()
        finally:
            given_up.set()
        return ""

    monkeypatch.setattr(bench.bot, "filename", slow)
    bench.fakes[Resource.DISPLAY].enter = raising(DisplayError(detail="no"))
    async with asyncio.timeout(5):
        with pytest.raises(DisplayError):
            await bench.take(State.INIT)
    assert given_up.is_set()


# --- browser_joined -----------------------------------------------------------------------------------------------


async def test_started_is_reported_when_the_capture_runs(bench: Bench) -> None:
    """Not before: whoever sees the notice is being recorded."""
    assert await bench.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
    assert bench.ledger == ["capture starting", "capture entered"]
    assert bench.bot.asked == ["started"]


async def test_busy_server_does_not_cost_the_capture(bench: Bench) -> None:
    """The recording goes on, and `started` is said again beside it; the plugin's refusal then is an event."""
    bench.bot.started = ServerUnavailable(detail="502")
    assert await bench.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
    bench.bot.started = JobOver(detail="no job ongoing")
    assert await bench.next_happening() == (Event.JOB_REFUSED, bench.bot.started)
    assert bench.bot.asked == ["started", "started"]


async def test_late_refusal_after_a_lost_reply_is_the_end_of_a_call(bench: Bench) -> None:
    """The plugin may have shown the recording: it is published."""
    bench.bot.started = ServerUnavailable(detail="reset")
    await bench.take(State.BROWSER_JOINED)
    bench.bot.started = JobOver(maybe_started=True)
    assert (await bench.next_happening())[0] is Event.CALL_ENDED


async def test_refusal_after_a_lost_reply_keeps_what_was_captured(bench: Bench) -> None:
    """The call may have seen that it is recorded: the recording begins, ends at once, and is published."""
    bench.bot.started = JobOver(maybe_started=True)
    assert await bench.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
    assert bench.happened.empty(), "noted here, it would fail the start and discard the capture"
    assert await bench.take(State.RECORDING) is Event.CALL_ENDED


@pytest.mark.parametrize("error", [JobOver(), AccessRefused(status=401)])
async def test_refused_start_is_not_recorded(bench: Bench, error: Exception) -> None:
    """What cannot heal fails the step."""
    bench.bot.started = error
    with pytest.raises(type(error)):
        await bench.take(State.BROWSER_JOINED)


async def test_what_was_captured_before_anybody_knew_is_discarded(bench: Bench) -> None:
    """And only by the process that captured it."""
    live = bench.file("live.mp4")
    bench.steps.discard()
    assert live.exists()
    await bench.take(State.BROWSER_JOINED)
    bench.steps.discard()
    assert not live.exists()
    bench.steps.discard()


# --- recording ----------------------------------------------------------------------------------------------------


async def test_own_limit_ends_the_recording(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX_DURATION_SECONDS counts what is recorded."""
    monkeypatch.setattr(watching, "CHECK_EVERY_S", 0.001)
    bench.environment["MAX_DURATION_SECONDS"] = "10"
    await bench.resources.bring_up((Resource.CAPTURE,))
    bench.capture.duration_s = 9.9
    waiting = asyncio.create_task(bench.take(State.RECORDING))
    await asyncio.sleep(0.003)
    assert not waiting.done()
    bench.capture.duration_s = 10.0
    assert await waiting is Event.LIMIT_REACHED


async def test_disk_that_fills_ends_the_recording_with_a_cause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is room to finish."""
    monkeypatch.setattr(watching, "CHECK_EVERY_S", 0.001)
    await bench.resources.bring_up((Resource.CAPTURE,))
    monkeypatch.setattr(bench.directory, "free_bytes", lambda: 10**6)
    waiting = asyncio.create_task(bench.take(State.RECORDING))
    event, cause = await bench.next_happening()
    assert event is Event.DISK_LOW
    assert isinstance(cause, DirectoryError)
    assert cause.code == "disk_full"
    waiting.cancel()


# --- stopping -----------------------------------------------------------------------------------------------------


async def test_file_is_finished_when_the_capture_has_ended(bench: Bench) -> None:
    """Not before, and it is compared with the clock of the capture."""
    await bench.take(State.INIT)
    await bench.resources.bring_up((Resource.CAPTURE,))
    live = bench.file("live.mp4")
    finishing = asyncio.create_task(bench.take(State.STOPPING))
    await asyncio.sleep(0.01)
    assert not finishing.done()
    bench.capture.ended.set()
    assert await finishing is Event.FILE_READY
    assert bench.films == [f"{NAME}.mp4"]
    assert not live.exists()
    assert bench.recording.expected == [5.0]
    assert bench.recording.posters == [f"{NAME}.mp4 -> poster.png"]
    memory = bench.journal.remembered()
    assert (memory.file, memory.capture_s) == (f"{NAME}.mp4", 5.0)


@pytest.mark.parametrize("how", ["remux fails", "remux is unfit"])
async def test_live_file_is_used_where_the_rewritten_one_is_not_fit(bench: Bench, how: str) -> None:
    """Under the recording's own name."""
    bench.earlier(NAMED, RECORDED)
    bench.file("live.mp4", "half" if how == "remux is unfit" else "film")
    bench.recording.remux = how == "remux is unfit"
    await bench.take(State.INIT)
    assert await bench.take(State.STOPPING) is Event.FILE_READY
    assert bench.films == [f"{NAME}.mp4"]
    assert (bench.path / f"{NAME}.mp4").read_text() in ("half", "film")


async def test_unfit_file_stays_on_the_volume(bench: Bench) -> None:
    """Not published, not deleted: a person may still save something of it."""
    bench.earlier(NAMED, RECORDED)
    bench.file("live.mp4", "bad")
    bench.recording.remux = False
    await bench.take(State.INIT)
    with pytest.raises(RecordingError):
        await bench.take(State.STOPPING)
    assert bench.films == ["live.mp4"]
    assert bench.kept == bench.path / "live.mp4"


async def test_finished_leftover_is_not_rewritten(bench: Bench) -> None:
    """It is checked and published as it is."""
    bench.earlier(NAMED, RECORDED)
    bench.file(f"{NAME}.mp4", "finished")
    await bench.take(State.INIT)
    assert await bench.take(State.STOPPING) is Event.FILE_READY
    assert (bench.path / f"{NAME}.mp4").read_text() == "finished"


@pytest.mark.parametrize("error", [ServerUnavailable(), AccessRefused(status=401)])
async def test_leftover_without_a_name_keeps_its_id(bench: Bench, error: MattermostError) -> None:
    """A server that does not tell is no reason not to finish the file."""
    bench.file("live.mp4")
    bench.bot.name = error
    await bench.take(State.INIT)
    assert await bench.take(State.STOPPING) is Event.FILE_READY
    assert bench.films == [f"{RECORDING_ID}.mp4"]


async def test_call_named_live_is_not_written_over_itself(bench: Bench) -> None:
    """The name comes from a server; one that is our live file's would cost the recording."""
    bench.bot.name = "live"
    await bench.take(State.INIT)
    bench.file("live.mp4")
    assert await bench.take(State.STOPPING) is Event.FILE_READY
    assert bench.films == [f"{RECORDING_ID}.mp4"]


# --- uploading ----------------------------------------------------------------------------------------------------


async def finished(bench: Bench, *facts: Fact) -> None:
    bench.earlier(NAMED, RECORDED, *facts)
    bench.file(f"{NAME}.mp4")
    await bench.take(State.INIT)
    await bench.take(State.STOPPING)


async def test_recording_is_uploaded_measured_and_posted(bench: Bench) -> None:
    """In this order; then the file goes, and the journal says why."""
    bench.bot.size = len("film")
    await finished(bench)
    assert await bench.take(State.UPLOADING) is Event.PUBLISHED
    assert bench.bot.asked == [f"upload {NAME}.mp4 film", "size file-1", "save file-1"]
    assert bench.films == []
    assert bench.kept is None
    memory = bench.journal.remembered()
    assert (memory.session_id, memory.file_id, memory.saved) == ("session-1", "file-1", True)


async def test_upload_that_was_begun_goes_on(bench: Bench) -> None:
    """The session of the earlier start is handed in."""
    await finished(bench, ("upload_session", {"id": "session-0"}))
    await bench.take(State.UPLOADING)
    assert bench.bot.session == "session-0"


async def test_upload_that_was_complete_is_not_repeated(bench: Bench) -> None:
    """Only the post is missing."""
    await finished(bench, ("uploaded", {"file_id": "file-0"}))
    assert await bench.take(State.UPLOADING) is Event.PUBLISHED
    assert bench.bot.asked == ["already saved", "size file-0", "save file-0"]


async def test_recording_that_was_posted_is_not_posted_twice(bench: Bench) -> None:
    """The earlier start died between the post and its note."""
    bench.bot.saved_before = True
    await finished(bench, ("uploaded", {"file_id": "file-0"}))
    assert await bench.take(State.UPLOADING) is Event.PUBLISHED
    assert bench.bot.asked == ["already saved"]
    assert bench.journal.remembered().saved


async def test_file_of_another_size_is_not_posted_and_uploaded_anew_next_time(tmp_path: Path) -> None:
    """Not called success, not deleted, and not stuck for ever with the wrong upload."""
    first = Bench(tmp_path)
    first.bot.size = 1
    await finished(first)
    with pytest.raises(RecordingError) as caught:
        await first.take(State.UPLOADING)
    assert caught.value.code == "size_differs"
    assert not any(asked.startswith("save") for asked in first.bot.asked)
    assert first.films == [f"{NAME}.mp4"]
    second = Bench(tmp_path)
    await second.take(State.INIT)
    await second.take(State.STOPPING)
    assert await second.take(State.UPLOADING) is Event.PUBLISHED
    assert f"upload {NAME}.mp4 film" in second.bot.asked


async def test_failed_upload_keeps_the_file(bench: Bench) -> None:
    """For the next start."""
    bench.bot.upload_error = AccessRefused(status=401)
    await finished(bench)
    with pytest.raises(AccessRefused):
        await bench.take(State.UPLOADING)
    assert bench.kept == bench.path / f"{NAME}.mp4"
    assert not bench.journal.remembered().saved


# --- deadlines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.INIT, State.DISPLAY_UP, State.BROWSER_JOINED], ids=lambda state: state.value)
async def test_start_has_one_budget_for_all_its_steps(tmp_path: Path, clock: list[float], state: State) -> None:
    """Whatever the steps before have used is missing at the end: the plugin gives up at 60 s."""
    steps = Bench(tmp_path).steps
    assert steps.seconds_left(state) == pytest.approx(steps_module.LIMITS_S[state])
    clock[0] += steps_module.START_BUDGET_S - 1
    if state is not State.INIT:
        assert steps.seconds_left(state) == pytest.approx(1)
    clock[0] += 2
    assert steps.seconds_left(state) < 0


async def test_own_limit_of_a_step_counts_from_its_begin(bench: Bench, clock: list[float]) -> None:
    """A step that has not begun has all its time."""
    assert bench.steps.seconds_left(State.STOPPING) == steps_module.LIMITS_S[State.STOPPING]
    bench.earlier(NAMED, RECORDED)
    bench.file("live.mp4")
    await bench.take(State.STOPPING)
    clock[0] += 100
    assert bench.steps.seconds_left(State.STOPPING) == pytest.approx(steps_module.LIMITS_S[State.STOPPING] - 100)


async def test_recording_has_no_limit_of_its_own(tmp_path: Path, clock: list[float]) -> None:
    """Three hours are nothing special."""
    steps = Bench(tmp_path).steps
    clock[0] += 3 * 3600
    assert steps.seconds_left(State.RECORDING) == math.inf


async def test_upload_of_a_long_recording_has_all_its_time(tmp_path: Path, clock: list[float]) -> None:
    """The loop asks before the step begins: an hour of recording must not count as an hour without progress."""
    steps = Bench(tmp_path).steps
    clock[0] += 3600
    assert steps.seconds_left(State.UPLOADING) == pytest.approx(finishing.PUBLISH_STALL_S)


async def test_upload_gives_up_when_nothing_moves_and_not_while_it_does(bench: Bench, clock: list[float]) -> None:
    """Time follows progress, not the total."""
    left: list[float] = []

    def upload(on_progress: Callable[[int, int], None]) -> None:
        for _ in range(5):
            clock[0] += finishing.PUBLISH_STALL_S - 1
            left.append(bench.bot.time_left())
            on_progress(1, 2)
        clock[0] += finishing.PUBLISH_STALL_S + 1
        left.append(bench.bot.time_left())

    bench.bot.uploading = upload
    bench.bot.upload_error = ServerUnavailable()
    await finished(bench)
    with pytest.raises(ServerUnavailable):
        await bench.take(State.UPLOADING)
    assert left == pytest.approx([1, 1, 1, 1, 1, -1])


async def test_grace_after_a_stop_signal_bounds_the_upload(tmp_path: Path, clock: list[float]) -> None:
    """The launcher kills after STOP_GRACE_SECONDS, so we leave before, whatever moves."""
    bench = Bench(tmp_path)
    bench.environment["STOP_GRACE_SECONDS"] = "100"
    bench.stop.request()
    steps = bench.steps
    assert steps.seconds_left(State.UPLOADING) == pytest.approx(100 - context_module.GRACE_RESERVE_S)
    clock[0] += 80
    assert steps.seconds_left(State.UPLOADING) == pytest.approx(20 - context_module.GRACE_RESERVE_S)
    clock[0] += 20
    assert steps.seconds_left(State.UPLOADING) < 0


async def test_telling_goes_to_the_plugin(bench: Bench) -> None:
    """As the job status `failed`."""
    await bench.steps.tell("It broke.")
    assert bench.bot.asked == ["failed It broke."]
