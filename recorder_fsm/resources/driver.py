"""The driver: Playwright's Node process, which speaks to Chromium for us. The page outlives it (`browser`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from loguru import logger

from recorder_fsm.errors import BrowserError, ProgramError, RecorderError
from recorder_fsm.system.clock import running_timeout
from recorder_fsm.system.process_table import Known, find_descendant, kill, wait_for_exit
from recorder_fsm.system.threads import in_daemon_thread

if TYPE_CHECKING:
    from playwright.async_api import Playwright

LAUNCHER = Path(__file__).parent.parent / "browser" / "launchers" / "driver"
START_LIMIT_S = 15.0
CLOSE_LIMIT_S = 3.0


def driver_environment() -> dict[str, str]:
    """Return what the driver needs to be started through our launcher, so that it dies with us (see `launchers/`)."""
    spec = importlib.util.find_spec("playwright")
    if spec is None or spec.origin is None:
        raise ProgramError("Playwright is missing on the recorder's machine.", code="program_missing")
    return {
        "RECORDER_FSM_NODE": str(Path(spec.origin).parent / "driver" / "node"),
        "PLAYWRIGHT_NODEJS_PATH": str(LAUNCHER),
    }


class Driver:
    """Holds Playwright's driver; ready when it answers; ends when told, or is killed. It can be entered again.

    Playwright starts it with our own environment: `inherit` adds `env` to that, where its files are to go.
    """

    def __init__(self, env: Mapping[str, str], inherit: Callable[[Mapping[str, str]], None]) -> None:
        self._env = {**env, **driver_environment()}
        self._inherit = inherit
        self._playwright: Playwright | None = None
        self._process: Known | None = None

    @property
    def playwright(self) -> Playwright:
        if self._playwright is None:
            raise RuntimeError("the driver is not held")
        return self._playwright

    @property
    def pid(self) -> int | None:
        """The driver's process, None while it is not held or not known."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        self._inherit(self._env)
        try:
            async with running_timeout(START_LIMIT_S):
                # Chromium starts meanwhile.
                api = await in_daemon_thread(importlib.import_module, "playwright.async_api")
                self._playwright = await api.async_playwright().start()
        except Exception as error:  # Playwright raises a plain Exception where its driver dies
            raise BrowserError(detail=f"the browser's driver did not start: {error}", code="driver") from error
        finally:
            self._process = find_descendant(lambda words: "run-driver" in words)
            if self._playwright is None:
                kill(self._process)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from playwright.async_api import Error  # noqa: PLC0415 - loaded by the start

        if error is not None:
            kill(self._process)  # one that hangs would be waited for
        try:
            async with running_timeout(CLOSE_LIMIT_S):
                await self.playwright.stop()
        except (TimeoutError, Error) as failure:
            logger.warning("the browser's driver did not stop by itself: {}", type(failure).__name__)
        finally:
            kill(self._process)
            self._playwright = self._process = None

    async def lost(self) -> RecorderError:
        """Wait until the driver ends by itself; returns the cause."""
        if self._process is None:
            raise RuntimeError("the driver is not held")
        await wait_for_exit(self._process)
        return BrowserError(detail="the browser's driver ended", code="driver")
