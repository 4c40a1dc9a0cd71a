"""The image, for real: as its launchers start it, hardened, at its limits, and killed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from pathlib import Path

import pytest

from bench.harness.containers import (
    HARDENED,
    IMAGE,
    OFFLOADER,
    SECCOMP,
    Container,
    container,
    docker,
    job,
    offloader_profile,
    started_again,
)
from recorder_fsm.analysis.probe import probe
from recorder_fsm.standin.server import StandIn
from recorder_fsm.standin.state import CallIds
from tests.certificate_kinds import KINDS, REFUSED, TAKEN
from tests.tls import make_authority, server_context, tls_in_front_of

HERE = Path(__file__).parent
OURS = ("--security-opt", f"seccomp={SECCOMP}")
# For each process: its name, its user, its user namespace, how many seccomp filters it has, its command line.
PROCESSES = """
for p in /proc/[0-9]*; do
    printf '%s\\n' "$(cat $p/comm)	$(awk '/^Uid/{print $2}' $p/status)	$(readlink $p/ns/user)	\
$(awk '/^Seccomp_filters/{print $2}' $p/status)	$(tr '\\0\\n' '  ' < $p/cmdline)"
done 2> /dev/null
"""


def small_volume(megabytes: int, *, uid: int = 1000) -> tuple[str, str]:
    """Return the options for a volume of that size which belongs to that user."""
    volume = "type=volume,destination=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs"
    return ("--mount", f'{volume},"volume-opt=o=size={megabytes}m,uid={uid}"')


async def published(standin: StandIn, ids: CallIds, seconds: float) -> None:
    """There is one post with one file, which plays, as long as it should be."""
    posts = [post for post in standin.state.posts if post.recording_id == ids.recording_id]
    assert len(posts) == 1
    facts = await probe(standin.uploaded(posts[0].file_id))
    assert facts.video is not None
    assert facts.audio is not None
    assert facts.duration_s >= seconds - 0.5


async def processes(run: Container, user: str = "calls") -> list[list[str]]:
    """Look as the recorder's own user: without CAP_SYS_PTRACE root does not see the namespaces of others."""
    return [line.split("\t") for line in (await run.execute("sh", "-c", PROCESSES, user=user)).split("\n") if line]


async def assert_sandboxed(run: Container, user: str = "calls") -> None:
    """Every renderer is in a user namespace of its own and has one filter more than its container."""
    all_of_them = await processes(run, user)
    (recorder,) = [one for one in all_of_them if one[0] == "recorder-fsm"]
    (outside,) = [one for one in all_of_them if one[0] == "pulseaudio"]  # the recorder shows its own to root alone
    renderers = [one for one in all_of_them if "--type=renderer" in one[4]]
    assert renderers
    assert outside[2].startswith("user:")
    for one in renderers:
        assert one[2] != outside[2]
        assert int(one[3]) > int(recorder[3])
    assert not any("--no-sandbox" in one[4] for one in all_of_them)


@pytest.mark.parametrize("version", ["0.9.4", "0.9.5"])
async def test_job_of_the_offloader_is_recorded(standin: StandIn, tmp_path: Path, version: str) -> None:
    """Under its seccomp list, with 64 MB of shared memory, to a SIGTERM with 300 s of grace: published, exit 0.

    v0.9.0 to v0.9.4 refuse system calls that the others allow; 0.9.0 is the least that the plugin takes.
    """
    ids = standin.create_call()
    env = job(f"{standin.url}/", ids, TZ="Europe/Berlin", EXTRA_CHROMIUM_ARGS="--mute-nothing --lang=de")
    async with container(*OFFLOADER, *offloader_profile(tmp_path, version), env=env, ids=ids) as run:
        await run.recorded(3)
        await assert_sandboxed(run)
        running = await processes(run)
        assert await run.execute("cat", "/proc/1/comm") == "tini\n"
        assert ids.token not in await run.execute("cat", "/proc/1/environ")
        # One's own has it: the engine gives everybody who comes in what the container was given.
        assert ids.token in await run.execute("cat", "/proc/self/environ")
        assert {one[1] for one in running if one[0] in {"recorder-fsm", "Xvfb", "pulseaudio", "ffmpeg"}} == {"1000"}
        assert not any(ids.token in one[4] for one in running), "the token is in a command line"
        assert any("--mute-nothing" in one[4] and "--lang=de" in one[4] for one in running)
        await run.execute("healthcheck")
        await run.stop()
        assert await run.exit_code() == 0, run.text
        files = await run.files()
        assert set(files) == {"recorder.log", "report.json"}, "something of the meeting is left"
        assert {info.uid for info in files.values()} == {1000}
        assert ids.token.encode() not in await run.read("recorder.log")
    await published(standin, ids, 3)


@pytest.mark.parametrize(
    ("user", "uid"), [pytest.param("calls", 1000, id="calls"), pytest.param("12345", 12345, id="unknown user")]
)
async def test_hardened_container_records(standin: StandIn, user: str, uid: int) -> None:
    """Read-only, without capabilities or new privileges, never root: the same recording, and the sandbox is on."""
    ids = standin.create_call()
    options = (*HARDENED, "--user", user, *small_volume(400, uid=uid))
    async with container(*options, env=job(standin.url, ids), ids=ids, volume=False) as run:
        await run.recorded(3)
        await assert_sandboxed(run, user)
        standin.stop_recording(ids.recording_id)
        assert await run.exit_code() == 0, run.text
    await published(standin, ids, 3)


async def test_two_jobs_share_the_machines_network(standin: StandIn) -> None:
    """Displays, sound servers and ports of two containers do not meet."""
    first, second = standin.create_call(), standin.create_call()
    async with (
        container(*OURS, env=job(standin.url, first), ids=first) as one,
        container(*OURS, env=job(standin.url, second), ids=second) as other,
    ):
        await asyncio.gather(one.recorded(4), other.recorded(4))
        standin.end_call(first.call_id)
        standin.end_call(second.call_id)
        assert (await one.exit_code(), await other.exit_code()) == (0, 0)
    await published(standin, first, 4)
    await published(standin, second, 4)


async def test_killed_container_is_recovered_by_its_next_start(standin: StandIn) -> None:
    """SIGKILL in the middle; started again, it publishes what it had, and records nothing more."""
    ids = standin.create_call()
    async with container(*OURS, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(5)
        await docker("kill", "--signal", "KILL", run.name)
        assert await run.exit_code() == 137
        assert "live.mp4" in await run.files()
        again = await started_again(run)
        assert await again.exit_code() == 0, again.text
        assert not any(name.endswith(".mp4") for name in await again.files())
    await published(standin, ids, 4)


async def test_another_container_recovers_the_volume(standin: StandIn) -> None:
    """`recover` in a fresh container, with nothing but the volume and a token, publishes what a killed one left."""
    ids = standin.create_call()
    async with container(*OURS, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(4)
        await docker("kill", "--signal", "KILL", run.name)
        await run.exit_code()
        mount = ("--volume", f"{run.name}:/data")
        token = {"AUTH_TOKEN": ids.token}
        async with container(*mount, env=token, ids=ids, volume=False, command=("recover",)) as other:
            assert await other.exit_code() == 0, other.text
    await published(standin, ids, 3)


async def test_one_command_recovers_what_the_offloaders_jobs_left(standin: StandIn, tmp_path: Path) -> None:
    """`deploy/recover` finds the kept job by the offloader's label, its volume among two, and its settings; once.

    The offloader makes two volumes for each job: one at /data, and one that nobody uses.
    """
    ids = standin.create_call()
    profile = offloader_profile(tmp_path)
    second = ("--volume", "/unused")
    async with container(*OFFLOADER, *second, *profile, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(4)
        busy = await recover_command()
        assert busy[0] == 0, busy[1]  # a job that still runs is none that was kept
        assert standin.state.posts == []
        await docker("kill", "--signal", "KILL", run.name)
        await run.exit_code()
        code, said = await recover_command()
        assert code == 0, said
        assert f"looking at its volume {run.name}\n" in said
        assert "nothing is left to recover" in said
        assert not any(name.endswith(".mp4") for name in await run.files())
        assert (await recover_command(run.name))[0] == 0
        await docker("rm", "--volumes", run.name)
        assert await recover_command() == (0, "no job of the offloader has ended and was kept: nothing to recover\n")
    await published(standin, ids, 3)


async def recover_command(*names: str) -> tuple[int, str]:
    """Run the command for operators; returns its code and what it said."""
    process = await asyncio.create_subprocess_exec(
        str(SECCOMP.parent / "recover"), *names, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


UNFRIENDLY = """
cd /data/{job} && chown -R root:root . && chmod -R go-rwx . && ln -s /etc/passwd link && ln -s / root
"""


async def on_the_volume_of(run: Container, script: str) -> None:
    """Run a script as root on the container's volume, as an operator would who looks at it."""
    await docker("run", "--rm", "--volume", f"{run.name}:/data", "--entrypoint", "sh", IMAGE, "-c", script)


async def test_what_root_has_looked_at_is_recovered_by_the_next_start(standin: StandIn) -> None:
    """A directory with all that is in it belongs to root since: it is given back, links are not followed."""
    ids = standin.create_call()
    async with container(*OURS, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(4)
        await docker("kill", "--signal", "KILL", run.name)
        await run.exit_code()
        await on_the_volume_of(run, UNFRIENDLY.format(job=ids.recording_id))
        again = await started_again(run)
        assert await again.exit_code() == 0, again.text
        files = await again.files()
        assert {info.uid for info in files.values()} == {1000}
        assert files["link"].issym()
        assert "/etc" not in await docker("diff", run.name)
    await published(standin, ids, 3)


async def test_recover_says_what_it_may_not_read(standin: StandIn) -> None:
    """`recover` takes nobody's directory away: it names what it cannot read and how to mend it, and ends with 1."""
    ids = standin.create_call()
    async with container(*OURS, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(3)
        await docker("kill", "--signal", "KILL", run.name)
        await run.exit_code()
        await on_the_volume_of(run, UNFRIENDLY.format(job=ids.recording_id))
        mount, token = ("--volume", f"{run.name}:/data"), {"AUTH_TOKEN": ids.token}
        async with container(*mount, env=token, ids=ids, volume=False, command=("recover",)) as other:
            assert await other.exit_code() == 1, other.text
        assert f"chown -R 1000 /data/{ids.recording_id}" in other.text
        await on_the_volume_of(run, f"chown -R 1000 /data/{ids.recording_id}")
        async with container(*mount, env=token, ids=ids, volume=False, command=("recover",)) as other:
            assert await other.exit_code() == 0, other.text
    await published(standin, ids, 2)


async def test_data_directory_that_cannot_be_made_keeps_its_log(standin: StandIn) -> None:
    """A read-only volume: the call is told, and the code is 1: the launcher keeps what was said (contract 1.2)."""
    ids = standin.create_call()
    options = (*OURS, "--tmpfs", "/data:ro")
    async with container(*options, env=job(standin.url, ids), ids=ids, volume=False) as run:
        assert await run.exit_code() == 1, run.text
    assert "could not be prepared: mkdir" in run.text
    assert [one.status for one in standin.state.statuses] == ["failed"]


async def test_memory_that_runs_out_loses_nothing(standin: StandIn) -> None:
    """Whatever the kernel kills, what was recorded is published: at once, or by the next start."""
    ids = standin.create_call()
    limit = ("--memory", "700m", "--memory-swap", "700m", "--tmpfs", "/filler")
    async with container(*OURS, *limit, env=job(standin.url, ids), ids=ids) as run:
        await run.recorded(4)
        # A tmpfs counts as memory of the container, and is no process that the kernel could kill instead.
        await docker("exec", run.name, "dd", "if=/dev/zero", "of=/filler/it", "bs=1M", "count=600", check=False)
        code = await run.exit_code()
        again = run
        if code != 0:  # the recorder itself was killed; a container that starts again has an empty tmpfs
            again = await started_again(run)
            assert await again.exit_code() == 0, again.text
        assert code != 0 or re.search("browser_lost|capture_lost|display_lost|audio_lost", run.text), run.text
    await published(standin, ids, 3)


async def test_full_volume_is_refused_at_the_start(standin: StandIn) -> None:
    """Below MIN_FREE_BYTES nothing begins; the call is told, and there is nothing to keep."""
    ids = standin.create_call()
    async with container(*OURS, *small_volume(8), env=job(standin.url, ids), ids=ids, volume=False) as run:
        assert await run.exit_code() == 0, run.text
    assert "MIN_FREE_BYTES" in run.text
    assert [one.status for one in standin.state.statuses] == ["failed"]


async def test_volume_that_fills_up_ends_the_recording_in_time(standin: StandIn) -> None:
    """At the low-water mark the capture ends; what there is gets published."""
    ids = standin.create_call()
    env = job(standin.url, ids, MIN_FREE_BYTES=str(32 * 1024 * 1024))
    async with container(*OURS, *small_volume(80), env=env, ids=ids, volume=False) as run:
        await run.recorded(3)
        await run.execute("dd", "if=/dev/zero", "of=/data/other", "bs=1M", "count=55")
        assert await run.exit_code() == 0, run.text
    assert "disk_low" in run.text
    await published(standin, ids, 3)


async def test_early_stop_discards_quickly(standin: StandIn) -> None:
    """`docker stop` while the stage is being set up: the call is told, nothing is published, exit 0 within 10 s."""
    ids = standin.create_call()
    async with container(*OURS, env=job(standin.url, ids), ids=ids) as run:
        await run.reached("init")
        began = time.monotonic()
        await run.stop()
        assert time.monotonic() - began < 10
        assert await run.exit_code() == 0, run.text
    assert [one.status for one in standin.state.statuses] == ["failed"]
    assert standin.state.posts == []


async def test_stock_profile_is_refused_with_its_cure(standin: StandIn) -> None:
    """Docker's own seccomp profile refuses the sandbox: one line says so and what to do; the call is told."""
    ids = standin.create_call()
    async with container(env=job(standin.url, ids), ids=ids) as run:
        assert await run.exit_code() == 0, run.text
        report = json.loads(await run.read("report.json"))
    assert report["cause"]["code"] == "sandbox_refused"
    assert "seccomp=deploy/seccomp.json" in run.text
    assert [one.status for one in standin.state.statuses] == ["failed"]


@pytest.mark.parametrize("named", [True, False], ids=["with an id", "without an id"])
async def test_manual_line_of_the_original_works(standin: StandIn, named: bool) -> None:
    """The `docker run` line of the original's README, DEV_MODE and all; a missing RECORDING_ID is made up and said."""
    ids = standin.create_call()
    env = {**job(f"{standin.url}/", ids), "DEV_MODE": "true"}
    if not named:
        del env["RECORDING_ID"]
    async with container(env=env, ids=ids) as run:
        if named:
            await run.recorded(2)
            await run.stop(30)
        assert await run.exit_code() == 0, run.text
    if named:
        await published(standin, ids, 2)
    else:  # the server knows no such job, and says so
        assert re.search(r"RECORDING_ID was not given; this recording is [a-z0-9]{26}\b", run.text)
        assert "job not in progress" in run.text


@pytest.mark.parametrize("recording_id", ["../../../etc/cron.d", "", "x" * 25, "A" * 26, "a" * 26 + "\n"])
async def test_bad_id_makes_no_directory(standin: StandIn, recording_id: str) -> None:
    """Root makes a directory of a valid id only; the refusal's exit code is the container's."""
    ids = standin.create_call()
    async with container(env=job(standin.url, ids, RECORDING_ID=recording_id), ids=ids) as run:
        assert await run.exit_code() == 1
        assert await run.on_volume() == ["data"]
        assert "/etc" not in await docker("diff", run.name)
    assert "RECORDING_ID" in run.text


async def test_certificates_have_the_same_verdict_on_the_images_python(tmp_path: Path) -> None:
    """Debian's newest Python and Chromium: both parties say to each kind what `tests/test_certificates.py` expects."""
    tests = tmp_path / "check" / "tests"
    tests.mkdir(parents=True)
    for name in ("__init__", "certificate_kinds", "tls"):
        shutil.copy(HERE.parent / f"{name}.py", tests)
    said = await docker(
        *("run", "--rm", "--network", "host", "--user", "calls", "--volume", f"{tests.parent}:/check:ro"),
        *("--workdir", "/check", "--tmpfs", "/kinds:mode=1777", "--env", "PYTHONDONTWRITEBYTECODE=1"),
        *("--entrypoint", "python3", IMAGE, "-m", "tests.certificate_kinds", "/kinds"),
    )
    verdicts = json.loads(said.splitlines()[-1])
    for name, kind in KINDS.items():
        assert verdicts["client"][name] == kind.verdict, name
        assert verdicts["chromium"][name] == (REFUSED if kind.chromium else kind.verdict), name
        if kind.verdict == TAKEN:
            assert verdicts["strict"][name] == (REFUSED if kind.strict else TAKEN), name


async def test_certificate_for_root_alone_is_used(standin: StandIn, tmp_path: Path) -> None:
    """A secret that only root may read, as mounts often are, reaches the HTTP client and Chromium all the same."""
    authority = make_authority(tmp_path, "ours")
    authority.chmod(0o600)
    ids = standin.create_call()
    async with tls_in_front_of(standin.url, server_context(tmp_path, authority, "localhost")) as port:
        env = job(f"https://localhost:{port}", ids, TLS_CA_CERT_FILE="/run/ca.pem")
        async with container(*OURS, "--volume", f"{authority}:/run/ca.pem:ro", env=env, ids=ids) as run:
            await run.recorded(2)
            await run.stop()
            assert await run.exit_code() == 0, run.text
    await published(standin, ids, 2)


async def test_root_without_capabilities_says_what_to_do(standin: StandIn) -> None:
    """Root that may not become another user ends with one line instead of running on as root."""
    ids = standin.create_call()
    async with container(*OURS, "--cap-drop", "ALL", env=job(standin.url, ids), ids=ids) as run:
        assert await run.exit_code() == 1
    assert "--user calls" in run.text
