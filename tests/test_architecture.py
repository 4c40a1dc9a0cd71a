"""The house rules that a machine can hold: who may import whom, which room owns which library, how long a file is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recorder_fsm"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE = 330
LONGER_FILES = {"standin.measure": 430}
"""Those that wait to be divided; they may not grow."""

MATTERMOST_ROOMS = {"http_session", "plugin_routes", "mattermost", "uploads", "transport"}
RESOURCES = {"display", "sound", "browser", "call_page", "capture", "recording"}
ABOVE_RESOURCES = {
    *(
        "lifecycle",
        "diagram",
        "resources",
        "job",
        "steps",
        "starting",
        "watching",
        "finishing",
        "work",
        "journal",
        "report",
        "monitor",
    ),
    *("recorder", "stage", "recover", "cli", "commands", "settings", "variables", "mattermost"),
}
# Room -> what it may import of ours. A room that is not here may import what is not forbidden below.
ONLY: dict[str, set[str]] = {
    "errors": set(),
    "lifecycle": set(),
    "signals": set(),
    "go_syntax": set(),
    "file_names": set(),
    "threads": set(),
    "monitor": set(),
    "logs": set(),
    "chromium": {"errors"},
    "ffmpeg": set(),
    "diagram": {"lifecycle"},
    "processes": {"errors"},
    "directory": {"errors"},
    "variables": {"errors", "go_syntax"},
    "settings": {"errors", "go_syntax", "variables"},
    "resources": {"errors", "lifecycle"},
    "job": {"errors", "resources", "lifecycle", "signals"},
    "journal": {"errors", "lifecycle"},
    "call_page": {"errors"},
    "display": {"errors", "ffmpeg", "processes"},
    "sound": {"errors", "processes"},
    "capture": {"errors", "ffmpeg", "processes"},
    "recording": {"errors", "ffmpeg", "processes"},
    "browser": {"call_page", "certificates", "chromium", "errors", "processes", "tab"},
    "tab": {"errors"},
}
# Library -> the rooms that may import it.
FENCES: dict[str, set[str]] = {
    "transitions": {"lifecycle"},
    "playwright": {"browser", "tab"},
    "mattermostdriver": MATTERMOST_ROOMS,
    "requests": MATTERMOST_ROOMS,
    "subprocess": set(),
    "aiohttp": {"status"},
    "rich": set(),
    "click": {"commands"},
}


def room(path: Path) -> str:
    """Return the module's name inside the package: `job`, or `standin.server`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Yield every module that the file imports, also inside functions; `from a import b` as `a.b` as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """Return the rooms that the file imports."""
    rooms = {room(file) for file in FILES}
    names = {name.removeprefix("recorder_fsm.") for name in imports(path) if name.startswith("recorder_fsm.")}
    return names & rooms


def attributes(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every dotted name that the file uses, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node), node.lineno


CORE = [path for path in FILES if "standin" not in path.parts]
in_core = pytest.mark.parametrize("path", CORE, ids=room)
in_all = pytest.mark.parametrize("path", FILES, ids=room)


def test_rooms_of_the_rules_exist() -> None:
    """A rule for a room that was renamed would hold nothing."""
    rooms = {room(path) for path in CORE}
    assert rooms >= set(ONLY)
    assert rooms >= RESOURCES
    assert rooms >= MATTERMOST_ROOMS


@in_core
def test_room_imports_only_what_is_below_it(path: Path) -> None:
    """`cli -> job -> steps -> resources -> processes -> errors`, each room by its own list."""
    if room(path) in ONLY:
        assert ours(path) <= ONLY[room(path)]


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_resource_knows_neither_the_lifecycle_nor_the_rooms_above(name: str) -> None:
    """A resource can be read, tested and used by itself."""
    assert not ours(PACKAGE / f"{name}.py") & ABOVE_RESOURCES


@pytest.mark.parametrize("name", sorted(RESOURCES - {"browser"}))
def test_resources_do_not_import_each_other(name: str) -> None:
    """What one needs of another is handed in. Only the browser has a page in it."""
    assert not ours(PACKAGE / f"{name}.py") & (RESOURCES - {name})


@in_core
def test_stand_in_is_for_the_command_alone(path: Path) -> None:
    """The recorder runs without it."""
    if room(path) != "commands":
        assert not [name for name in imports(path) if name.startswith("recorder_fsm.standin")]


def test_stand_in_uses_of_the_recorder_only_what_both_need() -> None:
    """It stands for the other side: what it shared with the recorder, no test could find wrong."""
    shared = {"errors", "processes", "ffmpeg", "threads", "lifecycle"}
    used = {name for path in FILES if path not in CORE for name in ours(path) if not name.startswith("standin")}
    assert used <= shared


@in_core
def test_library_stays_in_its_room(path: Path) -> None:
    """One room per library, so that one file changes when the library does."""
    for name in imports(path):
        library = name.partition(".")[0]
        if library in FENCES:
            assert room(path) in FENCES[library], name


@in_all
def test_only_processes_starts_programs(path: Path) -> None:
    """Whoever starts a program must also be able to end it."""
    if room(path) != "processes":
        used = [
            f"{name} in line {line}"
            for name, line in attributes(path)
            if name.startswith(
                (
                    "asyncio.create_subprocess",
                    "os.system",
                    "os.popen",
                    "os.exec",
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
    if room(path) != "cli":
        assert [
            f"{name} in line {line}"
            for name, line in attributes(path)
            if name.startswith(("os.environ", "os.getenv", "os.putenv")) or name == "sys.argv"
        ] == []


@in_core
def test_only_the_loop_moves_the_lifecycle(path: Path) -> None:
    """One caller of `feed`, none of `trigger` but the ledger itself."""
    calls = {name.rpartition(".")[2] for name, _ in attributes(path)}
    assert "feed" not in calls or room(path) == "job"
    assert "trigger" not in calls or room(path) == "lifecycle"


@in_core
def test_only_the_holdings_enter_and_leave_resources(path: Path) -> None:
    """Nobody else calls `__aenter__`, so nothing is held that would not be given back."""
    if room(path) != "resources":
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
