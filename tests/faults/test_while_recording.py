"""Faults while recording: what can be overcome costs seconds; what cannot ends the recording, and it is published."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bench.harness.recorder_process import RecorderProcess, orphans, recorder
from recorder_fsm.analysis import pattern, video
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.often import slow_but
from tests.faults.scene import Fault, Row, capture_begin, meeting_lost, published, recording
from tests.faults.traces import ODD, holding, written_elsewhere

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

MakeRow = Callable[[str, str], Row]


def encoder(run: RecorderProcess) -> psutil.Process:
    return run.child("ffmpeg", "libx264")


def video_grabber(run: RecorderProcess) -> psutil.Process:
    return run.child("video_grabber")


def audio_grabber(run: RecorderProcess) -> psutil.Process:
    return run.child("parec")


def pulseaudio(run: RecorderProcess) -> psutil.Process:
    return run.child("pulseaudio")


def renderer(run: RecorderProcess) -> psutil.Process:
    """Return the renderer of the page: Chromium has idle ones beside it, and one for its own window."""
    pages = [process for process in run.all("--type=renderer") if "--top-chrome-webui" not in process.cmdline()]
    return max(pages, key=lambda process: process.cpu_times().user)


Victim = Callable[[RecorderProcess], psutil.Process]

# Row, what was done, to whom, the event (none: the capture helps itself), the longest hole in video and audio.
KILLED: dict[str, tuple[str, Victim, str, float, float]] = {
    "R1 encoder": ("encoder killed", encoder, "capture_lost", 3.0, 3.0),
    "R1 grabber": ("video grabber killed", video_grabber, "capture_lost", 3.0, 3.0),
    "R1 audio grabber": ("audio grabber killed", audio_grabber, "", 0.6, 3.0),
    "R1 relay": ("audio relay killed", lambda run: run.child("audio_relay"), "capture_lost", 3.0, 3.0),
    "R5": ("PulseAudio killed", pulseaudio, "audio_lost", 0.6, 10.0),
}
FROZEN: dict[str, tuple[str, Victim, str, float, float]] = {
    "R2 encoder": ("encoder stopped", encoder, "capture_lost", 15.0, 15.0),
    "R2 grabber": ("video grabber stopped", video_grabber, "capture_lost", 15.0, 15.0),
    "R5 frozen": ("PulseAudio stopped", pulseaudio, "audio_lost", 0.6, 15.0),
}


async def go_on_and_stop(fault: Fault, seconds: float = 14.0) -> None:
    """Let the recording go on for so long after the harm, stop it as a host does, and wait for the end."""
    elapsed_s = time.time() - capture_begin(fault.run)
    await fault.run.recorded(elapsed_s + seconds)
    fault.standin.stop_recording(fault.run.ids.recording_id)
    await fault.ends(0)


@pytest.mark.parametrize("name", slow_but(["R1 encoder", "R5"], KILLED))
async def test_killed_program_costs_seconds(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """It is noticed within 2 s and started anew; the meeting goes on in the same published file."""
    done, victim, event, video_s, audio_s = KILLED[name]
    made = row(name, done)
    async with recording(made, standin, data, seconds=6) as fault:
        fault.inject(victim(fault.run).kill)
        if event:
            await fault.noticed(event, 2.0)
        await go_on_and_stop(fault)
        await fault.overcome(video_s=video_s, audio_s=audio_s)
        made.noticed = made.noticed or "silence until it is back"


@pytest.mark.parametrize("name", slow_but(["R2 encoder", "R5 frozen"], FROZEN))
async def test_frozen_program_costs_seconds(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """It is noticed within 15 s, and replaced within 2 s of that."""
    done, victim, event, video_s, audio_s = FROZEN[name]
    async with recording(row(name, done), standin, data, seconds=6) as fault:
        fault.inject(victim(fault.run).suspend)
        await fault.noticed(event, 15.0)
        await go_on_and_stop(fault)
        await fault.overcome(video_s=video_s, audio_s=audio_s)


@pytest.mark.slow
async def test_encoder_that_fails_to_write_costs_seconds(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A file size limit of the kernel's lets one write fail; the next encoder writes a segment of its own."""
    async with recording(row("R1 write", "a write of the encoder fails"), standin, data, seconds=6) as fault:
        victim = encoder(fault.run)
        size = (fault.run.job_dir / "live.mp4").stat().st_size
        fault.inject(lambda: victim.rlimit(psutil.RLIMIT_FSIZE, (size, size)))
        await fault.noticed("capture_lost", 4.0)
        await go_on_and_stop(fault)
        await fault.overcome(video_s=3.5, audio_s=3.5)


async def test_audio_that_cannot_come_back_leaves_the_video(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The picture goes on alone, people are told in the thread, and the file is not called mute in silence."""
    made = row("R5 for good", "PulseAudio killed, and it cannot be started again")
    async with recording(made, standin, data, seconds=6) as fault:
        folder = fault.run.job_dir.parent / "gone"
        folder.mkdir()
        server = Path(fault.run.runtime) / "pulse"
        server.rename(Path(fault.run.runtime) / "pulse-away")
        server.write_text("no directory")  # what PulseAudio writes to is in the way: it does not start
        fault.inject(pulseaudio(fault.run).kill)
        await fault.noticed("audio_not_restored", 12.0)
        await standin.state.wait_for(lambda: standin.state.thread_posts, limit_s=10)
        await go_on_and_stop(fault, 8)
        path = published(standin, fault.run.ids)
        assert (await meeting_lost(path)).video_s <= 0.6
        (post,) = standin.state.thread_posts
        assert "goes on without audio" in post.message
        assert [report.status for report in standin.state.statuses] == ["started"]
        made.lost_s, made.published = 0.0, "video alone"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [20, 300])
async def test_recorder_that_stands_still_goes_on(standin: StandIn, data: Path, row: MakeRow, seconds: int) -> None:
    """SIGSTOP for minutes, then SIGCONT: no program is taken for dead, and nothing of the meeting is missing."""
    made = row(f"R16 {seconds} s", f"the recorder stopped for {seconds} s (SIGSTOP)")
    async with recording(made, standin, data, seconds=6) as fault:
        fault.inject(lambda: fault.run.signal(signal.SIGSTOP))
        await asyncio.sleep(seconds)  # this is the harm itself
        fault.run.signal(signal.SIGCONT)
        await go_on_and_stop(fault, 8)
        made.noticed = "goes on"
        await fault.overcome(video_s=1.5, audio_s=1.5)


LOST: dict[str, tuple[str, Victim, str, float]] = {
    "R3 browser": ("Chromium killed", lambda run: run.chromium(), "browser_lost", 2.0),
    "R3 renderer": ("renderer killed", renderer, "browser_lost", 2.0),
    "R3 page": ("renderer stopped", lambda run: Stopped(renderer(run)), "browser_lost", 15.0),  # type: ignore[dict-item, return-value]
    "R4": ("Xvfb killed", lambda run: run.child("Xvfb"), "display_lost", 2.0),
}


class Stopped:
    """A process that is stopped where others are killed."""

    def __init__(self, process: psutil.Process) -> None:
        self.kill = process.suspend


@pytest.mark.parametrize("name", LOST)
async def test_lost_page_or_display_ends_the_capture(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """No recorder can join again: the rest is published, people are told so; exit code 0."""
    done, child, event, limit_s = LOST[name]
    async with recording(row(name, done), standin, data) as fault:
        fault.inject(child(fault.run).kill)
        await fault.noticed(event, limit_s)
        await fault.ends(0)
        await fault.published()
        assert "cannot join this recording again" in fault.told()
        assert "will be published" in fault.told()
        assert fault.run.report["cause"]["detail"]


@pytest.mark.slow
async def test_frozen_display_ends_the_capture(standin: StandIn, data: Path, row: MakeRow) -> None:
    """An Xvfb that does not answer is noticed before anything is restarted in vain; what there is is published."""
    async with recording(row("R4 frozen", "Xvfb stopped"), standin, data) as fault:
        fault.inject(fault.run.child("Xvfb").suspend)
        await fault.noticed("display_lost", 15.0)
        await fault.ends(0)
        await fault.published()
        assert fault.told()


async def test_hung_page_ends_the_capture(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A page in an endless loop is noticed within 15 s."""
    async with recording(row("R3 hang", "page in an endless loop"), standin, data) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "hang"))
        await fault.noticed("browser_lost", 15.0)
        await fault.ends(0)
        await fault.published()


async def test_crash_of_the_page_ends_the_capture(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A renderer that crashes by itself is noticed when it does."""
    async with recording(row("R3 crash", "page crashes its renderer"), standin, data) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "crash"))
        await fault.noticed("browser_lost", 15.0)
        await fault.ends(0)
        await fault.published()
        # What was on the screen when it happened shows the meeting, too.
        assert fault.run.report["screenshot"] is None
        assert {path.name for path in fault.run.job_dir.iterdir()} == {"recorder.log", "report.json"}


async def test_gpu_process_crash_is_no_fault(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Chromium replaces its GPU process; the recording goes on."""
    made = row("R3 GPU", "GPU process killed")
    async with recording(made, standin, data) as fault:
        fault.inject(fault.run.child("chromium", "--type=gpu-process").kill)
        await fault.run.recorded(10)
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        path = published(standin, fault.run.ids)
        made.noticed, made.published = "recording goes on", f"{(await probe(path)).duration_s:.1f} s"
        assert fault.run.report["outcome"] == "done"
        assert [report.status for report in standin.state.statuses] == ["started"]


async def test_mute_recording_is_reported(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Voices that the page receives and the recording does not hold are said in log and report."""
    made = row("R6 mute", "the browser's output muted while people talk")
    async with recording(made, standin, data, scene={"mode": "call", "rtc": True}) as fault:
        server = Path(fault.run.runtime) / "pulse.sock"
        muting = await asyncio.create_subprocess_exec("pactl", "-s", f"unix:{server}", "set-sink-mute", "calls", "1")
        fault.inject(lambda: None)
        assert await muting.wait() == 0
        await fault.run.seen(lambda line: "the recording is silent" in line["message"])
        made.noticed = "warning: silent though voices arrive"
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        await fault.published()
        assert any("silent" in note for note in fault.run.report["notes"])


@pytest.mark.slow
async def test_black_video_is_reported(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A video that is black for long is said in log and report."""
    made = row("R6 black", "the page goes black, the call goes on")
    async with recording(made, standin, data, scene={"mode": "call"}) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "blank"))
        await fault.run.seen(lambda line: "the video is black" in line["message"])
        made.noticed = "warning: black"
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        await fault.published()
        assert any("black" in note for note in fault.run.report["notes"])


ENDS: dict[str, tuple[str, Callable[[StandIn, CallIds], None]]] = {
    "R7 stop": ("host stops the recording", lambda s, ids: s.stop_recording(ids.recording_id)),
    "R7 end": ("call ended for everyone", lambda s, ids: s.end_call(ids.call_id)),
    "R7 leave": ("everyone leaves", lambda s, ids: s.everyone_leaves(ids.call_id)),
}


@pytest.mark.parametrize("name", ENDS)
async def test_end_of_the_call_ends_the_capture(standin: StandIn, data: Path, row: MakeRow, name: str) -> None:
    """An end that people ask for ends the capture at once, without a blank tail, and is no fault."""
    done, end = ENDS[name]
    async with recording(row(name, done), standin, data) as fault:
        fault.inject(lambda: end(standin, fault.run.ids))
        await fault.noticed("call_ended", 2.0)
        await fault.ends(0)
        path = await fault.published(lost_s=0.5)
        assert await video.black_tail_s(path) <= 0.5
        assert [report.status for report in standin.state.statuses] == ["started"]


async def test_short_network_loss_is_survived(standin: StandIn, data: Path, row: MakeRow) -> None:
    """The page's websocket comes back by itself; the recording goes on."""
    made = row("R8", "network away for 3 s")
    async with recording(made, standin, data) as fault:
        fault.inject(lambda: standin.drop_network(3))
        await fault.run.recorded(12)
        standin.stop_recording(fault.run.ids.recording_id)
        await fault.ends(0)
        path = published(standin, fault.run.ids)
        made.noticed, made.published = "recording goes on", f"{(await probe(path)).duration_s:.1f} s"
        assert fault.run.report["file"]["duration_s"] >= 11


async def test_lost_connection_is_no_normal_end(standin: StandIn, data: Path, row: MakeRow) -> None:
    """A client that closes with an error ends the capture; the error is in the report."""
    async with recording(row("R9", "peer connection lost for good"), standin, data) as fault:
        fault.inject(lambda: standin.page_command(fault.run.ids.call_id, "rtc_loss"))
        await fault.noticed("call_lost", 2.0)
        await fault.ends(0)
        await fault.published()
        assert "rtc peer" in fault.run.report["cause"]["detail"]


PAGE_GIVES_UP_S = 15.0


@pytest.mark.parametrize("away_s", slow_but([16], [16, 45]))
async def test_long_network_loss_ends_the_capture(standin: StandIn, data: Path, row: MakeRow, away_s: int) -> None:
    """The plugin removes the bot after 10 s, the page notices after 15; what stood still and was silent is left out.

    The upload waits for the network to come back.
    """
    made = row("R9 network", f"network away for {away_s} s")
    async with recording(made, standin, data, seconds=6, scene={"mode": "call", "rtc": True}) as fault:
        fault.inject(lambda: standin.drop_network(away_s))
        cut_s = fault.at - capture_begin(fault.run)
        await fault.noticed("call_lost", PAGE_GIVES_UP_S + 5.0)
        await fault.ends(0)
        path = await fault.published()
        assert "rtc peer close" in fault.run.report["cause"]["detail"]
        assert cut_s - 0.5 <= (await probe(path)).duration_s <= cut_s + 4.0, fault.run.text
        # The call is told when the network is back, beside the upload; the plugin had ended the job by then.
        assert [(one.status, one.reply) for one in standin.state.statuses] == [("started", 200), ("failed", 400)]
        job = standin.state.find_job(fault.run.ids.recording_id)
        assert job is not None
        assert job.end_at / 1000 - fault.at == pytest.approx(standin.state.knobs.leave_grace_s, abs=2.0)


@pytest.mark.slow
async def test_bot_that_the_plugin_gave_up_ends_the_capture(standin: StandIn, data: Path, row: MakeRow) -> None:
    """Its websocket alone was away for 10 s: the plugin closes the peer connection; people were heard until then."""
    made = row("R9 websocket", "the page's websocket away for good, its peer connection not")
    async with recording(made, standin, data, seconds=6, scene={"mode": "call", "rtc": True}) as fault:
        ids = fault.run.ids
        standin.set_faults({"route": "websocket", "kind": "status", "status": 503, "times": 0})
        fault.inject(lambda: standin.drop_websockets(ids.call_id))
        cut_s = fault.at - capture_begin(fault.run)
        grace_s = standin.state.knobs.leave_grace_s
        await fault.noticed("call_lost", grace_s + 2.0)
        await fault.ends(0)
        path = await fault.published()
        assert (await probe(path)).duration_s >= cut_s + grace_s - 1.0, fault.run.text
        assert "rtc peer close" in fault.run.report["cause"]["detail"]
        assert [(one.status, one.reply) for one in standin.state.statuses] == [("started", 200), ("failed", 400)]


@pytest.mark.parametrize("talking", [True, False], ids=["talking", "silent"])
async def test_end_in_which_nothing_came_is_not_published(
    standin: StandIn, data: Path, row: MakeRow, talking: bool
) -> None:
    """A connection that was cut long before the page gave up: the file ends where the last media came."""
    made = row("R9 tail", f"connection cut, given up 12 s later, while people {'talk' if talking else 'are silent'}")
    async with recording(made, standin, data, seconds=6, scene={"mode": "call", "rtc": True}) as fault:
        ids = fault.run.ids
        if not talking:
            standin.page_command(ids.call_id, "silence")
            await fault.run.recorded(14)
        fault.inject(lambda: standin.page_command(ids.call_id, "cut_off"))
        cut_s = fault.at - capture_begin(fault.run)
        await fault.run.recorded(cut_s + 12)
        standin.page_command(ids.call_id, "rtc_loss")
        await fault.noticed("call_lost", 16.0)
        await fault.ends(0)
        path = await fault.published()
        duration_s = (await probe(path)).duration_s
        assert cut_s - 0.5 <= duration_s <= cut_s + 4.0, fault.run.text
        assert any("are left out" in note for note in fault.run.report["notes"])
        assert abs(duration_s - fault.run.report["capture"]["clock_s"]) <= 0.2


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    path = tmp_path / "small"
    path.mkdir()
    mount = psutil.Popen(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", str(path)])
    assert mount.wait() == 0
    yield path
    assert psutil.Popen(["umount", str(path)]).wait() == 0


async def test_full_disk_is_refused_at_the_start(standin: StandIn, small_volume: Path, row: MakeRow) -> None:
    """With less room than MIN_FREE_BYTES nothing is begun; the numbers are said; exit code 0."""
    made = row("R10 start", "volume smaller than MIN_FREE_BYTES")
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, small_volume, MIN_FREE_BYTES=str(64 * 2**20)) as run:
        fault = Fault(made, standin, run)
        await fault.ends(0)
        fault.nothing_published()
        assert "disk" in fault.told()
        assert "MIN_FREE_BYTES is 67108864" in run.text
        made.noticed = "disk_full at the start"


async def test_disk_that_fills_ends_the_capture(standin: StandIn, small_volume: Path, row: MakeRow) -> None:
    """At the low-water mark the capture ends while there is room to finish it."""
    made = row("R10 filling", "volume filled by another program")
    async with recording(made, standin, small_volume, MIN_FREE_BYTES=str(16 * 2**20)) as fault:
        fault.inject(lambda: (small_volume / "other").write_bytes(bytes(34 * 2**20)))
        await fault.noticed("disk_low", 3.0)
        await fault.ends(0)
        await fault.published()
        assert "disk" in fault.told()


async def test_disk_that_is_full_at_once_loses_nothing_captured(
    standin: StandIn, small_volume: Path, row: MakeRow
) -> None:
    """With no byte left the live file is published as it is."""
    made = row("R10 full", "volume filled to the last byte")

    def fill() -> None:
        with (small_volume / "other").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(2**16)):
                pass

    async with recording(made, standin, small_volume, MIN_FREE_BYTES=str(16 * 2**20)) as fault:
        fault.inject(fill)
        line = await fault.run.seen(lambda line: "recording -> stopping" in line["message"])
        await fault.noticed(line["message"].split(":")[0], 3.0)
        made.exit_code = await fault.run.exit_code()
        assert made.exit_code == 0, fault.run.text
        path = published(standin, fault.run.ids)
        facts = await probe(path)
        made.published = f"{facts.duration_s:.1f} s"
        assert facts.duration_s >= 2.0


@pytest.mark.parametrize("share", slow_but([0.06], [0.25, 0.1, 0.06]))
async def test_starved_encoder_keeps_the_clock(standin: StandIn, data: Path, row: MakeRow, share: float) -> None:
    """With too little CPU the frame rate drops; length, sync and memory stay, and the tail is there.

    The encoder is as poor while it drains: it has only what is queued, and takes its time for it.
    """
    made = row("R11", f"{share:g} of a core for ffmpeg, to the end")
    async with recording(made, standin, data, seconds=3, VIDEO_PRESET="medium", WIDTH="1920", HEIGHT="1080") as fault:
        with CpuQuota([encoder(fault.run).pid, video_grabber(fault.run).pid], share):
            fault.inject(lambda: None)
            await fault.run.recorded(15)
            memory = encoder(fault.run).memory_info().rss + video_grabber(fault.run).memory_info().rss
            assert memory < 900 * 2**20
            standin.stop_recording(fault.run.ids.recording_id)
            await fault.ends(0)
        report = fault.run.report
        made.noticed = "frame rate drops"
        made.published = f"{report['file']['duration_s']:.1f} of {report['capture']['clock_s']:.1f} s"
        assert report["file"]["duration_s"] >= report["capture"]["clock_s"] - 0.5
        assert abs(report["file"]["video_s"] - report["file"]["audio_s"]) <= 1.5
        counters = await pattern.counters(published(standin, fault.run.ids))
        made.lost_s = round(report["capture"]["clock_s"] - counters.readings[-1].pts_s, 2)
        assert made.lost_s <= 2.0


class CpuQuota:
    """Gives processes a share of a core by a control group (version 1 or 2), for as long as the block lasts."""

    def __init__(self, pids: list[int], cores: float) -> None:
        self._pids, self._cores = pids, cores
        root = Path("/sys/fs/cgroup")
        self._unified = (root / "cgroup.controllers").exists()
        self._home = (root if self._unified else root / "cpu") / f"recorder-fsm-test-{os.getpid()}"

    def __enter__(self) -> None:
        try:
            self._home.mkdir()
            if self._unified:
                (self._home / "cpu.max").write_text(f"{int(self._cores * 100_000)} 100000")
            else:
                (self._home / "cpu.cfs_period_us").write_text("100000")
                (self._home / "cpu.cfs_quota_us").write_text(str(int(self._cores * 100_000)))
            for pid in self._pids:
                (self._home / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")

    def __exit__(self, *_: object) -> None:
        back = self._home.parent / "cgroup.procs"
        for pid in (self._home / "cgroup.procs").read_text().split():
            back.write_text(pid)
        self._home.rmdir()


async def test_killed_recorder_takes_its_children_along(
    standin: StandIn, data: Path, tmp_path: Path, row: MakeRow
) -> None:
    """After SIGKILL nothing of the job lives on, and no file but the recording's; the next start publishes that.

    All but the last two seconds of it.
    """
    made = row("R12", "recorder killed (SIGKILL), started again")
    temporary = tmp_path / ODD
    temporary.mkdir()
    async with recording(made, standin, data, seconds=5, TMPDIR=str(temporary), HOME="") as fault:
        runtime, token = fault.run.runtime, fault.run.ids.token
        everyone = psutil.Process(fault.run.process.pid).children(recursive=True)
        assert written_elsewhere(fault.run) == []
        fault.inject(fault.run.process.kill)
        await fault.run.process.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, everyone, timeout=10)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        assert not Path(runtime).exists()
        assert list(temporary.iterdir()) == []
        assert holding(str(data), token) == []
        ids = fault.run.ids
    async with recorder(standin, ids, data) as again:
        made.exit_code = await again.exit_code()
        assert made.exit_code == 0, again.text
        second = Fault(made, standin, again, at=fault.at)
        await second.published()
        made.noticed, made.left = "next start: pending_found", len(orphans(runtime))
        assert not Path(again.runtime).exists()


async def test_killed_recorder_leaves_segments_that_the_next_start_joins(
    standin: StandIn, data: Path, row: MakeRow
) -> None:
    """The encoder dies, then the recorder: each segment is there, and the next start makes one file of both."""
    made = row("R12 segments", "encoder killed, then the recorder (SIGKILL), started again")
    async with recording(made, standin, data, seconds=5) as fault:
        encoder(fault.run).kill()
        await fault.run.seen(lambda line: "the capture was restarted" in line["message"])
        elapsed_s = time.time() - capture_begin(fault.run)
        await fault.run.recorded(elapsed_s + 4)
        fault.inject(fault.run.process.kill)
        await fault.run.process.wait()
        assert {"live.mp4", "live-2.mp4"} <= {path.name for path in fault.run.job_dir.iterdir()}
        ids = fault.run.ids
    async with recorder(standin, ids, data) as again:
        made.exit_code = await again.exit_code()
        assert made.exit_code == 0, again.text
        second = Fault(made, standin, again, at=fault.at)
        path = await second.published()
        lost = await meeting_lost(path)
        assert lost.video_s <= 3.0
        assert lost.audio_s <= 3.0
        assert [gap["what"] for gap in again.report["gaps"] if gap["length_s"] > 0.2].count("video") == 1
        made.noticed, made.left = "next start: pending_found", len(orphans(again.runtime))
        made.lost_s = round(max(lost.video_s, lost.audio_s, made.lost_s or 0), 2)


async def test_own_limit_ends_the_recording(standin: StandIn, data: Path, row: MakeRow) -> None:
    """MAX_DURATION_SECONDS ends the recording like a host would."""
    made = row("R14", "MAX_DURATION_SECONDS=10")
    ids = standin.create_call(scene={"mode": "pattern"})
    async with recorder(standin, ids, data, MAX_DURATION_SECONDS="10") as run:
        fault = Fault(made, standin, run)
        await run.reached("recording")
        await run.seen(lambda line: line["message"].startswith("limit_reached:"))
        await fault.ends(0)
        made.noticed = "limit_reached"
        assert 9.5 <= run.report["file"]["duration_s"] <= 13
        made.published = f"{run.report['file']['duration_s']:.1f} s"


async def test_many_signals_are_one_stop(standin: StandIn, data: Path, row: MakeRow) -> None:
    """SIGTERM three times and SIGINT on top: one orderly stop."""
    async with recording(row("R13", "SIGTERM, SIGTERM, SIGINT, SIGTERM"), standin, data) as fault:

        def send() -> None:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
                fault.run.signal(number)

        fault.inject(send)
        await fault.noticed("stop_requested", 2.0)
        await fault.ends(0)
        await fault.published()
