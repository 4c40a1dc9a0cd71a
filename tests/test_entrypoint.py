"""The image's entrypoint, outside of an image, as an ordinary user (`tests/image` has the rest)."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parent.parent / "deploy" / "entrypoint"
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may write, with a program in the place of the recorder that says that it ran."""
    with tempfile.TemporaryDirectory(prefix="entrypoint-") as name:
        path = Path(name)
        recorder = path / "recorder-fsm"
        recorder.write_text('#!/bin/sh\necho "$RECORDING_ID" > "$TMPDIR/ran"\n')
        for one in (path, recorder):
            one.chmod(0o777)
        yield path


def test_entrypoint_does_not_wait_for_whoever_reads_it(folder: Path) -> None:
    """It has something to say, and standard error is a full pipe that nobody reads: the recorder starts."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    while True:
        try:
            os.write(write_end, b".")
        except BlockingIOError:
            break
    os.set_blocking(write_end, True)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder), "HOME": "/"}
    user = NOBODY if os.geteuid() == 0 else None
    done = subprocess.run(
        ["sh", str(ENTRYPOINT)],
        env=environment,
        cwd=folder,
        stdout=write_end,
        stderr=write_end,
        user=user,
        timeout=60,
        check=False,
    )
    for descriptor in (read_end, write_end):
        os.close(descriptor)
    assert done.returncode == 0
    assert len((folder / "ran").read_text()) == len("a" * 26 + "\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a process 1 of one's own needs root")
@pytest.mark.parametrize("token", ["0123456789tokentokentoken9", "$(id) `id` \\ '\"", "a line\nand a break\n", ""])
def test_process_1_does_not_show_what_is_secret(folder: Path, token: str) -> None:
    """Token and webhook are in no environment, but in a pipe, as they came; who is not process 1 needs no tini."""
    (folder / "tini").write_text('#!/bin/sh\ntr "\\0" "\\n" < /proc/self/environ > "$TMPDIR/seen"\nshift 2\n"$@"\n')
    (folder / "recorder-fsm").write_text(
        '#!/bin/sh\ncp /proc/self/environ "$TMPDIR/environ"\n'
        'if [ -n "${AUTH_TOKEN_DESCRIPTOR:-}" ]; then cat <&3 > "$TMPDIR/token"; fi\n'
    )
    (folder / "tini").chmod(0o755)
    webhook = {"WEBHOOK_SECRET": "key of `the` webhook\n", "WEBHOOK_URL": "https://host/secretpath"} if token else {}
    identity = {"AUTH_TOKEN": token, "RECORDING_ID": "a" * 26, "DATA_DIR": str(folder), **webhook}
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder), "HOME": "/", **identity}
    of_its_own = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    as_nobody = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--")
    subprocess.run(
        [*of_its_own, *as_nobody, str(ENTRYPOINT), "run"], env=environment, cwd=folder, timeout=60, check=True
    )
    seen = (folder / "seen").read_text()
    assert "RECORDING_ID=" in seen
    if token:
        for secret in (token, *webhook.values()):
            assert secret not in seen
            assert secret.encode() not in (folder / "environ").read_bytes()
        handed_over = (folder / "token").read_bytes().splitlines()
        assert [base64.b64decode(line).decode() for line in handed_over] == [token, *webhook.values()]
    else:
        assert "AUTH_TOKEN=\n" in seen
