"""The site's address, taken apart: as a browser and an HTTP client need it."""

from __future__ import annotations

import pytest

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
        ("https://user:secret@h", SiteAddress("https", "h", 443), "https://h"),
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
    ],
)
def test_address_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    """In words that say what is missing."""
    with pytest.raises(ValueError, match=words):
        site_address(url)


def test_host_that_no_browser_would_open_is_left_as_it_is() -> None:
    """A label that is too long has no ASCII form; the navigation will say so."""
    host = "ü" * 70
    assert site_address(f"https://{host}").host == host
