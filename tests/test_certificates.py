"""One verdict on a server's certificate: our HTTP client's and Chromium's, with real certificates of many kinds."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
from pathlib import Path

import pytest

from recorder_fsm.browser.certificates import refusal, trust_in_chromium
from recorder_fsm.errors import BrowserError
from recorder_fsm.mattermost.client import trust
from tests.certificate_kinds import KINDS, REFUSED, ROOT, TAKEN, verdicts
from tests.tls import issue, make_authority


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each party said to each kind; they were asked once."""
    return asyncio.run(verdicts(tmp_path_factory.mktemp("kinds")))


@pytest.mark.parametrize("kind", KINDS)
def test_client_and_chromium_reach_the_same_verdict(said: dict[str, dict[str, str]], kind: str) -> None:
    """What a company has is taken by both, what has to be refused is refused by both; where they differ is known."""
    expected = KINDS[kind].verdict
    assert said["client"][kind] == expected
    assert said["chromium"][kind] == (REFUSED if KINDS[kind].chromium else expected)


def test_default_of_a_newer_python_would_have_refused_them(said: dict[str, dict[str, str]]) -> None:
    """The strict mode, which Python 3.13 turns on by itself, refuses just those of a company that are marked so."""
    taken = {name: kind for name, kind in KINDS.items() if kind.verdict == TAKEN}
    assert {name for name in taken if said["strict"][name] == REFUSED} == {
        name for name, kind in taken.items() if kind.strict
    }


def test_client_verifies_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Chain and name are checked, no keys of the connection are written down."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = trust(None)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.keylog_filename is None


async def test_many_authorities_in_a_path_with_blanks_are_all_there(tmp_path: Path, log: list[str]) -> None:
    """All that certutil takes is in Chromium's database, renewed ones of one name too; what it does not is said."""
    home = tmp_path / "a home"
    home.mkdir()
    many = [make_authority(tmp_path, f"number {number}") for number in range(3)]
    same = [issue(tmp_path, f"same-{number}", ROOT, subject="Renewed") for number in range(2)]
    foreign = issue(tmp_path, "foreign", ROOT, key="Ed25519")
    bundle = tmp_path / "ca bundle.pem"
    bundle.write_text("".join(file.read_text() for file in (*many, foreign, *same)))
    await trust_in_chromium(bundle, home, os.environ)
    words = ["certutil", "-L", "-d", f"sql:{home / '.pki' / 'nssdb'}"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout  # noqa: ASYNC221
    assert listed.count("CP,,") == len(many) + len(same)
    assert [line for line in log if line.startswith("WARNING")] == [
        line for line in log if f'TLS_CA_CERT_FILE {bundle}: Chromium does not take "foreign": ' in line
    ]
    assert "SEC_ERROR_ADDING_CERT" in log[-1]


async def test_authority_that_chromium_cannot_use_is_said(tmp_path: Path) -> None:
    """Where the only one is not taken, the cause names the variable, the file, certutil's words and what to do."""
    foreign = issue(tmp_path, "foreign", ROOT, key="Ed25519")
    with pytest.raises(BrowserError, match="does not take the certificate file") as caught:
        await trust_in_chromium(foreign, tmp_path, os.environ)
    assert caught.value.code == "certificate"
    assert caught.value.detail.startswith(f"TLS_CA_CERT_FILE {foreign}: certutil ended with ")
    assert caught.value.detail.endswith(
        ": Error adding certificate to database. Chromium wants keys of RSA, P-256 or P-384"
    )


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Page.goto: net::ERR_CERT_AUTHORITY_INVALID", "name that one in TLS_CA_CERT_FILE"),
        ("Page.goto: net::ERR_CERT_COMMON_NAME_INVALID", "another name than the one in SITE_URL"),
        ("Page.goto: net::ERR_SSL_KEY_USAGE_INCOMPATIBLE", "digitalSignature"),
        ("Page.goto: net::ERR_CERT_UNHEARD_OF", "ERR_CERT_UNHEARD_OF"),
        ("Page.goto: net::ERR_CERT_VERIFIER_CHANGED", None),
        ("Page.goto: net::ERR_CONNECTION_RESET", None),
        ("Page.goto: net::ERR_SSL_PROTOCOL_ERROR", None),
    ],
)
def test_chromiums_refusal_is_told_from_a_network(words: str, cause: str | None) -> None:
    """A certificate that is refused does not heal by loading the page again; other failures may."""
    error = refusal(words)
    assert (error is None) == (cause is None)
    if error is not None and cause is not None:
        assert error.code == "certificate"
        assert cause in error.detail
