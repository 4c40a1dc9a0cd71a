"""The resources of a job: makes each from the settings and from what it stands on, and says how each can be lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from loguru import logger

from recorder_fsm.browser.extra_switches import sift
from recorder_fsm.browser.launch_options import (
    chromium_args,
    private_environment,
)
from recorder_fsm.browser.shown_page import ShownPage
from recorder_fsm.browser.subject import subject_of
from recorder_fsm.config.settings import Settings
from recorder_fsm.machine.lifecycle import Event, Resource
from recorder_fsm.machine.resources import Spec, Watch
from recorder_fsm.media.encode import CaptureSettings
from recorder_fsm.media.people import People
from recorder_fsm.media.presets import PresetLadder
from recorder_fsm.media.timeline import Timeline
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.resources.browser import Browser, Launch
from recorder_fsm.resources.capture import Capture
from recorder_fsm.resources.display import Display
from recorder_fsm.resources.driver import Driver
from recorder_fsm.storage.job_dir import JobDirectory
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.process import ChildProcess

PARTS = {
    "Xvfb": "display",
    "pulseaudio": "audio",
    "audio grabber": "audio",
    "audio relay": "audio",
    "Chromium": "browser",
    "video grabber": "grabber",
    "encoder": "encoder",
}
"""What a program counts for where CPU and memory are told by part."""


class JobResources:
    """Makes the resources of one job. `env` is what a child may inherit of the environment.

    `proxies`: Chromium's switches for them. `inherit` adds to the environment of a child that is started by a library.
    """

    def __init__(
        self,
        settings: Settings,
        directory: JobDirectory,
        env: Mapping[str, str],
        report: JobReport,
        timeline: Timeline,
        *,
        proxies: Sequence[str],
        inherit: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._report = report
        self._timeline = timeline
        self._ladder = PresetLadder(settings.video_preset)
        self._people = People(directory.people, lambda: timeline.captured_s)
        self._proxies = proxies
        runtime = directory.runtime
        env = self._env = {**env, **private_environment(runtime)}
        self._display = Display(width=settings.capture_width, height=settings.capture_height, runtime=runtime, env=env)
        self._audio = AudioServer(runtime=runtime, env=env)
        self._driver = Driver(env, inherit)

    def specs(self) -> Mapping[Resource, Spec]:
        """Return how each resource is made, lost, and goes on after one below it was restarted."""
        return {
            Resource.DISPLAY: Spec(lambda: self._display, (Watch(Display.lost, Event.DISPLAY_LOST),)),
            Resource.AUDIO: Spec(lambda: self._audio, (Watch(AudioServer.lost, Event.AUDIO_LOST),)),
            Resource.DRIVER: Spec(lambda: self._driver, (Watch(Driver.lost, Event.DRIVER_LOST),)),
            Resource.BROWSER: Spec(
                self._browser,
                (
                    Watch(Browser.lost, Event.BROWSER_LOST),
                    Watch(Browser.closed, Event.CALL_ENDED, fault=Event.CALL_LOST),
                ),
                {Resource.AUDIO: Browser.restore_audio},
            ),
            Resource.CAPTURE: Spec(
                self._capture,
                (Watch(Capture.lost, Event.CAPTURE_LOST),),
                {Resource.AUDIO: Capture.audio_restarted},
            ),
        }

    def parts(self) -> Mapping[int, str]:
        """Return which part of the job each program is that runs now, by its number (`system.usage`)."""
        parts = {pid: PARTS[name] for pid, name in ChildProcess.names().items() if name in PARTS}
        return parts if (driver := self._driver.pid) is None else {**parts, driver: "driver"}

    async def thumbnail(self, width: int) -> bytes | None:
        """Return what the display shows now as a JPEG of that width, None where there is none."""
        return await self._display.thumbnail(width)

    def _browser(self) -> Browser:
        settings, runtime = self._settings, self._directory.runtime
        added, left_out = sift(settings.extra_chromium_args)
        for word, why in left_out:
            logger.warning("EXTRA_CHROMIUM_ARGS: {} is left out: {}", word, why)
        subject = subject_of(settings)
        launch = Launch(
            args=chromium_args(
                width=settings.capture_width,
                height=settings.capture_height,
                secure_anyway=subject.secure_anyway,
                extra=(*self._proxies, *added),
                microphone=subject.origin is not None,
            ),
            env={**self._env, **self._display.env, **self._audio.env},
            runtime=runtime,
            sandbox=not runs_unsandboxed(settings),
            width=settings.capture_width,
            height=settings.capture_height,
            subject=subject,
            ca_file=settings.tls_ca_cert_file,
            on_people=self._people.take if settings.timeline != "off" else None,
            frame_rate=settings.frame_rate,
        )
        return Browser(launch, self._look_at_the_fault, self._report.note)

    async def _look_at_the_fault(self, page: ShownPage) -> None:
        """Keep what a person will ask for, while the page is still there; the capture has ended before."""
        taken = await self._display.photograph(self._directory.screenshot)
        self._report.at_the_fault(list(page.console.errors), self._directory.screenshot.name if taken else None)

    def _capture(self) -> Capture:
        settings = self._settings
        return Capture(
            CaptureSettings(
                width=settings.capture_width,
                height=settings.capture_height,
                frame_rate=settings.frame_rate,
                video_rate_kbps=settings.video_rate_kbps,
                audio_rate_kbps=settings.audio_rate_kbps,
                preset=settings.video_preset,
                display=self._display.env["DISPLAY"],
                audio_server=self._audio.address,
                audio_source=self._audio.monitor,
                constant_frame_rate=settings.frame_timing == "constant",
            ),
            self._timeline,
            self._directory.segment,
            {**self._env, **self._display.env, **self._audio.env},
            self._report.note,
            ladder=self._ladder,
        )


def runs_unsandboxed(settings: Settings) -> bool:
    """Tell whether Chromium runs without its sandbox: it has none for root, and only development may run as root."""
    return settings.dev_mode and os.geteuid() == 0
