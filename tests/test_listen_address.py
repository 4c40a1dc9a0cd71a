"""STATUS_ADDR: what is taken, what it means, and in which words the rest is refused."""

from __future__ import annotations

import pytest

from bench.harness.environment import JOB
from recorder_fsm.config.listen_address import ListenAddress, listen_address
from recorder_fsm.config.settings import Settings
from recorder_fsm.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("127.0.0.1:9090", "127.0.0.1", 9090, "127.0.0.1:9090"),
        (":9090", "127.0.0.1", 9090, "127.0.0.1:9090"),
        ("[::1]:9090", "::1", 9090, "[::1]:9090"),
        ("[0:0::1]:0", "::1", 0, "[::1]:0"),
        ("0.0.0.0:65535", "0.0.0.0", 65535, "0.0.0.0:65535"),  # noqa: S104 - read, not bound to
        ("[::]:9090", "::", 9090, "[::]:9090"),
        ("localhost:0", "localhost", 0, "localhost:0"),
        ("Recorder-1.example.com:80", "recorder-1.example.com", 80, "recorder-1.example.com:80"),
    ],
)
def test_address_is_understood(text: str, host: str, port: int, shown: str) -> None:
    """A host and a port; without a host it is the loopback."""
    assert listen_address(text) == ListenAddress(host, port)
    assert str(listen_address(text)) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9090", "missing port in address"),
        ("localhost", "missing port in address"),
        ("127.0.0.1:", "invalid port"),
        ("127.0.0.1:65536", "invalid port"),
        ("127.0.0.1:-1", "invalid port"),
        ("127.0.0.1: 80", "invalid port"),
        ("127.0.0.1:٣", "invalid port"),
        ("::1:9090", "an IPv6 address stands in brackets"),
        ("[::1:9090", "an IPv6 address stands in brackets"),
        ("[127.0.0.1]:9090", "invalid host"),
        ("[]:9090", "invalid host"),
        ("127.1:9090", "invalid host"),
        ("1:9090", "invalid host"),
        ("http://127.0.0.1:9090", "an IPv6 address stands in brackets"),
        ("a b:9090", "invalid host"),
        ("a/b:9090", "invalid host"),
        ("-a:9090", "invalid host"),
        ("a..b:9090", "invalid host"),
        (f"{'a.' * 130}b:9090", "invalid host"),
    ],
)
def test_bad_address_is_refused_like_every_setting(text: str, words: str) -> None:
    """It names the variable, what is wrong, the value and what is allowed, on one line."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({**JOB, "STATUS_ADDR": text})
    assert str(caught.value).startswith(f"failed to parse StatusAddr: {words}: STATUS_ADDR is ")
    assert "HOST:PORT" in str(caught.value)
    assert caught.value.variable == "STATUS_ADDR"


def test_nothing_is_served_by_default() -> None:
    """Unset and empty are the same: nowhere."""
    assert Settings.from_environment(JOB).status_addr is None
    assert Settings.from_environment({**JOB, "STATUS_ADDR": ""}).status_addr is None
