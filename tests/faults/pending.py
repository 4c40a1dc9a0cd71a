"""What a killed job leaves on the volume, made without a browser: its directory, a segment, its journal."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from bench.harness.environment import job_environment
from bench.harness.recorder_process import RecorderProcess, launched, orphans
from recorder_fsm.media.join import join
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.faults.scene import Fault, Row, published

NAME = "Call_Town_Square_2026-01-02_03-04-05"


@attrs.frozen
class Clip:
    """A segment as the encoder writes it (fragmented), and the same as it must be published (index in front)."""

    live: Path
    final: Path

    @property
    def bytes(self) -> bytes:
        return self.final.read_bytes()


def make_clip(folder: Path, *, seconds: int, kbps: int) -> Clip:
    """Make a clip with video and audio; the noise in it fills the bit rate."""
    clip = Clip(folder / "live.mp4", folder / "final.mp4")
    subprocess.run(
        [
            *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y"),
            *("-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=25:duration={seconds},noise=alls=60:allf=t"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"),
            *("-b:v", f"{kbps}k", "-minrate", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k"),
            *(
                "-c:a",
                "aac",
                "-ac",
                "2",
                "-b:a",
                "64k",
                "-movflags",
                "delay_moov+default_base_moof",
                "-frag_duration",
                "500000",
            ),
            str(clip.live),
        ],
        check=True,
    )
    join([clip.live], clip.final)
    return clip


def leave(
    data: Path, ids: CallIds, url: str, files: dict[str, bytes], *more: dict[str, Any], name: str | None = NAME
) -> Path:
    """Make the directory of a job that was killed: its files, and a journal that goes on with `more` facts."""
    folder = data / ids.recording_id
    folder.mkdir(mode=0o700)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    facts: list[dict[str, Any]] = [
        {
            "fact": "process_started",
            "version": "0.1.0",
            "runtime": "/run/recorder-fsm.of-before",
            "site_url": url,
            "call_id": ids.call_id,
            "post_id": ids.post_id,
            "publish": "plugin",
        },
        *([] if name is None else [{"fact": "named", "name": name}]),
        {"fact": "moved", "event": "display_ready", "to": "display_up", "cause": "", "keeps": True},
        {"fact": "moved", "event": "call_joined", "to": "browser_joined", "cause": "", "keeps": True},
        {"fact": "capture_started", "begin_s": 1795365107.061},
        {"fact": "moved", "event": "capture_started", "to": "recording", "cause": "", "keeps": True},
        {"fact": "announced", "notice": "given", "head_s": 0.0},
        *more,
    ]
    at = datetime.now(UTC).isoformat()
    lines = [json.dumps({"at": at, **fact}) for fact in facts]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


FINISHED: Sequence[dict[str, Any]] = (
    {"fact": "moved", "event": "call_ended", "to": "stopping", "cause": "", "keeps": True},
    {"fact": "capture_ended", "seconds": 6.0, "head_s": 0.0},
    {"fact": "file_ready", "file": f"{NAME}.mp4", "bytes": 1},
    {"fact": "moved", "event": "file_ready", "to": "uploading", "cause": "", "keeps": True},
)
"""The journal of a job that was killed while it uploaded its finished file."""


@asynccontextmanager
async def restarted(
    row: Row, standin: StandIn, ids: CallIds, data: Path, *, user: int | None = None, **more: str
) -> AsyncIterator[Fault]:
    """The same job started again."""
    async with launched(job_environment(standin.url, ids, data, **more), ids, data, user=user) as run:
        yield Fault(row, standin, run)


@asynccontextmanager
async def recovering(
    standin: StandIn, ids: CallIds, data: Path, *arguments: str, user: int | None = None, **more: str
) -> AsyncIterator[RecorderProcess]:
    """`recorder-fsm recover`: it has the token and the site, and nothing else of the job."""
    environment = job_environment(standin.url, ids, data, **more)
    for name in ("CALL_ID", "POST_ID", "RECORDING_ID"):
        environment.pop(name)
    async with launched(environment, ids, data, user=user, arguments=("recover", *arguments)) as run:
        yield run


async def delivered(fault: Fault, clip: Clip) -> None:
    """The job must end well: one post with exactly the bytes of the clip, no file and no process left."""
    await fault.ends(0)
    posted_once(fault.standin, fault.run.ids, clip)
    assert list(fault.run.job_dir.glob("*.mp4*")) == []
    fault.row.published = "all of it, once"


STANDS_AT = 6 * 2**20
"""The byte at which the part of an upload that `standing` orders stands: more than a first part must have."""


def standing(standin: StandIn) -> None:
    """Let the next part stand at `STANDS_AT` until the faults are others; what was read of it is kept."""
    standin.set_faults({"route": "upload_data", "kind": "stand_at", "at_byte": STANDS_AT})


async def stands(standin: StandIn) -> None:
    """Wait until the upload stands there."""
    await standin.wait_for(lambda: [one.bytes_received for one in standin.state.sessions.values()] == [STANDS_AT], 30)


def posted_once(standin: StandIn, ids: CallIds, clip: Clip) -> None:
    """There must be one post of the job, with a file that has exactly the clip's bytes."""
    assert published(standin, ids).read_bytes() == clip.bytes


async def kept(fault: Fault, *, published_too: bool = False) -> str:
    """The job must end with code 1, its file on the volume and not called a success; returns the cause."""
    await fault.ends(1)
    if not published_too:
        fault.nothing_published()
    assert [file.stat().st_size > 0 for file in fault.run.job_dir.glob("*.mp4")] == [True], fault.run.text
    assert "the recording is kept in" in fault.run.text
    report = fault.run.report
    assert report["outcome"] == "failed"
    assert "published" not in report
    fault.row.noticed = report["cause"]["code"]
    fault.row.published = "kept"
    return f"{report['cause']['sentence']} {report['cause']['detail']}"


def nothing_runs(data: Path) -> bool:
    return orphans(str(data)) == []
