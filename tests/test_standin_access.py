"""The stand-in's doors: tokens, refusals, the header rule of the call page, the rate limit."""

from __future__ import annotations

import aiohttp
import pytest

from recorder_fsm.standin import CallIds, StandIn
from recorder_fsm.standin.coreapi import RATE_BURST, RateLimit

PLUGIN = "/plugins/com.mattermost.calls"
PAGE = f"{PLUGIN}/standalone/recording.html"
RECORDER = {"X-Calls-Recorder": "true"}


def filename_url(ids: CallIds) -> str:
    return f"{PLUGIN}/bot/calls/{ids.call_id}/filename"


def forms(token: str) -> dict[str, dict[str, dict[str, str]]]:
    """Every accepted form of a token, as arguments of a request."""
    return {
        "BEARER": {"headers": {"Authorization": f"BEARER {token}"}},
        "bearer": {"headers": {"Authorization": f"bearer {token}"}},
        "Token": {"headers": {"Authorization": f"Token {token}"}},
        "cookie": {"headers": {"Cookie": f"MMAUTHTOKEN={token}"}},
        "query": {"params": {"access_token": token}},
    }


@pytest.mark.parametrize("form", ["BEARER", "bearer", "Token", "cookie", "query"])
async def test_token_is_accepted_in_every_form(
    form: str, standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A right token opens a bot route in each form, a wrong one in none."""
    right = await client.get(filename_url(ids), **forms(ids.token)[form])  # type: ignore[arg-type]
    wrong = await client.get(filename_url(ids), **forms("x" * 26)[form])  # type: ignore[arg-type]
    assert (right.status, wrong.status) == (200, 401)


async def test_stranger_gets_plain_unauthorized(client: aiohttp.ClientSession, ids: CallIds) -> None:
    """Without a token the plugin answers 401 with one word of plain text."""
    reply = await client.get(filename_url(ids))
    assert (reply.status, reply.content_type, await reply.text()) == (401, "text/plain", "Unauthorized")


async def test_person_gets_plain_forbidden(standin: StandIn, client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A valid session that is not the bot's is told 403 on a bot route."""
    reply = await client.get(filename_url(ids), headers={"Authorization": f"Bearer {standin.state.person_token}"})
    assert (reply.status, reply.content_type, await reply.text()) == (403, "text/plain", "Forbidden")


@pytest.mark.parametrize(
    ("extra", "status"),
    [({}, 401), ({"X-Requested-With": "XMLHttpRequest"}, 400), ({"X-CSRF-Token": "any"}, 400)],
)
async def test_cookie_posts_only_with_csrf_proof(
    extra: dict[str, str], status: int, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """A cookie alone does not authorise a POST; 400 means that the request got past the door."""
    reply = await client.post(f"{PLUGIN}/bot/uploads", headers={"Cookie": f"MMAUTHTOKEN={ids.token}", **extra}, json={})
    assert reply.status == status


@pytest.mark.parametrize("bad_id", ["short", "A" * 26, "a" * 27, "a" * 25 + "_"])
async def test_malformed_id_is_not_found_before_auth(bad_id: str, client: aiohttp.ClientSession) -> None:
    """The router refuses an id of another shape without asking who is there."""
    reply = await client.get(f"{PLUGIN}/bot/calls/{bad_id}/filename")
    assert (reply.status, reply.content_type) == (404, "text/plain")


async def test_wrong_method_is_not_allowed(client: aiohttp.ClientSession, ids: CallIds) -> None:
    """A route that exists answers 405 to a method that it does not have."""
    assert (await client.post(filename_url(ids))).status == 405
    assert (await client.get(f"{PLUGIN}/bot/calls/{ids.call_id}/recordings")).status == 405


async def test_core_api_refuses_a_stranger_in_json(client: aiohttp.ClientSession, ids: CallIds) -> None:
    """The core API's 401 is JSON, unlike the plugin's."""
    reply = await client.get(f"/api/v4/posts/{ids.post_id}")
    assert reply.status == 401
    assert (await reply.json())["status_code"] == 401


@pytest.mark.parametrize("file", ["recording.html", "recording.js"])
async def test_page_and_assets_need_the_recorder_header(file: str, client: aiohttp.ClientSession) -> None:
    """Only the exact header value opens the standalone files."""
    url = f"{PLUGIN}/standalone/{file}"
    assert (await client.get(url)).status == 403
    assert (await client.get(url, headers={"X-Calls-Recorder": "TRUE"})).status == 403
    assert (await client.get(url, headers=RECORDER)).status == 200


async def test_referer_opens_the_page_only_by_knob(standin: StandIn, client: aiohttp.ClientSession) -> None:
    """A Referer of the same host counts only where the knob allows it, another host's never."""
    same, other = {"Referer": f"{standin.url}/"}, {"Referer": "http://elsewhere.test/"}
    assert (await client.get(PAGE, headers=same)).status == 403
    standin.state.knobs.allow_referer = True
    assert (await client.get(PAGE, headers=same)).status == 200
    assert (await client.get(PAGE, headers=other)).status == 403


async def test_people_get_pages_without_a_header(client: aiohttp.ClientSession) -> None:
    """People reach the same files and the channel page; nothing outside the folder exists."""
    assert (await client.get("/standin/pages/recording.html?call_id=x&share=1")).status == 200
    assert (await client.get("/standin/pages/..%2Fserver.py")).status == 404
    assert (await client.get("/standin/pages/missing.html")).status == 404


async def test_rate_limit_counts_non_bot_routes_only_when_switched_on(
    standin: StandIn, client: aiohttp.ClientSession, ids: CallIds
) -> None:
    """Ten quick requests pass, the eleventh is 429; bot routes are exempt, and so is everything by default."""
    headers = {"Authorization": f"Bearer {ids.token}"}

    async def statuses() -> list[int]:
        return [(await client.get(f"{PLUGIN}/version", headers=headers)).status for _ in range(11)]

    assert await statuses() == [200] * 11
    standin.state.knobs.rate_limit = True
    assert await statuses() == [200] * 10 + [429]
    assert (await client.get(filename_url(ids), headers=headers)).status == 200


def test_rate_limit_refills_by_time() -> None:
    """An empty bucket gives one request per second, and each user has a bucket."""
    limit = RateLimit()
    assert all(limit.allows("bot", 0.0) for _ in range(int(RATE_BURST)))
    assert not limit.allows("bot", 0.5)
    assert limit.allows("person", 0.5)
    assert limit.allows("bot", 1.0)
    assert not limit.allows("bot", 1.1)
