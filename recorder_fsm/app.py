"""One job, put together: settings, log, directory, resources, steps, loop, report, exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import attrs
from loguru import logger

from recorder_fsm import __version__
from recorder_fsm.browser.launch_options import child_environment, proxy_switches
from recorder_fsm.changes import told_of_changes
from recorder_fsm.config.settings import Settings, docs_url_of, usable_hooks
from recorder_fsm.config.shown import shown_settings
from recorder_fsm.error_catalogue import what_to_do
from recorder_fsm.errors import DirectoryError, RecorderError, SettingsError
from recorder_fsm.job_end import Ended, tell_of_end, tell_of_refusal
from recorder_fsm.job_resources import JobResources, runs_unsandboxed
from recorder_fsm.machine.lifecycle import Audience, Budget, Lifecycle, State
from recorder_fsm.machine.runner import Outcome, Runner
from recorder_fsm.mattermost.clients import bot_of, channel_of
from recorder_fsm.mattermost.proxies import proxy_for, shown_proxy
from recorder_fsm.media.output_file import RecordingFiles
from recorder_fsm.plain_text import keep_secret
from recorder_fsm.refusal import read_settings, refuse
from recorder_fsm.sampling import Sampler
from recorder_fsm.steps import steps_of
from recorder_fsm.steps.context import GRACE_RESERVE_S, JobContext
from recorder_fsm.steps.deeper_cause import DeeperCause
from recorder_fsm.storage import logs
from recorder_fsm.storage.job_dir import BUSY, JobDirectory
from recorder_fsm.storage.journal import Journal
from recorder_fsm.storage.lease import Lease
from recorder_fsm.storage.report import JobReport
from recorder_fsm.system.cgroup import GroupWatch
from recorder_fsm.system.exposure import core_dumps_may_happen
from recorder_fsm.system.parent_death import adopt_orphans
from recorder_fsm.system.process_table import kill_descendants, kill_orphans
from recorder_fsm.system.signals import StopRequest
from recorder_fsm.system.surroundings import tight_limits
from recorder_fsm.system.usage import machine_facts

EXIT_NOTHING_LEFT = 0
"""Nothing worth keeping is on the volume: the launcher may delete it, and the log (contract 4.1)."""
EXIT_KEEP = 1
"""The job never began, or its recording waits on the volume, or it failed and nobody could be told but by its log."""
POST_LIMIT_S = 5.0
TELL_LIMIT_S = 60.0
"""Long enough for a network that comes back. It waits for nothing and nothing waits for it (`machine.runner`)."""
Inherit = Callable[[Mapping[str, str]], None]
OnUpload = Callable[[int, int], None]


async def record(
    environment: Mapping[str, str],
    stop: StopRequest,
    began: float,
    *,
    recovering: OnUpload | None = None,
    inherit: Inherit = lambda _: None,
) -> int:
    """Do the job that `environment` describes; returns the exit code of the process. Never raises.

    `recovering`: record nothing, finish what an earlier start left; hears how many bytes are delivered, of how many.
    `inherit` adds to the environment that a child inherits which is started by a library, and not by us.
    """
    stop.attach(asyncio.get_running_loop())
    keep_secret(environment.get("AUTH_TOKEN", ""))
    logs.configure()
    try:
        return await _record(environment, stop, began, inherit, recovering)
    except SettingsError as error:
        for problem in error.problems:
            logger.error("{}", problem)
        await refuse(environment, error)
        await tell_of_refusal(environment, error, stop, began)
        # The last line alone tells, as in `_say_end`.
        logger.info("ended with code {}: {}{}", EXIT_KEEP, error, what_to_do(error.code, docs_url_of(environment)))
    except RecorderError as error:
        if error.code != BUSY:
            await tell_of_refusal(environment, error, stop, began)
        logger.error("{}{}", error, what_to_do(error.code, docs_url_of(environment)))
    except Exception as error:  # noqa: BLE001 - a defect of ours: what was recorded must not be deleted for it
        logger.opt(exception=error).critical("the recorder failed unexpectedly")
        await tell_of_refusal(environment, RecorderError(detail=type(error).__name__), stop, began)
    return EXIT_KEEP


async def _record(
    environment: Mapping[str, str], stop: StopRequest, began: float, inherit: Inherit, recovering: OnUpload | None
) -> int:
    settings = read_settings(environment)
    stop.end_within(settings.stop_grace_s)
    logs.set_context(recording_id=settings.recording_id, state=State.INIT.value)
    logs.configure(level=settings.log_level, form=settings.log_format)
    try:
        with JobDirectory(settings.job_dir, environment) as directory:
            async with Lease(directory.path, stop_asked=lambda: stop.requested_at is not None) as lease:
                with _log_file(settings, directory):
                    job = _Job(settings, directory, environment, stop, began, inherit, lease, recovering)
                    return await job.run()
    except DirectoryError as error:
        # A report of ours would end the recording of the other process, or of the one that left something here.
        if error.code != BUSY and recovering is None:
            await refuse(environment, error)
        raise


@contextmanager
def _log_file(settings: Settings, directory: JobDirectory) -> Iterator[None]:
    end = logs.add_file(directory.log, level=settings.log_level, form=settings.log_format)
    try:
        yield
    finally:
        end()


@attrs.frozen
class _Job:
    """What one job is put together from."""

    settings: Settings
    directory: JobDirectory
    environment: Mapping[str, str]
    stop: StopRequest
    began: float
    inherit: Inherit
    lease: Lease
    recovering: OnUpload | None

    async def run(self) -> int:
        """Run the job to its end; returns the exit code."""
        async with AsyncExitStack() as beside:
            return await self._run(beside)

    async def _run(self, beside: AsyncExitStack) -> int:
        settings, directory, group = self.settings, self.directory, GroupWatch()
        env, proxies = child_environment(self.environment), proxy_switches(self.environment)
        hooks = usable_hooks(self.environment)
        logger.info("recorder-fsm {} records {}x{}", __version__, settings.capture_width, settings.capture_height)
        _warn(settings)
        journal = Journal(directory.journal)
        adopt_orphans()
        directory.sweep()
        journal.note(  # a full disk must not keep a pending recording from being published
            "process_started",
            version=__version__,
            runtime=str(directory.runtime),
            site_url=settings.site_url,
            call_id=settings.call_id,
            post_id=settings.post_id,
            publish=settings.publish,
        )
        report = self._begin_report()
        job = JobContext(
            settings=settings,
            directory=directory,
            journal=journal,
            make_bot=lambda: bot_of(settings, lambda: job.channel),
            make_channel=(lambda: channel_of(settings)) if settings.publish == "post" else None,
            report=report,
            stop=self.stop,
            began=self.began,
            recover_only=self.recovering is not None,
            keeps_published=bool(hooks.on_end),
            still_ours=self.lease.check,
            on_upload=self.recovering,
        )
        lifecycle = Lifecycle(announced=lambda: job.announced)
        for listener in (job.changed, *told_of_changes(journal, report)):
            lifecycle.listen(listener)
        resources = JobResources(settings, directory, env, report, job.timeline, proxies=proxies, inherit=self.inherit)
        if settings.status_addr is not None:
            from recorder_fsm.status.service import status_page  # noqa: PLC0415 - loaded where it is asked for

            page = status_page(settings.status_addr, job, lifecycle, resources.thumbnail)
            await beside.enter_async_context(page)
        herald = _Herald(job, silent=self.recovering is not None)
        proxy = shown_proxy(proxy_for(settings.site_url)) if proxies else ""
        runner = Runner(
            lifecycle,
            steps_of(job, RecordingFiles(env)),
            resources.specs(),
            self.stop,
            tell=herald.tell,
            budgets={Budget.START: job.start_left_s, Budget.GRACE: job.grace_left_s},
            explain=DeeperCause(group, (Path("/tmp"), directory.runtime), proxy),  # noqa: S108
        )
        try:
            async with Sampler(report, directory, job.timeline, self.began, resources.parts).running():
                outcome = await runner.run()
        finally:
            self._kill_what_is_left()
        ours = await self.lease.ours()
        if ours and not outcome.change.transition.keeps:
            job.discard()
        cause = outcome.fault if isinstance(outcome.fault, RecorderError) else None
        final = lifecycle.state
        kept = None if final is State.DONE else _kept(job)
        code = _exit_code(final, kept, cause, unheard=herald.unheard) if ours else EXIT_KEEP
        if ours:
            report.write(directory.report, exit_code=code, state=final.value, cause=cause, docs_url=settings.docs_url)
            await tell_of_end(job, hooks, self.environment, Ended(final, code, cause, kept))
            if hooks.on_end:
                self._kill_what_is_left()
        job.close()
        if final is State.DONE and (kept := _kept(job)) is not None:
            logger.warning("the recording is published, but {} could not be removed: remove it by hand", kept)
        if code == EXIT_NOTHING_LEFT and kept is None:
            directory.tidy(keep_timeline=final is State.DONE and settings.timeline == "files")
            report.screenshot_removed()
        _note_left_out(report)
        if ours:
            await self._write_reports(job, code, final, cause)
        _say_end(outcome, code, directory.report, settings.docs_url)
        return code

    def _begin_report(self) -> JobReport:
        report = JobReport(self.settings.recording_id, self.began)
        report.runs_in(shown_settings(self.settings), machine_facts())
        return report

    async def _write_reports(self, job: JobContext, code: int, final: State, cause: RecorderError | None) -> None:
        """Write the report, and for people a page of it: of a job that published its recording only when asked."""
        directory, docs_url = self.directory, self.settings.docs_url
        job.report.write(directory.report, exit_code=code, state=final.value, cause=cause, docs_url=docs_url)
        if (code != EXIT_NOTHING_LEFT or final is State.FAILED) and not directory.read_only:
            from recorder_fsm.report_page.writer import leave_page  # noqa: PLC0415 - most jobs need none

            await leave_page(directory.path, job.grace_left_s() + GRACE_RESERVE_S / 2)

    def _kill_what_is_left(self) -> None:
        spared = [self.directory.guard_pid] if self.directory.guard_pid is not None else []
        if killed := kill_descendants(spared) + kill_orphans(str(self.directory.runtime)):
            logger.warning("{} processes of the job had to be killed at the end", killed)


def _note_left_out(report: JobReport) -> None:
    for name, lines in logs.left_out().items():
        logger.warning("{} lines were left out of {}: nobody took them", lines, name)
        report.note(f"{lines} lines were left out of {name}")


class _Herald:
    """Tells people what happened to the job, and remembers whether that was heard.

    `silent`: a job that is recovered ended long ago, and has nothing to tell a call.
    """

    def __init__(self, job: JobContext, *, silent: bool) -> None:
        self._job = job
        self._silent = silent
        self.unheard = False
        """Whether nobody took the last that was to be told: the server could not be reached, or refused it."""

    async def tell(self, audience: Audience, sentence: str) -> None:
        """Tell those whom the transition says one sentence; never raises.

        `failed` without a text ends the plugin's job without an error, and nothing where it has ended (contract 6.11).
        """
        logger.info("telling the {}: {}", audience.value, sentence or "the recording is over")
        if audience is Audience.THREAD:
            await self._job.bot.post_in_thread(sentence, POST_LIMIT_S)
        elif not self._silent:
            self.unheard = True  # until it is heard: this call may be cancelled
            self.unheard = not await self._job.bot.report_failed(sentence, TELL_LIMIT_S)


def _say_end(outcome: Outcome, code: int, report: Path, docs_url: str) -> None:
    """Write the last line of the log; it alone says what happened: `kubectl logs --tail 1` shows no more."""
    state, fault = outcome.change.transition.target, outcome.fault
    level = "INFO" if state is State.DONE and fault is None else "WARNING" if code == EXIT_NOTHING_LEFT else "ERROR"
    why = f"{outcome.change.transition.event.value}{f' ({fault})' if fault is not None else ''}"
    advice = what_to_do(fault.code, docs_url) if isinstance(fault, RecorderError) else ""
    logger.log(level, "ended {} with code {}: {}; the report is {}{}", state.value, code, why, report, advice)


def _kept(job: JobContext) -> Path | None:
    """Return what waits on the volume; a directory that cannot be looked at any more may hold anything."""
    try:
        return job.kept
    except OSError as error:
        logger.error("{} cannot be looked at: {}", job.directory.path, error.strerror)
        return job.directory.path


def _exit_code(state: State, kept: Path | None, cause: RecorderError | None, *, unheard: bool) -> int:
    """Return the exit code of a job that ended, and say why where that is not plain."""
    if state is State.DONE:
        return EXIT_NOTHING_LEFT
    if kept is not None:
        logger.error("the recording is kept in {}; start the same job again to publish it", kept)
        return EXIT_KEEP
    if unheard:
        logger.error("nobody could be told; the exit code keeps this log for those who look for it")
        return EXIT_KEEP
    # The directory cannot be used: that is for the operator to mend, as a wrong setting is.
    return EXIT_KEEP if isinstance(cause, DirectoryError) and cause.code == DirectoryError.code else EXIT_NOTHING_LEFT


def _warn(settings: Settings) -> None:
    if settings.made_even:
        logger.warning(
            "{}x{} has an odd side, which H.264 cannot hold; {}x{} is recorded",
            *(settings.width, settings.height, settings.capture_width, settings.capture_height),
        )
    if core_dumps_may_happen():
        logger.warning("core dumps cannot be switched off here: one of a crash would hold the token")
    for limit in tight_limits():
        logger.warning("{}", limit)
    if runs_unsandboxed(settings):
        logger.warning("DEV_MODE as root: Chromium runs without its sandbox")
    for word in settings.dropped_chromium_args:
        logger.warning("EXTRA_CHROMIUM_ARGS: {!r} is not a switch (--name or --name=value) and is left out", word)
