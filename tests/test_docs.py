"""What the documents say of the program, held to the program."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from recorder_fsm.commands import commands
from recorder_fsm.config import settings
from recorder_fsm.machine import diagram

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TARGET = re.compile(r"^([a-z][a-z-]*):.*## (.+)$", re.MULTILINE)


def test_readme_has_the_settings_as_they_are() -> None:
    """The table of settings in the README is the one that the settings make of themselves."""
    assert f"\n{settings.markdown_table()}\n" in README


@pytest.mark.parametrize("name", ["README.md", "docs/lifecycle.md"])
def test_documents_have_the_diagram_as_it_is(name: str) -> None:
    """The state diagram in a document is what `recorder-fsm graph` prints."""
    assert f"```mermaid\n{diagram.mermaid()}```\n" in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    """Every link of a document to another file leads somewhere."""
    targets = [target.partition("#")[0] for target in LINK.findall(document.read_text(encoding="utf-8"))]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_targets_and_commands_exist(document: Path) -> None:
    """Every `make x` and `recorder-fsm x` that a document names in code is there."""
    text = document.read_text(encoding="utf-8")
    code = "\n".join([*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^(?: {4}|.*\$ )(.+)$", text, re.MULTILINE)])
    targets = {name for name, _ in TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))}
    assert set(re.findall(r"^make ([a-z][a-z-]*)", code, re.MULTILINE)) - targets == set()
    assert set(re.findall(r"^recorder-fsm ([a-z]+)", code, re.MULTILINE)) - set(commands.commands) == set()


def test_make_help_lists_every_target() -> None:
    """`make help` names each target of the Makefile that is meant for people, with its text."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = dict(TARGET.findall(makefile))
    assert {"demo", "test", "check"} <= set(found)
    for name, text in found.items():
        assert re.search(rf"^  make {name} +{re.escape(text)}$", listed, re.MULTILINE), name
    unlisted = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)) - set(found)
    needed = set(" ".join(re.findall(r"^[a-z$][^:=\n]*:([^#=\n]*)", makefile, re.MULTILINE)).split())
    assert unlisted - needed == set(), "only what other targets need may have no text"


def test_design_names_every_module() -> None:
    """docs/design.md names each module, and none that is gone."""
    house = (ROOT / "docs/design.md").read_text(encoding="utf-8").partition("```\n")[2].partition("```")[0]
    package = ROOT / "recorder_fsm"
    files = [path for path in package.rglob("*.py") if "standin" not in path.parts]
    assert set(re.findall(r"\b[a-z0-9_]+\.py\b", house)) == {path.name for path in files} - {
        "__init__.py",
        "__main__.py",
    }


def test_path_of_a_fault_is_as_the_page_says() -> None:
    """Each hop on docs/lifecycle.md names a file, and in it a function or a table; there are at most six."""
    page = (ROOT / "docs/lifecycle.md").read_text(encoding="utf-8")
    hops = re.findall(r"^[0-9]\. `(\S+)`, `(\S+)`:", page.partition("## The path of one fault")[2], re.MULTILINE)
    assert 3 <= len(hops) <= 6
    for file, name in hops:
        text = (ROOT / file).read_text(encoding="utf-8")
        owner, _, method = name.rpartition(".")
        assert not owner or re.search(rf"^class {owner}\b", text, re.MULTILINE), (file, name)
        assert re.search(rf"^ *(async )?def {method}\b|^{method}\b", text, re.MULTILINE), (file, name)


def test_each_dependency_has_its_line() -> None:
    """docs/dependencies.md has one row for each package in setup.cfg, and for no other."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    text = config["options"]["install_requires"] + "".join(config["options.extras_require"].values())
    names = set(re.findall(r"^([A-Za-z0-9-]+)", text, re.MULTILINE)) - {"recorder-fsm"}
    taken = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").partition("## Debian packages")[0]
    assert set(re.findall(r"^\| ([a-z0-9-]+) \|", taken, re.MULTILINE)) == names


def test_locks_name_no_registry() -> None:
    """The locked requirements hold versions and hashes, and no address of a registry."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    assert locks
    for lock in locks:
        assert not re.search(r"https?:|--(extra-)?index-url|--find-links|--trusted-host|@ file:", lock.read_text()), (
            lock
        )
