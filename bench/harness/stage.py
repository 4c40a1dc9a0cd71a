"""A display, a sound server and a browser that shows a call of the stand-in: what is captured, without a recorder.

The display, the sound server and Chromium's switches are the recorder's own, so both captures that are compared see the
same. The page is the stand-in's page for people: no token, no driver.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import attrs

from recorder_fsm.browser.launch_options import chromium_args, insecure_origins, private_environment
from recorder_fsm.browser.profile import prepare
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.display import Display
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from recorder_fsm.system.process import ChildProcess

JOINED_LIMIT_S = 30.0
SHOWN_S = 2.0
"""From the join to a page at rest: fonts, avatars, the film's first pictures."""
CLOSE_S = 2.0


@attrs.frozen
class Stage:
    """What is there to be captured; sizes in pixels."""

    display: Display
    audio: AudioServer
    chromium: ChildProcess
    runtime: Path
    width: int
    height: int

    @property
    def env(self) -> dict[str, str]:
        """The environment of a program that captures it."""
        return {**base_environment(self.runtime), **self.display.env, **self.audio.env}


def base_environment(runtime: Path) -> dict[str, str]:
    """Return what a program of the stage gets of our environment, and where it writes."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **private_environment(runtime)}


@asynccontextmanager
async def stage(standin: StandIn, ids: CallIds, *, width: int, height: int) -> AsyncIterator[Stage]:
    """Show the call `ids` of the stand-in; ready when the page has joined it, and is at rest."""
    with tempfile.TemporaryDirectory(prefix="stage-", ignore_cleanup_errors=True) as folder:
        runtime = Path(folder)  # short: a Unix socket's path is limited to 107 bytes
        (runtime / "tmp").mkdir()
        env = base_environment(runtime)
        async with (
            Display(width=width, height=height, runtime=runtime, env=env) as display,
            AudioServer(runtime=runtime, env=env) as audio,
        ):
            prepare(runtime)
            chromium = await ChildProcess.spawn(
                "Chromium",
                [
                    *_command(standin.url, width, height),
                    f"--user-data-dir={runtime / 'profile'}",
                    _page(standin.url, ids),
                ],
                env={**env, **display.env, **audio.env},
            )
            try:
                await standin.wait_for(lambda: standin.hub.in_call(ids.call_id), JOINED_LIMIT_S)
                await asyncio.sleep(SHOWN_S)
                yield Stage(display, audio, chromium, runtime, width, height)
            finally:
                await chromium.stop(wait_s=CLOSE_S)


def _command(url: str, width: int, height: int) -> list[str]:
    # One pixel more in each direction: without a window manager, Chromium's window is so much smaller than asked for.
    args = chromium_args(
        width=width + 1, height=height + 1, secure_anyway=insecure_origins(url, dev_mode=False), extra=()
    )
    return ["chromium", *args, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def _page(url: str, ids: CallIds) -> str:
    return f"{url}/standin/pages/recording.html?{urlencode({'call_id': ids.call_id, 'job_id': ids.recording_id})}"
