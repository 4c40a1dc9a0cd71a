"""All hooks of one end: side by side, each with its limit, and none a reason to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from loguru import logger

from recorder_fsm.config.settings import Hooks
from recorder_fsm.hooks.command import NAME, environment_of, run_command
from recorder_fsm.hooks.message import Message
from recorder_fsm.hooks.patience import Left
from recorder_fsm.hooks.webhook import LIMIT_S, Webhook


async def run_hooks(
    hooks: Hooks, message: Message, *, folder: Path, environment: Mapping[str, str], left_s: Left
) -> list[str]:
    """Run those that are switched on, for at most `left_s()` seconds; returns what went wrong. Never raises.

    `folder` is where the command runs; `environment` is the recorder's own.
    """
    began = time.monotonic()

    def limited(limit_s: float) -> Left:
        return lambda: min(limit_s - (time.monotonic() - began), left_s())

    async def webhook() -> str:
        receiver = Webhook(hooks.webhook_url, hooks.webhook_secret, hooks.tls_ca_cert_file)
        if trouble := await receiver.deliver(message, limited(LIMIT_S)):
            return f"the webhook {receiver.origin} did not take the message: {trouble}"
        logger.info("the webhook {} took the message {}", receiver.origin, message.id)
        return ""

    async def command() -> str:
        trouble = await run_command(
            hooks.on_end, message, folder=folder, env=environment_of(environment), left_s=limited(hooks.on_end_s)
        )
        return f"{NAME}: {trouble}" if trouble else ""

    running = [*([webhook()] if hooks.webhook_url else []), *([command()] if hooks.on_end else [])]
    troubles = [trouble for trouble in await asyncio.gather(*running) if trouble]
    for trouble in troubles:
        logger.warning("{}", trouble)
    return troubles
