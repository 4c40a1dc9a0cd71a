"""The recipes of CONTRIBUTING.md: each names files that are there, with an example in them that was made by it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docsite.refresh import refreshed

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (.+)\n((?:(?!###? ).*\n)+)", CONTRIBUTING.partition("## How to add")[2], re.MULTILINE))
NEEDED = (
    "A setting",
    "An event",
    "A state",
    "A resource",
    "An error code",
    "A fault",
    "A metric",
    "A command",
    "A document",
)


def test_recipes_are_there_for_what_people_add() -> None:
    """A contributor finds a recipe for each kind of change."""
    for kind in NEEDED:
        assert sum(name.startswith(kind) for name in RECIPES) == 1, kind


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_files_that_have_its_example(name: str) -> None:
    """Who follows a recipe sees in each file how it was done before."""
    example = re.search(r"^Example: `([^`]+)`", RECIPES[name], re.MULTILINE)
    files = re.findall(r"^[0-9]+\. `([^`]+)`", RECIPES[name], re.MULTILINE)
    assert example is not None
    assert len(files) >= 3
    for file in files:
        path = ROOT / file
        assert path.is_file(), file
        only_where_needed = file.endswith("kinds.py")
        found = example[1].lower() in f"{file}\n{path.read_text(encoding='utf-8')}".lower()
        assert found or only_where_needed, f"{file} has no {example[1]}"


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_names_what_its_files_have(name: str) -> None:
    """A table, a class or a constant that a step names is in the file of that step."""
    for file, text in re.findall(r"^[0-9]+\. `([^`]+)`((?:(?!^[0-9]+\. |^$).*\n)+)", RECIPES[name], re.MULTILINE):
        content = (ROOT / file).read_text(encoding="utf-8")
        for word in re.findall(r"`([A-Z][A-Za-z_]+|steps_of|lost|nav)`", text):
            assert re.search(rf"\b{word}\b", content), f"{file} has no {word}"


def test_recipe_for_a_setting_gives_a_setting(tmp_path: Path) -> None:
    """The recipe followed in a copy: the setting is read, its limits hold, and `make refresh` documents it."""
    for part in ("recorder_fsm", "docsite"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "pages"))
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/lifecycle.md", "docs/observing.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    table = tmp_path / "recorder_fsm/config/settings.py"
    text = table.read_text(encoding="utf-8")
    row = '    Variable("NEW_LIMIT", "new_limit", "NewLimit", _number(1, 3, 9, "things"), "How many."),\n'
    text = text.replace(")  # fmt: skip\n\n\ndef markdown_table", f"{row})  # fmt: skip\n\n\ndef markdown_table")
    text = text.replace("    min_free_bytes: int\n", "    min_free_bytes: int\n    new_limit: int\n")
    table.write_text(text, encoding="utf-8")
    script = (
        "from docsite.refresh import main; from recorder_fsm.config.settings import Settings; main(); "
        "ids = dict.fromkeys(('CALL_ID', 'POST_ID', 'RECORDING_ID', 'AUTH_TOKEN'), 26 * 'a'); "
        "read = lambda **more: Settings.from_environment({'SITE_URL': 'http://site', **ids, **more}); "
        "print(read().new_limit, read(NEW_LIMIT='9').new_limit); read(NEW_LIMIT='10')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["written anew: README.md", "3 9"], done.stderr
    assert "NEW_LIMIT is 10, allowed are 1 to 9 things" in done.stderr
    assert "| `NEW_LIMIT` | 3 | 1 to 9 things | How many. |" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_documents_quote_the_program_as_it_is() -> None:
    """Tables and diagrams in the documents are those that the program makes: `make refresh` has nothing to write."""
    for path, text in refreshed(ROOT):
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: make refresh"
