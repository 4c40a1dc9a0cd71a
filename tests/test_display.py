"""The virtual display, with the real Xvfb."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import xcffib
import xcffib.xproto

from recorder_fsm.errors import DisplayError
from recorder_fsm.resources import display as display_module
from recorder_fsm.resources.display import MARGIN_PX, Display
from recorder_fsm.system import liveness
from tests.programs import ENV, HEIGHT, WIDTH, ask, child, soon


def on(runtime: Path) -> Display:
    return Display(width=WIDTH, height=HEIGHT, runtime=runtime, env=ENV)


def traces(display: Display) -> list[Path]:
    """Return what the server leaves on the machine while it runs."""
    number = display.env["DISPLAY"].removeprefix(":")
    return [path for path in (Path(f"/tmp/.X{number}-lock"), Path(f"/tmp/.X11-unix/X{number}")) if path.exists()]  # noqa: S108


@pytest.fixture
async def display(tmp_path: Path) -> AsyncIterator[Display]:
    async with on(tmp_path) as held:
        yield held


async def test_display_is_up_when_it_is_entered(display: Display) -> None:
    """A program can look at it at once, and it is a little larger than the frame."""
    seen = await ask("xdpyinfo", env=display.env)
    assert seen.returncode == 0
    assert f"dimensions:    {WIDTH + MARGIN_PX}x{HEIGHT + MARGIN_PX} pixels".encode() in seen.stdout
    assert b"depth of root window:    24 planes" in seen.stdout


async def test_display_does_not_draw_in_3d(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mesa and LLVM, which it would load for that, take more memory than all of the rest of it."""
    monkeypatch.setenv("XAUTHORITY", display.env["XAUTHORITY"])
    connection = xcffib.connect(display.env["DISPLAY"])  # type: ignore[no-untyped-call]
    core = connection.core  # type: ignore[has-type]
    present = {name: bool(core.QueryExtension(len(name), name).reply().present) for name in ("GLX", "DAMAGE")}
    assert present == {"GLX": False, "DAMAGE": True}


async def test_display_refuses_who_has_no_cookie(display: Display, tmp_path: Path) -> None:
    """Other jobs and users on the machine cannot look in."""
    empty = tmp_path / "empty"
    empty.touch()
    seen = await ask("xdpyinfo", env={**display.env, "XAUTHORITY": str(empty)})
    assert seen.returncode != 0
    assert "Authorization required" in seen.stderr
    assert stat.S_IMODE(Path(display.env["XAUTHORITY"]).stat().st_mode) == 0o600


async def test_two_displays_live_side_by_side_and_apart(tmp_path: Path) -> None:
    """Each has its own number and cookie, and neither opens the other."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with on(tmp_path / "a") as one, on(tmp_path / "b") as other:
        assert one.env["DISPLAY"] != other.env["DISPLAY"]
        assert (await ask("xdpyinfo", env=other.env)).returncode == 0
        crossed = {"DISPLAY": other.env["DISPLAY"], "XAUTHORITY": one.env["XAUTHORITY"]}
        assert (await ask("xdpyinfo", env=crossed)).returncode != 0


async def test_display_leaves_nothing_on_the_machine(tmp_path: Path) -> None:
    """Neither a socket nor a lock, not even while it runs: no kill can leave what was never there."""
    async with on(tmp_path) as display:
        assert (await ask("xdpyinfo", env=display.env)).returncode == 0
        names = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()]  # "@": no file
        number = display.env["DISPLAY"].removeprefix(":")
        assert [name for name in names if name.endswith(f"/X{number}")] != []
        assert [name for name in names if name.endswith(f"/X{number}") and not name.startswith("@")] == []
        assert not Path(f"/tmp/.X{number}-lock").exists()  # noqa: S108


@pytest.fixture
def old_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Xvfb that knows no abstract sockets, as far as it can be had here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "Xvfb"
    refusal = 'case " $* " in *" -nolisten unix "*) echo "Cannot establish any listening sockets" >&2; exit 1;; esac'
    script.write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which("Xvfb")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.usefixtures("old_server")
async def test_server_without_abstract_sockets_leaves_no_file_behind(tmp_path: Path) -> None:
    """Its socket has gone in the end, so its number can be used again."""
    async with on(tmp_path) as display:
        assert traces(display)
    assert traces(display) == []


@pytest.mark.usefixtures("old_server")
async def test_killed_display_is_noticed_and_leaves_nothing(tmp_path: Path) -> None:
    """The cause says how it ended; leaving removes what the kill left."""
    async with on(tmp_path) as display:
        lost = asyncio.create_task(display.lost())
        await asyncio.sleep(0)
        child("Xvfb", str(tmp_path)).send_signal(signal.SIGKILL)
        cause = await soon(lost)
        assert isinstance(cause, DisplayError)
        assert "Xvfb was killed by SIGKILL" in cause.detail
        assert traces(display)
    assert traces(display) == []


async def test_stopped_display_is_noticed(display: Display, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives and ends no process: that it answered, and no longer does, is the cause."""
    monkeypatch.setattr(liveness, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(liveness, "ANSWER_LIMIT_S", 0.5)
    server = child("Xvfb", str(tmp_path))
    lost = asyncio.create_task(display.lost())
    done, _ = await asyncio.wait({lost}, timeout=2 * liveness.ANSWER_LIMIT_S)
    assert not done
    server.send_signal(signal.SIGSTOP)
    try:
        cause = await soon(lost)
    finally:
        server.send_signal(signal.SIGCONT)
    assert isinstance(cause, DisplayError)
    assert (cause.code, cause.detail) == ("display_frozen", "Xvfb has not answered for 0.5 s")


@pytest.mark.usefixtures("old_server")
async def test_socket_of_another_server_on_the_same_number_stays(tmp_path: Path) -> None:
    """After our server was killed, its number may be another job's before we have left."""
    async with on(tmp_path) as display:
        (path,) = traces(display)
        child("Xvfb", str(tmp_path)).kill()
        await soon(display.lost())
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            await display.__aexit__(None, None, None)
            assert path.exists()
    assert not path.exists()


async def test_screenshot_of_the_display_is_taken(display: Display, tmp_path: Path) -> None:
    """For a person who asks what was on the screen."""
    target = tmp_path / "screen.png"
    assert await display.photograph(target)
    assert target.read_bytes().startswith(b"\x89PNG")


async def test_screenshot_of_a_dead_display_is_none(tmp_path: Path) -> None:
    """It fails within its limit and raises nothing."""
    async with on(tmp_path) as display:
        child("Xvfb", str(tmp_path)).kill()
        await soon(display.lost())
        assert not await display.photograph(tmp_path / "screen.png")


async def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DisplayError) as caught:
        await on(tmp_path).__aenter__()
    assert caught.value.code == "program_missing"
    assert "apt-get install xvfb" in caught.value.detail


async def test_display_that_dies_while_starting_has_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Xvfb's own words are in the cause."""
    monkeypatch.setattr(display_module, "xvfb_command", lambda *_, **__: ["Xvfb", "-no-such-option"])
    with pytest.raises(DisplayError, match="no-such-option"):
        await on(tmp_path).__aenter__()


async def test_display_that_hangs_while_starting_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its own limit, and nothing stays."""
    monkeypatch.setattr(display_module, "READY_LIMIT_S", 0.1)
    monkeypatch.setattr(display_module, "xvfb_command", lambda *_, **__: ["sleep", "77"])
    with pytest.raises(DisplayError, match=r"not ready within 0\.1 s"):
        await on(tmp_path).__aenter__()
    with pytest.raises(ValueError, match="not enough values"):
        child("sleep", "77")


async def test_cancelled_start_ends_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop half way leaves no process."""
    monkeypatch.setattr(display_module, "xvfb_command", lambda *_, **__: ["sleep", "78"])
    starting = asyncio.create_task(on(tmp_path).__aenter__())
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(0.01)
            try:
                child("sleep", "78")
            except ValueError:
                continue
            break
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ValueError, match="not enough values"):
        child("sleep", "78")
