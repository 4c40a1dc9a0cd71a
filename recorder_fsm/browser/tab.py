"""One tab of Chromium: what the call page needs of it, and what of it the recorder must hear, over our own session.

All of this goes on while no driver is there. Only `ChromiumTab.load` needs one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from recorder_fsm.browser import certificates
from recorder_fsm.browser.devtools import Message, Session
from recorder_fsm.browser.few import FewWarnings
from recorder_fsm.browser.loading import Loading
from recorder_fsm.browser.page_answer import SHOWN_CHARS, Answer
from recorder_fsm.errors import BrowserError
from recorder_fsm.system.clock import running_timeout

if TYPE_CHECKING:
    from playwright.async_api import Page, Response

EVALUATE_LIMIT_S = 60.0
SCREENSHOT_LIMIT_S = 10.0
DRIVER_ANSWER_S = 1.0
"""How much later than its own limit a driver may say that it has passed."""
NOWHERE = "about:blank"
REFUSED_WITHOUT_BODY = "ERR_HTTP_RESPONSE_CODE_FAILURE"
INTERRUPTED = "interrupted by another navigation"
WORDS_LIMIT_S = 1.0
WORDS_POLL_S = 0.05
WORDS = """[document.readyState !== "loading", document.contentType,
    document.documentElement?.textContent.slice(0, 4000) ?? ""]"""
"""The words of an error page, in the page: bounded, whatever the server sends."""


class ChromiumTab:
    """The page as `needs.Tab` knows it; `page` gives the page of the driver that is connected now."""

    def __init__(self, session: Session, page: Callable[[], Page]) -> None:
        self._session = session
        self._page = page
        self.loading = Loading(session)

    async def evaluate(self, expression: str) -> Any:
        reply = await self._session.call(
            "Runtime.evaluate",
            {"expression": expression, "returnByValue": True, "awaitPromise": True},
            EVALUATE_LIMIT_S,
        )
        return reply.get("result", {}).get("value")

    async def screenshot(self) -> str:
        reply = await self._session.call("Page.captureScreenshot", {"format": "png"}, SCREENSHOT_LIMIT_S)
        return str(reply["data"])

    async def load(self, url: str, limit_s: float) -> Answer:
        from playwright.async_api import Error  # noqa: PLC0415 - whoever has a page of the driver has loaded it

        page = self._page()
        answers: list[Response] = []

        def note(response: Response) -> None:
            answers.append(response)

        page.on("response", note)
        try:
            async with running_timeout(limit_s + DRIVER_ANSWER_S):  # Playwright's own limit is kept by the driver
                await _go_nowhere(page, limit_s)
                await self.loading.begin()
                response = await page.goto(url, wait_until="commit", timeout=limit_s * 1000)
        except TimeoutError as error:
            self._session.tell("Page.stopLoading")
            raise BrowserError(detail="the browser's driver does not answer", code="page_late") from error
        except Error as error:
            if self.loading.led_to:
                return Answer(0, elsewhere=self.loading.led_to)
            # An error status without a body is a network error to Chromium, which has an error page of its own for it.
            if REFUSED_WITHOUT_BODY in error.message and answers:
                return _answer(answers[-1], url)
            # A page that waits for a server answers nobody meanwhile, nor can another driver connect to it.
            self._session.tell("Page.stopLoading")
            # Playwright repeats the address with its fragment, and with it the token, behind " at " and in a call log.
            words = error.message.splitlines()[0].split(" at http", maxsplit=1)[0]
            if refused := certificates.refusal(words):
                raise refused from error
            raise BrowserError(detail=words, code="page") from error  # whether the page has gone says our own session
        finally:
            page.remove_listener("response", note)
        if response is None:
            return Answer(0)
        answer = _answer(response, url)
        return answer if answer.good else await self._with_words(answer)

    async def _with_words(self, answer: Answer) -> Answer:
        """Return the answer with the begin of its text, as far as that comes in time."""
        kind, text = "", ""
        with contextlib.suppress(TimeoutError, BrowserError, TypeError, ValueError):
            async with asyncio.timeout(WORDS_LIMIT_S):
                complete = False
                while not complete:
                    complete, kind, text = await self.evaluate(WORDS)
                    await asyncio.sleep(WORDS_POLL_S)
        return attrs.evolve(answer, kind=str(kind), text=str(text))


async def _go_nowhere(page: Page, limit_s: float) -> None:
    """Leave what is shown: to the same address Chromium would go within the document, for its fragment, and ask nobody.

    Repeated where Chromium's error page for the load before comes in between; all of that is over then.
    """
    from playwright.async_api import Error  # noqa: PLC0415 - see `load`

    while True:
        try:
            await page.goto(NOWHERE, wait_until="commit", timeout=limit_s * 1000)
            return
        except Error as error:
            if INTERRUPTED not in error.message:
                raise


def _answer(response: Response, url: str) -> Answer:
    asked, came = urlsplit(url), urlsplit(response.url)
    same = (asked.scheme, asked.netloc, asked.path) == (came.scheme, came.netloc, came.path)
    return Answer(response.status, elsewhere="" if same else came.path[:SHOWN_CHARS])


async def listen_to_hook(
    session: Session, *, binding: str, hook: str, frame_id: str, origin: str, told: Callable[[str], None]
) -> None:
    """Run `hook` in every new document, and pass on what it says by `binding`.

    Heard is only the main frame while it shows the site: any frame of the process could call the binding.
    """
    trusted: set[int] = set()
    log = FewWarnings()

    def created(params: Message) -> None:
        context = params["context"]
        about = context.get("auxData", {})
        if about.get("isDefault") and about.get("frameId") == frame_id and context.get("origin") == origin:
            trusted.add(context["id"])

    def called(params: Message) -> None:
        if params.get("name") != binding:
            return
        if params.get("executionContextId") in trusted:
            told(str(params.get("payload")))
        else:
            log.tell("a frame that is not the call page called the recorder, which does not listen to it")

    session.on("Runtime.executionContextCreated", created)
    session.on("Runtime.executionContextDestroyed", lambda params: trusted.discard(params["executionContextId"]))
    session.on("Runtime.executionContextsCleared", lambda _: trusted.clear())
    session.on("Runtime.bindingCalled", called)
    await session.call("Runtime.addBinding", {"name": binding})
    await run_hook(session, hook)


async def run_hook(session: Session, hook: str) -> None:
    """Run `hook` in every new document, before the page's own scripts."""
    await session.call("Runtime.enable")
    await session.call("Page.addScriptToEvaluateOnNewDocument", {"source": hook, "runImmediately": True})
