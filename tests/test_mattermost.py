"""The bot's calls against the stand-in: name, status, save, look-ups, and what every request has in common."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recorder_fsm.errors import AccessRefused, JobOver, MattermostError, RequestRejected, ServerUnavailable
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.notice import Notice
from recorder_fsm.mattermost.retry import LAST_S, RetryTiming
from recorder_fsm.standin import CallIds, StandIn
from tests.answers import FOREIGN, OFF, OWN, own, some

QUICK = RetryTiming(
    first_wait_s=0, settle_s=0, connect_s=1, read_s=1, save_read_s=1, call_limit_s=2, watch_s=0.02, post_settle_s=0
)
LIMIT_S = 5.0
PATIENT = RetryTiming(first_wait_s=0, connect_s=60, read_s=60, call_limit_s=60)
"""With this, only the limit that a caller gives ends a request that hangs."""


@pytest.fixture
def bot(standin: StandIn, ids: CallIds) -> Iterator[CallsBot]:
    made = bot_for(standin.url, ids)
    yield made
    made.close()


def bot_for(
    url: str, ids: CallIds, timing: RetryTiming = QUICK, ca_file: Path | None = None, token: str = ""
) -> CallsBot:
    return CallsBot(
        site_url=url,
        token=token or ids.token,
        call_id=ids.call_id,
        post_id=ids.post_id,
        recording_id=ids.recording_id,
        ca_file=ca_file,
        timing=timing,
    )


def plenty() -> float:
    return 60.0


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that says exactly what `talk` writes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    server.close()


def reply_json(body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text)


async def test_filename_is_the_plugins_and_safe(standin: StandIn, bot: CallsBot) -> None:
    """The plugin's name comes back without an extension, hostile characters replaced."""
    assert (await bot.filename(LIMIT_S)).startswith("Call_Town_Square_")
    standin.state.knobs.filename = "../../etc/pass wd\n"
    assert await bot.filename(LIMIT_S) == "_.._etc_pass_wd_"


@pytest.mark.parametrize("name", ["..", ".", "...", "-", "--."])
async def test_filename_of_nothing_but_dots_is_no_reason_to_record_nothing(
    standin: StandIn, ids: CallIds, bot: CallsBot, name: str
) -> None:
    """The original takes it; here the recording has its id for a name."""
    standin.state.knobs.filename = name
    assert await bot.filename(LIMIT_S) == ids.recording_id


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 502}, {"kind": "reset"}, {"kind": "drop_reply"}])
async def test_filename_is_asked_again_after_trouble(standin: StandIn, bot: CallsBot, fault: dict[str, Any]) -> None:
    """One gateway error or cut connection does not lose the recording (S4)."""
    standin.set_faults({"route": "filename", **fault})
    assert await bot.filename(LIMIT_S)
    assert len(standin.requests("filename")) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (OWN["401"], AccessRefused),
        (OWN["403"], AccessRefused),
        (OWN["403, JSON"], AccessRefused),
        (OWN["400"], RequestRejected),
        (OWN["404"], RequestRejected),
        (OWN["501"], RequestRejected),
    ],
    ids=["401", "403", "403 JSON", "400", "404", "501"],
)
async def test_filename_that_cannot_heal_fails_at_once(
    standin: StandIn, bot: CallsBot, fault: dict[str, Any], error: type[MattermostError]
) -> None:
    """What the plugin or the server itself refuses is asked once and said in plain words (S4, U9)."""
    standin.set_faults({"route": "filename", "kind": "status", "times": 0, **fault})
    with pytest.raises(error) as caught:
        await bot.filename(LIMIT_S)
    assert len(standin.requests("filename")) == 1
    assert caught.value.sentence
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    "fault",
    [
        *({"kind": "status", **fault} for fault in FOREIGN.values()),
        {"kind": "status", "status": 200, "body": "<html>log in</html>"},
        {"kind": "status", "status": 200, "body": '["filename"]'},
        {"kind": "status", "status": 200, "body": '{"state": "maintenance"}'},
        {"kind": "status", "status": 200},
        {"kind": "endless"},
        {"kind": "redirect", "location": "https://elsewhere.example.com/"},
    ],
    ids=[*FOREIGN, "200 html", "list", "other JSON", "empty", "endless", "redirect"],
)
async def test_filename_that_somebody_else_refuses_is_asked_again(
    standin: StandIn, bot: CallsBot, fault: dict[str, Any]
) -> None:
    """What was not said by the plugin or the server may heal: it costs a moment, and no recording (S4)."""
    standin.set_faults({"route": "filename", "times": 2, **fault})
    assert (await bot.filename(LIMIT_S)).startswith("Call_")
    assert len(standin.requests("filename")) == 3


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (OFF, "Mattermost's Calls plugin is off."),
        ({"status": 302}, "Mattermost is at another address than the recorder was given."),
        ({"status": 401}, r"Mattermost could not answer \(error 401\)."),
    ],
    ids=["plugin off", "redirect", "empty 401"],
)
async def test_filename_that_stays_refused_is_given_up_in_time(
    standin: StandIn, ids: CallIds, fault: dict[str, Any], sentence: str
) -> None:
    """After the limit people are told what stood in the way."""
    bot = bot_for(standin.url, ids, RetryTiming(first_wait_s=0.05, longest_start_wait_s=0.05))
    standin.set_faults({"route": "filename", "kind": "status", "times": 0, **fault})
    with pytest.raises(ServerUnavailable, match=sentence):
        await bot.filename(LAST_S + 1.0)
    assert len(standin.requests("filename")) >= 2
    bot.close()


async def test_filename_of_nothing_is_a_failure(standin: StandIn, bot: CallsBot) -> None:
    """An answer without a name starts no recording: it is not the plugin's."""
    standin.state.knobs.filename = ""
    with pytest.raises(RequestRejected, match="no name"):
        await bot.filename(LIMIT_S)


async def test_filename_gives_up_in_time_when_the_server_hangs(standin: StandIn, ids: CallIds) -> None:
    """A server that never answers costs no more than the limit."""
    standin.set_faults({"route": "filename", "kind": "hang", "times": 0})
    bot = bot_for(standin.url, ids, PATIENT)
    async with asyncio.timeout(10):
        with pytest.raises(ServerUnavailable):
            await bot.filename(0.3)
    bot.close()


async def test_started_goes_out_with_the_wire_keys(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """The plugin gets the keys of contract 2.3 and starts the job."""
    told: list[Notice] = []
    await bot.report_started(told.append)
    (entry,) = standin.requests("status")
    assert json.loads(entry.body or "") == {
        "JobType": "recording",
        "Status": "started",
        "omitempty": "",
        "Error": "",
    }
    job = standin.state.find_job(ids.recording_id)
    assert job is not None
    assert job.start_at
    assert set(told) == {Notice.GIVEN}


async def test_started_is_announced_before_the_first_try_may_leave(standin: StandIn, bot: CallsBot) -> None:
    """Whoever is killed in the middle of the request has written it down."""
    requests: list[int] = []
    await bot.report_started(lambda _: requests.append(len(standin.requests("status"))))
    assert requests[0] == 0


async def test_started_whose_reply_is_lost_is_success(standin: StandIn, bot: CallsBot) -> None:
    """`job has already started` on the second try means that the first one was heard (S7)."""
    told: list[Notice] = []
    standin.set_faults({"route": "status", "kind": "drop_reply"})
    await bot.report_started(told.append)
    assert [report.reply for report in standin.state.statuses] == [200, 400]
    assert set(told) == {Notice.GIVEN}


async def test_started_that_is_refused_says_that_the_job_is_over(standin: StandIn) -> None:
    """A host's stop, a newer job and an ended call are no trouble: the job is over, and nobody knew of it (S6)."""
    for end in (standin.stop_recording, standin.create_job, standin.end_call):
        one = standin.create_call()
        end(one.call_id if end != standin.stop_recording else one.recording_id)
        bot = bot_for(standin.url, one)
        told: list[Notice] = []
        with pytest.raises(JobOver) as caught:
            await bot.report_started(told.append)
        assert told == [Notice.GIVEN, Notice.NONE]
        assert caught.value.status == 400
        bot.close()


@pytest.mark.parametrize(
    ("fault", "known"),
    [
        ({"kind": "status", "status": 502}, Notice.DOUBTED),
        ({"kind": "status", "status": 404, "body": "404 page not found"}, Notice.DOUBTED),
        ({"kind": "status", "status": 504}, Notice.GIVEN),
        ({"kind": "reset"}, Notice.GIVEN),
        ({"kind": "drop_reply"}, Notice.GIVEN),
        ({"kind": "status", "status": 429}, Notice.NONE),
    ],
    ids=["502", "404 of a server whose plugin is off", "504", "reset", "reply lost", "429"],
)
async def test_started_that_may_have_been_heard_is_told_apart(
    standin: StandIn, ids: CallIds, bot: CallsBot, fault: dict[str, Any], known: Notice
) -> None:
    """A try without an answer may have been taken; one that a proxy answered was not, as far as one can know."""
    told: list[Notice] = []
    standin.set_faults({"route": "status", **fault})
    standin.stop_recording(ids.recording_id)
    with pytest.raises(JobOver):
        await bot.report_started(told.append)
    assert told[-1] is known


async def test_started_that_cannot_have_reached_the_server_is_no_try(ids: CallIds) -> None:
    """Nobody listens: it is tried until it is given up, and nobody knew of the recording."""
    told: list[Notice] = []
    several = asyncio.Event()

    def announce(notice: Notice) -> None:
        told.append(notice)
        if len(told) == 6:
            several.set()

    bot = bot_for("http://127.0.0.1:9", ids)
    reporting = asyncio.create_task(bot.report_started(announce))
    async with asyncio.timeout(20):
        await several.wait()
    reporting.cancel()
    await asyncio.wait({reporting})
    bot.close()
    assert told[:6] == [Notice.GIVEN, Notice.NONE] * 3


async def test_started_that_is_given_up_without_an_answer_may_have_been_heard(
    standin: StandIn, ids: CallIds, bot: CallsBot
) -> None:
    """Also where the try before it was answered by a proxy."""
    told: list[Notice] = []
    standin.set_faults({"route": "status", "kind": "status"}, {"route": "status", "kind": "hang"})
    reporting = asyncio.create_task(bot.report_started(told.append))
    await standin.wait_for(lambda: len(standin.requests("status")) == 2, 20)
    assert told[-1] is Notice.DOUBTED
    reporting.cancel()
    await asyncio.wait({reporting})
    assert told[-1:] == [Notice.GIVEN]


async def test_started_is_tried_until_there_is_an_answer(standin: StandIn, bot: CallsBot) -> None:
    """A server that is busy for a while costs no recording."""
    standin.set_faults({"route": "status", "kind": "status", "status": 503, "times": 7})
    await bot.report_started(lambda _: None)
    assert len(standin.requests("status")) == 8


@pytest.mark.parametrize(
    "fault",
    [
        *FOREIGN.values(),
        {"status": 200, "body": "<html>log in</html>"},
        {"status": 200},
        {"status": 200, "body": '{"ok": true}'},
    ],
    ids=[*FOREIGN, "200 html", "200 empty", "200 other JSON"],
)
async def test_started_that_somebody_else_answers_is_tried_again(
    standin: StandIn, bot: CallsBot, fault: dict[str, Any]
) -> None:
    """Nobody but the plugin can say that it was heard, or that it was not wanted."""
    standin.set_faults({"route": "status", "kind": "status", "times": 3, **fault})
    await bot.report_started(lambda _: None)
    assert [entry.status for entry in standin.requests("status")] == [fault["status"]] * 3 + [200]
    assert [report.reply for report in standin.state.statuses] == [200]


async def test_started_of_a_job_that_the_plugin_keeps_after_its_end(standin: StandIn, ids: CallIds) -> None:
    """`job has ended` is the word of plugins that keep their jobs: the host stopped it, and reads no error."""
    standin.state.knobs.keeps_ended_jobs = True
    standin.stop_recording(ids.recording_id)
    bot = bot_for(standin.url, ids)
    with pytest.raises(JobOver, match="job has ended"):
        await bot.report_started(lambda _: None)
    bot.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [(OWN["401"], AccessRefused), (OWN["403"], AccessRefused), (OWN["404"], RequestRejected)],
    ids=["401", "403", "404"],
)
async def test_started_that_cannot_heal_is_tried_once(
    standin: StandIn, bot: CallsBot, fault: dict[str, Any], error: type[MattermostError]
) -> None:
    """And nobody knows of the recording."""
    told: list[Notice] = []
    standin.set_faults({"route": "status", "kind": "status", "times": 0, **fault})
    with pytest.raises(error):
        await bot.report_started(told.append)
    assert (told, len(standin.requests("status"))) == ([Notice.GIVEN, Notice.NONE], 1)


async def test_post_in_the_thread_is_one_clean_line(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """It hangs under the call's post, without the token, and ends no job."""
    assert await bot.post_in_thread(f"No audio\n{ids.token} " + "x" * 500, LIMIT_S)
    (post,) = standin.state.thread_posts
    assert (post.channel_id, post.root_id) == (ids.call_id, ids.post_id)
    assert post.message.startswith("No audio *** xxx")
    assert len(post.message) == 200
    assert standin.state.statuses == []


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 401}, {"kind": "status", "status": 403}, {"kind": "status", "status": 500},
     {"kind": "reset"}, {"kind": "drop_reply"}],
    ids=["401", "403", "500", "reset", "lost reply"],
)  # fmt: skip
async def test_post_in_the_thread_is_tried_once_and_never_raises(
    standin: StandIn, bot: CallsBot, fault: dict[str, Any]
) -> None:
    """A second try after a lost reply would be a second post."""
    standin.set_faults({"route": "any", "times": 0, **fault})
    assert await bot.post_in_thread("No audio.", LIMIT_S) is False
    assert len(standin.requests()) == 1


async def test_post_in_the_thread_gives_up_in_time(standin: StandIn, ids: CallIds) -> None:
    """A server that hangs keeps nobody beyond the limit."""
    standin.set_faults({"route": "any", "kind": "hang", "times": 0})
    bot = bot_for(standin.url, ids, PATIENT)
    async with asyncio.timeout(10):
        assert await bot.post_in_thread("No audio.", 0.3) is False
    bot.close()


async def test_failed_text_reaches_the_host(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """The text travels under `omitempty`, on one short line, without the token (contract 2.3)."""
    assert await bot.report_failed(f"It broke\n{ids.token} " + "x" * 500, LIMIT_S)
    (report,) = standin.state.statuses
    assert report.error.startswith("It broke *** xxx")
    assert len(report.error) == 200
    (entry,) = standin.requests("status")
    assert json.loads(entry.body or "")["Error"] == report.error


async def test_failed_never_raises(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """A failure that nobody hears is answered with False: refused, or no server at all. A job that is over heard it."""
    standin.stop_recording(ids.recording_id)
    assert await bot.report_failed("x", LIMIT_S) is True
    standin.set_faults({"route": "status", "kind": "status", "times": 0, **OWN["401"]})
    assert await bot.report_failed("x", LIMIT_S) is False
    nobody = bot_for("http://127.0.0.1:9", ids)
    assert await nobody.report_failed("x", 0.2) is False


async def test_max_file_size_is_read_with_the_token(standin: StandIn, bot: CallsBot) -> None:
    """MaxFileSize is a text in the client's configuration; anything unreadable is None."""
    assert await bot.max_file_size() == standin.state.knobs.max_file_size
    for body in ('{"MaxFileSize": "many"}', "{}", '{"MaxFileSize": "0"}', "<html>", "[]", '{"MaxFileSize": null}'):
        standin.set_faults({"route": "config", "kind": "status", "status": 200, "body": body})
        assert await bot.max_file_size() is None
    standin.set_faults({"route": "config", "kind": "status", "status": 500})
    assert await bot.max_file_size() is None


async def test_save_posts_once_with_the_wire_keys(standin: StandIn, ids: CallIds, bot: CallsBot) -> None:
    """One request, the three keys, one post."""
    await bot.save("f" * 26, plenty)
    (entry,) = standin.requests("save")
    assert json.loads(entry.body or "") == {
        "PostID": ids.post_id,
        "FileIDs": ["f" * 26],
        "JobID": ids.recording_id,
    }
    assert len(standin.state.posts) == 1
    assert not standin.requests("post")


async def test_save_ends_when_no_time_is_left(standin: StandIn, bot: CallsBot) -> None:
    """`time_left` is asked after every failure and ends the repetition (U10)."""
    left = [30.0, 10.0, 0.0]
    standin.set_faults({"route": "save", "kind": "status", "status": 503, "times": 0})
    with pytest.raises(ServerUnavailable):
        await bot.save("f" * 26, lambda: left.pop(0))
    assert len(standin.requests("save")) == 3


async def test_published_size_is_that_of_the_file(standin: StandIn, bot: CallsBot, tmp_path: Path) -> None:
    """The size of a file on the server is known to the bot, unless the server hides it."""
    file = tmp_path / "a.mp4"
    file.write_bytes(b"12345")
    file_id = await bot.upload(
        file, begun=None, on_session=lambda _: None, time_left=plenty, on_progress=lambda *_: None
    )
    assert await bot.stored_size(file_id) == 5
    assert await bot.stored_size("x" * 26) is None


async def test_token_goes_as_bearer_and_gets_have_no_body(standin: StandIn, bot: CallsBot) -> None:
    """Every request is the bot's, and a GET carries neither body nor content type."""
    await bot.filename(LIMIT_S)
    await bot.max_file_size()
    await bot.posted(None, plenty)
    assert len(standin.requests()) == 3
    for entry in standin.requests():
        assert entry.auth == {"kind": "bearer", "right": True, "user": "bot"}
        assert not {"Content-Type", "Content-Length", "Transfer-Encoding"} & set(entry.headers)


async def test_redirect_is_not_followed_with_the_token(
    standin: StandIn, ids: CallIds, bot: CallsBot, tmp_path: Path
) -> None:
    """The token stays with the address that was given; the refusal names the other one."""
    async with StandIn(data_dir=tmp_path / "other") as other:
        standin.set_faults({"route": "any", "kind": "redirect", "location": other.url + "/", "times": 0})
        with pytest.raises(ServerUnavailable, match="another address") as caught:
            await bot.save("f" * 26, some(2))
        assert other.url in caught.value.detail
        assert not other.requests()


async def test_netrc_does_not_replace_the_token(
    standin: StandIn, bot: CallsBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry for the host in .netrc is ignored."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await bot.filename(LIMIT_S)
    assert standin.requests()[0].auth["kind"] == "bearer"


async def test_proxy_of_the_environment_is_used(ids: CallIds, monkeypatch: pytest.MonkeyPatch) -> None:
    """`http_proxy` is honoured: the request goes to the proxy with its full address."""
    lines: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply_json({"filename": "Call_by_proxy"}))

    async with raw_server(proxy) as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        bot = bot_for("http://mattermost.invalid", ids)
        assert await bot.filename(LIMIT_S) == "Call_by_proxy"
        bot.close()
    assert lines[0].startswith(b"GET http://mattermost.invalid:80/plugins/com.mattermost.calls/bot/calls/")


async def test_answer_that_dribbles_in_is_cut_off(ids: CallIds) -> None:
    """A server that sends one header byte now and then keeps nobody beyond the call's limit."""

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    timing = RetryTiming(first_wait_s=0, connect_s=0.2, read_s=0.2, call_limit_s=0.3)
    async with raw_server(dribble) as url:
        bot = bot_for(url, ids, timing)
        async with asyncio.timeout(10):
            assert await bot.max_file_size() is None
        bot.close()


async def test_token_is_in_no_log_line_even_if_the_server_echoes_it(
    standin: StandIn, ids: CallIds, bot: CallsBot, log: list[str]
) -> None:
    """Whatever the server writes back, our lines and errors do not show the token."""
    standin.set_faults(
        {"route": "filename", "kind": "status", "status": 500, "body": f"bad {ids.token}", "times": 2},
        {"route": "filename", "kind": "redirect", "location": f"/?t={ids.token}", "times": 1},
        {"route": "filename", "kind": "status", **own(400, f"bad header: BEARER {ids.token}")},
    )
    with pytest.raises(RequestRejected) as caught:
        await bot.filename(LIMIT_S)
    assert "***" in caught.value.detail
    assert ids.token not in str(caught.value)
    assert log
    assert ids.token not in "".join(log)


async def test_error_text_is_one_short_clean_line(standin: StandIn, bot: CallsBot) -> None:
    """A long answer with control characters becomes one line of about 300 characters."""
    standin.set_faults({"route": "filename", "kind": "status", **own(404, "a\r\n\x1b[31mb\x00" + "y" * 9000)})
    with pytest.raises(RequestRejected) as caught:
        await bot.filename(LIMIT_S)
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 420


@pytest.mark.parametrize("url", ["http://", "https:", "ftp://h", "http://h:99999", "http://[::1", "chat.example.com"])
async def test_address_that_cannot_be_used_is_refused_at_once(ids: CallIds, url: str) -> None:
    """An address without a host, or one that is none, is an error with a clear detail."""
    with pytest.raises(RequestRejected, match="address is not valid") as caught:
        bot_for(url, ids)
    assert "SITE_URL" in caught.value.detail


async def test_unreachable_server_is_told_apart(ids: CallIds) -> None:
    """A request that cannot have arrived has a code of its own."""
    bot = bot_for("http://127.0.0.1:9", ids)
    with pytest.raises(ServerUnavailable) as caught:
        await bot.save("f" * 26, lambda: 0)
    assert caught.value.code == "server_unreachable"
    assert "object at" not in caught.value.detail


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_own_authority_is_trusted_beside_the_systems(
    ids: CallIds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private certificate is accepted with TLS_CA_CERT_FILE and refused at once without, nothing else counts."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def name(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply_json({"filename": "Call_over_TLS"}))

    async with raw_server(name, context) as url:
        trusting = bot_for(url, ids, ca_file=cert)
        assert await trusting.filename(LIMIT_S) == "Call_over_TLS"
        trusting.close()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
        wary = bot_for(url, ids)
        with pytest.raises(MattermostError, match="does not trust") as caught:
            await wary.filename(LIMIT_S)
        assert caught.value.code == "certificate"
        assert not isinstance(caught.value, ServerUnavailable)
        wary.close()


async def test_certificate_file_that_is_none_is_said(ids: CallIds, tmp_path: Path) -> None:
    """A file that holds no certificate is an error with its name in the detail."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(MattermostError, match="certificate file") as caught:
        bot_for("https://chat.example.com", ids, ca_file=broken)
    assert "ca.pem" in caught.value.detail
