"""The last words of a program: what it prints anyway does not take the place of what tells why it ended."""

from __future__ import annotations

import pytest

from recorder_fsm.plain_text import keep_secret
from recorder_fsm.system.last_words import WORDS_CHARS, LastWords

BUS = [
    "[7:9:1125/101500.1:ERROR:dbus/bus.cc:408] Failed to connect to the bus: Failed to connect to socket "
    "/run/dbus/system_bus_socket: No such file or directory",
    "[7:7:1125/101500.2:ERROR:bus.cc(407)] Failed to connect to the bus: Could not parse server address",
    "[7:9:1125/101500.3:ERROR:object_proxy.cc(576)] Failed to call method: org.freedesktop.DBus.NameHasOwner",
]
STACK = [
    "#0 0x55d0c8a3b2c4 (/usr/lib/chromium/chromium+0x58a32c3)",
    *(f"#{number} 0x55d0c8a3b2c4 base::debug::StackTrace::StackTrace()" for number in range(1, 40)),
    "  r8: 0000000000000000  r9: 00007ffd1c0f5c10 r10: 0000000000000008 r11: 0000000000000246",
    "  di: 0000000000000002  si: 00007ffd1c0f5c10  bp: 00007ffd1c0f5e80",
    "[end of stack trace]",
]
FATAL = "[1:1:1125/101500.000000:FATAL:zygote_host_impl_linux.cc(128)] No usable sandbox!"
PROGRAMS = {
    "Chromium, a bus before it": ([*BUS * 10, FATAL], FATAL),
    "Chromium, a bus behind it": ([FATAL, *BUS * 10], FATAL),
    "Chromium, a stack behind it": ([FATAL, *STACK], FATAL),
    "Chromium, errors behind it": ([FATAL, *(f"error {number}" for number in range(30))], FATAL),
    "Xvfb": (
        [
            "(EE) ",
            "Fatal server error:",
            "(EE) Cannot establish any listening sockets - Make sure an X server isn't already running(EE) ",
            "The XKEYBOARD keymap compiler (xkbcomp) reports:",
            "> Warning:          Unsupported maximum keycode 708, clipping.",
            ">                   X11 cannot support keycodes above 255.",
            "Errors from xkbcomp are not fatal to the X server",
        ],
        "(EE) Cannot establish any listening sockets - Make sure an X server isn't already running(EE)",
    ),
    "PulseAudio": (
        [
            "E: [pulseaudio] socket-server.c: bind(): Read-only file system",
            "W: [pulseaudio] main.c: This program is not intended to be run as root (unless --system is specified).",
            "I: [pulseaudio] main.c: Daemon shutdown initiated.",
            "W: [pulseaudio] server-lookup.c: Unable to contact D-Bus: org.freedesktop.DBus.Error.NotSupported",
        ],
        "E: [pulseaudio] socket-server.c: bind(): Read-only file system",
    ),
    "ffmpeg": (
        [
            "[x11grab @ 0x55] Cannot open display :99, error 1.",
            "ffmpeg version 5.1.6-0+deb12u1 Copyright (c) 2000-2024 the FFmpeg developers",
            "  built with gcc 12 (Debian 12.2.0-14)",
            "  configuration: --prefix=/usr --extra-version=0+deb12u1",
            "  libavutil      57. 28.100 / 57. 28.100",
        ],
        "[x11grab @ 0x55] Cannot open display :99, error 1.",
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_cause_is_among_the_words(program: str) -> None:
    """Whatever the program prints before and behind it."""
    lines, cause = PROGRAMS[program]
    assert cause in LastWords(lines).shown()


@pytest.mark.parametrize("program", ["Xvfb", "PulseAudio", "ffmpeg", "Chromium, a stack behind it"])
def test_noise_is_not_among_the_words(program: str) -> None:
    """It would take the place of what says something."""
    lines, _ = PROGRAMS[program]
    shown = LastWords(lines).shown()
    for noise in ("xkbcomp", "D-Bus", "as root", "built with", "StackTrace", "0x55d0c8a3b2c4"):
        assert noise not in shown


def test_noise_is_better_than_nothing() -> None:
    """A program that says nothing else is quoted with what it said."""
    assert "system_bus_socket" in LastWords(BUS).shown()
    assert LastWords().shown() == ""


def test_last_are_kept_and_not_too_much() -> None:
    """The last of many lines; of a line without end its begin; and no secret."""
    keep_secret("q7xk2p9m4n8r5t6w3y1z0abcde")
    try:
        words = LastWords([*(f"{number} {'x' * 100_000}" for number in range(1000)), "q7xk2p9m4n8r5t6w3y1z0abcde end"])
    finally:
        keep_secret("")
    assert len(words.shown()) <= WORDS_CHARS
    assert words.shown().endswith("*** end")
    assert "999 x" in words.shown()
