"""A certificate that Chromium alone refuses: no other try heals it, so the start ends at once and says why."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.harness.environment import job_environment
from bench.harness.recorder_process import launched
from recorder_fsm.standin.server import StandIn
from tests.certificate_kinds import KINDS, make
from tests.faults.often import slow_but
from tests.faults.scene import Fault, Row
from tests.faults.test_start import failed
from tests.tls import tls_in_front_of

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

OFTEN = "leaf that may not sign"
ONLY_CHROMIUM = [name for name, kind in KINDS.items() if kind.chromium.startswith("ERR_")]


@pytest.mark.parametrize("name", slow_but([OFTEN], ONLY_CHROMIUM))
async def test_certificate_that_chromium_refuses_is_said_at_once(
    standin: StandIn, data: Path, tmp_path: Path, row: Callable[[str, str], Row], name: str
) -> None:
    """The client takes it, so the call is told; the page is asked for once, and the cause is Chromium's own."""
    trusted, chain, key = make(tmp_path, 0, KINDS[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    ids = standin.create_call()
    async with tls_in_front_of(standin.url, context) as port:
        environment = job_environment(f"https://localhost:{port}", ids, data, TLS_CA_CERT_FILE=str(trusted))
        # A file that Chromium's database takes, so that it is the page that is refused.
        good, _, _ = make(tmp_path, 1, KINDS["in order"])
        assert good is not None
        assert trusted is not None
        trusted.write_text(trusted.read_text() + good.read_text())
        async with launched(environment, ids, data) as run:
            fault = Fault(row("S11", f"certificate: {name}"), standin, run)
            cause = await failed(fault, told="The recorder's browser does not trust Mattermost's certificate.")
    assert cause.startswith(f"{KINDS[name].chromium}: ")
    assert fault.row.noticed == "certificate"
    assert "the call page is loaded again" not in fault.run.text
