"""The call page on a tab of fakes: joining, being refused, leaving, freezing, and its chatter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math

import pytest

from recorder_fsm.browser import call_page, shown_page
from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.browser.page_answer import LED_AWAY, SENTENCES, Answer
from recorder_fsm.browser.shown_page import PageSigns
from recorder_fsm.errors import BrowserError, CallError, CallLost
from tests.fakes import FakeTab, for_ever
from tests.programs import until

URL = "https://chat.example.com/page#secret"
WIDTH, HEIGHT = 1280, 720
LOADING = {"seen": False, "present": False, "connected": False, "closed": False, "width": WIDTH, "height": HEIGHT,
           "complete": True}  # fmt: skip
CLIENT = {**LOADING, "seen": True, "present": True}
JOINED = {**CLIENT, "connected": True}
VANISHED = {**CLIENT, "present": False}
CLOSED = {**JOINED, "closed": True}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in [
        ("POLL_S", 0.02),
        ("JOIN_POLL_S", 0.01),
        ("RELOAD_PAUSES_S", (0.001,)),
        ("CLIENT_LIMIT_S", 0.1),
        ("TROUBLED_LIMITS_S", (0.01, 0.05)),
        ("STALLED_LIMIT_S", 0.4),
        ("LEAVE_LIMIT_S", 0.05),
        ("FROZEN_LIMIT_S", 0.05),
        ("RESTORE_LIMIT_S", 0.05),
        ("LAST_WORD_S", 0.05),
    ]:
        for module in (call_page, shown_page):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, seconds)


@pytest.fixture
async def tab() -> FakeTab:
    return FakeTab()


@pytest.fixture
def notes() -> list[str]:
    """What the report is to have."""
    return []


@pytest.fixture
async def page(tab: FakeTab, notes: list[str]) -> CallPage:
    return CallPage(tab, WIDTH, HEIGHT, notes.append)


def say(page: CallPage, kind: str, detail: object = None) -> None:
    page.told(json.dumps({"kind": kind, "detail": detail, "at": 1}))


def say_on_load(tab: FakeTab, page: CallPage, *said: tuple[str, object]) -> None:
    def speak() -> None:
        for kind, detail in said:
            say(page, kind, detail)

    tab.on_load = speak


# --- joining ------------------------------------------------------------------------------------------------------


async def test_page_joins_when_its_client_says_so(tab: FakeTab, page: CallPage) -> None:
    """The event is enough: the poll need not have seen anything."""
    say_on_load(tab, page, ("client", None), ("connect", None))
    await page.join(URL, 5)
    assert tab.loaded == [URL]


async def test_page_joins_by_the_poll_where_the_event_was_missed(tab: FakeTab, page: CallPage) -> None:
    """The two booleans are the contract (3.3): connected and not closed."""
    tab.probes = [None, LOADING, CLIENT, JOINED]
    await page.join(URL, 5)


@pytest.mark.parametrize(
    "first", [502, 503, 500, 429, BrowserError(detail="net::ERR_CONNECTION_RESET")], ids=lambda status: str(status)[:30]
)
async def test_page_is_loaded_again_where_that_may_help(
    tab: FakeTab, page: CallPage, log: list[str], first: int | Exception
) -> None:
    """A server that starts, a proxy, a network error: the second time works."""
    tab.answers, tab.probes = [first, 200], [JOINED]
    await page.join(URL, 5)
    assert tab.loaded == [URL, URL]
    assert any(line.startswith("WARNING the call page is loaded again") for line in log)
    assert "secret" not in "".join(log)


async def test_page_without_a_client_is_loaded_again(tab: FakeTab, page: CallPage) -> None:
    """A script that did not load: the next try may get it."""
    tab.probes = [LOADING]

    def second_time() -> None:
        if len(tab.loaded) == 2:
            tab.probes = [JOINED]

    tab.on_load = second_time
    await page.join(URL, 5)
    assert tab.loaded == [URL, URL]


OWN_WORDS = {
    "no session": Answer(401, "application/json", '{"id":"api.context.session_expired.app_error","status_code":401}'),
    "no permission": Answer(403, "application/json", '{"message":"no","status_code":403}'),
    "no header": Answer(403, "text/plain", "Forbidden\n"),
    "no route": Answer(404, "application/json", '{"id":"api.context.404.app_error","status_code":404}'),
    "no plugins": Answer(501, "application/json", '{"id":"app.plugin.disabled.app_error","status_code":501}'),
}


@pytest.mark.parametrize("name", OWN_WORDS)
async def test_page_that_mattermost_itself_refuses_is_not_loaded_again(tab: FakeTab, page: CallPage, name: str) -> None:
    """What the server or the plugin says in its own form fails at once, in words that say what to look at."""
    answer = OWN_WORDS[name]
    tab.answers = [answer]
    with pytest.raises(CallError) as caught:
        await page.join(URL, 5)
    assert tab.loaded == [URL]
    assert caught.value.code == f"page_{answer.status}"
    assert caught.value.sentence == SENTENCES[answer.status]
    assert f"HTTP {answer.status} for the call page: " in caught.value.detail


OTHERS_WORDS = {
    **{f"{status} without words": Answer(status) for status in (400, 401, 403, 404, 405, 409, 421, 423, 451, 499, 501)},
    "a plugin that is off": Answer(404, "text/plain", "404 page not found\n"),
    "404 of a proxy": Answer(404, "text/html", "<h1>404 Not Found</h1>"),
    "403 of a proxy": Answer(403, "text/plain", "RBAC: access denied"),
    "401 of a proxy in JSON": Answer(401, "application/json", '{"message":"no"}'),
    "403 in somebody's JSON": Answer(403, "application/json", '{"status_code":404}'),
    "404 in broken JSON": Answer(404, "application/json", '{"status_code":404'),
    "404 in a list": Answer(404, "application/json", "[404]"),
    "500 of the server": Answer(500, "application/json", '{"status_code":500}'),
    "429 of the server": Answer(429, "application/json", '{"status_code":429}'),
    "another site": Answer(0, elsewhere="https://login.example.com"),
    "refused by another site": Answer(403, "text/plain", "Forbidden", elsewhere="/login"),
}


@pytest.mark.parametrize("name", OTHERS_WORDS)
async def test_answer_that_is_not_mattermosts_own_may_heal(tab: FakeTab, page: CallPage, name: str) -> None:
    """A proxy, an empty body, a plugin that is just being restarted: the next try gets the page."""
    tab.answers, tab.probes = [OTHERS_WORDS[name], 200], [JOINED]
    await page.join(URL, 5)
    assert tab.loaded == [URL, URL]


@pytest.mark.parametrize(
    ("answer", "code", "sentence", "detail"),
    [
        (
            OTHERS_WORDS["a plugin that is off"],
            "page_404",
            SENTENCES[404],
            "404 for the call page: the Calls plugin is",
        ),
        (OTHERS_WORDS["403 of a proxy"], "page_403", SENTENCES[403], "not in Mattermost's own words: RBAC: access"),
        (Answer(401), "page_401", SENTENCES[401], "not in Mattermost's own words: without any"),
        (
            Answer(403, elsewhere="/login"),
            "join_timeout",
            "could not join the call in time",
            "redirected to /login, where",
        ),
        (
            Answer(0, elsewhere="https://login.example.com"),
            "page_elsewhere",
            LED_AWAY,
            "leads to https://login.example.com, which is not the address in SITE_URL",
        ),
        (Answer(405), "join_timeout", "could not join the call in time", "HTTP 405 for the call page"),
    ],
    ids=["off", "proxy", "empty", "elsewhere", "another site", "405"],
)
async def test_answer_that_does_not_heal_is_said_in_the_end(
    tab: FakeTab, page: CallPage, answer: Answer, code: str, sentence: str, detail: str
) -> None:
    """The plain words for the status, and who seems to have answered."""
    tab.answers = [answer]
    with pytest.raises(CallError, match=sentence) as caught:
        await page.join(URL, 0.1)
    assert caught.value.code == code
    assert detail in caught.value.detail
    assert len(tab.loaded) > 1


# --- slow or failed -----------------------------------------------------------------------------------------------


def then(tab: FakeTab, number: int, *probes: object) -> None:
    """From the load of that number on, the page answers so."""

    def loaded() -> None:
        if len(tab.loaded) == number:
            tab.probes = list(probes)

    tab.on_load = loaded


async def test_page_that_threw_is_loaded_again_before_one_that_only_waits(
    tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for nothing, and its script has failed: no use in the patience for a slow page."""
    monkeypatch.setattr(call_page, "CLIENT_LIMIT_S", math.inf)
    tab.loading.trouble = "its script main.js was answered with HTTP 502"
    tab.probes = [LOADING]
    then(tab, 2, JOINED)
    await page.join(URL, 5)
    assert tab.loaded == [URL, URL]


@pytest.mark.parametrize(
    ("pending", "probe"),
    [(True, LOADING), (False, {**LOADING, "complete": False})],
    ids=["request", "document"],
)
async def test_page_that_still_waits_is_slow_and_not_failed(
    tab: FakeTab, page: CallPage, pending: bool, probe: object
) -> None:
    """Neither the limit for a client nor a script that threw cuts a page off that still loads something."""
    tab.loading.pending, tab.loading.trouble = pending, "its script threw Error: harmless"
    tab.probes = [probe]
    joining = asyncio.create_task(page.join(URL, 5))
    done, _ = await asyncio.wait({joining}, timeout=3 * call_page.CLIENT_LIMIT_S)
    assert not done
    say(page, "connect")
    await joining
    assert tab.loaded == [URL]


async def test_page_that_gets_on_is_not_cut_off(tab: FakeTab, page: CallPage) -> None:
    """Each script that arrives begins the wait anew."""
    tab.probes = [LOADING]
    joining = asyncio.create_task(page.join(URL, 5))
    for _ in range(30):
        tab.loading.moves += 1
        done, _ = await asyncio.wait({joining}, timeout=call_page.CLIENT_LIMIT_S / 10)
        assert not done
    say(page, "connect")
    await joining
    assert tab.loaded == [URL]


async def test_request_that_is_lost_is_made_again(tab: FakeTab, page: CallPage) -> None:
    """A script that nobody delivers is not waited for until the end."""
    tab.loading.pending = True
    tab.probes = [LOADING]
    then(tab, 2, JOINED)
    await page.join(URL, 5)
    assert tab.loaded == [URL, URL]


async def test_error_that_comes_each_time_is_taken_for_harmless_in_the_end(
    tab: FakeTab, page: CallPage, log: list[str]
) -> None:
    """A page whose scripts always throw something may make its client all the same, a little later."""
    tab.loading.trouble = "its script threw Error: always"
    tab.probes = [LOADING]
    joining = asyncio.create_task(page.join(URL, 5))
    await until(lambda: len(tab.loaded) == 3, 5)
    done, _ = await asyncio.wait({joining}, timeout=call_page.CLIENT_LIMIT_S / 2)
    assert not done
    say(page, "connect")
    await joining
    assert tab.loaded == [URL] * 3
    assert len([line for line in log if "loaded again: its script threw Error: always" in line]) == 2


async def test_client_that_comes_at_the_last_moment_is_kept(tab: FakeTab, page: CallPage) -> None:
    """The page is asked to give up before it is loaded again; one that has its client by then does not."""
    tab.keeps, tab.probes = True, [LOADING]
    joining = asyncio.create_task(page.join(URL, 5))
    await until(lambda: any("abandon" in expression for expression in tab.evaluated), 5)
    say(page, "connect")
    await joining
    assert tab.loaded == [URL]


@pytest.mark.parametrize("probe", [JOINED, LOADING], ids=["joined", "not in time"])
async def test_requests_are_not_looked_at_after_the_join(tab: FakeTab, page: CallPage, probe: object) -> None:
    """A call of hours has many of them."""
    tab.probes = [probe]
    with contextlib.suppress(CallError):
        await page.join(URL, 0.05)
    assert tab.loading.ended


# --- joining, or not ----------------------------------------------------------------------------------------------


async def test_refusal_has_the_words_of_the_page(tab: FakeTab, page: CallPage) -> None:
    """A `close` with a reason before the join is a refusal; it ends the start at once."""
    say_on_load(tab, page, ("client", None), ("close", "max participants reached"))
    page.console.heard("error", "ws: join failed")
    with pytest.raises(CallError) as caught:
        await page.join(URL, 5)
    assert caught.value.code == "join_refused"
    assert "max participants reached" in caught.value.detail
    assert "ws: join failed" in caught.value.detail
    assert tab.loaded == [URL]


async def test_end_before_the_join_is_said(tab: FakeTab, page: CallPage) -> None:
    """A `close` without a reason before the join is the end of the job."""
    say_on_load(tab, page, ("client", None), ("close", None))
    with pytest.raises(CallError, match="ended before the recording began") as caught:
        await page.join(URL, 5)
    assert caught.value.code == "call_ended"
    assert tab.loaded == [URL]


async def test_page_that_still_loads_has_neither_ended_nor_frozen(tab: FakeTab, page: CallPage) -> None:
    """Before the client has joined, only `join` says what is wrong: a slow page must not be taken for a gone one."""
    tab.probes = [LOADING]
    watched = [asyncio.create_task(page.closed()), asyncio.create_task(page.frozen())]
    done, _ = await asyncio.wait(watched, timeout=10 * shown_page.POLL_S)
    assert not done
    for task in watched:
        task.cancel()


async def test_client_that_vanishes_without_a_close_is_a_refusal(tab: FakeTab, page: CallPage) -> None:
    """The blind spot of the events: a failed start deletes the client in silence (contract 3.2)."""
    tab.probes = [CLIENT, CLIENT, VANISHED]
    with pytest.raises(CallError, match="gave up while it was starting"):
        await page.join(URL, 5)


@pytest.mark.parametrize(
    ("answers", "probes", "words"),
    [
        ([502], [None], "HTTP 502"),
        ([BrowserError(detail="net::ERR_NAME_NOT_RESOLVED")], [None], "ERR_NAME_NOT_RESOLVED"),
        ([200], [LOADING], "no client object"),
    ],
    ids=["502", "name", "client"],
)
async def test_join_that_takes_too_long_says_what_was_waited_for(
    tab: FakeTab, page: CallPage, answers: list[int | Answer | Exception], probes: list[object], words: str
) -> None:
    """The time-out names the last trouble and the limit."""
    tab.answers, tab.probes = answers, probes
    with pytest.raises(CallError) as caught:
        await page.join(URL, 0.3)
    assert caught.value.code == "join_timeout"
    assert words in caught.value.detail
    assert "within 0.3 s" in caught.value.detail
    assert len(tab.loaded) > 1


async def test_client_that_never_connects_runs_into_the_limit(tab: FakeTab, page: CallPage) -> None:
    """It is not loaded again: the page is still trying."""
    tab.probes = [CLIENT]
    say_on_load(tab, page, ("client", None))
    page.console.heard("error", "ice failed")
    with pytest.raises(CallError, match=r"did not get into the call within 0\.1 s; last console errors: ice failed"):
        await page.join(URL, 0.1)
    assert tab.loaded == [URL]


async def test_client_that_is_closed_does_not_count_as_joined(tab: FakeTab, page: CallPage) -> None:
    """`connected` stays true after a close in version 1 of the page."""
    tab.probes = [CLOSED]
    with pytest.raises(CallError):
        await page.join(URL, 0.1)


async def test_load_that_hangs_runs_into_the_limit(
    tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and says nothing."""

    async def hang(_url: str, _limit_s: float) -> Answer:
        await asyncio.Event().wait()
        return Answer(0)

    monkeypatch.setattr(tab, "load", hang)
    with pytest.raises(CallError, match=r"the page did not answer within 0\.05 s"):
        await page.join(URL, 0.05)


async def test_page_that_does_not_answer_while_loading_is_waited_for(tab: FakeTab, page: CallPage) -> None:
    """A renderer that is busy with its scripts does not fail the join."""
    tab.hangs = True
    say_on_load(tab, page, ("client", None))
    asyncio.get_running_loop().call_later(0.06, say, page, "connect")
    await page.join(URL, 5)


# --- the end of the call ------------------------------------------------------------------------------------------


async def test_close_without_a_reason_is_a_clean_end(tab: FakeTab, page: CallPage) -> None:
    """The host ended the call or the recording, or everyone left."""
    say(page, "connect")
    tab.probes = [JOINED]
    closed = asyncio.create_task(page.closed())
    say(page, "close")
    assert await closed is None


@pytest.mark.parametrize(
    ("detail", "words"), [("rtc peer error", "rtc peer error"), ("reason 4", "reason 4"), (4, "4"), ("", "")]
)
async def test_close_with_a_reason_is_a_loss(tab: FakeTab, page: CallPage, detail: object, words: str) -> None:
    """An Error's text of version 1 and a number of version 2: the page's words are the cause."""
    say(page, "connect")
    tab.probes = [JOINED]
    say(page, "close", detail)
    cause = await page.closed()
    assert cause is not None
    assert cause.code == "call_lost"
    assert f"the page said: {words}" in str(cause)


@pytest.mark.parametrize(
    ("told", "quiet_s"), [(14.5, 14.5), (None, 0.0), (-1, 0.0), ("long", 0.0), ([], 0.0), (float("nan"), 0.0)]
)
async def test_loss_says_for_how_long_nothing_came(tab: FakeTab, page: CallPage, told: object, quiet_s: float) -> None:
    """As the page's hook has it; what is no time is not known."""
    say(page, "connect")
    tab.probes = [JOINED]
    page.told(json.dumps({"kind": "close", "detail": "rtc peer close", "at": 0, "quiet_s": told}))
    cause = await page.closed()
    assert isinstance(cause, CallLost)
    assert cause.quiet_s == quiet_s


async def test_only_the_first_close_counts(tab: FakeTab, page: CallPage) -> None:
    """What closing stirs up afterwards does not change why."""
    say(page, "connect")
    tab.probes = [JOINED]
    say(page, "close", "rtc peer close")
    say(page, "close")
    cause = await page.closed()
    assert cause is not None
    assert "rtc peer close" in str(cause)


@pytest.mark.parametrize("last", [VANISHED, CLOSED], ids=["vanished", "closed"])
async def test_end_without_an_event_is_noticed_by_the_poll(tab: FakeTab, page: CallPage, last: object) -> None:
    """The safety net: property gone, or `closed` true; an end without a word is no normal one."""
    say(page, "connect")
    tab.probes = [JOINED, JOINED, last]
    async with asyncio.timeout(5):
        cause = await page.closed()
    assert cause is not None
    assert cause.code == "call_lost"
    assert len(tab.evaluated) >= 3


async def test_page_that_does_not_answer_has_not_ended(tab: FakeTab, page: CallPage) -> None:
    """Neither a busy page nor one whose hook is still loading is a closed call."""
    say(page, "connect")
    tab.probes = [None, BrowserError(detail="busy"), JOINED, None, JOINED, CLOSED]
    await page.closed()
    assert len(tab.evaluated) == 6


# --- freezing and leaving -----------------------------------------------------------------------------------------


async def test_page_that_does_not_answer_is_frozen(tab: FakeTab, page: CallPage) -> None:
    """After the limit, not before: a slow page is not a dead page."""
    say(page, "connect")
    tab.hangs = True
    assert await page.frozen() == "the page has not answered for 0.05 s"


async def test_page_that_has_gone_is_noticed_and_an_error_is_not_an_end(
    tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed question is asked again; a closed page is told at once."""
    say(page, "connect")
    answers: list[BrowserError | None] = [None, BrowserError(code="page"), None, BrowserError(code="page_gone")]

    async def evaluate(_: str) -> bool:
        if answer := answers.pop(0):
            raise answer
        return True

    monkeypatch.setattr(tab, "evaluate", evaluate)
    assert await page.frozen() == "the page has gone"
    assert answers == []


async def test_leaving_asks_the_page_and_its_close_is_no_news(tab: FakeTab, page: CallPage, log: list[str]) -> None:
    """Our own leaving is not logged as a call that closed."""
    await page.leave()
    assert any("leave()" in expression for expression in tab.evaluated)
    say(page, "close")
    assert not any("closed its client" in line for line in log)


@pytest.mark.parametrize("gone", [False, True], ids=["hangs", "gone"])
async def test_leaving_does_not_wait_for_a_dead_page(
    tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """The capture has ended by then; the browser is killed anyway."""

    async def evaluate(_: str) -> bool:
        if gone:
            raise BrowserError(code="page_gone")
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(tab, "evaluate", evaluate)
    async with asyncio.timeout(5):
        await page.leave()


# --- audio --------------------------------------------------------------------------------------------------------


async def test_restoring_audio_asks_the_page(
    page: CallPage, tab: FakeTab, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the hook's own function; what it did is in the log."""
    asked = []

    async def evaluate(expression: str) -> object:
        asked.append(expression)
        return {"elements": 3, "started": 2}

    monkeypatch.setattr(tab, "evaluate", evaluate)
    await page.restore_audio()
    assert asked == ["window.__recorderFsmAudio?.restore()"]
    assert log == ["INFO the page's audio was restored: {'elements': 3, 'started': 2}"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [(None, "no answer"), (BrowserError(detail="no more", code="page_gone"), "no more")],
    ids=["hangs", "gone"],
)
async def test_restoring_audio_of_a_dead_page_is_only_logged(
    page: CallPage,
    tab: FakeTab,
    log: list[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: BrowserError | None,
    words: str,
) -> None:
    """It raises nothing and waits within a limit: that the page is dead is for others to notice."""

    async def evaluate(_: str) -> object:
        if answer is not None:
            raise answer
        await for_ever()
        return None

    monkeypatch.setattr(tab, "evaluate", evaluate)
    async with asyncio.timeout(5):
        await page.restore_audio()
    (line,) = log
    assert line.startswith("WARNING the page's audio could not be restored")
    assert words in line


# --- what the page says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["", "no json", "[]", "7", "null", "{}", '{"detail": 1}', '["kind"]', '"kind"'])
async def test_message_that_is_not_understood_does_no_harm(page: CallPage, log: list[str], message: str) -> None:
    """The page is not ours: anything may call the binding."""
    page.told(message)
    assert "WARNING the page sent a message that is not understood" in log


async def test_unknown_kinds_are_only_logged(tab: FakeTab, page: CallPage) -> None:
    """`reconnecting` is no end: the client has 30 seconds of its own."""
    say(page, "connect")
    tab.probes = [JOINED]
    closed = asyncio.create_task(page.closed())
    say(page, "reconnecting")
    say(page, "reconnected")
    say(page, "something new", {"a": 1})
    done, _ = await asyncio.wait({closed}, timeout=3 * shown_page.POLL_S)
    assert not done
    say(page, "close")
    await closed


async def test_notice_to_the_call_is_heard(page: CallPage) -> None:
    """It says that people have seen that they are recorded."""
    assert not page.notice_given.is_set()
    say(page, "notice")
    assert page.notice_given.is_set()


async def test_screen_that_the_recorder_had_to_show_is_noted_once(page: CallPage, notes: list[str]) -> None:
    """People who ask why the first second of a shared screen is missing find it in the report."""
    assert notes == []
    for _ in range(3):
        say(page, "screen_restored")
    assert notes == [call_page.SCREEN_RESTORED]


async def test_wrong_size_of_the_page_is_said_once(tab: FakeTab, page: CallPage, log: list[str]) -> None:
    """A frame that is cut off must be noticed, and three hours of polls must not fill the log with it."""
    say(page, "connect")
    small = {**JOINED, "width": 1279}
    tab.probes = [small, small, small, CLOSED]
    await page.closed()
    assert [line for line in log if "1279" in line] == ["WARNING the page is 1279x720, not 1280x720"]


async def test_right_size_is_not_mentioned(tab: FakeTab, page: CallPage, log: list[str]) -> None:
    """No warning where all is well."""
    say(page, "connect")
    tab.probes = [JOINED, CLOSED]
    await page.closed()
    assert not any(line.startswith("WARNING") for line in log)


@pytest.mark.parametrize(
    "value", [None, 7, {}, {"energy": 1, "changes": 1}, {"energy": "x", "packets": 1, "changes": 1}]
)
async def test_signs_that_are_not_told_are_none(
    tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    """A page that says nothing of itself is no fault, and no sign of an empty room."""

    async def evaluate(_: str) -> object:
        return value

    monkeypatch.setattr(tab, "evaluate", evaluate)
    assert await page.signs() is None


async def test_signs_are_those_of_the_page(tab: FakeTab, page: CallPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energy as a number, packets and changes as counts."""

    async def evaluate(_: str) -> object:
        return {"energy": 1, "packets": 3, "changes": 5.0}

    monkeypatch.setattr(tab, "evaluate", evaluate)
    assert await page.signs() == PageSigns(1.0, 3, 5)
