"""The commands beside `run`, each a few lines that call the room which does the work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from recorder_fsm import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Record a Mattermost call: one process per recording."""


@commands.command()
def run() -> None:
    """Do one job, described by the environment (SITE_URL, CALL_ID, ...). The default command."""
    raise AssertionError("`run` is taken by the command line before its signals could be missed")


@commands.command()
@click.option("--table", is_flag=True, help="Print the table of moves instead (Markdown).")
def graph(table: bool) -> None:
    """Print the state diagram (Mermaid)."""
    from recorder_fsm import diagram  # noqa: PLC0415 - a command imports what it needs

    click.echo(diagram.markdown_table() if table else diagram.mermaid(), nl=False)


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8065, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("build/standin"), show_default=True)
@click.option("--knobs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Faults and scene, JSON.")
def standin(host: str, port: int, data: Path, knobs: Path | None) -> None:
    """Start a small local Mattermost with a call page, for demos and tests."""
    from recorder_fsm.standin.server import serve  # noqa: PLC0415

    asyncio.run(serve(host, port, data, knobs))
