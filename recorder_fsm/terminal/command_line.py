"""The frame of the commands: examples and tables in their help, suggestions, completion, ends without a traceback."""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from recorder_fsm.terminal.stopping import EXIT_INTERRUPTED, Interrupted

PROGRAM = "recorder-fsm"
COMPLETION_VARIABLE = "_RECORDER_FSM_COMPLETE"
"""Set by a shell that asks for completions; click's name for it."""
SHELLS = ("bash", "zsh", "fish")
LEAST_OF_CLICK = 52
"""In a narrower terminal click would write beyond the edge."""
NARROWEST = 24
EXIT_NOBODY_READS = 1

Sections = Mapping[str, Sequence[tuple[str, str]]]
"""Lists for the help: a heading, then terms with their meaning."""


class Command(click.Command):
    """A command whose help ends with examples: (what is typed behind the program's name, what it does).

    `lists` gives more lists for the help, when it is asked for.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[tuple[str, str]] = (),
        lists: Callable[[], Sections] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(*args, **more)
        self.examples = examples
        self.lists = lists

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, entries in (self.lists() if self.lists is not None else {}).items():
            with formatter.section(heading):
                formatter.write_dl(entries)
        if self.examples:
            write_examples(formatter, self.examples)
        super().format_epilog(ctx, formatter)


class Commands(click.Group):
    """The program: finds a command, or says which one may be meant; ends with the exit code that a shell expects."""

    command_class = Command

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)
        super().format_epilog(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx))
            meant = (
                f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(self.list_commands(ctx))}."
            )
            raise click.UsageError(f"No such command: {args[0]}. {meant}", ctx)
        return super().resolve_command(ctx, args)

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        """Do what the arguments say, and end the process; nobody sees a traceback of a wrong word or of Ctrl-C."""
        try:
            narrow = {"terminal_width": columns - 2} if (columns := _columns()) < LEAST_OF_CLICK else {}
            self.main(list(arguments), PROGRAM, COMPLETION_VARIABLE, standalone_mode=False, obj=environment, **narrow)
            code = 0
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            sys.stderr.write("Stopped.\n")
            code = EXIT_INTERRUPTED
        except Interrupted as interrupted:
            code = interrupted.code
        except BrokenPipeError:
            code = EXIT_NOBODY_READS
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            code = code or EXIT_NOBODY_READS
            # The interpreter flushes once more at its end, and would complain.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(code)


def _columns() -> int:
    return max(NARROWEST, shutil.get_terminal_size().columns)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write each example as it is typed, with its meaning below it."""
    if not examples:
        return
    with formatter.section("Examples"):
        for typed, meaning in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{typed}\n")
            formatter.indent()
            formatter.indent()
            formatter.write_text(meaning)
            formatter.dedent()
            formatter.dedent()


def completion_script(commands: click.Command, shell: str) -> str:
    """Return the script that lets a shell complete the program's commands and options."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell}")
    completion = kind(commands, {}, PROGRAM, COMPLETION_VARIABLE)
    # Not `source()`: for bash that starts a shell, to complain about its age.
    return completion.source_template % completion.source_vars()
