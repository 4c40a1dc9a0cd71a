"""The webhook, against real servers: what arrives, how it is signed, what is repeated, and what never ends."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from recorder_fsm.hooks import webhook
from recorder_fsm.hooks.message import LIMIT_BYTES, Message, make_message
from recorder_fsm.hooks.webhook import Webhook
from recorder_fsm.system.process import run
from tests import tls
from tests.receiver import Receiver, receiving

KEY = b"a key of more than sixteen bytes"
WRITTEN = f"whsec_{base64.b64encode(KEY).decode()}"
SECRET_PATH = "/services/T0SECRETPATH?token=queriedsecret"
DOCUMENT = Path(__file__).parent.parent / "docs" / "hooks.md"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(webhook, "LONGEST_WAIT_S", 0.05)


def message(**more: object) -> Message:
    return make_message("done", {"recording_id": "rec", **more}, run="rec")


def left(seconds: float) -> Callable[[], float]:
    until = time.monotonic() + seconds
    return lambda: until - time.monotonic()


async def deliver(receiver: Receiver, secret: str = "", *, path: str = "/hook", seconds: float = 20.0) -> str:
    return await Webhook(f"{receiver.url}{path}", secret, None).deliver(message(), left(seconds))


@pytest.mark.parametrize(
    ("secret", "key"), [(WRITTEN, KEY), ("plain text of some length", b"plain text of some length")]
)
async def test_message_is_signed_as_the_specification_says(secret: str, key: bytes) -> None:
    """A receiver that knows the key can tell that the message is ours; the body is the message to the byte."""
    sent = message()
    async with receiving() as receiver:
        assert await Webhook(f"{receiver.url}/hook", secret, None).deliver(sent, left(20)) == ""
    came = receiver.one
    assert came.signed_with(key)
    assert not came.signed_with(key + b"!")
    assert came.body == sent.body
    assert came.headers["webhook-id"] == came.json["id"] == sent.id
    assert abs(int(came.headers["webhook-timestamp"]) - time.time()) < 60
    assert came.headers["content-type"] == "application/json"
    assert came.headers["user-agent"].startswith("recorder-fsm/")


async def test_example_of_the_document_verifies_it() -> None:
    """The lines that docs/hooks.md gives to receivers accept what is sent, and nothing that was changed."""
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.strip().splitlines()) <= 12
    async with receiving() as receiver:
        await deliver(receiver, WRITTEN)
    came = receiver.one
    bodies = (came.body, came.body + b" ")
    program = f"{example}\nprint([is_ours({dict(came.headers)!r}, body, {WRITTEN!r}) for body in {bodies!r}])"
    done = await run("python", [sys.executable, "-c", program], env={}, limit_s=30)
    assert (done.stdout.decode().strip(), done.stderr) == ("[True, False]", "")


async def test_message_without_a_secret_is_unsigned_and_said_to_be(log: list[str]) -> None:
    """It is delivered; the log says it once."""
    async with receiving() as receiver:
        assert await deliver(receiver) == ""
    assert "webhook-signature" not in receiver.one.headers
    assert len([line for line in log if "not signed" in line]) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
async def test_passing_trouble_is_outlived(status: int) -> None:
    """The same message comes again, with the same id, until it is taken."""
    async with receiving(
        web.Response(status=status), web.Response(status=status), web.Response(status=204)
    ) as receiver:
        assert await deliver(receiver, WRITTEN) == ""
    assert len(receiver.requests) == 3
    assert len({one.headers["webhook-id"] for one in receiver.requests}) == 1
    assert len({one.body for one in receiver.requests}) == 1
    assert all(one.signed_with(KEY) for one in receiver.requests)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
async def test_refusal_is_final(status: int) -> None:
    """What the receiver means is not asked again."""
    async with receiving(web.Response(status=status)) as receiver:
        assert str(status) in await deliver(receiver)
    assert len(receiver.requests) == 1


async def test_redirect_is_not_followed() -> None:
    """Neither to another host nor to another path: the message is for this receiver."""
    async with receiving() as other, receiving() as receiver:
        receiver.answers = [web.Response(status=307, headers={"Location": f"{other.url}/elsewhere"})]
        assert "307" in await deliver(receiver)
    assert other.requests == []
    assert len(receiver.requests) == 1


async def test_retry_after_is_waited_for_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver may ask for time, but not for a day."""
    assert webhook.seconds_of("86400") == webhook.LONGEST_WAIT_S
    assert webhook.seconds_of("Wed, 21 Oct 2026 07:28:00 GMT") is None
    asked: list[float] = []

    def at_once(text: str) -> float:
        asked.append(float(text))
        return 0.01

    monkeypatch.setattr(webhook, "seconds_of", at_once)
    answers = web.Response(status=429, headers={"Retry-After": "7"}), web.Response()
    async with receiving(*answers) as receiver:
        assert await deliver(receiver) == ""
    assert asked == [7.0]


async def test_receiver_that_hangs_costs_no_more_than_the_limit() -> None:
    """It took the connection and never answers; the same for one that repeats its trouble for ever."""
    for answer in (None, web.Response(status=500)):
        async with receiving(answer) as receiver:
            async with asyncio.timeout(10):
                assert await deliver(receiver, seconds=0.7) != ""
        assert receiver.requests


async def test_answer_without_end_is_not_read() -> None:
    """The status is all that counts."""
    async with receiving(web.Response(body=b"x" * 50_000_000)) as receiver:
        assert await deliver(receiver) == ""


async def test_receiver_that_is_away_is_tried_again(log: list[str]) -> None:
    """Nobody listens there: tried until the time is over; what is shown of the address is its origin."""
    async with receiving() as receiver:
        url = receiver.url
    target = Webhook(f"{url.replace('//', '//me:urlpassword@')}{SECRET_PATH}", "", None)
    said = await target.deliver(message(), left(0.5))
    assert "refused" in said.lower()
    shown = "\n".join([said, *log, target.origin])
    assert len([line for line in log if "next try" in line]) >= 2
    for secret in ("T0SECRETPATH", "queriedsecret", "urlpassword"):
        assert secret not in shown


async def test_path_query_and_password_of_the_address_arrive() -> None:
    """They may be what the receiver knows us by."""
    async with receiving() as receiver:
        receiver.url = receiver.url.replace("//", "//me:urlpassword@")
        assert await deliver(receiver, path=SECRET_PATH) == ""
    assert receiver.one.path == SECRET_PATH
    assert receiver.one.headers["authorization"] == f"Basic {base64.b64encode(b'me:urlpassword').decode()}"


async def test_certificate_is_verified_as_everywhere_else(tmp_path: Path) -> None:
    """An authority that nobody named is refused; the one of TLS_CA_CERT_FILE is trusted."""
    authority = tls.make_authority(tmp_path, "webhook")
    async with receiving(tls=tls.server_context(tmp_path, authority, "localhost")) as receiver:
        url = f"{receiver.url}/hook"
        assert "certificate" in await Webhook(url, "", None).deliver(message(), left(0.5))
        assert receiver.requests == []
        assert await Webhook(url, "", authority).deliver(message(), left(20)) == ""
    assert len(receiver.requests) == 1


def test_message_is_never_longer_than_its_limit() -> None:
    """Lists are cut, and it says so; what cannot be printed or is no number does no harm."""
    many = [{"what": "audio", "at_s": float(n), "length_s": 0.1} for n in range(20_000)]
    long = make_message(
        "done", {"gaps": many, "notes": ["\x00 \u202e " + "n" * 3000] * 500, "x": float("nan")}, run="r"
    )
    assert len(long.body) <= LIMIT_BYTES
    said = json.loads(long.body)
    assert said["data"]["shortened"] == ["gaps", "notes"]
    assert said["data"]["x"] is None
    assert said["schema"] == 1


def test_message_keeps_its_id() -> None:
    """A later start that ends as this one did sends the same id; another end has another."""
    ids = [make_message(outcome, {}, run=run).id for outcome, run in (("done", "r"), ("done", "r"), ("failed", "r"))]
    assert ids[0] == ids[1] != ids[2]
