"""The status server: who may ask what, what open pages are sent, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest import mock

import aiohttp
import pytest
from yarl import URL

from bench.harness.environment import TOKEN
from recorder_fsm.errors import CallError
from recorder_fsm.machine.lifecycle import Event
from recorder_fsm.status import door, thumbnail, watchers
from recorder_fsm.status.door import ours
from tests.programs import until
from tests.status_stage import JPEG, Shown, shown

PATHS = ("/", "/icon.svg", "/status.json", "/thumbnail.jpg", "/healthz", "/metrics")


class Asking:
    """A client; `get` asks for a path and reads the whole answer."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, headers=named) as reply:
            return reply, (await reply.read()).decode(errors="replace")


@pytest.fixture
async def stage() -> AsyncIterator[Shown]:
    async with shown() as one:
        yield one


@asynccontextmanager
async def asking(stage: Shown) -> AsyncIterator[Asking]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Asking(session, stage.url)


@pytest.fixture
async def client(stage: Shown) -> AsyncIterator[Asking]:
    async with asking(stage) as one:
        yield one


async def next_event(reply: aiohttp.ClientResponse) -> tuple[str, Any]:
    """Return the name and the data of the next event of a stream."""
    async with asyncio.timeout(10):
        while True:
            lines = (await reply.content.readuntil(b"\n\n")).decode().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if line)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


async def test_health_is_200_while_it_goes_well_and_503_with_the_cause_after_a_failure(
    stage: Shown, client: Asking
) -> None:
    """A probe reads the state without parsing, a person the cause."""
    reply, text = await client.get("/healthz")
    assert (reply.status, json.loads(text)["state"]) == (200, "init")
    stage.moves(Event.STEP_FAILED, cause=CallError(code="join_timeout"))
    reply, text = await client.get("/healthz")
    assert reply.status == 503
    assert json.loads(text)["code"] == "join_timeout"
    assert json.loads(text)["ok"] is False


async def test_every_path_answers_with_its_type_and_nothing_to_sniff_or_keep(client: Asking) -> None:
    """All that is served is typed, is kept by no cache, and is for no other site; HEAD has the same status."""
    kinds = ["text/html", "image/svg+xml", "application/json", "image/jpeg", "application/json", "text/plain"]
    for path, kind in zip(PATHS, kinds, strict=True):
        reply, _ = await client.get(path)
        assert (reply.status, reply.content_type) == (200, kind), path
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert "aiohttp" not in reply.headers["Server"]
        assert not any(name.lower().startswith("access-control") for name in reply.headers)
        assert (await client.get(path, "HEAD"))[0].status == 200


async def test_metrics_are_in_the_form_that_every_prometheus_reads(client: Asking) -> None:
    """The text format says its version."""
    reply, text = await client.get("/metrics")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE recorder_frames_total counter" in text


async def test_page_is_whole_in_itself(client: Asking) -> None:
    """It names no other host and no file but the recorder's own, and holds no mark that was not filled in."""
    _, page = await client.get("/")
    assert "<svg" in page
    for mark in ("/*style*/", "/*script*/", "<!--diagram-->", "https://", "cdn"):
        assert mark not in page
    assert page.count("http://") == page.count("http://www.w3.org/2000/svg")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_can_be_changed(client: Asking, method: str) -> None:
    """Whatever is not a question is refused, on every path."""
    for path in (*PATHS, "/events", "/nothing"):
        reply, _ = await client.get(path, method)
        assert reply.status == 405
        assert reply.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/nothing", "/../etc/passwd", "/%2e%2e/board.py", "/page.js", "/thumbnail.jpg/x"])
async def test_unknown_path_is_not_found(stage: Shown, client: Asking, path: str) -> None:
    """No file of ours or of the machine is served by its name."""
    async with client.session.get(URL(stage.url + path, encoded=True)) as reply:
        assert reply.status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9090", 200),
        ("10.2.3.4", 200),
        ("[::1]:80", 200),
        ("LocalHost:1", 200),
        ("a.localhost", 200),
        ("evil.example", 403),
        ("evil.example:9090", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("[evil]", 403),
        ("", 403),
    ],
)
async def test_foreign_name_is_refused(client: Asking, host: str, status: int) -> None:
    """A name that is not ours is that of a site which made its own name lead here (DNS rebinding)."""
    for path in (*PATHS, "/events"):
        if path != "/events" or status == 403:
            assert (await client.get(path, Host=host))[0].status == status, path


def test_name_that_it_is_bound_to_is_ours() -> None:
    """Who binds to a name is asked by it, with a port and with the root's dot."""
    assert ours("recorder.example:9090", {"recorder.example"})
    assert ours("Recorder.Example.:9090", {"recorder.example"})
    assert not ours("other.example", {"recorder.example"})


async def test_foreign_page_gets_nothing_but_may_link_here(client: Asking) -> None:
    """A picture, a stream or a fetch on behalf of another page is refused; a person who follows a link is let in."""
    for site in ("cross-site", "same-site"):
        for path in (*PATHS, "/events"):
            reply, text = await client.get(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")
            assert (reply.status, JPEG.decode(errors="replace") in text) == (403, False)
        assert (await client.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate"))[0].status == 200
    assert (await client.get("/thumbnail.jpg", Sec_Fetch_Site="same-origin"))[0].status == 200


async def test_open_page_hears_each_change_and_the_end(stage: Shown, client: Asking) -> None:
    """It is told what there is, each change at once, the last state before the server goes, and that it goes."""
    async with client.session.get(f"{client.url}/events") as reply:
        assert reply.content_type == "text/event-stream"
        assert (await next_event(reply))[1]["state"] == "init"
        stage.moves(Event.DISPLAY_READY)
        while (facts := (await next_event(reply))[1])["state"] != "display_up":
            assert facts["state"] == "init"
        assert facts["events"][-1]["event"] == "display_ready"
        stage.moves(Event.STEP_FAILED, cause=CallError(code="join"))
        stopping = asyncio.create_task(stage.server.stop())
        while not (facts := (await next_event(reply))[1])["ended"]:
            pass
        assert facts["state"] == "failed"
        assert facts["problem"]["code"] == "join"
        assert (await next_event(reply))[0] == "end"
        assert await reply.content.read() == b""
        await stopping


async def test_pages_are_told_again_and_again(stage: Shown, client: Asking) -> None:
    """What changes without an event (length, level, upload) is told by itself; with nobody there, nothing is done."""
    with mock.patch.object(watchers, "EVERY_S", 0.01):
        async with client.session.get(f"{client.url}/events") as reply:
            await next_event(reply)
            stage.job.context.report.uploading(3, 4)
            while (await next_event(reply))[1]["upload"] != {"sent_bytes": 3, "total_bytes": 4}:
                pass
        async with asyncio.timeout(10):
            await stage.server._watchers._nobody.wait()
    assert stage.server._watchers._ticking is None


async def test_so_many_pages_and_no_more(stage: Shown, client: Asking) -> None:
    """One page too many is told so, the others go on, and a place that becomes free is given again."""
    with mock.patch.object(watchers, "MOST_WATCHERS", 2):
        first, second = [await client.session.get(f"{client.url}/events") for _ in range(2)]
        await next_event(first)
        await next_event(second)
        assert (await client.get("/events"))[0].status == 503
        assert (await client.get("/healthz"))[0].status == 200
        first.close()
        stage.moves(Event.DISPLAY_READY)
        await until(lambda: len(stage.server._watchers) == 1)
        third = await client.session.get(f"{client.url}/events")
        assert (await next_event(third))[1]["state"] == "display_up"
        second.close()
        third.close()


async def test_page_that_does_not_read_is_left(stage: Shown) -> None:
    """Its connection is closed once it has taken nothing for a while; it holds up neither the others nor the end."""
    for _ in range(10):
        stage.job.context.report.note("x" * 500)
    with (
        mock.patch.object(watchers, "WRITE_LIMIT_S", 0.2),
        mock.patch.object(watchers, "EVERY_S", 0.0005),
        socket.socket() as silent,
    ):
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(silent, ("127.0.0.1", stage.server.port))
        await loop.sock_sendall(silent, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: len(stage.server._watchers))
        await until(lambda: not len(stage.server._watchers), 30)


async def test_connection_that_asks_for_nothing_is_closed(stage: Shown) -> None:
    """Each one takes a descriptor that the recording may need."""
    with mock.patch.object(door, "FIRST_REQUEST_S", 0.05):
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
        writer.write(b"GET / HTTP/1.1\r\nHo")  # and never more
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


async def test_so_many_connections_and_no_more(stage: Shown) -> None:
    """One too many is closed at once, and those before it are answered."""
    with mock.patch.object(door, "MOST_CONNECTIONS", 2):
        held = [await asyncio.open_connection("127.0.0.1", stage.server.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await reader.readline()
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        for _, each in (*held, (reader, writer)):
            each.close()


async def test_thumbnail_is_taken_once_for_all_and_not_too_often(stage: Shown, client: Asking) -> None:
    """Ten who ask at once are one picture; the next is taken after a while, and where there is no display it is 404."""
    answers = await asyncio.gather(*(client.get("/thumbnail.jpg") for _ in range(10)))
    assert {reply.status for reply, _ in answers} == {200}
    assert stage.taken == 1
    await client.get("/thumbnail.jpg")
    assert stage.taken == 1
    stage.picture = None
    with mock.patch.object(thumbnail, "EVERY_S", 0.0):
        assert (await client.get("/thumbnail.jpg"))[0].status == 404
    assert stage.taken == 2


async def test_defect_of_ours_is_an_answer_and_no_end(stage: Shown, client: Asking) -> None:
    """A failure behind one path is 500 without its words, and all others go on."""
    with mock.patch.object(stage.server._thumbnail, "jpeg", side_effect=RuntimeError(TOKEN)):
        reply, text = await client.get("/thumbnail.jpg")
    assert reply.status == 500
    assert TOKEN not in text
    assert (await client.get("/healthz"))[0].status == 200


async def test_request_that_is_no_http_is_refused_and_leaves_no_trace(stage: Shown, log: list[str]) -> None:
    """A stranger cannot fill the log."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    writer.write(b"\x16\x03\x01 not http at all\r\n\r\n")
    async with asyncio.timeout(10):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert [line for line in log if not line.startswith("DEBUG")] == []


async def test_port_that_was_chosen_is_told(log: list[str]) -> None:
    """Port 0 is any; the log has the address to open. On the loopback nobody is warned."""
    async with shown("[::1]:0") as stage:
        assert stage.url.startswith("http://[::1]:")
        assert any(f"the status page is at {stage.url}/" in line for line in log)
        assert not any(line.startswith("WARNING") for line in log)
        async with asking(stage) as client:
            assert (await client.get("/healthz"))[0].status == 200


async def test_name_with_several_addresses_has_one_port() -> None:
    """The address that is told is the one that answers."""
    async with shown("localhost:0") as stage, asking(stage) as client:
        assert (await client.get("/healthz"))[0].status == 200


async def test_address_that_others_reach_is_a_warning_of_what_they_see(log: list[str]) -> None:
    """It works where it is said, and the log says what anyone sees who comes."""
    async with shown("0.0.0.0:0"):
        (warning,) = [line for line in log if line.startswith("WARNING")]
        assert "thumbnail of the call" in warning
