"""The site's address, taken apart: as a browser and an HTTP client need it."""

from __future__ import annotations

import pytest
from playwright.sync_api import sync_playwright

from recorder_fsm.config.address import SiteAddress, site_address


@pytest.mark.parametrize(
    ("url", "address", "origin"),
    [
        ("https://chat.example.com", SiteAddress("https", "chat.example.com", 443), "https://chat.example.com"),
        ("http://chat.example.com", SiteAddress("http", "chat.example.com", 80), "http://chat.example.com"),
        ("https://chat.example.com:443/", SiteAddress("https", "chat.example.com", 443), "https://chat.example.com"),
        ("http://h:443", SiteAddress("http", "h", 443), "http://h:443"),
        ("https://h:8443", SiteAddress("https", "h", 8443), "https://h:8443"),
        ("https://h:", SiteAddress("https", "h", 443), "https://h"),
        ("HTTPS://Chat.Example.COM", SiteAddress("https", "chat.example.com", 443), "https://chat.example.com"),
        ("http://127.0.0.1:8065", SiteAddress("http", "127.0.0.1", 8065), "http://127.0.0.1:8065"),
        ("http://[::1]:8065", SiteAddress("http", "[::1]", 8065), "http://[::1]:8065"),
        ("https://[2001:DB8::1]", SiteAddress("https", "[2001:db8::1]", 443), "https://[2001:db8::1]"),
        ("http://[0:0:0:0:0:0:0:1]:8065", SiteAddress("http", "[::1]", 8065), "http://[::1]:8065"),
        ("http://127.1", SiteAddress("http", "127.0.0.1", 80), "http://127.0.0.1"),
        ("https://faß.example", SiteAddress("https", "xn--fa-hia.example", 443), "https://xn--fa-hia.example"),
        ("https://bücher.example", SiteAddress("https", "xn--bcher-kva.example", 443), "https://xn--bcher-kva.example"),
    ],
)
def test_address_is_taken_apart_and_put_together(url: str, address: SiteAddress, origin: str) -> None:
    """Host in lower case and ASCII; an origin without user and default port, as a browser writes it."""
    assert site_address(url) == address
    assert address.origin == origin


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("chat.example.com", "no scheme"),
        ("ftp://h", "no scheme"),
        ("", "no scheme"),
        ("https:", "no host"),
        ("http://", "no host"),
        ("http://:8065", "no host"),
        ("http://h:65536", "port 65536 is not possible"),
        ("http://h:x", "invalid port"),
        ("http://[::1", "missing ']'"),
        ("https://user:secret@h", "a user or a password"),
        ("https://user@h", "a user or a password"),
        ("http://h?q=1", "a query"),
        ("http://h/?", "a query"),
        ("http://h#f", "a fragment"),
        ("http://h h", "invalid character"),
        ("http://[fe80::1%25eth0]", "no browser opens the host"),
        ("http://1.2.3.4.5", "no browser opens the host"),
    ],
)
def test_address_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    """In words that say what is missing."""
    with pytest.raises(ValueError, match=words):
        site_address(url)


HOSTS = """
[0:0:0:0:0:0:0:1]:8065 [::ffff:1.2.3.4] [1:0:0:2:0:0:0:3] [0:0:1:0:0:1:0:0] [::] [1::] [1:2:3::8] [2001:DB8::0001]
[1:2:3:4:5:6:0:8] [0:1:2:3:4:5:6:7] [fe80::1%25eth0]
127.1 0x7f.1 0177.0.0.1 2130706433 0x7F000001 127.0.0.1. 127.0.0.1.. 1.2.3.4.5 256.1 1.256 1.65536.1 4294967296 0x
a.0x a.1 09.1 0xg.1 1e1 １２７.0.0.1 0x7f.0_0.1
CHAT.Example.COM:80 chat.example.com:443 chat.example.com. chat.example.com.. a..b .a h: h:0080
faß.de Faß.DE FASS.de σίσυφος.gr ΣΊΣΥΦΟΣ.gr bücher.example BÜCHER.example b%C3%BCcher.example xn--zca.de
xn--a.example xn--bcher-kva.example XN--BCHER-KVA.example ☃.net √.com Ⅷ.com ①.com 日本語.jp chat。example。com 😀.ws
א.com אa.com a_b.example -a-.example ab--c.example a-ü-.com ab--ü.com a!b.example a~b$c.example a'b a(b) a"b a;b a=b a&b
a+b a,b a%25b.example a%ff.com a<b a>b
"""  # noqa: RUF001 - that letters look like others is the point
FORMS = [
    *HOSTS.split(),
    *("a\u0301.com", "\u0301a.com", "نامه\u200cای.com", "ex\u00adample.com", "a\u200db.com"),  # noqa: RUF001
    *("a" * 70 + ".com", "ü" * 70 + ".com"),
]


@pytest.fixture(scope="module")
def browser_origins() -> list[str | None]:
    """What Chromium itself makes of each form, None where it refuses."""
    ask = "(all) => all.map((one) => { try { return new URL(one).origin; } catch { return null; } })"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        origins: list[str | None] = browser.new_page().evaluate(ask, [f"http://{form}" for form in FORMS])
        browser.close()
    return origins


def test_origin_is_the_one_that_chromium_makes_of_it(browser_origins: list[str | None]) -> None:
    """Of every form of a host; and what Chromium refuses is refused before anything is started."""
    assert len([origin for origin in browser_origins if origin]) > 50
    assert [ours(f"http://{form}") for form in FORMS] == browser_origins


def ours(url: str) -> str | None:
    try:
        return site_address(url).origin
    except ValueError as error:
        assert "no browser opens the host" in str(error) or "invalid host" in str(error)  # noqa: PT017
        return None


@pytest.mark.parametrize("url", [origin for form in FORMS if (origin := ours(f"http://{form}")) is not None][::5])
def test_origin_is_a_form_of_its_own(url: str) -> None:
    """What was brought into a browser's form stays as it is."""
    assert ours(url) == url
