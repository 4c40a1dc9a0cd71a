"""One tab of Chromium through Playwright: what the call page needs of it, and the header that only the site may see."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from playwright.async_api import CDPSession, Error, Page, Response

from recorder_fsm.errors import BrowserError

HEADER = ("X-Calls-Recorder", "true")
REFUSED_WITHOUT_BODY = "ERR_HTTP_RESPONSE_CODE_FAILURE"


class ChromiumTab:
    """The page as `call_page.Tab` knows it."""

    def __init__(self, page: Page, session: CDPSession) -> None:
        self._page = page
        self._session = session

    async def evaluate(self, expression: str) -> Any:
        try:
            reply = await self._session.send(
                "Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True}
            )
        except Error as error:
            raise self._failure(error) from error
        return reply.get("result", {}).get("value")

    async def load(self, url: str, limit_s: float) -> int:
        answers: list[Response] = []

        def note(response: Response) -> None:
            answers.append(response)

        self._page.on("response", note)
        try:
            response = await self._page.goto(url, wait_until="commit", timeout=limit_s * 1000)
        except Error as error:
            # An error status without a body is a network error to Chromium, which has an error page of its own for it.
            if REFUSED_WITHOUT_BODY in error.message and answers:
                return answers[-1].status
            raise self._failure(error) from error
        finally:
            self._page.remove_listener("response", note)
        return response.status if response is not None else 0

    def _failure(self, error: Error) -> BrowserError:
        # Playwright repeats the address with its fragment, and with it the token, behind " at " and in a call log.
        words = error.message.splitlines()[0].split(" at http", maxsplit=1)[0]
        return BrowserError(detail=words, code="page_gone" if self._page.is_closed() else "page")


async def send_header_to(origin: str, session: CDPSession) -> None:
    """Add the recorder's header to requests to the site itself, and to nobody else (contract 3.1).

    CDP's extra headers, and Playwright's, would also reach third parties and follow redirects. Here each request is
    looked at by itself: a redirect is a request of its own, and one that leads elsewhere loses the header again.
    """
    name, value = HEADER

    async def forward(paused: dict[str, Any]) -> None:
        request = paused["request"]
        headers = {key: val for key, val in request["headers"].items() if key.lower() != name.lower()}
        if request["url"].startswith(f"{origin}/"):
            headers[name] = value
        with contextlib.suppress(Error):  # the page has gone, and the request with it
            await session.send(
                "Fetch.continueRequest",
                {
                    "requestId": paused["requestId"],
                    "headers": [{"name": key, "value": val} for key, val in headers.items()],
                },
            )

    pending: set[asyncio.Task[None]] = set()

    def on_paused(paused: dict[str, Any]) -> None:
        task = asyncio.create_task(forward(paused))
        pending.add(task)
        task.add_done_callback(pending.discard)

    session.on("Fetch.requestPaused", on_paused)
    await session.send("Fetch.enable", {"patterns": [{"urlPattern": "http*://*"}]})
