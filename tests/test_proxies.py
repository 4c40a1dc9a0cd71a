"""A proxy on the way: named in each cause, never with its password; one that is not supported is said at the start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recorder_fsm.errors import UNREACHABLE, MattermostError, SettingInTheWay, SettingsError
from recorder_fsm.mattermost.bot import CallsBot
from recorder_fsm.mattermost.proxies import proxy_for, refuse_socks, shown_proxy
from recorder_fsm.refusal import read_settings

ID = "a" * 26
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def proxy(answer: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy that gives everybody the same answer; yields its port and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await server.wait_closed()


async def failure(site: str) -> MattermostError:
    """Return what a request to the plugin at `site` fails with, whatever comes first."""
    bot = CallsBot(site_url=site, token=ID, call_id=ID, post_id=ID, recording_id=ID)
    try:
        with pytest.raises(MattermostError) as caught:
            await bot._ask_filename()
    finally:
        bot.close()
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_asks_for_a_password_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """407, as an answer and in a tunnel: without the password that it was given."""
    async with proxy("407 Proxy Authentication Required") as (port, asked):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@127.0.0.1:{port}/")
        error = await failure(f"{scheme}://chat.example.com")
    assert isinstance(error, SettingInTheWay)
    assert error.sentence == "The proxy between the recorder and Mattermost asks for a password."
    assert f"by the proxy http://127.0.0.1:{port}: " in error.detail
    assert "407" in error.detail
    assert "secret" not in str(error)
    assert asked, "it was asked"


async def test_proxy_that_refuses_a_tunnel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request cannot have reached the server then."""
    async with proxy("403 Forbidden") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        error = await failure("https://chat.example.com")
    assert error.code == UNREACHABLE
    assert f"by the proxy http://127.0.0.1:{port}: Tunnel connection failed: 403 Forbidden" in error.detail


async def test_proxy_where_nobody_listens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else people would look at the server."""
    monkeypatch.setenv("ALL_PROXY", "http://me:secret@127.0.0.1:9")
    error = await failure("http://chat.example.com")
    assert error.code == UNREACHABLE
    assert "by the proxy http://127.0.0.1:9" in error.detail
    assert "secret" not in str(error)


async def test_server_without_a_proxy_is_not_blamed_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY is heard."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "by the proxy" not in str(await failure("http://127.0.0.1:9"))


SOCKS = {
    "HTTPS_PROXY": "socks5://me:secret@proxy:1080",
    "https_proxy": "socks5h://proxy:1080",
    "ALL_PROXY": "SOCKS4://proxy:1080",
}


@pytest.mark.parametrize("name", SOCKS)
def test_socks_proxy_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In words that say what would do instead; not where the server is excepted, and not for the other scheme."""
    monkeypatch.setenv(name, SOCKS[name])
    with pytest.raises(SettingsError) as caught:
        refuse_socks("https://chat.example.com", {name: SOCKS[name]})
    assert caught.value.variables == (name,)
    assert caught.value.sentence == "The recorder does not support SOCKS proxies."
    assert "not supported, use an HTTP proxy" in caught.value.detail
    assert "secret" not in str(caught.value)
    if "https" in name.lower():
        refuse_socks("http://chat.example.com", {name: SOCKS[name]})
    monkeypatch.setenv("NO_PROXY", ".example.com")
    refuse_socks("https://chat.example.com", {name: SOCKS[name]})


SHOWN: list[tuple[str, str]] = [
    ("", ""),
    ("proxy:3128", "http://proxy:3128"),
    ("http://me:p@ss@proxy:3128/", "http://proxy:3128"),
    ("https://[::1]:3128", "https://[::1]:3128"),
]


@pytest.mark.parametrize(("address", "shown"), SHOWN)
def test_proxy_is_shown_without_its_password(address: str, shown: str) -> None:
    """Whatever stands before the last at."""
    assert shown_proxy(address) == shown


def test_proxy_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme's own goes before that for all."""
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    assert proxy_for("https://h") == "http://all:1"
    monkeypatch.setenv("HTTPS_PROXY", "http://own:1")
    assert proxy_for("https://h") == "http://own:1"


def test_all_that_is_wrong_is_found_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numbers, values, a file that is no certificate, a proxy: the first is the original's, and all are there."""
    authority = tmp_path / "ca.pem"
    authority.write_text("nothing")
    environment = {
        "SITE_URL": "http://chat.example.com", "CALL_ID": "no", "POST_ID": ID, "RECORDING_ID": ID, "AUTH_TOKEN": ID,
        "FRAME_RATE": "many", "WIDTH": "1", "TLS_CA_CERT_FILE": str(authority), "HTTP_PROXY": "socks5://p:1",
    }  # fmt: skip
    monkeypatch.setenv("HTTP_PROXY", environment["HTTP_PROXY"])
    with pytest.raises(SettingsError) as caught:
        read_settings(environment)
    error = caught.value
    assert error.variables == ("FRAME_RATE", "CALL_ID", "WIDTH", "TLS_CA_CERT_FILE", "HTTP_PROXY")
    assert [name for name, problem in zip(error.variables, error.problems, strict=True) if name not in problem] == []
    assert str(error).startswith("failed to parse FrameRate: strconv.ParseInt")
    assert error.sentence == f"The recorder's settings {', '.join(error.variables)} are not valid."
