"""The pages that the program writes of itself: settings, commands, exit codes, metrics, error codes.

They are made when the site is built and lie in no repository, so they cannot be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from docsite import links
from recorder_fsm import error_catalogue, error_pages
from recorder_fsm.commands import commands
from recorder_fsm.config import settings
from recorder_fsm.status import metrics

ROOT = Path(__file__).parent.parent
HELP_WIDTH = 80


def pages() -> Mapping[str, str]:
    """Return all pages in Markdown, by their names; links in them lead from the root of the repository."""
    made = {
        "settings.md": _settings(),
        "commands.md": _commands(),
        "exit-codes.md": _exit_codes(),
        "metrics.md": _metrics(),
        "contributing.md": _read("CONTRIBUTING.md"),
        "changelog.md": _read("CHANGELOG.md"),
        "errors/index.md": error_pages.index(),
    }
    made |= {f"errors/{entry.code}.md": error_pages.page(entry) for entry in error_catalogue.entries().values()}
    return made


def _settings() -> str:
    return (
        "# Settings\n\n"
        "Environment variables. The launcher sets those of the job (the first twelve). `MM_CALLS_RECORDER_<NAME>` in "
        "the Mattermost server's environment sets or replaces any of them: [configure](configure.md). An empty number, "
        "or 0, is the default. What is wrong is said in the log, all at once, and in the call: "
        "[settings](errors/settings.md).\n\n"
        f"{settings.markdown_table()}"
    )


def _metrics() -> str:
    return (
        "# Metrics\n\n"
        "What `/metrics` has, where `STATUS_ADDR` is set. How it is scraped, alerts and a dashboard: "
        "[observe](observing.md).\n\n"
        f"{metrics.markdown_table()}"
    )


def _commands() -> str:
    """Return the help of each command, as a terminal of usual width shows it."""
    parts = ["# Commands\n\nWithout a command it is `run`: that is what a container starts.\n"]
    shown: dict[str, Any] = {**commands.context_settings, "terminal_width": HELP_WIDTH, "color": False}
    root = click.Context(commands, info_name="recorder-fsm", **shown)
    parts.append(_help_of(commands, root))
    for name in commands.list_commands(root):
        command = commands.get_command(root, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=root, **shown)
        parts.append(f"## {name}\n\n{_help_of(command, context)}")
    return "\n".join(parts)


def _help_of(command: click.Command, context: click.Context) -> str:
    return f"```text\n{click.unstyle(command.get_help(context)).rstrip()}\n```\n"


def _exit_codes() -> str:
    """Return the section of the README, which is the one place that has it."""
    section = re.search(r"^## Exit codes and files\n(.*?)(?=^## )", _read("README.md"), re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError("README.md has no section `Exit codes and files`")
    return (
        f"# Exit codes and files\n{links.on_the_site(section[1], '')}"
        "What each cause means: [error codes](errors/index.md). "
        "Exit codes of other commands: [doctor](doctor.md), [verify](verifying.md), [recover](recovering.md).\n"
    )


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
