"""The authorities of TLS_CA_CERT_FILE, handed to Chromium; and what its refusals of a certificate mean.

Chromium on Linux has no switch for them: it trusts what lies in the NSS database of its HOME, which here is the job's
runtime directory. The HTTP client trusts the same ones (`client.trust`). Verification stays on for both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from loguru import logger

from recorder_fsm.config.authorities import VARIABLE, name_of, read_authorities
from recorder_fsm.errors import BrowserError, CallError, ProgramError
from recorder_fsm.system.process import Finished, run

CERTUTIL_LIMIT_S = 20.0
"""A whole system's bundle took 9 s on a busy machine's disk, and 1 s without company."""
# C: an authority for servers. P: a server's own certificate, for those that signed theirs themselves.
TRUSTED = "CP,,"
KEYS = "Chromium wants keys of RSA, P-256 or P-384"

_REFUSAL = re.compile(r"net::(ERR_CERT_(?!VERIFIER_|DATABASE_)\w+|ERR_SSL_\w*(?:KEY_USAGE|CERT|CIPHER)\w*)")
REFUSALS = {
    "ERR_CERT_AUTHORITY_INVALID": f"no authority that it trusts has signed it; name that one in {VARIABLE}. {KEYS}",
    "ERR_CERT_COMMON_NAME_INVALID": "it is for another name than the one in SITE_URL; an alternative name must say it",
    "ERR_CERT_DATE_INVALID": "it has expired, or it is not valid yet",
    "ERR_CERT_WEAK_SIGNATURE_ALGORITHM": "it is signed with SHA-1 or MD5",
    "ERR_SSL_KEY_USAGE_INCOMPATIBLE": "its key usage lacks digitalSignature",
    "ERR_SSL_VERSION_OR_CIPHER_MISMATCH": f"it has a key that Chromium does not take, or TLS is too old. {KEYS}",
}
"""What Chromium's errors mean, for those that a company's certificates have been seen to cause."""


def refusal(words: str) -> CallError | None:
    """Return the cause where `words` of a load that failed say that Chromium refuses the site's certificate."""
    match = _REFUSAL.search(words)
    if match is None:
        return None
    meaning = REFUSALS.get(match[1], "")
    return CallError(
        "The recorder's browser does not trust Mattermost's certificate.",
        detail=f"{match[1]}: {meaning}" if meaning else match[1],
        code="certificate",
    )


async def trust_in_chromium(path: Path, home: Path, env: Mapping[str, str]) -> None:
    """Make a Chromium whose HOME is `home` trust the authorities in `path`.

    One that its database does not take is left out with a warning. Raises `SettingsError` for the file, `ProgramError`
    where certutil is missing, `BrowserError` where it fails or takes none of them.
    """
    certificates = read_authorities(path).certificates
    # Newer versions look in XDG_DATA_HOME, but only where this one does not exist.
    database = home / ".pki" / "nssdb"
    database.mkdir(mode=0o700, parents=True)
    _check(path, await _certutil(path, ["-N", "-d", f"sql:{database}", "--empty-password"], env))
    files = []
    for number, certificate in enumerate(certificates):
        files.append(home / f"ca-{number}.der")
        files[-1].write_bytes(certificate)
    not_taken = await _add(path, database, files, env)
    for file, done in not_taken:
        who = name_of(file.read_bytes()) or "a certificate"
        logger.warning("{} {}: Chromium does not take {}: {}. {}", VARIABLE, path, who, _said(done), KEYS)
    if len(not_taken) == len(files):
        _check(path, not_taken[0][1])


async def _add(path: Path, database: Path, files: list[Path], env: Mapping[str, str]) -> list[tuple[Path, Finished]]:
    """Add certificates by one process, since a whole system's are 150; return those that are not taken."""
    commands = database / "batch"
    # Quotes for the blanks of a path; certutil takes none around an option.
    commands.write_text("".join(f'-A -d "sql:{database}" -n {file.stem} -t {TRUSTED} -i "{file}"\n' for file in files))
    done = await _certutil(path, ["-B", "-d", f"sql:{database}", "-i", str(commands)], env)
    if _worked(done):
        return []
    if len(files) == 1:
        return [(files[0], done)]
    # It ends at the first that it does not take, and does not say which; one that is there already may be added again.
    half = len(files) // 2
    return [*await _add(path, database, files[:half], env), *await _add(path, database, files[half:], env)]


async def _certutil(path: Path, words: list[str], env: Mapping[str, str]) -> Finished:
    try:
        return await run("certutil", ["certutil", *words], env=env, limit_s=CERTUTIL_LIMIT_S)
    except ProgramError as error:
        raise BrowserError(error.sentence, detail=f"{VARIABLE} {path}: {error.detail}", code=error.code) from error


def _worked(done: Finished) -> bool:
    return not done.returncode and "certutil:" not in done.stderr


def _said(done: Finished) -> str:
    return " | ".join(done.stderr.split("\n"))[:300].strip(" .|")


def _check(path: Path, done: Finished) -> None:
    if not _worked(done):
        raise BrowserError(
            "The recorder's browser does not take the certificate file.",
            detail=f"{VARIABLE} {path}: certutil ended with {done.returncode}: {_said(done)}. {KEYS}",
            code="certificate",
        )
