"""What Chromium may ask of whom: the recorder's header for the site alone, and no page of another origin.

The call page's address has the token in its fragment, and a browser takes a fragment along when it is redirected: the
page of another origin (a login before the site is enough) could read it. So a document for the window is asked for at
the site only; any other is refused before a request leaves. All of Chromium is looked at, by the browser's own session:
also frames that are processes of their own, workers, and windows that the page opens.
"""

from __future__ import annotations

from collections.abc import Callable

from recorder_fsm.browser.devtools import Message, Session
from recorder_fsm.browser.few import FewWarnings
from recorder_fsm.config.address import origin_of

HEADER = ("X-Calls-Recorder", "true")
SHOWN_CHARS = 120


class Traffic:
    """The requests of a browser whose one window is `window`.

    `origin`: the site's, as browsers write it; None for a page that has nothing to keep secret: it may go anywhere, and
    nobody gets the header. `led_away` is told the origin of each page that was refused.
    """

    def __init__(self, root: Session, origin: str | None, window: str, led_away: Callable[[str], None]) -> None:
        self._root = root
        self._origin = origin
        self._window = window
        self._led_away = led_away
        self._strangers: set[str] = set()
        self._log = FewWarnings()

    async def watch(self) -> None:
        """Look at each request from now on."""
        self._root.on("Target.targetCreated", self._created)
        self._root.on("Fetch.requestPaused", self._paused)
        await self._root.call("Fetch.enable", {"patterns": [{"urlPattern": "http*://*"}]})

    def _created(self, params: Message) -> None:
        about = params["targetInfo"]
        if about["type"] == "page" and about["targetId"] != self._window:
            self._strangers.add(about["targetId"])

    def _paused(self, paused: Message) -> None:
        url, frame = paused["request"]["url"], paused.get("frameId")
        origin = origin_of(url)
        if paused.get("resourceType") == "Document":
            if frame in self._strangers:
                self._refuse(paused)
                return
            if frame == self._window and self._origin is not None and origin != self._origin:
                self._refuse(paused)
                self._tell(origin[:SHOWN_CHARS])
                return
        given = paused["request"]["headers"]
        headers = self._headers(given, origin)
        changed = {} if headers == given else {"headers": [{"name": key, "value": headers[key]} for key in headers]}
        self._root.tell("Fetch.continueRequest", {"requestId": paused["requestId"], **changed})

    def _refuse(self, paused: Message) -> None:
        """Let what is shown stay: any other reason would bring an error page of Chromium's in its place."""
        self._root.tell("Fetch.failRequest", {"requestId": paused["requestId"], "errorReason": "Aborted"})

    def _tell(self, origin: str) -> None:
        self._log.tell("the page was led to {}, which is not the site's origin: refused", origin)
        self._led_away(origin)

    def _headers(self, given: dict[str, str], origin: str) -> dict[str, str]:
        """Return the headers with the recorder's for the site and for nobody else (contract 3.1).

        CDP's extra headers, and Playwright's, would also reach third parties and follow redirects. A redirect is a
        request of its own here, and one that leads elsewhere loses the header again.
        """
        name, value = HEADER
        headers = {key: val for key, val in given.items() if key.lower() != name.lower()}
        if origin == self._origin:
            headers[name] = value
        return headers
