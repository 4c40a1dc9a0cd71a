"""The certificates of TLS_CA_CERT_FILE: read once with care, and handed to Chromium.

The HTTP client loads the same file by itself (`transport.trust`). Chromium on Linux has no switch for it: it trusts
what lies in the NSS database of its HOME, which here is the job's runtime directory. Verification stays on for both.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from recorder_fsm.errors import BrowserError, ProgramError, SettingsError
from recorder_fsm.system.process import run

VARIABLE = "TLS_CA_CERT_FILE"
CERTUTIL_LIMIT_S = 10.0
FILE_LIMIT_BYTES = 4 * 1024 * 1024
# C: an authority for servers. P: a server's own certificate, for those that signed theirs themselves.
TRUSTED = "CP,,"

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def read_certificates(path: Path) -> list[str]:
    """Return the certificates in a PEM file, each once, in PEM; raises `SettingsError` that names the variable.

    Text, keys and other things between them are passed over, as OpenSSL does.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT_BYTES)
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error
    found: dict[bytes, str] = {}
    for number, block in enumerate(_PEM.findall(content), start=1):
        try:
            der = ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
        except (ValueError, ssl.SSLError) as error:
            raise _refused(path, f"certificate {number} in it is damaged") from error
        found[der] = ssl.DER_cert_to_PEM_cert(der)
    if not found:
        raise _refused(path, "there is no certificate in PEM form in it (-----BEGIN CERTIFICATE-----)")
    return list(found.values())


async def trust_in_chromium(path: Path, home: Path, env: Mapping[str, str]) -> None:
    """Make a Chromium whose HOME is `home` trust all certificates in `path`.

    Raises `SettingsError` for the file, `ProgramError` where certutil is missing, `BrowserError` where it fails.
    """
    certificates = read_certificates(path)
    # Newer versions look in XDG_DATA_HOME, but only where this one does not exist.
    database = home / ".pki" / "nssdb"
    database.mkdir(mode=0o700, parents=True)
    batch = []
    for number, certificate in enumerate(certificates):
        file = home / f"ca-{number}.pem"
        file.write_text(certificate)
        batch.append(f"-A -d sql:{database} -n ca-{number} -t {TRUSTED} -i {file}")
    # One process for all: a bundle of a whole system has 150 certificates.
    commands = home / "certutil.batch"
    commands.write_text("\n".join(batch) + "\n")
    await _certutil(path, ["-N", "-d", f"sql:{database}", "--empty-password"], env)
    await _certutil(path, ["-B", "-d", f"sql:{database}", "-i", str(commands)], env)


async def _certutil(path: Path, words: list[str], env: Mapping[str, str]) -> None:
    try:
        done = await run("certutil", ["certutil", *words], env=env, limit_s=CERTUTIL_LIMIT_S)
    except ProgramError as error:
        raise BrowserError(error.sentence, detail=f"{VARIABLE}: {error.detail}", code=error.code) from error
    if done.returncode or "certutil:" in done.stderr:
        printed = " | ".join(done.stderr.strip().splitlines())[:300]
        raise BrowserError(detail=f"{VARIABLE}: certutil ended with {done.returncode}: {printed}", code="certificate")


def _refused(path: Path, problem: str) -> SettingsError:
    return SettingsError(
        "The recorder's certificate file cannot be used.", detail=f"{VARIABLE} {path}: {problem}", variable=VARIABLE
    )
