"""The main job, for real: a call is recorded, and what is published is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
from pathlib import Path

import psutil
import pytest

from bench.harness.recorder_process import RecorderProcess, assert_nothing_left, recorder
from recorder_fsm.analysis import audio, pattern, tones, video
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.scene import PEOPLE
from recorder_fsm.standin.server import StandIn

pytestmark = pytest.mark.e2e

SECONDS = 6.0
NEAR = 10
"""How far a pure colour may be off, of 255: by the encoder's loss. A wrong conversion is three times as far off."""


def published(standin: StandIn, run: RecorderProcess) -> Path:
    """Return the one file that the job published."""
    posts = [post for post in standin.state.posts if post.recording_id == run.ids.recording_id]
    assert len(posts) == 1, f"{len(posts)} posts\n{run.text}"
    return standin.uploaded(posts[0].file_id)


async def assert_good_pattern(path: Path, *, width: int = 1280, height: int = 720, seconds: float = SECONDS) -> None:
    """The file shows the whole pattern page, moves, sounds, and is in sync."""
    facts = await probe(path)
    assert facts.video is not None
    assert facts.audio is not None
    assert (facts.video.width, facts.video.height) == (width, height)
    assert facts.faststart
    assert facts.duration_s >= seconds - 0.5
    corners = await video.corners(path, seconds / 2)
    for pixel, wanted in zip(
        (corners.top_left, corners.top_right, corners.bottom_left, corners.bottom_right),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
        strict=True,
    ):
        assert all(abs(got - want) <= NEAR for got, want in zip(pixel, wanted, strict=True)), corners
    assert not corners.edge_rows_black
    counters = await pattern.counters(path)
    assert len(counters.readings) > seconds * 5
    assert counters.repeat_share < 0.05
    assert counters.unreadable_share < 0.05
    beeps = await tones.beeps(path, 1000)
    assert abs(len(beeps) - facts.duration_s) <= 2
    assert await audio.silent_share(path) < 0.3
    offsets = await pattern.av_offsets(path)
    assert abs(offsets.median_ms) < 150
    assert await video.black_tail_s(path) <= 0.5


async def test_host_stop_publishes_a_good_file(standin: StandIn, data: Path) -> None:
    """A recording that its host stops is published once, complete, and nothing of the job is left."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(SECONDS)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    path = published(standin, run)
    await assert_good_pattern(path)
    report = run.report
    assert report["published"]["size_bytes"] == path.stat().st_size
    assert report["file"]["duration_s"] == pytest.approx(report["capture"]["clock_s"], abs=1.0)
    assert report["outcome"] == "done"
    assert_nothing_left(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_publishes_a_good_file(standin: StandIn, data: Path, number: signal.Signals) -> None:
    """A launcher's signal, even thrice, ends the recording in order and with code 0."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(SECONDS)
        for _ in range(3):
            run.signal(number)
        assert await run.exit_code() == 0, run.text
    await assert_good_pattern(published(standin, run))
    assert_nothing_left(run)


async def test_end_of_call_publishes_a_good_file(standin: StandIn, data: Path) -> None:
    """When the call ends for everyone, the recording ends with it: no blank tail."""
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(SECONDS)
        standin.end_call(ids.call_id)
        assert await run.exit_code() == 0, run.text
    await assert_good_pattern(published(standin, run))
    assert_nothing_left(run)


async def test_call_over_webrtc_is_audible(standin: StandIn, data: Path) -> None:
    """Audio that comes through a real peer connection is in the file."""
    ids = standin.create_call(scene={"mode": "call", "rtc": True, "share": True})
    async with recorder(standin, ids, data) as run:
        await run.recorded(SECONDS)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    path = published(standin, run)
    loudness = await audio.loudness(path)
    assert loudness.mean_dbfs > -45
    assert await audio.silent_share(path) < 0.3
    assert await video.black_share(path) < 0.05
    assert_volume_tells_nothing(data, run, standin)


def assert_volume_tells_nothing(data: Path, run: RecorderProcess, standin: StandIn) -> None:
    """Of a published meeting only log and report are left, and neither says what it was about or who was there."""
    assert_nothing_left(run)
    left = [path for path in data.rglob("*") if not path.is_dir()]
    assert sorted(path.relative_to(data).parts for path in left) == [
        (run.ids.recording_id, "recorder.log"),
        (run.ids.recording_id, "report.json"),
    ]
    (stored,) = standin.state.files.values()
    called = standin.state.calls[run.ids.call_id].name
    for words in (Path(stored.name).stem, called, called.replace(" ", "_"), *(str(one["name"]) for one in PEOPLE)):
        assert words
        for path in left:
            assert words not in path.read_text(encoding="utf-8"), f"{words} in {path.name}"


async def test_second_version_of_the_page_is_recorded(standin: StandIn, data: Path) -> None:
    """The newer page (getters, asynchronous disconnect, numeric reasons) works like the first.

    So does an address in a form that browsers write otherwise: client, header and origin are those of one host.
    """
    ids = standin.create_call(scene={"mode": "pattern", "v2": True})
    async with recorder(standin, ids, data, SITE_URL=standin.url.replace("127.0.0.1", "0x7F.1") + "/") as run:
        await run.recorded(SECONDS)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    await assert_good_pattern(published(standin, run))


async def test_odd_size_is_recorded_even(standin: StandIn, data: Path) -> None:
    """An odd size is rounded down, said in the log, and fills the frame; at a site whose name has capitals."""
    ids = standin.create_call(scene={"mode": "pattern"})
    site = standin.url.replace("127.0.0.1", "LocalHost")
    async with recorder(standin, ids, data, WIDTH="1367", HEIGHT="769", SITE_URL=site) as run:
        await run.recorded(SECONDS)
        run.signal(signal.SIGTERM)
        assert await run.exit_code() == 0, run.text
    await assert_good_pattern(published(standin, run), width=1366, height=768)
    assert any("odd" in line["message"] and line["level"] == "WARNING" for line in run.lines)


async def test_two_jobs_at_once_never_see_each_other(standin: StandIn, data: Path) -> None:
    """Two recorders on one machine each record their own call: one a pattern, one people."""
    beeping_ids = standin.create_call(scene={"mode": "pattern"})
    talking_ids = standin.create_call(scene={"mode": "call"})
    async with recorder(standin, beeping_ids, data) as one, recorder(standin, talking_ids, data) as other:
        await asyncio.gather(one.recorded(SECONDS), other.recorded(SECONDS))
        standin.stop_recording(beeping_ids.recording_id)
        standin.stop_recording(talking_ids.recording_id)
        assert await one.exit_code() == 0, one.text
        assert await other.exit_code() == 0, other.text
    beeping, talking = published(standin, one), published(standin, other)
    assert len(await tones.beeps(beeping, 1000)) >= SECONDS - 2
    assert (await pattern.counters(beeping)).unreadable_share < 0.05
    assert (await pattern.counters(talking)).unreadable_share == 1.0
    for run in (one, other):
        assert_nothing_left(run)


async def test_ordinary_user_records_with_the_sandbox(standin: StandIn, world: Path) -> None:
    """Without root and without DEV_MODE, Chromium runs in its sandbox: its renderer is in a user namespace."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    data = world / "own"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, user.pw_uid, user.pw_gid)
    ids = standin.create_call(scene={"mode": "pattern"})
    uid = user.pw_uid if os.geteuid() == 0 else None
    async with recorder(standin, ids, data, user=uid, DEV_MODE="false", HOME=str(data)) as run:
        await run.recorded(SECONDS)
        browser, renderer = run.chromium(), run.child("chromium", "--type=renderer")
        assert "--no-sandbox" not in browser.cmdline()
        own, inner = (Path(f"/proc/{process.pid}/ns/user").readlink() for process in (browser, renderer))
        assert own != inner
        run.signal(signal.SIGTERM)
        assert await run.exit_code() == 0, run.text
    await assert_good_pattern(published(standin, run))
    assert_nothing_left(run)


async def test_token_is_nowhere(standin: StandIn, data: Path) -> None:
    """The token is in no log, journal, report, command line or environment, the recorder's own included."""
    ids = standin.create_call(scene={"mode": "call"})
    async with recorder(standin, ids, data) as run:
        await run.recorded(2)
        assert not run.all("run-driver"), "it is let go once the page is loaded"
        for process in psutil.process_iter(["cmdline"]):
            assert ids.token not in json.dumps(process.info)
        children = [run.child(name) for name in ("Xvfb", "pulseaudio", "ffmpeg")]
        for process in (psutil.Process(run.process.pid), *children, run.chromium()):
            with contextlib.suppress(psutil.AccessDenied):  # the recorder shows its own to root alone
                assert ids.token not in json.dumps(process.environ()), process.name()
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    assert any("ice-pwd" in line["message"] for line in run.lines), "the page printed its secrets to the console"
    for file in run.job_dir.iterdir():
        assert ids.token.encode() not in file.read_bytes(), file
        assert file.stat().st_mode & 0o077 == 0, f"{file} can be read by others"
    assert ids.token not in run.text
    assert "SECRETVALUE" not in run.text


async def test_recorder_header_goes_to_the_site_alone(standin: StandIn, data: Path, tmp_path: Path) -> None:
    """Requests to the site carry X-Calls-Recorder; a redirect to another origin loses it."""
    async with StandIn(data_dir=tmp_path / "other") as foreign:
        elsewhere = f"{foreign.url}/plugins/com.mattermost.calls/standalone/recording.css"
        # Style and script of the page, whichever is asked for first; without its script it is loaded again.
        standin.set_faults({"route": "asset", "kind": "redirect", "times": 2, "location": elsewhere})
        ids = standin.create_call(scene={"mode": "pattern"})
        async with recorder(standin, ids, data) as run:
            await run.seen(lambda line: line["state"] == "recording" or "ended failed" in line["message"])
            run.signal(signal.SIGTERM)
            await run.exit_code()
        own = [entry for entry in standin.requests() if "/standalone/" in entry.path]
        assert own
        assert all(header(entry.headers) == "true" for entry in own)
        strangers = foreign.requests()
        assert strangers, f"the redirect was not followed: {[(e.path, e.status) for e in own]}"
        assert all(header(entry.headers) is None for entry in strangers)


def header(headers: dict[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "x-calls-recorder"), None)
