"""What is recorded: a call of the site, or any page. The one place that chooses, from the settings.

A call page is Mattermost's own, is given the token, and stays at the site. Any other page is foreign: it is given
nothing, may lead to other sites, and what it asks for is declined.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.browser.launch_options import CallPageAddress, insecure_origins
from recorder_fsm.browser.shown_page import ShownPage
from recorder_fsm.config.address import origin_of
from recorder_fsm.config.settings import Settings

OF_ANY_PAGE = ("questions_hook.js", "audio_hook.js")
OF_A_CALL = (*OF_ANY_PAGE, "screen_hook.js", "notice_hook.js", "page_hook.js")


@attrs.frozen
class Subject:
    """One thing to record: its address, and `shown`, what of that may be written down.

    `origin`: the site to which the page must keep, and which gets the recorder's header and what a call needs; None for
    a foreign page. `secure_anyway`: origins by http that a browser shall trust like those by https. `hooks` run in the
    page before its own scripts. `page` makes the page as the recorder knows it.
    """

    url: str = attrs.field(repr=False)
    shown: str
    origin: str | None
    hooks: tuple[str, ...]
    secure_anyway: tuple[str, ...]
    page: Callable[..., ShownPage]


def subject_of(settings: Settings) -> Subject:
    """Return what a job records."""
    if settings.record_url:
        from recorder_fsm.browser.web_page import WebPage  # noqa: PLC0415 - no recording of a call needs it

        shown = f"a page of {origin_of(settings.record_url)}"  # the rest of an address may be a secret of its own
        return Subject(settings.record_url, shown, None, OF_ANY_PAGE, (), WebPage)
    address = CallPageAddress(
        origin=settings.origin,
        call_id=settings.call_id,
        recording_id=settings.recording_id,
        token=settings.auth_token,
    )
    secure = tuple(insecure_origins(settings.origin, dev_mode=settings.dev_mode))
    return Subject(address.url, f"the call at {address.without_token}", settings.origin, OF_A_CALL, secure, CallPage)
