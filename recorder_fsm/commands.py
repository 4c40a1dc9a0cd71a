"""The commands beside `run`, each a few lines that call the module that does the work, with its help."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from recorder_fsm import __version__
from recorder_fsm.system.signals import StopRequest
from recorder_fsm.system.surroundings import end_process
from recorder_fsm.terminal.command_line import PROGRAM, SHELLS, Commands, Sections, completion_script
from recorder_fsm.terminal.screen import Mark, Screen
from recorder_fsm.terminal.stopping import AGAIN, run_stoppable

PLACES = {
    "bash": "~/.local/share/bash-completion/completions/recorder-fsm",
    "zsh": "a file _recorder-fsm in a directory of $fpath",
    "fish": "~/.config/fish/completions/recorder-fsm.fish",
}

RECOVER_STOPS = (
    "Stopping: the recording at hand is published as far as STOP_GRACE_SECONDS allows, the others stay where they are. "
    "Pressing Ctrl-C again changes nothing."
)
READING_STOPS = f"Stopping: the programs that read the recording are being ended. {AGAIN}"


def _read_size(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if match is None:
        raise click.BadParameter("a size is WIDTHxHEIGHT in pixels, like 1280x720")
    return int(match.group(1)), int(match.group(2))


@contextmanager
def _trouble_said(what: str, cure: str) -> Iterator[None]:
    """End the command with one line where the system refuses something; a reader that has gone is no trouble."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise click.ClickException(f"{what}: {problem}; {cure}") from problem


def _settings() -> Sections:
    from recorder_fsm.config.groups import in_groups  # noqa: PLC0415 - a command imports what it needs

    return in_groups()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        ("recorder-fsm demo", "Record a call of the local stand-in for Mattermost: needs no server."),
        ("recorder-fsm run --help", "Show all settings."),
        ("recorder-fsm recover /data", "Publish what killed jobs left."),
    ],
)
@click.version_option(__version__, prog_name=PROGRAM)
def commands() -> None:
    """Record a Mattermost call: one process per recording.

    Without a command it is `run`: it records the call that the environment describes.
    """


@commands.command(
    lists=_settings,
    examples=[
        (
            "env SITE_URL=https://chat.example CALL_ID=... POST_ID=... RECORDING_ID=... AUTH_TOKEN=... recorder-fsm",
            "Record the call in the channel CALL_ID, as calls-offloader does.",
        ),
        (
            "docker run --env-file job.env --volume recordings:/data recorder-fsm",
            "The same in a container; better than a token in a command line, which others can read.",
        ),
    ],
)
def run() -> None:
    """Record one call, publish it, and end: the default command.

    The job is described by environment variables alone; an empty number, or 0, is the default. It ends when the host
    stops the recording, when the call ends, or when SIGTERM, SIGINT (Ctrl-C), SIGQUIT or SIGHUP asks it to stop: what
    was recorded is saved and published then.

    Exit code 0: nothing worth keeping is left. 1: a recording waits in DATA_DIR, or the settings are wrong.
    """
    raise AssertionError("`run` is taken by the command line before its signals could be missed")


@commands.command(
    examples=[
        ("AUTH_TOKEN=... recorder-fsm recover /data", "Publish all that waits under /data."),
        (
            "SITE_URL=https://chat.example.com AUTH_TOKEN=... recorder-fsm recover",
            "The same in DATA_DIR, on a server that has moved since.",
        ),
    ]
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.pass_context
def recover(context: click.Context, directory: Path | None) -> None:
    """Publish what killed jobs left in DIRECTORY.

    Without one it is DATA_DIR, else /data. AUTH_TOKEN must be in the environment: a present token of the Calls bot. The
    ids come from each job's journal; SITE_URL, where it is set, goes before the address in it. Nothing is recorded.
    Ctrl-C lets the recording at hand be published as far as STOP_GRACE_SECONDS allows; the others stay where they are.

    Exit code 0: nothing is left to publish. 1: something is left, or could not be looked at.
    """
    from recorder_fsm.recovery import recover as recover_all  # noqa: PLC0415
    from recorder_fsm.storage import logs  # noqa: PLC0415
    from recorder_fsm.system.threads import run_to_end  # noqa: PLC0415
    from recorder_fsm.terminal.recovering import showing  # noqa: PLC0415

    os.umask(0o077)  # as for `run`
    stop = StopRequest()
    stop.install()
    environment: dict[str, str] = context.obj
    root = directory or Path(environment.get("DATA_DIR") or "/data")
    with showing(environment) as shown, logs.own_output():
        recovering = recover_all(root, environment, stop, logs.say, shown)
        code = run_to_end(stop.said(recovering, lambda: logs.say(RECOVER_STOPS)))
        stop.ignore()
    end_process(code)


@commands.command(
    examples=[
        ("recorder-fsm explain sandbox_refused", "Say what this code of a report or a log means, and its cure."),
        ("recorder-fsm explain", "List all codes."),
    ]
)
@click.argument("code", required=False)
def explain(code: str | None) -> None:
    """Say what an error CODE means, and what to do.

    Without a code it lists all of them.
    """
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


@commands.command(
    examples=[
        ("recorder-fsm doctor", "Check this host or container: without settings, all but the server."),
        ("docker run --rm --env-file job.env recorder-fsm doctor", "In the image, with the settings of a job."),
        ("recorder-fsm doctor --json --no-capture", "In a few seconds, for a program."),
    ]
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, described in docs/doctor.md.")
@click.option("--capture/--no-capture", default=True, show_default=True, help="Whether to record five seconds.")
@click.pass_context
def doctor(context: click.Context, as_json: bool, capture: bool) -> None:
    """Check whether this host or container can record.

    Looks at the machine, the programs, the browser's sandbox, the fonts, and the server where SITE_URL is set:
    it is only asked, nothing is changed. Records and measures five seconds of its own. Takes less than 20 seconds.

    Exit code 0: all is well, or there are warnings. 1: something is bad.
    """
    from recorder_fsm.doctor.examination import examine  # noqa: PLC0415 - a command imports what it needs
    from recorder_fsm.doctor.verdict import show  # noqa: PLC0415

    screen, errors = Screen(context.obj), Screen(context.obj, sys.stderr)
    results = examine(context.obj, with_capture=capture)
    sys.exit(
        run_stoppable(
            show(results, screen, as_json=as_json),
            lambda: errors.say(f"Stopping: the programs of the check are being ended. {AGAIN}"),
        )
    )


@commands.command(
    examples=[
        ("recorder-fsm graph", "Print the diagram, for any page that draws Mermaid."),
        ("recorder-fsm graph --table", "Print what each state holds, and each transition."),
    ]
)
@click.option("--table", is_flag=True, help="Print the tables of states and transitions instead (Markdown).")
def graph(table: bool) -> None:
    """Print the state diagram (Mermaid)."""
    from recorder_fsm.machine import diagram  # noqa: PLC0415 - a command imports what it needs

    click.echo(diagram.states_table() + "\n" + diagram.transitions_table() if table else diagram.mermaid(), nl=False)


@commands.command(
    examples=[
        ("recorder-fsm verify meeting.mp4", "Say whether it is fit to be watched, and what is odd."),
        ("recorder-fsm verify --sheet meeting.png meeting.mp4", "And draw frames and loudness as one picture."),
        ("recorder-fsm verify --json meeting.mp4", "The same as one JSON object (docs/verifying.md)."),
    ]
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--pattern", is_flag=True, help="Also measure the stand-in's test pattern: lost frames, A/V offset, drift."
)
@click.option("--sheet", type=click.Path(path_type=Path), metavar="OUT.png", help="Draw a contact sheet with waveform.")
@click.pass_context
def verify(context: click.Context, file: Path, *, as_json: bool, pattern: bool, sheet: Path | None) -> None:
    """Examine a recording, and say whether it is fit to be watched.

    Streams, length, gaps, black, frozen and silent spans, loudness, seeking, and whether all of it decodes. That takes
    about a tenth of its length, more for large ones that move. Nothing is changed.

    Exit code 0: fit. 1: something is wrong with the recording. 2: FILE cannot be examined.
    """
    from recorder_fsm.analysis.verify import RATING_CHARS, WIDEST  # noqa: PLC0415 - a command imports what it needs
    from recorder_fsm.analysis.verify import verify as examine  # noqa: PLC0415

    screen = Screen(context.obj)
    columns = screen.columns if screen.drawn else WIDEST
    examining = examine(file, pattern=pattern, sheet=sheet, columns=columns)
    answer = run_stoppable(examining, lambda: click.echo(READING_STOPS, err=True))
    if as_json:
        screen.say(json.dumps(answer.facts, indent=2))
    else:
        for rating, text in answer.lines:
            screen.say(f"{screen.word(Mark(rating), RATING_CHARS)} {text}" if rating else text)
    sys.exit(answer.exit_code)


@commands.command(
    examples=[
        (
            "recorder-fsm report /data/RECORDING_ID",
            "Write /data/RECORDING_ID/report.html, to be opened in any browser.",
        ),
        ("recorder-fsm report /data/RECORDING_ID --out - > job.html", "Write it to standard output."),
    ]
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the page goes, - for standard output. [default: DIRECTORY/report.html]",
)
@click.pass_context
def report(context: click.Context, directory: Path, out: Path | None) -> None:
    """Write one page of HTML about the job in DIRECTORY, a subdirectory of DATA_DIR.

    It says what happened, why, and what to do, with CPU, memory, encoder and audio over time, frames of a recording
    that is kept, and the log. It has all in it, so it can be sent to somebody. A job that fails leaves one by itself.
    """
    from recorder_fsm.error_catalogue import what_to_do  # noqa: PLC0415
    from recorder_fsm.errors import DirectoryError  # noqa: PLC0415
    from recorder_fsm.plain_text import keep_secret  # noqa: PLC0415
    from recorder_fsm.report_page.evidence import NotAJobError  # noqa: PLC0415
    from recorder_fsm.report_page.writer import PAGE, page_with_frames, put  # noqa: PLC0415

    keep_secret(context.obj.get("AUTH_TOKEN", ""))  # where it is known: the log has none, and is masked once more
    target = directory / PAGE if out is None else out
    try:
        page = run_stoppable(page_with_frames(directory), lambda: click.echo(READING_STOPS, err=True))
        if str(target) == "-":
            sys.stdout.buffer.write(page)
        else:
            put(page, target)
            click.echo(f"the report is {target}")
    except NotAJobError as error:
        raise click.ClickException(f"{error.detail}{what_to_do(error.code)}") from error
    except DirectoryError as error:
        raise click.ClickException(f"{error.detail}; --out names another place") from error


@commands.command(
    examples=[
        ("recorder-fsm standin", "Serve http://127.0.0.1:8065, with a page that starts and stops recordings."),
        ("recorder-fsm standin --port 9000 --knobs faults.json", "With faults to try (docs/standin.md)."),
    ]
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8065, show_default=True, help="Port; 0 takes one that is free."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("build/standin"),
    show_default=True,
    help="Where its files go.",
)
@click.option("--knobs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Faults and scene, JSON.")
@click.option("--recorder-command", metavar="COMMAND", help="What the channel page starts instead of this recorder.")
@click.pass_context
def standin(
    context: click.Context, host: str, port: int, data: Path, knobs: Path | None, *, recorder_command: str | None
) -> None:
    """Start a small local Mattermost with a call page.

    For demos and tests. Ctrl-C stops it, and the recorders that it started.
    """
    from recorder_fsm.standin.knobs import KnobError  # noqa: PLC0415
    from recorder_fsm.standin.launcher import RECORDER, read_command  # noqa: PLC0415
    from recorder_fsm.standin.server import serve  # noqa: PLC0415

    try:
        argv = RECORDER if recorder_command is None else read_command(recorder_command)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--recorder-command") from problem
    screen = Screen(context.obj)
    try:
        with _trouble_said("the stand-in did not start", "--port 0 takes a free port, --host and --data other places"):
            asyncio.run(serve(host, port, data, knobs, environ=context.obj, recorder_argv=argv, say=screen.say))
    except KnobError as problem:
        raise click.ClickException(f"the stand-in did not start: {problem}; docs/standin.md has all knobs") from problem


@commands.command(
    examples=[
        ("recorder-fsm demo", "Record 20 seconds of a call, and check the published file."),
        ("recorder-fsm demo --seconds 60 --size 1920x1080 --no-share", "Longer, larger, without a shared screen."),
    ]
)
@click.option("--seconds", type=click.FloatRange(min=1), default=20, show_default=True, help="How long to record.")
@click.option(
    "--size",
    default="1280x720",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    callback=_read_size,
    help="Size of the video in pixels.",
)
@click.option("--share/--no-share", default=True, show_default=True, help="Whether somebody shares a screen.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Where the files go.",
)
@click.pass_context
def demo(context: click.Context, seconds: float, size: tuple[int, int], share: bool, out: Path) -> None:
    """Record a call of the stand-in, and check what was published.

    Needs no server: the stand-in is started beside it. Ctrl-C ends the recording early.
    """
    from recorder_fsm.standin.demo import DemoOptions, run_demo  # noqa: PLC0415
    from recorder_fsm.standin.demo_view import DemoView  # noqa: PLC0415

    options = DemoOptions(seconds=seconds, width=size[0], height=size[1], share=share, out=out)
    with _trouble_said("the demo cannot go on", "--out names another place for its files"):
        sys.exit(asyncio.run(run_demo(options, DemoView(seconds, Screen(context.obj).console))))


@commands.command(
    examples=[
        (f"recorder-fsm completion bash > {PLACES['bash']}", "Complete commands and options in every new bash."),
        ('eval "$(recorder-fsm completion zsh)"', "In this zsh, at once."),
        (f"recorder-fsm completion fish > {PLACES['fish']}", "In every new fish."),
    ]
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script for completion in SHELL."""
    click.echo(completion_script(commands, shell))
