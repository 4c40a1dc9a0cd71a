"""The steps of `init`, `display_up` and `browser_joined`: pending recordings, name, disk, call, begin."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.harness.environment import JOB
from recorder_fsm.errors import (
    AccessRefused,
    BrowserError,
    CallError,
    CaptureError,
    DirectoryError,
    DisplayError,
    MattermostError,
    RecordingError,
    RequestRejected,
    ServerUnavailable,
)
from recorder_fsm.machine.lifecycle import Event, State
from recorder_fsm.steps import start as start_module
from tests.fakes import for_ever, raising
from tests.steps.job import ANNOUNCED, KEPT, NAME, NAMED, NOT_ANNOUNCED, REFUSED, Fact, StepJob

# --- pending recordings -------------------------------------------------------------------------------------------


def test_job_that_spoke_to_nobody_makes_no_client_to_close_it(job: StepJob) -> None:
    """A wrong certificate file would be the end of a job that has no use for it."""
    job.context.make_bot = raising(MattermostError())  # type: ignore[assignment]
    job.context.close()


async def test_first_start_finds_nothing_and_starts_the_display(job: StepJob) -> None:
    """What the state ahead holds is started, and the name is known and remembered."""
    assert await job.take(State.INIT) is Event.DISPLAY_READY
    assert job.started == 1
    assert job.journal.remembered().name == NAME


@pytest.mark.parametrize("name", ["live.mp4", "live-2.mp4", f"{NAME}.mp4"])
async def test_recording_of_a_killed_start_is_found(job: StepJob, name: str) -> None:
    """Segment or finished file: it is published before anything else is started."""
    job.earlier(NAMED, ANNOUNCED)
    job.file(name)
    assert await job.take(State.INIT) is Event.PENDING_FOUND
    assert (job.started, job.bot.asked) == (0, [])
    assert job.recordings == [name]


async def test_pending_recording_without_a_journal_is_found(job: StepJob) -> None:
    """A lost journal is no reason to record over a recording, or to leave it behind."""
    job.file("live.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND


async def test_finished_recording_of_unknown_name_is_published_under_its_own(job: StepJob) -> None:
    """Without a journal the file itself says what it is called."""
    job.file("Call_Somewhere.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND
    assert await job.take(State.STOPPING) is Event.FILE_READY
    assert await job.take(State.UPLOADING) is Event.PUBLISHED
    assert "upload Call_Somewhere.mp4 video" in job.bot.asked
    assert job.recordings == []


async def test_pending_recording_without_a_journal_is_found_by_a_third_start(tmp_path: Path) -> None:
    """The upload of the second start failed as well: the name is remembered, and the recording is not given up."""
    second = StepJob(tmp_path)
    second.file("live.mp4")
    second.bot.upload_error = ServerUnavailable(detail="502")
    assert await second.take(State.INIT) is Event.PENDING_FOUND
    second.journal.note("moved", event="pending_found", to="stopping", cause="", keeps=True)  # as `app` does
    assert await second.take(State.STOPPING) is Event.FILE_READY
    with pytest.raises(ServerUnavailable):
        await second.take(State.UPLOADING)
    second.journal.note("moved", **KEPT[1])
    third = StepJob(tmp_path)
    assert await third.take(State.INIT) is Event.PENDING_FOUND
    assert await third.take(State.STOPPING) is Event.FILE_READY
    assert await third.take(State.UPLOADING) is Event.PUBLISHED
    assert f"upload {NAME}.mp4 final video" in third.bot.asked
    assert "filename" not in third.bot.asked


@pytest.mark.parametrize(
    "facts",
    [(), (NAMED,), (NAMED, ANNOUNCED, NOT_ANNOUNCED), (NAMED, REFUSED), (NAMED, ANNOUNCED, REFUSED)],
    ids=["killed at once", "killed before started", "no try arrived", "refused", "refused after a try"],
)
async def test_recording_that_nobody_knew_of_is_removed(job: StepJob, facts: tuple[Fact, ...]) -> None:
    """A start that told nobody, or whose recording was given up, publishes nothing, and the next one begins anew."""
    job.earlier(*facts)
    for name in ("live.mp4", "live-2.mp4", f"{NAME}.mp4"):
        job.file(name)
    assert await job.take(State.INIT) is Event.DISPLAY_READY
    assert job.recordings == []


@pytest.mark.parametrize("facts", [(NAMED, ANNOUNCED), (NAMED, ANNOUNCED, KEPT), (NAMED, NOT_ANNOUNCED, ANNOUNCED)])
async def test_recording_that_people_may_know_of_is_kept(job: StepJob, facts: tuple[Fact, ...]) -> None:
    """One try of `started` that may have arrived is enough."""
    job.earlier(*facts)
    job.file("live.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND


async def test_recording_of_a_later_start_is_found_after_a_refusal(job: StepJob) -> None:
    """The refusal was of another recording."""
    job.earlier(NAMED, REFUSED)
    job.earlier(ANNOUNCED)
    job.file("live.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND


async def test_published_recording_is_removed_and_nothing_more(job: StepJob) -> None:
    """Saved means that the post is there: what remains are bytes."""
    job.earlier(NAMED, ANNOUNCED, ("uploaded", {"file_id": "f"}), ("saved", {}))
    for name in ("live.mp4", "live-2.mp4", f"{NAME}.mp4"):
        job.file(name)
    assert await job.take(State.INIT) is Event.PENDING_PUBLISHED
    assert job.recordings == []
    assert (job.started, job.bot.asked) == (0, [])
    assert job.context.kept is None


@pytest.mark.parametrize("facts", [(), (NAMED, ANNOUNCED)])
async def test_empty_segment_is_no_pending_recording(job: StepJob, facts: tuple[Fact, ...]) -> None:
    """A file without a byte holds nothing to save."""
    job.earlier(*facts)
    job.file("live.mp4", "")
    assert await job.take(State.INIT) is Event.DISPLAY_READY


async def test_recover_without_a_pending_recording_records_nothing(tmp_path: Path) -> None:
    """`recover` must not join a call."""
    job = StepJob(tmp_path, recover_only=True)
    with pytest.raises(RecordingError, match="Nothing was left") as caught:
        await job.take(State.INIT)
    assert caught.value.code == "nothing_left"
    assert (job.started, job.bot.asked) == (0, [])


# --- init ---------------------------------------------------------------------------------------------------------


async def test_full_disk_is_refused_with_numbers(tmp_path: Path) -> None:
    """Before anything is started."""
    job = StepJob(tmp_path, MIN_FREE_BYTES=str(2**40))
    with pytest.raises(DirectoryError) as caught:
        await job.take(State.INIT)
    assert caught.value.code == "disk_full"
    assert str(2**40) in caught.value.detail
    assert (job.started, job.bot.asked) == (0, [])


async def test_pending_recording_is_found_on_a_full_disk(tmp_path: Path) -> None:
    """Publishing is what makes room."""
    job = StepJob(tmp_path, MIN_FREE_BYTES=str(2**40))
    job.earlier(NAMED, ANNOUNCED)
    job.file("live.mp4")
    assert await job.take(State.INIT) is Event.PENDING_FOUND


async def test_name_is_asked_for_while_the_display_starts(job: StepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side: each of the two waits for the other here, so neither comes first."""
    asked, up = asyncio.Event(), asyncio.Event()

    async def filename(_: float) -> str:
        asked.set()
        await up.wait()
        return NAME

    async def start() -> None:
        await asked.wait()
        up.set()

    monkeypatch.setattr(job.bot, "filename", filename)
    job.starting = start
    assert await job.take(State.INIT) is Event.DISPLAY_READY


@pytest.mark.parametrize("error", [AccessRefused(status=403), RequestRejected(), ServerUnavailable()])
async def test_name_that_is_not_given_fails_the_start(job: StepJob, error: MattermostError) -> None:
    """With the server's cause."""
    job.bot.name = error
    with pytest.raises(type(error)):
        await job.take(State.INIT)


async def test_failed_display_does_not_wait_for_the_name(job: StepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cause is raised at once, and the question is given up."""
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def slow(_: float) -> str:
        asked.set()
        try:
            await for_ever()
        finally:
            given_up.set()
        return ""

    async def fail() -> None:
        await asked.wait()
        raise DisplayError(detail="no")

    monkeypatch.setattr(job.bot, "filename", slow)
    job.starting = fail
    with pytest.raises(DisplayError):
        await job.take(State.INIT)
    assert given_up.is_set()


# --- display_up ---------------------------------------------------------------------------------------------------


async def test_page_of_the_call_is_joined_with_the_token_in_the_fragment(job: StepJob) -> None:
    """At the site's address, with call and recording in the query; a second before the deadline it gives up."""
    assert await job.take(State.DISPLAY_UP) is Event.CALL_JOINED
    assert job.started == 1
    ((url, limit_s),) = job.page.joined
    parts = urlsplit(url)
    assert url.startswith(JOB["SITE_URL"])
    assert parse_qs(parts.query) == {"call_id": [JOB["CALL_ID"]], "job_id": [JOB["RECORDING_ID"]]}
    assert json.loads(base64.urlsafe_b64decode(parts.fragment)) == {"token": JOB["AUTH_TOKEN"]}
    assert limit_s == job.time_left_s - 1


async def test_page_that_is_joined_late_has_a_second_at_least(job: StepJob) -> None:
    """A limit of nothing, or below, would be an error of another kind."""
    job.time_left_s = 0.3
    await job.take(State.DISPLAY_UP)
    assert [limit_s for _, limit_s in job.page.joined] == [1.0]


async def test_other_page_is_opened_at_its_own_address_without_the_token(tmp_path: Path, log: list[str]) -> None:
    """Exactly as it was given; the log has its host alone."""
    url = "https://page.example/wall?key=abc#tab"
    job = StepJob(tmp_path, PUBLISH="post", RECORD_URL=url)
    assert await job.take(State.DISPLAY_UP) is Event.CALL_JOINED
    assert [where for where, _ in job.page.joined] == [url]
    assert not any("key=abc" in line or "/wall" in line for line in log)
    assert any("https://page.example" in line for line in log)


async def test_browser_without_a_page_has_not_joined(job: StepJob) -> None:
    """Its loss is reported elsewhere; here it is no call."""
    job.browser.page = None
    with pytest.raises(CallError):
        await job.take(State.DISPLAY_UP)


async def test_browser_that_does_not_start_joins_nothing(job: StepJob) -> None:
    """The failure of the start is the step's."""
    job.starting = raising(CallError(detail="no"))
    with pytest.raises(CallError):
        await job.take(State.DISPLAY_UP)
    assert job.page.joined == []


async def test_page_that_does_not_fill_the_picture_has_not_joined(job: StepJob) -> None:
    """Its cause is the step's: a recording with black edges is none."""
    job.page.misfit = BrowserError(code="page_size")
    with pytest.raises(BrowserError):
        await job.take(State.DISPLAY_UP)


# --- browser_joined -----------------------------------------------------------------------------------------------


async def test_begin_of_the_recording_is_written_down_when_the_capture_runs(job: StepJob) -> None:
    """In seconds since 1970; and nobody is told yet."""

    async def start() -> None:
        assert "capture_started" not in [fact["fact"] for fact in job.journal.facts()]
        job.segment(ended=False)

    job.starting = start
    assert await job.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
    (begin_s,) = [fact["begin_s"] for fact in job.journal.facts() if fact["fact"] == "capture_started"]
    assert begin_s == pytest.approx(job.context.timeline.begin_s, abs=0.001)
    assert (job.bot.asked, job.context.announced) == ([], False)


async def test_capture_that_does_not_start_has_no_begin(job: StepJob) -> None:
    """The failure of the start is the step's, and the journal says nothing."""
    job.starting = raising(CaptureError(detail="no"))
    with pytest.raises(CaptureError):
        await job.take(State.BROWSER_JOINED)
    assert [fact["fact"] for fact in job.journal.facts()] == ["process_started"]


@pytest.mark.parametrize("lit", [True, False])
async def test_black_picture_begins_a_recording_of_a_black_page_only(
    job: StepJob, monkeypatch: pytest.MonkeyPatch, lit: bool
) -> None:
    """Where the page draws and nothing of it arrives, nobody is told that a recording began."""
    monkeypatch.setattr(start_module, "SEEN_LIMIT_S", 0)
    monkeypatch.setattr(start_module, "SEEN_POLL_S", 0)

    async def start() -> None:
        job.segment(ended=False).progress.black = True

    job.starting, job.page.lit = start, lit
    if not lit:
        assert await job.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
        return
    with pytest.raises(DisplayError) as caught:
        await job.take(State.BROWSER_JOINED)
    assert caught.value.code == "picture_black"
    assert "capture_started" not in [fact["fact"] for fact in job.journal.facts()]


async def test_picture_that_arrives_late_is_waited_for(job: StepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine shows the page a moment after it drew it."""
    looks = 0

    async def start() -> None:
        job.segment(ended=False).progress.black = True

    async def is_lit() -> bool:
        nonlocal looks
        looks += 1
        job.context.timeline.segments[0].progress.black = looks < 3
        return True

    monkeypatch.setattr(start_module, "SEEN_POLL_S", 0)
    job.starting, job.page.is_lit = start, is_lit  # type: ignore[method-assign]
    assert await job.take(State.BROWSER_JOINED) is Event.CAPTURE_STARTED
    assert looks == 3
