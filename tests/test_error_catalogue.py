"""The error catalogue against the codes that the program raises."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder_fsm import error_catalogue, error_pages
from recorder_fsm.browser import page_answer
from recorder_fsm.commands import commands
from recorder_fsm.error_catalogue import Entry, entries
from recorder_fsm.machine.lifecycle import TRANSITIONS
from recorder_fsm.mattermost import refused

PACKAGE = Path(__file__).parent.parent / "recorder_fsm"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "standin" not in path.parts)
COMPOSED = {
    "f'{resource.value}_restart'": {f"{one.value}_restart" for row in TRANSITIONS for one in row.restarts},
    "CODES.get(answer.status, REFUSED)": {*page_answer.CODES.values(), page_answer.REFUSED},
    "CODES[answer.status]": set(page_answer.CODES.values()),
    "MAY_NOT[doing]": set(refused.MAY_NOT.values()),
}
"""Codes that are put together, by the expression that does it."""
PASSED_ON = re.compile(r"(?:\w+\.)?code")
"""A code that somebody else has chosen: an argument, or that of another error."""
CODE = re.compile(r"[a-z][a-z0-9_]+")
LANDING = {"doctor"}
every_entry = pytest.mark.parametrize("entry", entries().values(), ids=lambda entry: entry.code)


def expressions(path: Path) -> Iterator[ast.expr]:
    """Yield what a module gives as a code: `code=` of a call, and `code` of a class or of a method's default."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield node.value
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                    yield line.value


def codes(path: Path, value: ast.expr) -> set[str]:
    """Return the codes that an expression may be."""
    if isinstance(value, ast.Constant):
        return {str(value.value)} - {""}
    if isinstance(value, ast.IfExp):
        return codes(path, value.body) | codes(path, value.orelse)
    if ast.unparse(value) in COMPOSED:
        return COMPOSED[ast.unparse(value)]
    if isinstance(value, ast.Name) and value.id.isupper():
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        return {str(getattr(importlib.import_module(module), value.id))}
    assert PASSED_ON.fullmatch(ast.unparse(value)), f"{path.name}: which code is `{ast.unparse(value)}`? See COMPOSED"
    return set()


def raised() -> set[str]:
    """Return every code that an error of the program may have, but for exit codes."""
    found = {code for path in FILES for value in expressions(path) for code in codes(path, value)}
    return {code for code in found if CODE.fullmatch(code)}


def test_each_code_has_an_entry_and_each_entry_a_code() -> None:
    """Whatever code a failure has, people are told what to do; and nothing is explained that cannot happen."""
    missing, idle = raised() - set(entries()), set(entries()) - raised()
    assert not missing, f"write their entries in recorder_fsm/error_catalogue.toml: {sorted(missing)}"
    assert not idle, f"nobody raises these entries of recorder_fsm/error_catalogue.toml: {sorted(idle)}"


@every_entry
def test_entry_says_all_three_things_in_sentences(entry: Entry) -> None:
    """Cause, meaning and each step of the cure are whole sentences; the title is a line without a stop."""
    assert not entry.title.endswith(".")
    assert len(entry.title) <= 60
    for text in (entry.cause, entry.meaning, *entry.cure):
        assert re.match(r"[A-Z`]", text), text
        assert text.endswith((".", "?")), text
    assert len(entry.advice) <= 170, "it stands in the last line of the log"


@every_entry
def test_entry_names_commands_that_exist(entry: Entry) -> None:
    """A cure that names a command of ours names one that is there."""
    text = " ".join((entry.cause, entry.meaning, *entry.cure))
    assert set(re.findall(r"`recorder-fsm ([a-z]+)", text)) - set(commands.commands) == set()


def test_explain_says_what_to_do_in_a_terminal() -> None:
    """`recorder-fsm explain CODE` prints the entry, whole, within the width of a terminal."""
    done = CliRunner().invoke(commands, ["explain", "sandbox_refused"])
    entry = entries()["sandbox_refused"]
    shown = " ".join(done.output.split())
    assert done.exit_code == 0
    assert all(text in shown for text in (entry.code, entry.title, entry.cause, entry.meaning, *entry.cure))
    assert max(map(len, done.output.splitlines())) <= 100


def test_explain_without_a_code_lists_all() -> None:
    """Who does not know the code reads them all, with what they mean."""
    done = CliRunner().invoke(commands, ["explain"])
    assert done.exit_code == 0
    assert all(f"  {one.code} " in done.output and one.title in done.output for one in entries().values())


def test_explain_of_an_unknown_code_names_the_nearest() -> None:
    """A code that was mistyped is no dead end."""
    done = CliRunner().invoke(commands, ["explain", "certificat"])
    assert done.exit_code == 1
    assert "Did you mean certificate" in done.output


def test_address_is_the_hosted_page_or_the_command() -> None:
    """With DOCS_URL the page there, with or without its last slash; else the command, which works everywhere."""
    assert error_catalogue.address("memory") == "recorder-fsm explain memory"
    for base in ("https://docs.example.com/recorder", "https://docs.example.com/recorder/"):
        assert error_catalogue.address("memory", base) == "https://docs.example.com/recorder/errors/memory/"


@pytest.mark.parametrize(
    ("docs_url", "where"),
    [
        ("", "recorder-fsm explain settings"),
        ("https://docs.example.com/recorder/", "https://docs.example.com/recorder/errors/settings/"),
        ("javascript:alert(1)", "recorder-fsm explain settings"),
    ],
)
def test_last_line_of_a_failed_job_says_what_to_do_and_where_to_read_on(docs_url: str, where: str) -> None:
    """`kubectl logs --tail 1` is enough to go on: the cause, the first step, and the address of the page."""
    environment = {"PATH": os.environ["PATH"], "WIDTH": "1", "DOCS_URL": docs_url}
    command = [sys.executable, "-m", "recorder_fsm"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 1
    assert "WIDTH is 1" in last
    assert last.endswith(f"; what to do: {entries()['settings'].advice} More: {where}")


def test_failure_is_told_also_where_the_catalogue_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A catalogue that is damaged or away costs the advice and nothing else."""
    damaged = tmp_path / "damaged.toml"
    damaged.write_bytes(b"\xff [job")
    for file in (damaged, tmp_path / "missing.toml"):
        monkeypatch.setattr(error_catalogue, "FILE", file)
        entries.cache_clear()
        assert error_catalogue.what_to_do("memory") == ""
        assert error_catalogue.address("memory") == "recorder-fsm explain memory"
    monkeypatch.undo()
    entries.cache_clear()
    assert error_catalogue.what_to_do("memory").startswith("; what to do: Raise")


def test_pages_hold_each_entry_and_the_index_all() -> None:
    """The site has one page for each code, and one that leads to all of them."""
    index = error_pages.index()
    for entry in entries().values():
        page = error_pages.page(entry)
        assert all(text in page for text in (entry.title, entry.cause, entry.meaning, *entry.cure))
        assert f"[`{entry.code}`]({entry.code}.md)" in index
