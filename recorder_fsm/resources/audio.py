"""The sound server: one private PulseAudio per job, with one null sink that the call plays into."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from recorder_fsm.errors import AudioError, ProgramError, RecorderError
from recorder_fsm.system.liveness import wait_until_lost
from recorder_fsm.system.process import TERM_WAIT_S, ChildProcess

READY_LIMIT_S = 8.0
KILL_AT_ONCE_S = 0.1
"""What a server that was lost may take to end: a new one waits."""
SINK = "calls"
SAMPLE_RATE_HZ = 48_000
CHANNELS = 2


class AudioServer:
    """Holds PulseAudio; ready when it says that it is; its socket lies in the job's runtime directory."""

    def __init__(self, *, runtime: Path, env: Mapping[str, str]) -> None:
        self._home = runtime / "pulse"
        self._socket = runtime / "pulse.sock"
        self._base_env = dict(env)
        self._server: ChildProcess | None = None

    @property
    def address(self) -> str:
        return f"unix:{self._socket}"

    @property
    def monitor(self) -> str:
        """The source that carries what the call plays."""
        return f"{SINK}.monitor"

    @property
    def env(self) -> dict[str, str]:
        """What a program needs to play into the sink."""
        return {"PULSE_SERVER": self.address, "PULSE_SINK": SINK, "PULSE_COOKIE": str(self._home / "cookie")}

    async def __aenter__(self) -> Self:
        self._home.mkdir(mode=0o700, exist_ok=True)  # a restarted server finds what the one before it made
        # Made by us: PulseAudio and its clients complain about a cookie that is not there, though none is asked for.
        (self._home / "cookie").write_bytes(bytes(256))
        env = self._base_env | {
            "HOME": str(self._home),
            "XDG_RUNTIME_DIR": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "PULSE_RUNTIME_PATH": str(self._home),
            "PULSE_STATE_PATH": str(self._home),
            "PULSE_COOKIE": str(self._home / "cookie"),
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        }
        try:
            self._server = await ChildProcess.spawn("pulseaudio", pulseaudio_command(self._socket), env=env)
            await self._server.ready(self._server.line_matching(r"Daemon startup complete"), limit_s=READY_LIMIT_S)
        except BaseException as error:
            await self._end()
            if isinstance(error, ProgramError):
                raise AudioError(detail=error.detail or error.sentence, code=error.code) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end(KILL_AT_ONCE_S if isinstance(error, AudioError) else TERM_WAIT_S)

    async def lost(self) -> RecorderError:
        """Wait until PulseAudio ends by itself or no longer answers; returns the cause."""
        if self._server is None:
            raise RuntimeError("the sound server is not held")
        words, frozen = await wait_until_lost(self._server, self._socket, GREETING, QUESTION)
        return AudioError(detail=f"PulseAudio {words}", code="audio_frozen" if frozen else "")

    async def _end(self, wait_s: float = TERM_WAIT_S) -> None:
        if self._server is not None:
            await self._server.stop(wait_s=wait_s)
        self._socket.unlink(missing_ok=True)  # a killed one leaves it, and another one takes its place


def pulseaudio_command(socket: Path) -> list[str]:
    """Return the command line of a PulseAudio that shares nothing with any other on the machine."""
    return [
        "pulseaudio",
        "-n",  # no default script: only the two modules below
        "--daemonize=no",
        "--use-pid-file=no",  # other daemons of the same user are none of our business
        "--exit-idle-time=-1",  # a silent call must not end it
        "--disallow-module-loading",  # by clients; the modules below are loaded before
        "--disable-shm=yes",  # containers have 64 MB of /dev/shm, and Chromium wants it
        "--realtime=no",  # needs rights that a container lacks; the attempt costs a D-Bus time-out
        "--high-priority=no",
        "--log-level=info",  # "Daemon startup complete" is an info line
        "--log-target=stderr",
        # Without `norewinds` the sink renders two seconds of silence ahead whenever nobody plays yet.
        *("-L", f"module-null-sink sink_name={SINK} rate={SAMPLE_RATE_HZ} channels={CHANNELS} norewinds=1"),
        # The socket lies in a directory that only this user can enter, so no cookie is asked for.
        *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"),
    ]


def _packet(command: int, values: bytes = b"") -> bytes:
    """Return a packet of PulseAudio's native protocol: length, channel, offset and flags, then tagged values."""
    payload = b"L" + struct.pack(">I", command) + b"L" + struct.pack(">I", 0) + values
    return struct.pack(">IIIII", len(payload), 0xFFFFFFFF, 0, 0, 0) + payload


# AUTH with protocol version 32 and an empty cookie, then STAT: one connection, since each new one is a line of its log.
GREETING = _packet(8, b"L" + struct.pack(">I", 32) + b"x" + struct.pack(">I", 256) + bytes(256))
QUESTION = _packet(13)
