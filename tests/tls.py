"""A private certificate authority, a TLS server in front of another server, and a proxy: all small, all real."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

HEAD_LIMIT_BYTES = 64 * 1024


def make_authority(directory: Path, name: str) -> Path:
    """Make a certificate authority; returns its certificate, with its key beside it (`.key`)."""
    certificate = directory / f"{name}.pem"
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
        *("-subj", f"/CN=Private authority {name}", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)),
    )
    return certificate


def server_context(directory: Path, authority: Path, host: str) -> ssl.SSLContext:
    """Return the TLS context of a server for `host`, with a certificate that `authority` signed."""
    key, request, certificate = (directory / f"{host}.{kind}" for kind in ("key", "csr", "pem"))
    extensions = directory / f"{host}.ext"
    extensions.write_text(f"subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    _openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", f"/CN={host}", "-keyout", str(key), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority.with_suffix(".key"))),
        *("-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate)),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
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
