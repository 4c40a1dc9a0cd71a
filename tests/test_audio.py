"""The private sound server, with the real PulseAudio."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from recorder_fsm.errors import AudioError
from recorder_fsm.resources import audio as audio_module
from recorder_fsm.resources.audio import AudioServer
from recorder_fsm.system import liveness
from recorder_fsm.system.process import TERM_WAIT_S, ChildProcess
from tests.programs import ENV, ask, child, soon, until


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short path: a Unix socket's is limited to 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        yield Path(folder)


@pytest.fixture
async def audio(runtime: Path) -> AsyncIterator[AudioServer]:
    async with AudioServer(runtime=runtime, env=ENV) as held:
        yield held


async def client_of(server: psutil.Process) -> None:
    """Wait until the server has a client: a connection beside the socket that it listens on."""
    await until(lambda: len([one for one in server.net_connections("unix") if "pulse.sock" in str(one.laddr)]) > 1)


async def test_sink_is_there_when_the_server_is_entered(audio: AudioServer) -> None:
    """One sink, which everybody plays into, at 48 kHz stereo; and its monitor."""
    sinks = await ask("pactl", "list", "short", "sinks", env=audio.env)
    assert [line.split()[1] for line in sinks.stdout.splitlines()] == [b"calls"]
    assert b"2ch 48000Hz" in sinks.stdout
    sources = await ask("pactl", "list", "short", "sources", env=audio.env)
    assert [line.split()[1].decode() for line in sources.stdout.splitlines()] == [audio.monitor]
    info = await ask("pactl", "info", env=audio.env)
    assert b"Default Sink: calls" in info.stdout


async def test_clients_cannot_load_modules(audio: AudioServer) -> None:
    """A page that escaped its sandbox could else open the server to the network."""
    loaded = await ask("pactl", "load-module", "module-null-sink", env=audio.env)
    assert loaded.returncode != 0


async def test_two_servers_live_side_by_side_and_apart(audio: AudioServer, runtime: Path) -> None:
    """Another job's server knows nothing of what plays on this one."""
    (runtime / "other").mkdir()
    async with AudioServer(runtime=runtime / "other", env=ENV) as other:
        assert other.address != audio.address
        for one in (audio, other):
            assert (await ask("pactl", "info", env=one.env)).returncode == 0
        player = await ChildProcess.spawn("pacat", ["pacat", "--raw", "/dev/zero"], env={**ENV, **other.env})
        try:
            async with asyncio.timeout(10):
                while not (await ask("pactl", "list", "short", "sink-inputs", env=other.env)).stdout:
                    assert player.running, player.last_words()
            assert (await ask("pactl", "list", "short", "sink-inputs", env=audio.env)).stdout == b""
        finally:
            await player.stop()


async def test_server_leaves_nothing_behind(runtime: Path) -> None:
    """No socket that somebody could still try."""
    async with AudioServer(runtime=runtime, env=ENV) as audio:
        socket = Path(audio.address.removeprefix("unix:"))
        assert socket.is_socket()
    assert not socket.exists()


async def test_killed_server_is_noticed(audio: AudioServer, runtime: Path) -> None:
    """The cause says how it ended."""
    lost = asyncio.create_task(audio.lost())
    await asyncio.sleep(0)
    child("pulseaudio", str(runtime)).send_signal(signal.SIGKILL)
    cause = await soon(lost)
    assert isinstance(cause, AudioError)
    assert "PulseAudio was killed by SIGKILL" in cause.detail


async def test_stopped_server_is_noticed(audio: AudioServer, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives and ends no process: that it answered, and no longer does, is the cause."""
    monkeypatch.setattr(liveness, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(liveness, "ANSWER_LIMIT_S", 0.5)
    server = child("pulseaudio", str(runtime))
    lost = asyncio.create_task(audio.lost())
    await client_of(server)
    done, _ = await asyncio.wait({lost}, timeout=2 * liveness.ANSWER_LIMIT_S)
    assert not done
    server.send_signal(signal.SIGSTOP)
    try:
        cause = await soon(lost)
    finally:
        server.send_signal(signal.SIGCONT)
    assert isinstance(cause, AudioError)
    assert (cause.code, cause.detail) == ("audio_frozen", "PulseAudio has not answered for 0.5 s")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_server_that_was_lost_can_be_entered_again(runtime: Path, how: signal.Signals) -> None:
    """Under its old address, which programs that run know; its socket had gone meanwhile."""
    async with AsyncExitStack() as stack:
        audio = await stack.enter_async_context(AudioServer(runtime=runtime, env=ENV))
        address, socket = audio.address, Path(audio.address.removeprefix("unix:"))
        first = child("pulseaudio", str(runtime))
        first.send_signal(how)
        assert socket.exists()
        await soon(audio.__aexit__(AudioError, AudioError(), None))
        assert not first.is_running()
        assert not socket.exists()
        assert (await ask("pactl", "info", env=audio.env)).returncode != 0
        await audio.__aenter__()
        assert audio.address == address
        sinks = await ask("pactl", "list", "short", "sinks", env=audio.env)
        assert [line.split()[1] for line in sinks.stdout.splitlines()] == [b"calls"]
        assert child("pulseaudio", str(runtime)).pid != first.pid
    assert not socket.exists()


async def test_server_that_hangs_does_not_delay_the_next_one(runtime: Path) -> None:
    """One that was lost is killed at once: each second of waiting is a second without audio."""
    async with AudioServer(runtime=runtime, env=ENV) as audio:
        child("pulseaudio", str(runtime)).send_signal(signal.SIGSTOP)
        async with asyncio.timeout(TERM_WAIT_S - 1):
            await audio.__aexit__(AudioError, AudioError(), None)


async def test_missing_program_is_named(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AudioError) as caught:
        await AudioServer(runtime=runtime, env=ENV).__aenter__()
    assert caught.value.code == "program_missing"
    assert "apt-get install pulseaudio" in caught.value.detail


async def test_server_that_dies_while_starting_has_its_last_words(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PulseAudio's own words are in the cause."""
    monkeypatch.setattr(audio_module, "pulseaudio_command", lambda _: ["pulseaudio", "-n", "-L", "module-no-such"])
    with pytest.raises(AudioError, match="module-no-such"):
        await AudioServer(runtime=runtime, env=ENV).__aenter__()


async def test_server_that_hangs_while_starting_is_ended(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its own limit, and nothing stays."""
    monkeypatch.setattr(audio_module, "READY_LIMIT_S", 0.1)
    monkeypatch.setattr(audio_module, "pulseaudio_command", lambda _: ["sleep", "79"])
    with pytest.raises(AudioError, match=r"not ready within 0\.1 s"):
        await AudioServer(runtime=runtime, env=ENV).__aenter__()
    with pytest.raises(ValueError, match="not enough values"):
        child("sleep", "79")


async def test_server_sees_nothing_of_a_users_own(audio: AudioServer, runtime: Path) -> None:
    """All that it writes is in the runtime directory."""
    environment = child("pulseaudio", str(runtime)).environ()
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"):
        assert Path(environment[name]).is_relative_to(runtime), name
    assert (await ask("pactl", "info", env=audio.env)).returncode == 0
