"""What Chromium would ask a person, decided before it starts: nobody is there, and a question lies over the call.

The page gets a microphone (Chromium's own fake) and the way to the media server, wherever that is; everything else is
declined without a box. Each kind has a place of its own in Chromium: a switch (permissions), preferences (printing,
devices, passwords, translation, pop-ups), programs of the desktop that it asks (links to other programs), DevTools
(dialogs, file choosers, and what is granted), and the page itself (`questions_hook.js`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from recorder_fsm.browser.devtools import Session
from recorder_fsm.browser.few import FewWarnings
from recorder_fsm.errors import BrowserError

DESKTOP = Path(__file__).parent / "launchers" / "desktop"
"""Programs that go before those of a desktop's in PATH."""
SWITCHES = ("--deny-permission-prompts",)
"""For every permission and every frame; what is granted below needs no prompt."""
GRANTED = ("microphone", "local-network-access", "local-network", "loopback-network")
"""The media server may have a private address, in a site that has a public one. The last two names are newer."""
BLOCK = 2
PREFERENCES: Mapping[str, Any] = {
    "printing": {"enabled": False},
    "custom_handlers": {"enabled": False},
    "credentials_enable_service": False,
    "translate": {"enabled": False},
    "profile": {
        "default_content_setting_values": dict.fromkeys(
            (
                "popups",
                "usb_guard",
                "serial_guard",
                "hid_guard",
                "bluetooth_guard",
                "file_system_read_guard",
                "file_system_write_guard",
                "automatic_downloads",
            ),
            BLOCK,
        )
    },
}
LOCAL_STATE: Mapping[str, Any] = {
    "auth": {"schemes": ""},  # no box for a name and a password: what a server or a proxy refuses stays refused
}


def with_desktop(env: Mapping[str, str]) -> dict[str, str]:
    """Return Chromium's environment with our programs of the desktop before all others."""
    return {**env, "PATH": f"{DESKTOP}:{env.get('PATH', '')}".rstrip(":")}


async def decide(session: Session, root: Session, origin: str | None) -> None:
    """Answer by DevTools, for as long as the page lives, what nothing else answers.

    `origin`: of the call page, which gets what a call needs; None for a page that gets nothing.
    """
    await _refuse_dialogs(session)
    await session.call("Page.setInterceptFileChooserDialog", {"enabled": True, "cancel": True})
    await root.call("Browser.setDownloadBehavior", {"behavior": "deny"})
    for name in GRANTED if origin is not None else ():
        try:
            await root.call(
                "Browser.setPermission", {"permission": {"name": name}, "setting": "granted", "origin": origin}
            )
        except BrowserError as error:
            if error.code != "page":
                raise
            logger.debug("this Chromium knows no permission {}", name)


async def _refuse_dialogs(session: Session) -> None:
    """Dismiss what the page asks a person (it would cover the call and stop the page), and let it be left."""
    log = FewWarnings()

    def opened(params: Mapping[str, Any]) -> None:
        log.tell("the page opened a dialog ({}), which is dismissed", params.get("type"))
        session.tell("Page.handleJavaScriptDialog", {"accept": params.get("type") == "beforeunload"})

    session.on("Page.javascriptDialogOpening", opened)
    await session.call("Page.enable")
