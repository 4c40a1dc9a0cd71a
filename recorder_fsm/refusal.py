"""A job that cannot begin: all that is wrong with its settings, found at once, and the call told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger

from recorder_fsm.config import authorities
from recorder_fsm.config.settings import Settings, usable_hooks, usable_identity
from recorder_fsm.error_catalogue import advice
from recorder_fsm.errors import MattermostError, RecorderError, SettingsError
from recorder_fsm.hooks.notice import failure_text
from recorder_fsm.mattermost.proxies import refuse_socks

NOTICE_LIMIT_S = 3.0
"""For the post in the thread, where one is asked for."""
REFUSAL_LIMIT_S = 0.8
"""A job that cannot begin says so at once, and is gone within a second."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises `SettingsError` with all that is wrong in them, and in what they name."""
    wrong: list[SettingsError] = []
    settings: Settings | None = None
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        wrong.append(error)
    known = {name for error in wrong for name in error.variables}
    file, site = environment.get(authorities.VARIABLE, ""), environment.get("SITE_URL", "")
    checks: list[Callable[[], object]] = []
    if file and authorities.VARIABLE not in known:
        checks.append(lambda: authorities.read_authorities(Path(file)))
    if "SITE_URL" not in known:
        checks.append(lambda: refuse_socks(site, environment))
    for check in checks:
        try:
            check()
        except SettingsError as error:
            wrong.append(error)
    if wrong or settings is None:
        raise SettingsError.together(wrong)
    return settings


async def refuse(environment: Mapping[str, str], error: RecorderError) -> None:
    """Tell the call that the job cannot begin, where the environment says enough to do so. Never raises."""
    try:
        await _refuse(environment, error)
    except Exception as failure:  # noqa: BLE001 - the exit code, and what is told to others, do not depend on it
        logger.opt(exception=failure).error("telling the call failed unexpectedly")


async def _refuse(environment: Mapping[str, str], error: RecorderError) -> None:
    from recorder_fsm.mattermost.bot import CallsBot  # noqa: PLC0415 - a job that begins has no use for it here

    identity = usable_identity(environment)
    if identity is None:
        return
    # A certificate file that is itself the trouble must not keep us from saying so.
    at_fault = isinstance(error, SettingsError) and authorities.VARIABLE in error.variables
    try:
        bot = CallsBot(
            site_url=identity.site_url,
            token=identity.auth_token,
            call_id=identity.call_id,
            post_id=identity.post_id,
            recording_id=identity.recording_id,
            ca_file=None if at_fault else identity.tls_ca_cert_file,
        )
    except MattermostError as failure:
        logger.warning("the call could not be told: {}", failure)
        return
    await bot.report_failed(error.sentence, REFUSAL_LIMIT_S)
    if usable_hooks(environment).notify_failures != "off":
        text = failure_text(error.code, error.sentence, advice(error.code), published=False, kept=False, length_s=None)
        await bot.post_failure(text, NOTICE_LIMIT_S)
    bot.close()
