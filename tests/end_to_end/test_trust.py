"""A server with a certificate of a private authority, behind a proxy: the HTTP client and Chromium both get there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import launched
from recorder_fsm.standin.server import StandIn
from tests.tls import PAST, connect_proxy, issue, make_authority, server_context, tls_in_front_of

pytestmark = pytest.mark.e2e

HOST = "mattermost.test"  # RFC 6761: no name server knows it, so only the proxy leads there


async def test_private_authority_behind_a_proxy_is_recorded(standin: StandIn, data: Path, tmp_path: Path) -> None:
    """Of a bundle as companies have them the right one is found; name, page, websocket and upload take the proxy."""
    authority = make_authority(tmp_path, "ours")
    past = issue(tmp_path, "past", ["basicConstraints=CA:TRUE"], dates=PAST)
    bundle = tmp_path / "company's bundle.pem"
    parts = [file.read_text() for file in (make_authority(tmp_path, "other"), past, authority)]
    bundle.write_bytes(b"\xef\xbb\xbf# all of ours\r\n" + "\r\n".join(parts).replace("\n", "\r\n").encode())
    ids = standin.create_call()
    asked: list[tuple[str, str]] = []
    async with (
        tls_in_front_of(standin.url, server_context(tmp_path, authority, HOST)) as tls_port,
        connect_proxy(tls_port, asked) as proxy_port,
    ):
        proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}", "TLS_CA_CERT_FILE": str(bundle)}
        async with launched(job_environment(f"https://{HOST}", ids, data, **proxy), ids, data) as run:
            await run.reached("recording")
            run.signal(signal.SIGTERM)
            assert await run.exit_code() == 0, run.text
    assert len(standin.state.posts) == 1
    agents = {agent.split("/")[0] for target, agent in asked if target == f"{HOST}:443"}
    assert "Mozilla" in agents, "Chromium did not ask the proxy"
    assert agents - {"Mozilla"}, "the HTTP client did not ask the proxy"
    assert "--ignore-certificate-errors" not in run.text
    assert 'certificate 2 in it ("past") expired on 2021-01-01' in run.text


async def test_certificate_of_a_stranger_is_refused(standin: StandIn, data: Path, tmp_path: Path) -> None:
    """Verification stays on: a file with another authority does not help, and the cause says what is wrong."""
    stranger = make_authority(tmp_path, "stranger")
    ids = standin.create_call()
    context = server_context(tmp_path, make_authority(tmp_path, "ours"), "localhost")
    async with tls_in_front_of(standin.url, context) as port:
        environment = job_environment(f"https://localhost:{port}", ids, data, TLS_CA_CERT_FILE=str(stranger))
        async with launched(environment, ids, data) as run:
            assert await run.exit_code() == 1, run.text  # nobody could be told
    assert "does not trust Mattermost's certificate" in run.text
    assert "; name the authority that signed it in TLS_CA_CERT_FILE" in run.text
    assert standin.state.posts == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "file does not exist"),
        ("not a certificate\n", "there is no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 in it is damaged"),
        ("expired", "expired on 2021-01-01"),
    ],
)
async def test_useless_file_is_said_at_once(
    standin: StandIn, data: Path, tmp_path: Path, content: str | None, problem: str
) -> None:
    """One line names the variable and the problem, the call is told, nothing is started."""
    file = tmp_path / "ca.pem"
    if content == "expired":
        content = issue(tmp_path, "past", ["basicConstraints=CA:TRUE"], dates=PAST).read_text()
    if content is not None:
        file.write_text(content)
    ids = standin.create_call()
    async with launched(job_environment(standin.url, ids, data, TLS_CA_CERT_FILE=str(file)), ids, data) as run:
        assert await run.exit_code() == 1
    # The form of the log is a setting too, so a refusal of settings is a line of text.
    errors = [line["message"] for line in run.lines if " ERROR " in line["message"]]
    assert len(errors) == 1
    assert "TLS_CA_CERT_FILE" in errors[0]
    assert problem in errors[0]
    assert [one.status for one in standin.state.statuses] == ["failed"]
