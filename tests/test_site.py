"""The site of the documents, as far as it can be told without building it (`make docs` does, strictly)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docsite import check, links, reference
from recorder_fsm.commands import commands
from recorder_fsm.config.settings import TABLE
from recorder_fsm.error_catalogue import entries
from recorder_fsm.machine.lifecycle import Event, State

ROOT = Path(__file__).parent.parent
PAGES = reference.pages()


def test_reference_has_each_setting_command_and_error_code() -> None:
    """Whatever the program has is on its page, without anybody writing it down."""
    assert all(f"| `{row.name}` |" in PAGES["settings.md"] for row in TABLE)
    assert all(f"\n## {name}\n" in PAGES["commands.md"] for name in commands.commands)
    assert all(f"errors/{code}.md" in PAGES for code in entries())
    assert "| 1 |" in PAGES["exit-codes.md"]


def test_each_document_has_its_place() -> None:
    """Every document is in the navigation once, and what is in the navigation is there."""

    def leaves(branch: list[dict[str, object]]) -> list[str]:
        values = [value for entry in branch for value in entry.values()]
        return [name for value in values for name in (leaves(value) if isinstance(value, list) else [str(value)])]

    placed = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    documents = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    made = {name for name in PAGES if not re.match(r"errors/(?!index)", name)}
    assert len(placed) == len(set(placed))
    assert documents | made == set(placed), "`nav` in mkdocs.yml names each, and no other"


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("lifecycle.md#states", "lifecycle.md#states"),
        ("../README.md", "index.md"),
        ("../README.md#settings", "settings.md"),
        ("../CONTRIBUTING.md#tests", "contributing.md#tests"),
        ("../recorder_fsm/error_catalogue.toml", "errors/index.md"),
        ("../recorder_fsm/error_catalogue.toml#memory", "errors/memory.md"),
        ("../deploy/seccomp.json", "files/deploy/seccomp.json"),
        ("../deploy/kubernetes/hardened/", "files/deploy/kubernetes/hardened/claim.yaml"),
        ("#here", "#here"),
        ("https://example.com/a", "https://example.com/a"),
    ],
)
def test_links_lead_to_pages_of_the_site(link: str, page: str) -> None:
    """What leads to a file of the repository leads to its page, or to a copy of it; code is left as it is."""
    text = f"[x]({link}) and `[x]({link})`\n\n```\n[x]({link})\n```\n"
    assert links.on_the_site(text, "docs") == text.replace(f"[x]({link}) and", f"[x]({page}) and")


def test_codes_of_a_symptom_lead_to_their_pages() -> None:
    """Who finds a code beside a symptom reads on with one click; other code is left as it is."""
    text = "`memory`, `live.mp4`, `explain`, [`memory`](x.md)"
    wanted = "[`memory`](errors/memory.md), `live.mp4`, `explain`, [`memory`](x.md)"
    assert links.with_codes(text) == wanted


def test_troubleshooting_names_codes_events_and_states_that_exist() -> None:
    """What a symptom is known by is a word that the program says."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    known = [row.split("|")[2] for row in page.splitlines() if row.startswith("| ") and row.count("|") == 4]
    words = {word for cell in known for word in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+|[a-z]+)`", cell)}
    names = {*entries(), *(event.value for event in Event), *(state.value for state in State)}
    assert len(words & names) > 20
    assert words - names <= {"true", "curl", "issuer", "verify"}


def test_site_is_refused_where_a_page_fetches_from_elsewhere(tmp_path: Path) -> None:
    """A site that is built without network is also read without it; and each printed address is there."""
    for code in entries():
        (tmp_path / "errors" / code).mkdir(parents=True)
        (tmp_path / "errors" / code / "index.html").write_text('<a href="https://example.com">x</a>')
    assert list(check.problems(tmp_path)) == []
    for bad in (
        '<script src="https://unpkg.com/x"></script>',
        "<link href=//fonts.example.com rel=stylesheet>",
        '<pre class="mermaid"><code>',
        "<style>@import 'https://example.com/a.css'</style>",
    ):
        (tmp_path / "page.html").write_text(bad)
        assert len(list(check.problems(tmp_path))) == 1, bad
    (tmp_path / "page.html").unlink()
    (tmp_path / "errors/memory/index.html").unlink()
    assert len(list(check.problems(tmp_path))) == 1


def test_build_of_the_site_refuses_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """The command of `make docs` ends with an error for a page with such a link, and with none for one without."""
    build = re.search(r"-m (mkdocs build .*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert build is not None
    (tmp_path / "mkdocs.yml").write_text("site_name: A site\nplugins: []\n")
    (tmp_path / "docs").mkdir()
    for text, good in (("# Page", True), ("# Page\n\n[x](nowhere.md)", False)):
        (tmp_path / "docs/index.md").write_text(text)
        command = [sys.executable, "-m", *build[1].split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode == 0) is good, done.stderr
