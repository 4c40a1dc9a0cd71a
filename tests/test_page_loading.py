"""Loading the call page in a real Chromium: each try reaches the server, and what is slow is told from what failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web

from recorder_fsm.browser.page_answer import Answer
from tests.browser_stage import Held, held
from tests.programs import soon, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "the-token-of-the-job"
KEEP = {"Cache-Control": "max-age=3600"}
MADE = "const made = document.createElement('script'); made.src = '/main.js'; document.head.append(made)"
CLIENT = "callsClient = { on(name, told) { if (name === 'close') addEventListener('beforeunload', () => told()); } };"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Held]:
    async with held() as all_of_it:
        yield all_of_it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Held) -> Held:
    shared.site.pages.clear()
    await shared.load("/")
    shared.site.asked.clear()
    shared.told.clear()
    return shared


def says(
    text: str, kind: str = "text/html", status: int = 200, headers: dict[str, str] | None = None
) -> Callable[[], Awaitable[web.StreamResponse]]:
    async def answer() -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return answer


def page_with(script: str = '<script src="/main.js"></script>') -> Callable[[], Awaitable[web.StreamResponse]]:
    return says(f"<!doctype html><title>call</title>{script}")


async def load(it: Held, path: str = "/call", limit_s: float = 10) -> Answer:
    return await it.tab.load(f"{it.site.origin}{path}#{TOKEN}", limit_s)


@pytest.mark.parametrize("status", [200, 404, 502])
@pytest.mark.parametrize("text", ["", "<p>an error with a body"], ids=["no body", "body"])
async def test_page_that_is_shown_is_asked_for_again(it: Held, status: int, text: str) -> None:
    """The address is the same up to its fragment, which would be a step within the document."""
    it.site.pages["/call"] = says(text, status=status)
    for _ in range(3):
        assert (await load(it)).status == status
    assert it.site.asked == ["/call"] * 3


async def test_no_cache_answers_for_page_or_script(it: Held) -> None:
    """What may be kept for an hour may be what was broken."""
    it.site.pages["/call"] = says('<script src="/main.js"></script>', headers=KEEP)
    it.site.pages["/main.js"] = says("window.ran = true", "text/javascript", headers=KEEP)
    for _ in range(2):
        await load(it)
        await it.complete()
    assert it.site.asked == ["/call", "/main.js"] * 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/plain", "404 page not found\n"),
        ("application/json", '{"id":"api.context.404.app_error","status_code":404}'),
        ("text/html", "<h1>Not here</h1>"),
    ],
)
async def test_error_comes_with_its_words(it: Held, kind: str, text: str) -> None:
    """Who answered is seen by them."""
    it.site.pages["/call"] = says(text, kind, 404)
    answer = await load(it)
    assert (answer.status, answer.kind, answer.elsewhere) == (404, kind, "")
    assert answer.text.strip() in text
    assert answer.text


async def test_words_without_an_end_are_cut(it: Held) -> None:
    """Neither time nor memory for them."""
    answer = await load(it, "/endless")
    assert answer.status == 404
    assert len(answer.text) <= 4000


async def test_redirect_is_told_from_an_answer(it: Held) -> None:
    """The page of a login is not the call page, whatever its status. Another site is not even asked: `test_traffic`."""

    async def moved() -> web.StreamResponse:
        raise web.HTTPFound("/elsewhere?secret")

    it.site.pages["/call"] = moved
    it.site.pages["/elsewhere"] = says("Log in")
    answer = await load(it)
    assert (answer.elsewhere, answer.good, answer.foreign) == ("/elsewhere", False, False)


FAILURES: dict[str, tuple[Callable[[], Awaitable[web.StreamResponse]], str]] = {
    "502 with a body": (says("bad gateway", status=502), "its script main.js was answered with HTTP 502"),
    "502 without": (says("", status=502), "its script main.js was answered with HTTP 502"),
    "throws": (says("throw new TypeError('no good')", "text/javascript"), "its script threw TypeError: no good"),
    "a login page": (says("<p>Log in"), "its script threw SyntaxError"),
    "rejects": (says("Promise.reject(new Error('late'))", "text/javascript"), "its script threw Error: late"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_script_that_failed_is_named(it: Held, name: str) -> None:
    """By its file, without its query; the page waits for nothing then."""
    script, trouble = FAILURES[name]
    it.site.pages["/call"] = page_with('<script src="/main.js?key=secret"></script>')
    it.site.pages["/main.js"] = script
    await load(it)
    await until(lambda: it.tab.loading.trouble, 10)
    await it.complete()
    await until(lambda: not it.tab.loading.pending, 10)
    assert it.tab.loading.trouble.startswith(trouble)
    assert "secret" not in it.tab.loading.trouble


async def test_script_that_is_cut_is_named(it: Held) -> None:
    """A connection that breaks within a script, and with it the page."""
    it.site.pages["/call"] = page_with('<script src="http://127.0.0.1:1/gone.js"></script>')
    await load(it)
    await until(lambda: it.tab.loading.trouble, 10)
    assert it.tab.loading.trouble.startswith("its script gone.js was not loaded (net::ERR_")


@pytest.mark.parametrize(
    "page",
    [
        page_with(),
        page_with(f"<script>{MADE}</script>"),
        page_with("<script>fetch('/main.js')</script>"),
        page_with("<script>import('/main.js')</script>"),
    ],
    ids=["script", "made by a script", "fetch", "module"],
)
async def test_page_with_a_slow_answer_is_pending(it: Held, page: Callable[[], Awaitable[web.StreamResponse]]) -> None:
    """Until it comes: then something has moved, and nothing is wrong."""
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def slow() -> web.StreamResponse:
        asked.set()
        await goes_on.wait()
        return web.Response(text="window.ran = true", content_type="text/javascript")

    it.site.pages["/call"], it.site.pages["/main.js"] = page, slow
    await load(it)
    await soon(asked.wait())
    await until(lambda: it.tab.loading.pending, 10)
    moves = it.tab.loading.moves
    goes_on.set()
    await until(lambda: not it.tab.loading.pending, 10)
    assert it.tab.loading.moves > moves
    assert it.tab.loading.trouble == ""


async def test_trouble_is_that_of_the_page_shown_now(it: Held) -> None:
    """A good page after a broken one is not in trouble, and what that one still waited for is forgotten."""
    it.site.pages["/call"] = page_with('<script src="/hang"></script><script>throw 1</script>')
    await load(it, "/call")
    await until(lambda: it.tab.loading.pending, 10)
    it.site.pages["/call"] = page_with("<script>window.ran = true</script>")
    await load(it, "/call")
    await it.complete()
    assert await it.evaluate("window.ran") is True
    await until(lambda: not it.tab.loading.pending, 10)
    assert it.tab.loading.trouble == ""


async def test_page_with_its_client_is_left_to_requests_of_its_own(it: Held) -> None:
    """After the join nobody counts them, for hours."""
    await load(it, "/")
    await it.complete()
    it.tab.loading.end()
    await it.session.call("Runtime.evaluate", {"expression": "1"})
    moves = it.tab.loading.moves
    await it.evaluate("ask()")
    assert it.tab.loading.moves == moves


@pytest.mark.parametrize(("before", "told"), [(True, ["client", "close"]), (False, [])], ids=["kept", "abandoned"])
async def test_page_that_is_given_up_says_no_more(it: Held, before: bool, told: list[str]) -> None:
    """A client that comes too late leaves with its page: that is not the end of the call. One that is there is kept."""
    if before:
        await it.evaluate(CLIENT)
    assert await it.evaluate("window.__recorderFsm.abandon()") is not before
    if not before:
        await it.evaluate(CLIENT)
    await load(it, "/")
    await it.complete()
    await it.evaluate("say('new')")
    await it.hear(*told, "new")
