"""A job that posts by Mattermost's own API: its finished file in its directory, and the step that delivers it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from bench.harness.environment import job_variables
from recorder_fsm.config.settings import Settings
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.mattermost.channel import ChannelBot
from recorder_fsm.mattermost.no_call import NoCall
from recorder_fsm.mattermost.retry import PartSizes, RetryTiming
from recorder_fsm.media.output_file import RecordingFiles, Verified
from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.state import StoredFile, ThreadPost
from recorder_fsm.steps.context import JobContext
from recorder_fsm.steps.post_parts import PostParts
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.journal import Journal
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.signals import StopRequest

QUICK = RetryTiming(
    first_wait_s=0, settle_s=0, connect_s=2, read_s=2, save_read_s=2, call_limit_s=4, watch_s=0.02, post_settle_s=0
)
NAME = "Recording_example.com"
ENV = {"PATH": os.environ["PATH"]}


def poster(standin: StandIn, ids: CallIds) -> CallIds:
    """Return the ids with the token of an ordinary bot, which the Calls plugin does not know."""
    return attrs.evolve(ids, token=standin.state.poster_token)


def channel_bot(standin: StandIn, ids: CallIds, *, in_thread: bool = True, part: int = 16 * 1024) -> ChannelBot:
    """Return a bot in the channel of a call that waits for nothing."""
    return ChannelBot(
        site_url=standin.url,
        token=ids.token,
        channel_id=ids.call_id,
        root_id=ids.post_id if in_thread else "",
        recording_id=ids.recording_id,
        timing=QUICK,
        sizes=PartSizes(part=part, first_part=1, smallest=100),
    )


@attrs.define
class FinishedFile:
    """What the step before leaves."""

    file: Verified


class PostJob:
    """One start of a job whose recording, a copy of `movie`, is finished and was recorded by an earlier start."""

    def __init__(
        self, standin: StandIn, ids: CallIds, volume: Path, movie: Path, *, in_thread: bool = True, seconds: float = 4.0
    ) -> None:
        self.standin, self.ids = standin, ids
        self.path = volume / ids.recording_id
        self.path.mkdir(exist_ok=True, mode=0o700)
        self.journal = Journal(self.path / "journal.jsonl")
        self.journal.write("process_started")
        self.journal.write("named", name=NAME)
        self.file = self.path / f"{NAME}.mp4"
        if not self.file.exists():
            self.file.write_bytes(movie.read_bytes())
        self.channel = channel_bot(standin, ids, in_thread=in_thread, part=4096)
        self.directory = JobDirectory(self.path)
        self.settings = Settings.from_environment(
            {
                **job_variables(standin.url, ids),
                "PUBLISH": "post",
                "RECORD_URL": "https://example.com/",
                "DATA_DIR": str(volume),
                "MIN_FREE_BYTES": "1048576",
            }
        )
        self._seconds = seconds
        self.report = JobReport(ids.recording_id, time.monotonic())

    async def publish(self) -> Event:
        """Run the step."""
        size, length = self.file.stat().st_size, self._seconds
        file = Verified(self.file, size, length, length, length, 128, 16, round(length * 30))
        with self.directory:
            context = JobContext(
                settings=self.settings,
                directory=self.directory,
                journal=self.journal,
                make_bot=lambda: NoCall(self.settings.record_url, self.channel),
                make_channel=lambda: self.channel,
                report=self.report,
                stop=StopRequest(),
                began=time.monotonic(),
            )
            step = PostParts(context, FinishedFile(file), RecordingFiles(ENV))  # type: ignore[arg-type]
            try:
                return (await step.publish(None)).event  # type: ignore[arg-type]
            finally:
                self.channel.close()

    @property
    def left(self) -> list[str]:
        """The files in the job's directory."""
        return sorted(path.name for path in self.path.iterdir())


def posts_with_files(standin: StandIn) -> list[tuple[ThreadPost, StoredFile]]:
    """Return the posts that carry a file, in order; each must carry one."""
    posts = [post for post in standin.state.thread_posts if post.props.get("recording_id")]
    assert all(len(post.file_ids) == 1 for post in posts), posts
    return [(post, standin.state.files[post.file_ids[0]]) for post in posts]


def names(found: Iterable[tuple[ThreadPost, StoredFile]]) -> list[str]:
    return [stored.name for _, stored in found]


def core(status: int, error_id: str) -> dict[str, Any]:
    """Return an error of Mattermost's own API, for a fault of the stand-in."""
    body = f'{{"id": "{error_id}", "message": "no", "detailed_error": "", "status_code": {status}}}'
    return {"status": status, "body": body, "content_type": "application/json"}
