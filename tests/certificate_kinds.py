"""Kinds of certificates that companies have, and what each party says to them: our HTTP client, and Chromium.

A program as well: `python -m tests.certificate_kinds DIRECTORY` writes the verdicts in JSON, with the standard library
and the recorder alone, so that it also runs in the image, on its Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs

from recorder_fsm.browser.certificates import trust_in_chromium
from recorder_fsm.errors import MattermostError
from recorder_fsm.mattermost import client
from recorder_fsm.mattermost.retry import RetryTiming
from recorder_fsm.mattermost.routes import PluginRoutes
from tests.tls import FUTURE, PAST, issue

SKI, AKI = "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"
NO_IDS = "subjectKeyIdentifier=none", "authorityKeyIdentifier=none"
CA, USAGE = "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"
NAME, NO_CA, SERVER = "subjectAltName=DNS:localhost", "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth"
ROOT = SKI, CA, USAGE
LEAF = SKI, AKI, NAME, NO_CA, SERVER
TAKEN, REFUSED = "taken", "refused"
NO_COMMON_KEY = "the server ends the handshake"
CHROMIUM_LIMIT_S = 60.0


@attrs.frozen
class Kind:
    """A server's certificate and who signed it; `intermediate` stands in between where there is one.

    `trusted` is what TLS_CA_CERT_FILE holds of these, `sent` what the server sends. `strict`: Python 3.13's own default
    refuses it. Both parties' verdict is `verdict`, but for the one that only Chromium reaches.
    """

    root: tuple[str, ...] = ROOT
    leaf: tuple[str, ...] = LEAF
    intermediate: tuple[str, ...] = ()
    trusted: str = "root"
    sent: tuple[str, ...] = ("leaf",)
    verdict: str = TAKEN
    strict: bool = False
    chromium: str = ""
    root_key: str = "P-256"
    leaf_key: str = "P-256"
    root_dates: tuple[str, str] | None = None
    leaf_dates: tuple[str, str] | None = None
    subject: str = ""
    digest: str = "sha256"


def _chain(**more: object) -> Kind:
    return Kind(**{"intermediate": (SKI, AKI, CA, USAGE), "sent": ("leaf", "intermediate"), **more})  # type: ignore[arg-type]


KINDS = {
    # What companies have, and what a Python of its own accord takes or does not take.
    "in order": Kind(),
    "leaf without key identifiers": Kind(leaf=(*NO_IDS, NAME, NO_CA, SERVER), strict=True),
    "leaf with a name alone": Kind(leaf=(*NO_IDS, NAME), strict=True),
    "root without key usage": Kind(root=(SKI, CA), strict=True),
    "root without key identifier": Kind(root=(*NO_IDS, CA, USAGE), leaf=(*NO_IDS, NAME, NO_CA, SERVER), strict=True),
    "root whose constraints are not critical": Kind(root=(SKI, "basicConstraints=CA:TRUE", USAGE), strict=True),
    "root with usage but without constraints": Kind(root=(SKI, USAGE), strict=True),
    "leaf that is an authority": Kind(leaf=(SKI, AKI, NAME, CA), strict=True),
    "RSA": Kind(root_key="RSA", leaf_key="RSA"),
    "root signed with SHA-1": Kind(root_key="RSA", digest="sha1"),
    "leaf for 30 years": Kind(leaf_dates=("20200101000000Z", "20500101000000Z")),
    "chain": _chain(),
    "chain without identifiers": _chain(
        root=(*NO_IDS, CA), intermediate=(*NO_IDS, CA), leaf=(*NO_IDS, NAME), strict=True
    ),
    "chain in disorder, with its root": _chain(sent=("leaf", "root", "intermediate")),
    "intermediate as anchor": _chain(trusted="intermediate"),
    "intermediate as anchor, not sent": _chain(trusted="intermediate", sent=("leaf",)),
    "server's own certificate as anchor": _chain(trusted="leaf", sent=("leaf",)),
    "signed by itself": Kind(root=(SKI, NAME, NO_CA, SERVER), sent=("root",)),
    "signed by itself, with a name alone": Kind(root=(*NO_IDS, NAME), sent=("root",)),
    "constrained to the name": Kind(root=(*ROOT, "nameConstraints=critical,permitted;DNS:localhost")),
    # What has to be refused: the chain and the name are looked at.
    "stranger": Kind(trusted="", verdict=REFUSED),
    "another name": Kind(leaf=(SKI, AKI, "subjectAltName=DNS:elsewhere.test", SERVER), verdict=REFUSED),
    "name only as subject": Kind(leaf=(SKI, AKI, NO_CA, SERVER), subject="localhost", verdict=REFUSED),
    "leaf that expired": Kind(leaf_dates=PAST, verdict=REFUSED),
    "leaf of the future": Kind(leaf_dates=FUTURE, verdict=REFUSED),
    "root that expired": Kind(root_dates=PAST, verdict=REFUSED),
    "leaf for clients": Kind(leaf=(SKI, AKI, NAME, NO_CA, "extendedKeyUsage=clientAuth"), verdict=REFUSED),
    "root that is no authority": Kind(root=(SKI, NO_CA), verdict=REFUSED),
    "intermediate that is no authority": _chain(intermediate=(SKI, AKI, NO_CA), verdict=REFUSED),
    "intermediate that may not sign": _chain(intermediate=(SKI, AKI, CA, "keyUsage=digitalSignature"), verdict=REFUSED),
    "intermediate that is missing": _chain(sent=("leaf",), verdict=REFUSED),
    "path too long": _chain(root=(SKI, f"{CA},pathlen:0", USAGE), verdict=REFUSED),
    "constrained to another name": Kind(
        root=(*ROOT, "nameConstraints=critical,permitted;DNS:elsewhere.test"), verdict=REFUSED
    ),
    # What curl takes, and Chromium cannot: no setting mends that, so the cause has to say it.
    "root with Ed25519": Kind(root_key="Ed25519", chromium="ERR_CERT_AUTHORITY_INVALID"),
    "leaf with P-521": Kind(leaf_key="P-521", chromium=NO_COMMON_KEY),
    "leaf with Ed25519": Kind(leaf_key="Ed25519", chromium=NO_COMMON_KEY),
    "leaf that may not sign": Kind(leaf=(*LEAF, "keyUsage=keyEncipherment"), chromium="ERR_SSL_KEY_USAGE_INCOMPATIBLE"),
}


@attrs.frozen
class Servers:
    """A server of each kind, by its port, and one file with all that is to be trusted."""

    ports: dict[str, int]
    bundle: Path


def make(directory: Path, number: int, kind: Kind) -> tuple[Path | None, Path, Path]:
    """Make what `kind` says; returns the certificate to trust, the chain to send, and the server's key."""
    name = f"kind-{number}"
    root = issue(directory, f"{name}-root", kind.root, key=kind.root_key, dates=kind.root_dates, digest=kind.digest)
    made = {"root": root, "intermediate": root}
    if kind.intermediate:
        made["intermediate"] = issue(directory, f"{name}-intermediate", kind.intermediate, signer=root)
    if "leaf" in kind.sent:
        made["leaf"] = issue(
            *(directory, f"{name}-leaf", kind.leaf),
            signer=made["intermediate"],
            subject=kind.subject,
            key=kind.leaf_key,
            dates=kind.leaf_dates,
        )
    chain = directory / f"{name}-chain.pem"
    chain.write_text("".join(made[part].read_text() for part in kind.sent))
    return made.get(kind.trusted), chain, made[kind.sent[0]].with_suffix(".key")


@asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[Servers]:
    """Serve an empty answer over TLS for each kind, on a port of its own."""
    ports, trusted = {}, []
    async with AsyncExitStack() as stack:
        made = [asyncio.to_thread(make, directory, number, kind) for number, kind in enumerate(KINDS.values())]
        for name, (anchor, chain, key) in zip(KINDS, await asyncio.gather(*made), strict=True):
            trusted += [anchor.read_text()] if anchor else []
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
            server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=context)
            stack.callback(server.close)
            ports[name] = server.sockets[0].getsockname()[1]
        bundle = directory / "bundle.pem"
        bundle.write_text("\n".join(trusted))
        yield Servers(ports, bundle)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
    writer.close()


async def ask_client(there: Servers) -> dict[str, str]:
    """Return our HTTP client's verdict on each server."""
    verdicts = {}
    for name, port in there.ports.items():
        routes = PluginRoutes(f"https://localhost:{port}", "t" * 26, "c" * 26, there.bundle, RetryTiming())
        try:
            await routes.plugin("get", "/version")
            verdicts[name] = TAKEN
        except MattermostError as error:
            verdicts[name] = REFUSED if error.code == "certificate" else str(error)
        finally:
            routes.close()
    return verdicts


async def ask_strictly(there: Servers) -> dict[str, str]:
    """Return the verdict of a client that leaves it to Python 3.13's default."""
    context = client.trust(there.bundle)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    verdicts = {}
    for name, port in there.ports.items():
        try:
            _, writer = await asyncio.open_connection("localhost", port, ssl=context)
            writer.close()
            verdicts[name] = TAKEN
        except ssl.SSLCertVerificationError:
            verdicts[name] = REFUSED
    return verdicts


PAGE = """<script>(async () => {
  const ask = (port) => fetch(`https://localhost:${port}/`, {mode: "no-cors"}).then(() => "taken", () => "refused");
  const verdicts = await Promise.all(PORTS.map(async ([name, port]) => [name, await ask(port)]));
  await fetch("/verdicts", {method: "POST", body: JSON.stringify(Object.fromEntries(verdicts))});
})()</script>"""


async def ask_chromium(there: Servers, home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Return Chromium's verdict on each server: one page asks them all. `home` gets its database and its profile."""
    verdicts: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    page = PAGE.replace("PORTS", json.dumps(list(there.ports.items()))).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:  # a connection that Chromium opened in advance
            writer.close()
            return
        if head.startswith("POST"):
            fields = dict(line.lower().split(": ", 1) for line in head.splitlines() if ": " in line)
            verdicts.set_result(json.loads(await reader.readexactly(int(fields["content-length"]))))
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
        writer.write(kind + str(len(page)).encode() + b"\r\n\r\n" + page)
        await writer.drain()
        writer.close()

    await trust_in_chromium(there.bundle, home, env)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    words = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={home / 'profile'}")
    chromium = await asyncio.create_subprocess_exec(
        *("chromium", *words, address),
        env={**env, "HOME": str(home)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(CHROMIUM_LIMIT_S):
            return await verdicts
    finally:
        chromium.terminate()
        await chromium.wait()
        server.close()


async def verdicts(directory: Path) -> dict[str, dict[str, str]]:
    """Return what each party says to each kind."""
    home = directory / "a home"  # with a blank, as people's paths are
    home.mkdir()
    async with servers(directory) as there:
        return {
            "client": await ask_client(there),
            "strict": await ask_strictly(there),
            "chromium": await ask_chromium(there, home, os.environ),
        }


if __name__ == "__main__":
    json.dump(asyncio.run(verdicts(Path(sys.argv[1]))), sys.stdout)
