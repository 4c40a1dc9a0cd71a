"""The virtual display: one Xvfb per job, on a number that the server picks, guarded by a cookie of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from loguru import logger

from recorder_fsm.errors import DisplayError, ProgramError, RecorderError
from recorder_fsm.media.probe import screenshot_command, thumbnail_command
from recorder_fsm.system.liveness import wait_until_lost
from recorder_fsm.system.process import ChildProcess, run

READY_LIMIT_S = 8.0
PHOTOGRAPH_LIMIT_S = 2.0
# A window that is exactly as large as the screen is made one pixel smaller by Chromium where no window manager runs
# (black line at the right and the bottom). The screen is therefore a little larger than what is captured.
MARGIN_PX = 2
COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"
X11_GET_INPUT_FOCUS = struct.pack("<BxH", 43, 1)
"""The smallest request of the X protocol that is answered."""
FAMILY_WILD = 0xFFFF  # Xauth(3): the entry holds for any address
NOWHERE_TO_LISTEN = "Cannot establish any listening sockets"


class Display:
    """Holds Xvfb; ready when the server has told its number.

    It listens on an abstract socket (unix(7)), which no kill can leave behind and for which no directory need be there.
    An Xvfb that knows none gets a file, which is removed in the end.
    """

    def __init__(self, *, width: int, height: int, runtime: Path, env: Mapping[str, str]) -> None:
        self._size = (width, height)
        self._cookie = runtime / "Xauthority"
        self._cookie_value = secrets.token_bytes(16)
        self._env = dict(env)
        self._server: ChildProcess | None = None
        self._number = ""
        self._abstract = True

    @property
    def _socket(self) -> Path:
        name = f"/tmp/.X11-unix/X{self._number}"  # noqa: S108 - fixed by X
        return Path(f"\0{name}" if self._abstract else name)

    @property
    def env(self) -> dict[str, str]:
        """What a program needs to draw on this display."""
        return {"DISPLAY": f":{self._number}", "XAUTHORITY": str(self._cookie)}

    async def __aenter__(self) -> Self:
        _write_cookie(self._cookie, self._cookie_value)
        try:
            try:
                await self._start()
            except ProgramError as error:
                if NOWHERE_TO_LISTEN not in error.detail:
                    raise
                self._abstract = False
                await self._start()
        except BaseException as error:
            await self._end()
            if isinstance(error, ProgramError):
                raise DisplayError(detail=error.detail or error.sentence, code=error.code) from error
            raise
        return self

    async def _start(self) -> None:
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as reader:
            try:
                self._server = await ChildProcess.spawn(
                    "Xvfb",
                    xvfb_command(*self._size, self._cookie, write_end, abstract=self._abstract),
                    env=self._env,
                    pass_fds=(write_end,),
                )
            finally:
                os.close(write_end)
            number = asyncio.ensure_future(_read_line(reader))
            self._number = await self._server.ready(number, limit_s=READY_LIMIT_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def lost(self) -> RecorderError:
        """Wait until Xvfb ends by itself or no longer answers; returns the cause."""
        if self._server is None:
            raise RuntimeError("the display is not held")
        words, frozen = await wait_until_lost(
            self._server, self._socket, _x11_greeting(self._cookie_value), X11_GET_INPUT_FOCUS
        )
        return DisplayError(detail=f"Xvfb {words}", code="display_frozen" if frozen else "")

    async def photograph(self, target: Path) -> bool:
        """Write what the display shows now to `target` (PNG); returns whether it could within two seconds."""
        command = screenshot_command(f":{self._number}", *self._size, target)
        try:
            done = await run("ffmpeg (screenshot)", command, env=self._env | self.env, limit_s=PHOTOGRAPH_LIMIT_S)
        except ProgramError as error:
            logger.debug("no screenshot of the display: {}", error)
            return False
        return done.returncode == 0

    async def thumbnail(self, width: int) -> bytes | None:
        """Return what the display shows now as a JPEG of that width; None where there is no display, or no answer."""
        if self._server is None or not self._server.running or not self._number:
            return None
        command = thumbnail_command(f":{self._number}", *self._size, width)
        try:
            done = await run("ffmpeg (thumbnail)", command, env=self._env | self.env, limit_s=PHOTOGRAPH_LIMIT_S)
        except ProgramError as error:
            logger.debug("no thumbnail of the display: {}", error)
            return None
        return done.stdout if done.returncode == 0 and done.stdout else None

    async def _end(self) -> None:
        if self._server is None:
            return
        await self._server.stop()
        if self._number and not self._abstract:
            # A killed server leaves it behind. There is no lock where the server picks the number.
            _remove_if_dead(self._socket)


def xvfb_command(width: int, height: int, cookie: Path, ready_fd: int, *, abstract: bool) -> list[str]:
    """Return the command line of Xvfb for a screen of `width` x `height` pixels."""
    return [
        "Xvfb",
        *("-displayfd", str(ready_fd)),  # a free number, and readiness, in one
        *("-screen", "0", f"{width + MARGIN_PX}x{height + MARGIN_PX}x24"),
        *("-auth", str(cookie)),  # other jobs and users on the host cannot look in
        *("-nolisten", "tcp"),
        *(("-nolisten", "unix") if abstract else ()),  # the name of the kind with a file; the other is called "local"
        "-noreset",  # the server must not restart when its last client leaves
        *("-s", "0"),  # no screen saver: it would blank a long meeting
        *("-extension", "GLX"),  # it loads Mesa and LLVM, tens of megabytes: Chromium draws by itself
    ]


def _write_cookie(path: Path, cookie: bytes) -> None:
    """Write an authority file (Xauth(3)) that holds for any display number: the number is not known yet."""

    def field(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    entry = struct.pack(">H", FAMILY_WILD) + b"".join(field(value) for value in (b"", b"", COOKIE_NAME, cookie))
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(entry)


def _x11_greeting(cookie: bytes) -> bytes:
    """Return the connection setup of the X protocol (version 11.0, little endian), with the cookie."""
    return struct.pack("<2s5H", b"l\0", 11, 0, len(COOKIE_NAME), len(cookie), 0) + COOKIE_NAME + bytes(2) + cookie


async def _read_line(reader: object) -> str:
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), reader)
    try:
        line = await stream.readline()
        if not line.endswith(b"\n"):
            await asyncio.Event().wait()  # the server closed the pipe: that it ended is for others to notice
        return line.decode().strip()
    finally:
        transport.close()


def _remove_if_dead(server_socket: Path) -> None:
    """Remove a socket on which nobody listens: by now, the number may be that of another job's server."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(server_socket))
        except ConnectionRefusedError:
            server_socket.unlink()
