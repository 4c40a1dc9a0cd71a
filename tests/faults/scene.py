"""One fault: a real recorder, something done to it, and what came of it: a row of the table in docs/reliability.md."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from bench.harness.recorder_process import RecorderProcess, orphans, recorder
from recorder_fsm.analysis import pattern, tones
from recorder_fsm.analysis.ffmpeg import PROGRAM_ENV
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.system.process import run

BEEP_HZ = 1000
PACE_FRAMES = 30
GAP_ERROR_S = 0.3
GAP_ERROR_SHARE = 0.05
"""A busy page counts its frames a little slower or faster than it usually does."""


@attrs.define
class Row:
    """A row of the table. Times in seconds; None where the row has none."""

    row: str
    done: str
    noticed: str = ""
    notice_s: float | None = None
    lost_s: float | None = None
    published: str = ""
    exit_code: int | None = None
    left: int | None = None


@attrs.define
class Fault:
    """A recorder in trouble. `inject` does the harm and takes its time; `end` waits and fills in the row."""

    row: Row
    standin: StandIn
    run: RecorderProcess
    at: float = 0.0

    def inject(self, harm: Callable[[], Any]) -> None:
        self.at = time.time()
        harm()

    async def noticed(self, event: str, within_s: float) -> None:
        """The event must be in the log, and its time must be within the row's limit of the harm."""
        line = await self.run.seen(lambda line: line["message"].startswith(f"{event}:"), limit_s=within_s + 30)
        self.row.noticed = event
        self.row.notice_s = round(datetime.fromisoformat(line["time"]).timestamp() - self.at, 2)
        assert self.row.notice_s <= within_s, f"{event} took {self.row.notice_s} s\n{self.run.text}"

    async def ends(self, code: int) -> None:
        """The recorder must end with `code` and leave no process and no temporary file."""
        self.row.exit_code = await self.run.exit_code()
        assert self.row.exit_code == code, self.run.text
        self.row.left = len(orphans(self.run.runtime))
        assert self.row.left == 0, orphans(self.run.runtime)
        assert not Path(self.run.runtime).exists()

    async def published(self, *, lost_s: float = 2.0) -> Path:
        """One post with a file that plays and holds everything up to `lost_s` before the harm."""
        path = published(self.standin, self.run.ids)
        facts = await probe(path)
        assert facts.video is not None
        assert facts.audio is not None
        assert facts.faststart
        begin = capture_begin(self.run)
        self.row.lost_s = round(max(0.0, self.at - begin - facts.duration_s), 2)
        self.row.published = f"{facts.duration_s:.1f} s"
        assert self.row.lost_s <= lost_s, f"{self.row.lost_s} s of what was captured are lost\n{self.run.text}"
        return path

    async def overcome(self, *, video_s: float, audio_s: float) -> Path:
        """One post with one file that holds the whole meeting on one true clock, but for a gap around the harm.

        `video_s`, `audio_s`: how much of each may be missing. Nobody was told that the recording failed.
        """
        path = published(self.standin, self.run.ids)
        facts, lost = await probe(path), await meeting_lost(path)
        assert facts.video is not None
        assert facts.audio is not None
        clock_s = self.run.report["capture"]["clock_s"]
        self.row.lost_s = round(max(lost.video_s, lost.audio_s), 2)
        self.row.published = f"{facts.duration_s:.1f} of {clock_s:.1f} s"
        told = f"{lost}\n{self.run.text}"
        assert lost.video_s <= video_s, told
        assert lost.audio_s <= audio_s, told
        assert lost.gap_error_s <= 0, told
        assert abs(facts.duration_s - clock_s) <= 1.0, told
        assert abs(facts.video.duration_s - facts.audio.duration_s) <= 0.6, told
        done = await run("ffmpeg", decode_whole_command(path), env=PROGRAM_ENV, limit_s=120)
        assert (done.returncode, done.stderr) == (0, ""), told
        statuses = [one for one in self.standin.state.statuses if one.recording_id == self.run.ids.recording_id]
        assert [status.status for status in statuses] == ["started"], told
        assert self.run.report["outcome"] == "done"
        return path

    def nothing_published(self) -> None:
        self.row.published = "nothing"
        assert [post for post in self.standin.state.posts if post.recording_id == self.run.ids.recording_id] == []

    def told(self) -> str:
        """Return what the people in the call were told: one plain sentence without secrets or program output."""
        told = [
            report.error
            for report in self.standin.state.statuses
            if report.recording_id == self.run.ids.recording_id and report.status == "failed"
        ]
        assert told, f"nobody was told\n{self.run.text}"
        assert len(told[0]) <= 200
        assert "\n" not in told[0]
        assert self.run.ids.token not in told[0]
        return told[0]


@attrs.frozen
class Lost:
    """What of the meeting a file does not hold, in seconds: the longest hole in the video, and in the audio.

    `gap_error_s`: by how much a hole in the file is longer or shorter than what is missing, beyond what the page's own
    counter allows; 0 or less is none.
    """

    video_s: float
    audio_s: float
    gap_error_s: float


async def meeting_lost(path: Path) -> Lost:
    """Measure a recording of the pattern: its frame counter jumps where video is missing, its beeps are missing.

    The counter goes on in the page while nothing is recorded, so its jump says how long the hole must be.
    """
    counters, beeps = await pattern.counters(path), await tones.beeps(path, BEEP_HZ)
    read = [(one.pts_s, one.value) for one in counters.readings if one.value is not None]
    paces = [
        (after - before) % 2**16 / (then - at)
        for (at, before), (then, after) in zip(read, read[PACE_FRAMES:], strict=False)
        if then - at < 2 * PACE_FRAMES / 30
    ]
    pace = statistics.median(paces)
    errors = [
        abs(gap.counts / pace - gap.duration_s) - GAP_ERROR_S - GAP_ERROR_SHARE * gap.duration_s
        for gap in counters.gaps
    ]
    return Lost(
        video_s=max((gap.duration_s for gap in counters.gaps), default=0.0),
        audio_s=max((after - before - 1.0 for before, after in pairwise(beeps)), default=0.0),
        gap_error_s=max(errors, default=0.0),
    )


FRAMES_AS_THEY_ARE = ("-fps_mode", "passthrough", "-enc_time_base", "-1")


def decode_whole_command(path: Path) -> list[str]:
    """Return the command that decodes every packet and fails at the first error."""
    return ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), *FRAMES_AS_THEY_ARE, "-f", "null", "-"]


def published(standin: StandIn, ids: CallIds) -> Path:
    """Return the one file published for a job."""
    posts = [post for post in standin.state.posts if post.recording_id == ids.recording_id]
    assert len(posts) == 1, f"{len(posts)} posts"
    return standin.uploaded(posts[0].file_id)


def capture_begin(run: RecorderProcess) -> float:
    """Return when the file begins, in seconds since 1970, as the journal has it."""
    facts = [json.loads(line) for line in run.journal.splitlines() if line.endswith("}")]
    begin_s = [fact["begin_s"] for fact in facts if fact["fact"] == "capture_started"][-1]
    return float(begin_s + [fact.get("head_s", 0.0) for fact in facts if fact["fact"] == "announced"][-1])


@asynccontextmanager
async def recording(
    row: Row, standin: StandIn, data: Path, *, seconds: float = 4.0, scene: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Fault]:
    """A recorder that has recorded `seconds` of a call."""
    ids = standin.create_call(scene=scene or {"mode": "pattern"})
    async with recorder(standin, ids, data, **more) as run:
        await run.recorded(seconds)
        yield Fault(row, standin, run)
