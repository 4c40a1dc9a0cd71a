"""The commands beside `run`, each a few lines that call the module that does the work."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import click

from recorder_fsm import __version__
from recorder_fsm.system.signals import StopRequest
from recorder_fsm.system.surroundings import end_process


def _read_size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if match is None:
        raise click.BadParameter("a size is WIDTHxHEIGHT in pixels, like 1280x720")
    return int(match.group(1)), int(match.group(2))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Record a Mattermost call: one process per recording."""


@commands.command()
def run() -> None:
    """Do one job, described by the environment (SITE_URL, CALL_ID, ...). The default command."""
    raise AssertionError("`run` is taken by the command line before its signals could be missed")


@commands.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.pass_context
def recover(context: click.Context, directory: Path | None) -> None:
    """Publish what killed jobs left in DIRECTORY (DATA_DIR, else /data). Needs AUTH_TOKEN in the environment."""
    from recorder_fsm.recovery import recover as recover_all  # noqa: PLC0415
    from recorder_fsm.storage import logs  # noqa: PLC0415
    from recorder_fsm.system.threads import run_to_end  # noqa: PLC0415

    os.umask(0o077)  # as for `run`
    stop = StopRequest()
    stop.install()
    environment: dict[str, str] = context.obj
    root = directory or Path(environment.get("DATA_DIR") or "/data")
    with logs.own_output():
        code = run_to_end(recover_all(root, environment, stop, logs.say))
        stop.ignore()
    end_process(code)


@commands.command()
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Say what an error CODE means and what to do about it; without one, list all codes."""
    import shutil  # noqa: PLC0415 - a command imports what it needs

    from recorder_fsm import error_pages  # noqa: PLC0415

    if code is None:
        click.echo(error_pages.overview(), nl=False)
        return
    try:
        click.echo(error_pages.explain(code, min(shutil.get_terminal_size().columns, 100)), nl=False)
    except KeyError as near:
        meant = f" Did you mean {near.args[0]}?" if near.args[0] else ""
        raise click.ClickException(
            f"there is no error code {code!r}.{meant} `recorder-fsm explain` lists all"
        ) from near


@commands.command()
@click.option("--table", is_flag=True, help="Print the tables of states and transitions instead (Markdown).")
def graph(table: bool) -> None:
    """Print the state diagram (Mermaid)."""
    from recorder_fsm.machine import diagram  # noqa: PLC0415 - a command imports what it needs

    click.echo(diagram.states_table() + "\n" + diagram.transitions_table() if table else diagram.mermaid(), nl=False)


@commands.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8065, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("build/standin"), show_default=True)
@click.option("--knobs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Faults and scene, JSON.")
@click.option("--recorder-command", metavar="COMMAND", help="What the channel page starts instead of this recorder.")
@click.pass_context
def standin(
    context: click.Context, host: str, port: int, data: Path, knobs: Path | None, *, recorder_command: str | None
) -> None:
    """Start a small local Mattermost with a call page, for demos and tests."""
    from recorder_fsm.standin.launcher import RECORDER, read_command  # noqa: PLC0415
    from recorder_fsm.standin.server import serve  # noqa: PLC0415

    try:
        argv = RECORDER if recorder_command is None else read_command(recorder_command)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--recorder-command") from problem
    asyncio.run(serve(host, port, data, knobs, environ=context.obj, recorder_argv=argv))


@commands.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=20, show_default=True, help="How long to record.")
@click.option("--size", default="1280x720", show_default=True, metavar="WIDTHxHEIGHT", callback=_read_size)
@click.option("--share/--no-share", default=True, show_default=True, help="Whether somebody shares a screen.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build/demo"), show_default=True)
def demo(seconds: float, size: tuple[int, int], share: bool, out: Path) -> None:
    """Record a call of the stand-in, and check what was published."""
    from recorder_fsm.standin.demo import DemoOptions, run_demo  # noqa: PLC0415
    from recorder_fsm.standin.demo_view import DemoView  # noqa: PLC0415

    options = DemoOptions(seconds=seconds, width=size[0], height=size[1], share=share, out=out)
    sys.exit(asyncio.run(run_demo(options, DemoView(seconds))))
