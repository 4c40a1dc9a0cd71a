"""The certificate authorities of TLS_CA_CERT_FILE: read with care, once for the HTTP client and for Chromium alike.

What companies hand out is taken: PEM with text, keys, carriage returns or a byte order mark around it, OpenSSL's
trusted certificates, plain DER. What both parties refuse, such as a certificate that has expired, is left out here, so
that it is said with its reason and does not stand in the way of the others.
"""

from __future__ import annotations

import base64
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

import attrs

from recorder_fsm.errors import SettingsError

VARIABLE = "TLS_CA_CERT_FILE"
FILE_LIMIT_BYTES = 4 * 1024 * 1024
"""A whole system's bundle has 0.2 MB."""
NAME_CHARS = 60
REASONS_SHOWN = 3

_LABEL = rb"(?:X509 |TRUSTED )?CERTIFICATE-----"
_PEM = re.compile(rb"-----BEGIN " + _LABEL + rb"([^-]*)(-----END " + _LABEL + rb")?")
_OTHER_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")

# DER, as far as it is needed: tags, and object identifiers with their tag and length.
_SEQUENCE, _VERSION, _GENERALIZED_TIME, _BMP_STRING = 0x30, 0xA0, 0x18, 0x1E
_REJECTED = 0xA0
_COMMON_NAME = bytes.fromhex("0603550403")
_SERVER_AUTH = bytes.fromhex("06082b06010505070301")
_ANY_USE = bytes.fromhex("0604551d2500")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_PKCS12_VERSION = bytes.fromhex("02010330")

PKCS7 = "it is a PKCS#7 file (.p7b); openssl pkcs7 {}-print_certs -in FILE -out ca.pem makes one that can be used"
PKCS12 = "it is a PKCS#12 file (.p12, .pfx); openssl pkcs12 -nokeys -in FILE -out ca.pem makes one that can be used"
REQUEST = "it is a request for a certificate, which an authority has still to sign"
OTHERS = {
    b"PKCS7": PKCS7.format(""),
    b"CERTIFICATE REQUEST": REQUEST,
    b"NEW CERTIFICATE REQUEST": REQUEST,
    b"X509 CRL": "it is a list of revoked certificates",
    b"PUBLIC KEY": "it is a public key",
}
"""What a file without a certificate may be instead, by the first label in it."""


@attrs.frozen
class Authorities:
    """`certificates` to trust, in DER, each once; `left_out` says why others in the file are not, "" where none is."""

    certificates: list[bytes]
    left_out: str


def read_authorities(path: Path) -> Authorities:
    """Read the file; raises `SettingsError` that names the variable and says why, where there is nothing to trust."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise refused(path, f"it cannot be read: {error.strerror}") from error
    if len(content) > FILE_LIMIT_BYTES:
        raise refused(path, f"it is larger than {FILE_LIMIT_BYTES >> 20} MiB, so it is no list of authorities")
    found: dict[bytes, None] = {}
    left_out = []
    blocks = _blocks(content)
    for number, block in enumerate(blocks, start=1):
        try:
            found[_certificate(block)] = None
        except _UnusableError as error:
            left_out.append(f"certificate {number} in it {error}")
    if not blocks:
        raise refused(path, f"there is no certificate in it: {_what_else(content)}")
    more = len(left_out) - REASONS_SHOWN
    reasons = "; ".join(left_out[:REASONS_SHOWN]) + (f"; and {more} more are left out" if more > 0 else "")
    if not found:
        raise refused(path, f"{reasons}. Put the authority's present certificate into it")
    return Authorities(list(found), reasons)


def refused(path: Path, problem: str) -> SettingsError:
    """Return the error that says why the file is of no use."""
    return SettingsError(
        "The recorder's certificate file cannot be used.", detail=f"{VARIABLE} {path}: {problem}", variable=VARIABLE
    )


def name_of(certificate: bytes) -> str:
    """Return the common name of whom a certificate is for, in quotes, for a message; "" where it has none."""
    try:
        subject = _parts(certificate)["subject"]
        at = subject.rindex(_COMMON_NAME) + len(_COMMON_NAME)
        tag, start, end = _element(subject, at)
    except (ValueError, KeyError):
        return ""
    text = subject[start:end].decode("utf-16-be" if tag == _BMP_STRING else "utf-8", errors="replace")
    return f'"{"".join(character for character in text if character.isprintable())[:NAME_CHARS]}"'


class _UnusableError(Exception):
    """Why one certificate of a file is left out; continues `certificate 2 in it`."""


def _blocks(content: bytes) -> list[bytes | None]:
    """Return what the file holds of certificates, in DER as it stands there; None for one that is damaged."""
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:  # UTF-16, as Windows' editors like to write
        content = content.decode("utf-16", errors="replace").encode("ascii", errors="replace")
    blocks: list[bytes | None] = []
    for match in _PEM.finditer(content):
        try:
            blocks.append(base64.b64decode(b"".join(match[1].split()), validate=True) if match[2] else None)
        except ValueError:
            blocks.append(None)
    if blocks or content[:1] != bytes([_SEQUENCE]):
        return blocks
    try:
        while content:
            _, _, end = _element(content, 0)
            _parts(content[:end])
            blocks.append(content[:end])
            content = content[end:].lstrip()
    except (ValueError, KeyError):
        return blocks
    return blocks


def _certificate(block: bytes | None) -> bytes:
    """Return the certificate at the begin of a block; raises `_UnusableError`."""
    if block is None:
        raise _UnusableError("is damaged or cut off")
    try:
        _, _, end = _element(block, 0)
        certificate, extra = block[:end], block[end:]
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificate)
        since, until = _validity(certificate)
        for_servers = _is_for_servers(extra)
    except (ValueError, KeyError, ssl.SSLError) as error:
        raise _UnusableError("is damaged or cut off") from error
    name, now = name_of(certificate), datetime.now(UTC)
    who = f"({name}) " if name else ""
    if until < now:
        raise _UnusableError(f"{who}expired on {until:%Y-%m-%d} (it is {now:%Y-%m-%d} here)")
    if since > now:
        raise _UnusableError(f"{who}is not valid before {since:%Y-%m-%d} (it is {now:%Y-%m-%d} here)")
    if not for_servers:
        raise _UnusableError(f"{who}is marked as not to be trusted for servers")
    return certificate


def _what_else(content: bytes) -> str:
    if not content.strip():
        return "it is empty"
    if label := _OTHER_PEM.search(content):
        is_key = label[1].endswith(b"PRIVATE KEY")
        return OTHERS.get(label[1], "it is a private key" if is_key else "it is something else")
    if content[:1] == bytes([_SEQUENCE]):
        if _SIGNED_DATA in content[:32]:
            return PKCS7.format("-inform DER ")
        if _PKCS12_VERSION in content[:16]:
            return PKCS12
    return "a certificate begins with -----BEGIN CERTIFICATE-----"


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag, the begin and the end of the content of the DER element at `at`; raises `ValueError`."""
    if at + 2 > len(data):
        raise ValueError("no element")
    tag, length, start = data[at], data[at + 1], at + 2
    if length >= 0x80:
        start += length - 0x80
        length = int.from_bytes(data[at + 2 : start])
    if start + length > len(data):
        raise ValueError("cut off")
    return tag, start, start + length


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Return the elements that follow each other in `data`: tag and content."""
    found, at = [], 0
    while at < len(data):
        tag, start, at = _element(data, at)
        found.append((tag, data[start:at]))
    return found


def _parts(certificate: bytes) -> dict[str, bytes]:
    """Return the content of a certificate's parts, by their names in RFC 5280; raises `ValueError` or `KeyError`."""
    (_, whole), *_ = _elements(certificate)
    (tag, signed), *_ = _elements(whole)
    parts = [content for tag, content in _elements(signed) if tag != _VERSION]
    names = ("serialNumber", "signature", "issuer", "validity", "subject", "subjectPublicKeyInfo")
    if tag != _SEQUENCE or len(parts) < len(names):
        raise ValueError("no certificate")
    return dict(zip(names, parts, strict=False))


def _validity(certificate: bytes) -> tuple[datetime, datetime]:
    since, until = _elements(_parts(certificate)["validity"])
    return _time(*since), _time(*until)


def _time(tag: int, content: bytes) -> datetime:
    """Read a time of RFC 5280, 4.1.2.5: a year of two digits lies between 1950 and 2049."""
    text = content.decode("ascii")
    if tag != _GENERALIZED_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _is_for_servers(extra: bytes) -> bool:
    """Return what OpenSSL's trusted certificate says behind the certificate itself (its CertAux); for others True."""
    if not extra.strip():
        return True
    (_, content), *_ = _elements(extra)
    uses = dict(_elements(content))
    wanted = (_SERVER_AUTH, _ANY_USE)
    if any(use in uses.get(_REJECTED, b"") for use in wanted):
        return False
    return _SEQUENCE not in uses or any(use in uses[_SEQUENCE] for use in wanted)
