"""The file that TLS_CA_CERT_FILE names: what people have is taken, and what is not is said with its reason."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder_fsm.config.authorities import read_authorities
from recorder_fsm.errors import SettingsError
from tests.tls import FUTURE, PAST, issue, make_authority


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two good authorities, `one.pem` and `two.pem`, one of the past and one of the future."""
    directory = tmp_path_factory.mktemp("authorities")
    make_authority(directory, "one")
    make_authority(directory, "two")
    for name, dates in (("past", PAST), ("future", FUTURE)):
        issue(directory, name, ["basicConstraints=CA:TRUE"], dates=dates)
    return directory


def pem(made: Path, name: str) -> bytes:
    return (made / f"{name}.pem").read_bytes()


def der(made: Path, name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert((made / f"{name}.pem").read_text())


def openssl(made: Path, *words: str) -> bytes:
    return subprocess.run(["openssl", *words], cwd=made, check=True, capture_output=True).stdout


Make = Callable[[Path], bytes]

FORMS: dict[str, Make] = {
    "as it is": lambda made: pem(made, "one") + pem(made, "two"),
    "no newline at the end": lambda made: pem(made, "one") + pem(made, "two").rstrip(),
    "carriage returns": lambda made: (pem(made, "one") + pem(made, "two")).replace(b"\n", b"\r\n"),
    "carriage returns alone": lambda made: (pem(made, "one") + pem(made, "two")).replace(b"\n", b"\r"),
    "byte order mark": lambda made: b"\xef\xbb\xbf" + pem(made, "one") + pem(made, "two"),
    "UTF-16": lambda made: (pem(made, "one") + pem(made, "two")).decode().encode("utf-16"),
    "indented": lambda made: (pem(made, "one") + pem(made, "two")).replace(b"\n", b"\n    "),
    "comments between": lambda made: b"# ours\n" + pem(made, "one") + "\n# größer - neu\n".encode() + pem(made, "two"),
    "printed by openssl": lambda made: openssl(made, "x509", "-in", "one.pem", "-text") + pem(made, "two"),
    "with a private key": lambda made: pem(made, "one") + (made / "one.key").read_bytes() + pem(made, "two"),
    "one twice": lambda made: pem(made, "one") + pem(made, "two") + pem(made, "one"),
    "old label": lambda made: (pem(made, "one") + pem(made, "two")).replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
    "trusted": lambda made: openssl(made, "x509", "-in", "one.pem", "-trustout") + pem(made, "two"),
    "trusted for servers": lambda made: (
        openssl(made, "x509", "-in", "one.pem", "-addtrust", "serverAuth", "-setalias", "ours", "-trustout")
        + openssl(made, "x509", "-in", "two.pem", "-addtrust", "anyExtendedKeyUsage", "-trustout")
    ),
    "binary": lambda made: der(made, "one") + der(made, "two"),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_that_people_have_is_taken(made: Path, tmp_path: Path, form: str) -> None:
    """Both certificates are found, in their order, and nothing is left out."""
    file = tmp_path / "ca.pem"
    file.write_bytes(FORMS[form](made))
    read = read_authorities(file)
    assert read.certificates == [der(made, "one"), der(made, "two")]
    assert read.left_out == ""


CUT = b"-----BEGIN CERTIFICATE-----\nMIIB\n"
LEFT_OUT: dict[str, tuple[Make, str]] = {
    "expired": (lambda made: pem(made, "past"), 'certificate 2 in it ("past") expired on 2021-01-01'),
    "not valid yet": (
        lambda made: pem(made, "future"),
        'certificate 2 in it ("future") is not valid before 2090-01-01',
    ),
    "cut off": (lambda made: CUT, "certificate 2 in it is damaged or cut off"),
    "damaged": (lambda made: pem(made, "two").replace(b"M", b"?", 1), "certificate 2 in it is damaged or cut off"),
    "half of it": (
        lambda made: ssl.DER_cert_to_PEM_cert(der(made, "two")[:100]).encode(),
        "certificate 2 in it is damaged or cut off",
    ),
    "not for servers": (
        lambda made: openssl(made, "x509", "-in", "two.pem", "-addtrust", "emailProtection", "-trustout"),
        'certificate 2 in it ("Private authority two") is marked as not to be trusted for servers',
    ),
    "rejected for servers": (
        lambda made: openssl(made, "x509", "-in", "two.pem", "-addreject", "serverAuth", "-trustout"),
        'certificate 2 in it ("Private authority two") is marked as not to be trusted for servers',
    ),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_of_no_use_among_good_ones_is_left_out_with_its_reason(made: Path, tmp_path: Path, kind: str) -> None:
    """Those before and behind it are trusted; alone it is refused, with the same reason and what to do."""
    make, reason = LEFT_OUT[kind]
    file = tmp_path / "ca.pem"
    last = make_authority(tmp_path, "last")
    file.write_bytes(pem(made, "one") + make(made) + last.read_bytes())
    read = read_authorities(file)
    assert read.certificates == [der(made, "one"), ssl.PEM_cert_to_DER_cert(last.read_text())]
    assert read.left_out.startswith(reason)
    file.write_bytes(make(made))
    with pytest.raises(SettingsError, match="Put the authority's present certificate into it") as caught:
        read_authorities(file)
    assert reason.replace("certificate 2", "certificate 1") in caught.value.detail
    assert caught.value.detail.startswith(f"TLS_CA_CERT_FILE {file}: ")


NOT_ONE: dict[str, tuple[Make, str]] = {
    "empty": (lambda made: b"\n", "there is no certificate in it: it is empty"),
    "a page": (lambda made: b"<!doctype html><title>Sign in</title>", "begins with -----BEGIN CERTIFICATE-----"),
    "a key": (lambda made: (made / "one.key").read_bytes(), "it is a private key"),
    "a request": (lambda made: (made / "one.csr").read_bytes(), "it is a request for a certificate"),
    "PKCS#7": (
        lambda made: openssl(made, "crl2pkcs7", "-nocrl", "-certfile", "one.pem"),
        "openssl pkcs7 -print_certs -in FILE -out ca.pem",
    ),
    "PKCS#7, binary": (
        lambda made: openssl(made, "crl2pkcs7", "-nocrl", "-certfile", "one.pem", "-outform", "DER"),
        "openssl pkcs7 -inform DER -print_certs -in FILE -out ca.pem",
    ),
    "PKCS#12": (
        lambda made: openssl(made, "pkcs12", "-export", "-nokeys", "-in", "one.pem", "-passout", "pass:x"),
        "openssl pkcs12 -nokeys -in FILE -out ca.pem",
    ),
    "noise": (lambda made: b"\x30\x82\xff\xff noise", "begins with -----BEGIN CERTIFICATE-----"),
    "too much": (lambda made: pem(made, "one") + b"#" * 5_000_000, "larger than 4 MiB"),
}


@pytest.mark.parametrize("kind", NOT_ONE)
def test_file_without_a_certificate_says_what_it_is(made: Path, tmp_path: Path, kind: str) -> None:
    """The cause names the variable, the file, what it holds instead, and how to make one of it where that can be."""
    make, words = NOT_ONE[kind]
    file = tmp_path / "ca.pem"
    file.write_bytes(make(made))
    with pytest.raises(SettingsError) as caught:
        read_authorities(file)
    assert caught.value.detail.startswith(f"TLS_CA_CERT_FILE {file}: ")
    assert words in caught.value.detail
    assert caught.value.variable == "TLS_CA_CERT_FILE"


def test_commands_that_a_refusal_names_work(made: Path, tmp_path: Path) -> None:
    """What `openssl` makes of a PKCS#7 file, in the words of the refusal, is taken."""
    (tmp_path / "FILE").write_bytes(openssl(made, "crl2pkcs7", "-nocrl", "-certfile", "one.pem", "-outform", "DER"))
    with pytest.raises(SettingsError) as caught:
        read_authorities(tmp_path / "FILE")
    command = caught.value.detail.partition("; ")[2].partition(" makes")[0]
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert read_authorities(tmp_path / "ca.pem").certificates == [der(made, "one")]


def test_directory_is_said(tmp_path: Path) -> None:
    """A directory of certificates is none that both parties can read."""
    with pytest.raises(SettingsError, match="it cannot be read: Is a directory"):
        read_authorities(tmp_path)


def test_systems_bundle_is_one_line_of_warnings(made: Path, tmp_path: Path) -> None:
    """Of many that expired the first are named, and how many more there are."""
    file = tmp_path / "ca.pem"
    file.write_bytes(pem(made, "past") * 9 + pem(made, "one"))
    read = read_authorities(file)
    assert read.certificates == [der(made, "one")]
    assert read.left_out.count("expired") == 3
    assert read.left_out.endswith("; and 6 more are left out")
