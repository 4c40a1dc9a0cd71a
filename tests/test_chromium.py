"""Chromium's command line: which proxies it is told of."""

from __future__ import annotations

import pytest

from recorder_fsm.chromium import proxy_switches

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "server"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"NO_PROXY": "a.example"}, None),
        ({"HTTPS_PROXY": PROXY}, f"https={PROXY}"),
        ({"HTTP_PROXY": PROXY, "https_proxy": "http://other:1"}, f"http={PROXY};https=http://other:1"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://capital:1"}, "https=http://small:1"),
        ({"ALL_PROXY": "socks5h://p:1080"}, "http=socks5://p:1080;https=socks5://p:1080"),
        ({"HTTPS_PROXY": "proxy.example:3128/"}, f"https={PROXY}"),
    ],
)
def test_proxy_server_follows_the_environment(environment: dict[str, str], server: str | None) -> None:
    """The usual variables decide, small letters first; without a proxy nothing is said."""
    assert proxy_switches(environment)[:1] == ([] if server is None else [f"--proxy-server={server}"])


@pytest.mark.parametrize(
    ("no_proxy", "rules"),
    [
        ("", None),
        ("mm.example", "mm.example;*.mm.example"),
        (".example", "example;*.example"),
        (" a , *.b ", "a;*.a;b;*.b"),
        ("10.0.0.0/8,10.1.2.3", "10.0.0.0/8;10.1.2.3"),
        ("mm.example:8065", "mm.example:8065;*.mm.example:8065"),
        ("::1", "[::1]"),
        ("*", "*"),
    ],
)
def test_bypass_list_means_what_no_proxy_means(no_proxy: str, rules: str | None) -> None:
    """A host stands for its subdomains too; networks, ports and `*` are kept."""
    switches = proxy_switches({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert switches[1:] == ([] if rules is None else [f"--proxy-bypass-list={rules}"])


def test_proxy_password_is_not_in_the_command_line() -> None:
    """Whoever may list processes must not read it."""
    assert proxy_switches({"HTTPS_PROXY": "http://me:secret@proxy.example:3128"}) == [f"--proxy-server=https={PROXY}"]
