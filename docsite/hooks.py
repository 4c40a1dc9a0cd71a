"""What MkDocs calls while it builds the site (mkdocs.yml): adds the pages of `reference`, and finds links their way."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docsite import diagram, links, reference

ROOT = Path(__file__).parent.parent
FROM_THE_ROOT = {"contributing.md": "", "changelog.md": ""}
"""Pages whose document lies at the root of the repository, and not in docs/."""


OF_SYMPTOMS = ("troubleshooting.md",)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and a copy of each file that a document links to."""
    wanted: dict[str, None] = {}
    for file in files.documentation_pages():
        wanted.update(dict.fromkeys(links.copied(file.content_string, "docs")))
    for name, text in reference.pages().items():
        files.append(File.generated(config, name, content=text))
        if name in FROM_THE_ROOT:
            wanted.update(dict.fromkeys(links.copied(text, FROM_THE_ROOT[name])))
    for place in wanted:
        name = f"{links.FILES}/{place}"
        if files.get_file_from_path(name) is None:
            files.append(
                File.generated(config, name, abs_src_path=str(ROOT / place), inclusion=InclusionLevel.NOT_IN_NAV)
            )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page with its links as the site has them, and its diagram drawn."""
    name = page.file.src_uri
    if name in FROM_THE_ROOT:
        return links.on_the_site(markdown, FROM_THE_ROOT[name])
    if page.file.generated_by is None:
        text = diagram.drawn(links.on_the_site(markdown, "docs"))
        return links.with_codes(text) if name in OF_SYMPTOMS else text
    return markdown
