"""Any page, for real: recorded without a call, and posted by an ordinary bot; nobody but Mattermost gets the token."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from aiohttp import web

from bench.harness.recorder_process import assert_nothing_left, recorder
from recorder_fsm.standin.server import StandIn
from tests.post_job import poster, posts_with_files
from tests.programs import until

pytestmark = pytest.mark.e2e

PAGE = """<!doctype html><body style="background:#08f"><h1>the wall</h1><script>
setInterval(() => document.body.append(Math.random()), 200); fetch("/more");</script>"""


async def test_page_is_recorded_and_posted_without_its_getting_the_token(standin: StandIn, data: Path) -> None:
    """One post with a file that plays; SIGTERM ends it; the plugin is asked for nothing."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.path_qs} {dict(request.headers)} {await request.text()}")
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ids = poster(standin, standin.create_call())
    page = f"http://127.0.0.1:{runner.addresses[0][1]}/wall?view=1#now"
    try:
        async with recorder(standin, ids, data, PUBLISH="post", RECORD_URL=page) as run:
            await run.recorded(4)
            run.signal(signal.SIGTERM)
            assert await run.exit_code() == 0, run.text
        await until(lambda: len(asked) >= 2, 5)
    finally:
        await runner.cleanup()
    ((post, stored),) = posts_with_files(standin)
    assert (post.channel_id, post.root_id, post.user_id) == (ids.call_id, ids.post_id, standin.state.poster_id)
    assert stored.size == stored.path.stat().st_size == run.report["published"]["size_bytes"]
    assert run.report["file"]["duration_s"] >= 3.5
    assert asked[0].startswith("/wall?view=1 ")
    assert not [one for one in asked if ids.token in one or "calls-recorder" in one.lower()]
    assert not [entry.path for entry in standin.requests() if "/plugins/" in entry.path]
    assert_nothing_left(run)
