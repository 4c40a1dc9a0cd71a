"""The house rules that a machine can hold beside import-linter's (`make check`): who starts programs, who touches the
environment, who moves the machine, how long a file is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recorder_fsm"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.read_text(encoding="utf-8"))
LONGEST_FILE = 330
LONGER_FILES = {
    "commands": 400,
    "app": 345,
    "mattermost.client": 400,
    "mattermost.upload": 400,
    "media.join": 345,
    "system.process": 355,
    "config.settings": 330,
}
"""One subject each, that can only be read together; they may not grow."""


PROGRAMS = ("doctor.system_calls", "media.audio_relay", "media.join", "media.split", "media.video_grabber")
"""Modules that are programs of their own, with arguments of their own."""


def room(path: Path) -> str:
    """Return the module's name inside the package: `machine.runner`, or `standin.server`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def attributes(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every dotted name that the file uses, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node), node.lineno


CORE = [path for path in FILES if "standin" not in path.parts]
in_core = pytest.mark.parametrize("path", CORE, ids=room)
in_all = pytest.mark.parametrize("path", FILES, ids=room)


@in_all
def test_only_process_starts_programs(path: Path) -> None:
    """Whoever starts a program must also be able to end it."""
    becomes = ("os.exec",) if room(path) != "system.surroundings" else ()  # the same program anew
    if room(path) != "system.process":
        used = [
            f"{name} in line {line}"
            for name, line in attributes(path)
            if name.startswith(
                (
                    "asyncio.create_subprocess",
                    "os.system",
                    "os.popen",
                    *becomes,
                    "os.spawn",
                    "os.posix_spawn",
                    "os.fork",
                )
            )
            or name.endswith((".subprocess_exec", ".subprocess_shell"))
        ]
        assert used == []


@in_all
def test_only_the_command_line_touches_the_environment(path: Path) -> None:
    """Everybody else is handed what they need: a test can hand in something else."""
    if room(path) not in ("cli", *PROGRAMS):
        assert [
            f"{name} in line {line}"
            for name, line in attributes(path)
            if name.startswith(("os.environ", "os.getenv", "os.putenv")) or name == "sys.argv"
        ] == []


@in_core
def test_only_the_runner_moves_the_lifecycle(path: Path) -> None:
    """One caller of `fire`, none of `trigger` but the ledger itself."""
    calls = {name.rpartition(".")[2] for name, _ in attributes(path)}
    assert "fire" not in calls or room(path) == "machine.runner"
    assert "trigger" not in calls or room(path) == "machine.lifecycle"


@in_core
def test_only_the_stack_enters_and_leaves_resources(path: Path) -> None:
    """Nobody else calls `__aenter__`, so nothing is held that would not be given back."""
    if room(path) != "machine.resources":
        assert [name for name, _ in attributes(path) if name.endswith(("__aenter__", "__aexit__"))] == []


@in_all
def test_file_is_short_enough_to_be_read_at_once(path: Path) -> None:
    """A longer one has two subjects."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGER_FILES.get(room(path), LONGEST_FILE)


@in_all
def test_module_says_what_it_is(path: Path) -> None:
    """It opens with what it owns."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@in_all
def test_names_say_more_than_utils(path: Path) -> None:
    """A room is named for its subject."""
    assert not {"utils", "util", "helper", "helpers", "manager", "handler", "common", "misc"} & set(
        path.stem.split("_")
    )


@in_core
def test_nothing_is_caught_in_silence(path: Path) -> None:
    """No bare `except`, and none that passes over everything."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}"
            broad = ast.unparse(node.type) in ("Exception", "BaseException")
            assert not (broad and all(isinstance(part, ast.Pass) for part in node.body)), f"line {node.lineno}"
