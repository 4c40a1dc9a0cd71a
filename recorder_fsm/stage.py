"""The resources of a job: makes each from the settings and from what it stands on, and says how each can be lost."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from recorder_fsm.browser import Browser, Driver, Launch
from recorder_fsm.call_page import CallPage
from recorder_fsm.capture import Capture
from recorder_fsm.chromium import browser_environment, chromium_args, insecure_origins, proxy_switches
from recorder_fsm.directory import JobDirectory
from recorder_fsm.display import Display
from recorder_fsm.ffmpeg import CaptureSettings
from recorder_fsm.holdings import Factory, Watch
from recorder_fsm.lifecycle import Event, Resource
from recorder_fsm.report import JobReport
from recorder_fsm.settings import Settings
from recorder_fsm.sound import SoundServer


class Stage:
    """Makes the resources of a job, each from the settings and from what it stands on."""

    def __init__(self, settings: Settings, directory: JobDirectory, env: Mapping[str, str], report: JobReport) -> None:
        self._settings = settings
        self._directory = directory
        self._report = report
        self._env = env
        runtime = directory.runtime
        self._display = Display(width=settings.capture_width, height=settings.capture_height, runtime=runtime, env=env)
        self._sound = SoundServer(runtime=runtime, env=env)
        self._driver = Driver()

    def factories(self) -> Mapping[Resource, Factory]:
        return {
            Resource.DISPLAY: lambda: self._display,
            Resource.SOUND: lambda: self._sound,
            Resource.DRIVER: lambda: self._driver,
            Resource.BROWSER: self._browser,
            Resource.CAPTURE: self._capture,
        }

    def _browser(self) -> Browser:
        settings, runtime = self._settings, self._directory.runtime
        launch = Launch(
            args=chromium_args(
                width=settings.capture_width,
                height=settings.capture_height,
                secure_anyway=insecure_origins(settings.origin, dev_mode=settings.dev_mode),
                extra=(*proxy_switches(self._env), *settings.extra_chromium_args),
            ),
            env=browser_environment(self._env, runtime, self._display.env, self._sound.env),
            runtime=runtime,
            sandbox=not runs_unsandboxed(settings),
            width=settings.capture_width,
            height=settings.capture_height,
            origin=settings.origin,
            ca_file=settings.tls_ca_cert_file,
        )
        return Browser(lambda: self._driver.playwright, launch, self._look_at_the_fault)

    async def _look_at_the_fault(self, page: CallPage) -> None:
        """Keep what a person will ask for, while the page is still there; the capture has ended before."""
        if self._report.fault:
            taken = await self._display.photograph(self._directory.screenshot)
            self._report.at_the_fault(list(page.errors), self._directory.screenshot if taken else None)

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
                sound_server=self._sound.address,
                sound_source=self._sound.monitor,
                constant_frame_rate=settings.frame_timing == "constant",
            ),
            self._directory.live,
            {**self._env, **self._display.env, **self._sound.env, "HOME": str(self._directory.runtime)},
        )


WATCHES: Mapping[Resource, Sequence[Watch]] = {
    Resource.DISPLAY: [Watch(Display.lost, Event.DISPLAY_LOST)],
    Resource.SOUND: [Watch(SoundServer.lost, Event.SOUND_LOST)],
    Resource.DRIVER: [Watch(Driver.lost, Event.BROWSER_LOST)],
    Resource.BROWSER: [
        Watch(Browser.lost, Event.BROWSER_LOST),
        Watch(Browser.closed, Event.CALL_ENDED, fault=Event.CALL_LOST),
    ],
    Resource.CAPTURE: [Watch(Capture.lost, Event.CAPTURE_LOST)],
}


def runs_unsandboxed(settings: Settings) -> bool:
    """Whether Chromium must do without its sandbox: it has none for root, and only development may run as root."""
    return settings.dev_mode and os.geteuid() == 0
