"""The programs that a job starts: whether they are there, and whether they are known to be too old."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from recorder_fsm.browser.launch_options import child_environment, private_environment
from recorder_fsm.doctor.findings import Finding, Findings, Machine
from recorder_fsm.errors import ProgramError
from recorder_fsm.system.process import find_program, run
from recorder_fsm.terminal.screen import Mark

ANSWER_LIMIT_S = 6.0
ENCODERS = ("libx264", "aac")


@attrs.frozen
class Program:
    """A program, the words that make it say its version, the pattern of that, and the oldest version that works."""

    name: str
    asks: tuple[str, ...]
    version: str = r"\b([0-9]+(?:\.[0-9]+)*)"
    oldest: tuple[int, ...] = ()
    why: str = ""


PROGRAMS = (
    Program(
        "chromium",
        ("--version",),
        r"Chromium (?:\S+ )?([0-9][0-9.]*)",
        (120,),
        "the recorder speaks to it by newer rules",
    ),
    Program(
        "ffmpeg", ("-version",), r"ffmpeg version n?([0-9][0-9.]*)", (5, 1), "it lacks -fps_mode and -movie_timescale"
    ),
    Program("ffprobe", ("-version",), r"ffprobe version n?([0-9][0-9.]*)", (5, 1)),
    Program("Xvfb", ()),  # it says no version
    Program("pulseaudio", ("--version",), oldest=(13,), why="its null sink knows no norewinds"),
    Program("parec", ("--version",)),
    Program("setpriv", ("--version",)),
)


async def programs(machine: Machine) -> Findings:
    """Look for each program and ask it for its version, all at once."""
    env = {**child_environment(machine.environment), **private_environment(machine.runtime)}
    found = await asyncio.gather(*(_program(one, env) for one in PROGRAMS), _encoders(env), _driver(env))
    return [finding for finding in found if finding is not None]


async def _program(program: Program, env: Mapping[str, str]) -> Finding:
    try:
        path = find_program(program.name)
        if not program.asks:
            return Finding(program.name, Mark.OK, path, data={"path": path})
        done = await run(program.name, [program.name, *program.asks], env=env, limit_s=ANSWER_LIMIT_S)
    except ProgramError as error:
        cure = error.detail.rpartition("on Debian: ")[2] if error.code == "program_missing" else "Install it anew."
        return Finding(program.name, Mark.BAD, error.sentence, f"Debian: {cure}" if "apt" in cure else cure)
    said = done.stdout.decode(errors="replace") + done.stderr
    match = re.search(program.version, said)
    if match is None:
        value = f"{path} says no version: {said[:80]}"
        return Finding(program.name, Mark.WARNING, value, "Install Debian's, or see that it runs.", {"path": path})
    version = tuple(int(part) for part in match[1].strip(".").split("."))
    data = {"path": path, "version": match[1]}
    if version < program.oldest:
        oldest = ".".join(map(str, program.oldest))
        why = f": {program.why}" if program.why else ""
        return Finding(
            program.name, Mark.BAD, f"version {match[1]} is too old{why}", f"Install {oldest} or newer.", data
        )
    return Finding(program.name, Mark.OK, match[1], data=data)


async def _encoders(env: Mapping[str, str]) -> Finding | None:
    """Tell whether this ffmpeg can encode: builds of a company, or for a browser, may lack H.264."""
    try:
        done = await run("ffmpeg", ["ffmpeg", "-hide_banner", "-encoders"], env=env, limit_s=ANSWER_LIMIT_S)
    except ProgramError:
        return None  # it has its own line
    words = set(done.stdout.decode(errors="replace").split())
    missing = [name for name in ENCODERS if name not in words]
    if missing:
        return Finding("encoders", Mark.BAD, f"ffmpeg has no {' and no '.join(missing)}", "Install Debian's ffmpeg.")
    return Finding("encoders", Mark.OK, " and ".join(ENCODERS))


async def _driver(env: Mapping[str, str]) -> Finding:
    """Start Playwright's driver for a moment: it brings its own Node, which needs libatomic."""
    spec = importlib.util.find_spec("playwright")
    if spec is None or spec.origin is None:
        return Finding("driver", Mark.BAD, "Playwright is not installed", "Install the locked Python packages.")
    folder = Path(spec.origin).parent / "driver"
    try:
        argv = [str(folder / "node"), str(folder / "package" / "cli.js"), "--version"]
        done = await run("driver", argv, env=env, limit_s=ANSWER_LIMIT_S)
    except ProgramError as error:
        return Finding("driver", Mark.BAD, str(error), "Install the locked Python packages anew.")
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        return Finding(
            "driver", Mark.BAD, f"it does not start: {done.stderr[-120:]}", "Debian: apt-get install libatomic1"
        )
    return Finding("driver", Mark.OK, f"Playwright {said.removeprefix('Version ')}", data={"version": said})
