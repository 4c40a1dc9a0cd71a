"""A private certificate authority, a TLS server in front of another server, and a proxy: all small, all real."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

HEAD_LIMIT_BYTES = 64 * 1024


KEYS = {
    "RSA": ("rsa:2048",),
    "P-256": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    "P-521": ("ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"),
    "Ed25519": ("ed25519",),
}
ONE_DAY = ("-days", "1")
PAST = "20200101000000Z", "20210101000000Z"
FUTURE = "20900101000000Z", "20910101000000Z"
COMPANY = ("subjectKeyIdentifier=none", "authorityKeyIdentifier=none", "basicConstraints=CA:TRUE")
"""A root as companies have them: without key identifiers and key usage. Python 3.13's own default refuses it."""


def issue(
    directory: Path,
    name: str,
    extensions: Sequence[str],
    *,
    signer: Path | None = None,
    subject: str = "",
    key: str = "P-256",
    dates: tuple[str, str] | None = None,
    digest: str = "sha256",
) -> Path:
    """Make a certificate with just these extensions, signed by `signer` or by itself; its key is beside it (`.key`).

    `dates` are its first and its last moment, as `openssl ca` wants them.
    """
    certificate, request, own_key = (directory / f"{name}.{kind}" for kind in ("pem", "csr", "key"))
    _openssl(
        *("req", "-new", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={subject or name}"),
        *("-keyout", str(own_key), "-out", str(request)),
    )
    index = directory / f"{name}.index"
    index.touch()
    config = directory / f"{name}.cnf"
    config.write_text(
        f"[ca]\ndefault_ca=us\n[us]\ndatabase={index}\nnew_certs_dir={directory}\npolicy=any\nrand_serial=yes\n"
        "[any]\ncommonName=supplied\n[extensions]\n" + "\n".join(extensions) + "\n"
    )
    who = ("-cert", str(signer), "-keyfile", str(signer.with_suffix(".key"))) if signer else ("-selfsign",)
    signs_itself = () if signer else ("-keyfile", str(own_key))
    pure = signer is None and key == "Ed25519"  # it has its digest inside
    _openssl(
        *("ca", "-batch", "-notext", "-config", str(config), "-extensions", "extensions", "-in", str(request)),
        *(*who, *signs_itself, "-md", "null" if pure else digest, "-out", str(certificate)),
        *(("-startdate", dates[0], "-enddate", dates[1]) if dates else ONE_DAY),
    )
    return certificate


def make_authority(directory: Path, name: str) -> Path:
    """Make an authority as companies have them; returns its certificate, with its key beside it (`.key`)."""
    return issue(directory, name, COMPANY, subject=f"Private authority {name}")


def server_context(directory: Path, authority: Path, host: str) -> ssl.SSLContext:
    """Return the TLS context of a server for `host`, with a certificate that `authority` signed."""
    extensions = ("authorityKeyIdentifier=none", f"subjectAltName=DNS:{host}", "extendedKeyUsage=serverAuth")
    certificate = issue(directory, host, extensions, signer=authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@asynccontextmanager
async def tls_in_front_of(url: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve `url` over TLS; yields the port."""
    target = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, str(target.hostname), int(target.port or 80))

    async with _listening(serve, context) as port:
        yield port


@asynccontextmanager
async def connect_proxy(to_port: int, asked: list[tuple[str, str]]) -> AsyncIterator[int]:
    """A proxy for CONNECT that leads every name to `to_port` here; yields its port.

    `asked` gets the target and the User-Agent of each request.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target = head.split()[:2]
            agent = next((line[12:] for line in head.splitlines() if line.lower().startswith("user-agent: ")), "")
            asked.append((target, agent))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _join(reader, writer, "127.0.0.1", to_port)
                return
        writer.close()

    async with _listening(serve, None) as port:
        yield port


@asynccontextmanager
async def _listening(serve: object, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, limit=HEAD_LIMIT_BYTES)  # type: ignore[arg-type]
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Pass bytes both ways until one side ends."""
    try:
        far_reader, far_writer = await asyncio.open_connection(host, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, ssl.SSLError, RuntimeError):
        writer.close()


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
