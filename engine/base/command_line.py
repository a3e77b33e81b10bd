"""The ``cirrus`` command: finds its subcommands, and ends each of them in one way.

Place in flow: the console script calls ``main``. Each program registers its commands in the
entry-point group ``cirrus.commands`` (``run = "module:click_command"``), so that none imports
another.

Invariants:
    * Exit statuses: 0 fine, 1 the thing asked for failed, 2 wrong usage.
    * An error is one line on standard error that begins with ``cirrus:``, never a traceback,
      unless ``CIRRUS_TRACEBACK=1`` asks for it.

Failure: a command that cannot be loaded says why when it is called, and in the list of commands;
it does not touch the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any, NoReturn, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from engine.base.command_sections import known_help, sections_of
from engine.model.duration import parse_duration
from engine.model.errors import EngineError
from engine.model.listener_options import parse_listen
from engine.model.record_line import printable
from engine.model.throttle_spec import parse_throttle

COMMANDS_GROUP = "cirrus.commands"
DISTRIBUTION = "cirrus-mta"
_OWN_PACKAGES = ("engine", "tsa", "proxy")
TRACEBACK_VARIABLE = "CIRRUS_TRACEBACK"

FINE = 0
FAILED = 1
WRONG_USAGE = 2

_P = ParamSpec("_P")
_R = TypeVar("_R")


class CommandGroup(click.Group):
    """The group of all registered commands; each is imported when it is first needed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._found: dict[str, list[EntryPoint]] | None = None
        self._loaded: dict[str, click.Command] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all registered commands, sorted."""
        return sorted({*self._entries(), *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, a stand-in that explains itself if it is broken, None if unknown."""
        entries = self._entries().get(cmd_name)
        if entries is None:
            return super().get_command(ctx, cmd_name)
        if cmd_name not in self._loaded:
            self._loaded[cmd_name] = _load(cmd_name, entries)
        return self._loaded[cmd_name]

    def listed_help(self, ctx: click.Context, name: str) -> str | None:
        """Return what a list says of a command; None for one that is not to be listed.

        Those of ours are known without loading them.
        """
        entries = self._entries().get(name, ())
        if len(entries) == 1 and entries[0].value.partition(".")[0] in _OWN_PACKAGES:
            known = known_help(name)
            if known is not None:
                return known
        command = self.get_command(ctx, name)
        if command is None or command.hidden:
            return None
        return command.get_short_help_str(limit=200)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in their sections."""
        shown = {name: self.listed_help(ctx, name) for name in self.list_commands(ctx)}
        names = [name for name, text in shown.items() if text is not None]
        width = max(map(len, names), default=0)
        for section, here in sections_of(names):
            with formatter.section(section):
                # All sections have their texts in one column.
                rows = [(name.ljust(width), shown[name] or "") for name in here]
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return commands and options that begin so; no command is loaded for it."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [(name, self.listed_help(ctx, name)) for name in names]
        items = [CompletionItem(name, help=text) for name, text in found if text is not None]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def _entries(self) -> dict[str, list[EntryPoint]]:
        if self._found is None:
            self._found = {}
            for entry in entry_points(group=COMMANDS_GROUP):
                same_name = self._found.setdefault(entry.name, [])
                # An editable install is seen twice when it is run from its own folder.
                if all(entry.value != other.value for other in same_name):
                    same_name.append(entry)
        return self._found


def _load(name: str, entries: Sequence[EntryPoint]) -> click.Command:
    if len(entries) > 1:
        who = " and ".join(sorted(entry.value for entry in entries))
        return _broken(name, f"registered twice, by {who}")
    (entry,) = entries
    try:
        command = entry.load()
    # Boundary, admin command: one broken program hides no other.
    except Exception as error:
        if _wants_traceback():
            raise
        return _broken(name, f"{entry.value} cannot be loaded: {_one_line(error)}")
    if not isinstance(command, click.Command):
        return _broken(name, f"{entry.value} is not a click command")
    return command


def _broken(name: str, reason: str) -> click.Command:
    def explain() -> NoReturn:
        raise click.ClickException(f"the command {name!r} is broken: {reason}")

    return click.Command(
        name,
        callback=explain,
        help=f"BROKEN: {reason}",
        # Whatever is asked of it, the answer is the reason.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        add_help_option=False,
    )


def _product_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "of a source tree that is not installed"


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"Cirrus {_product_version()}")
        ctx.exit()


def cirrus_command() -> CommandGroup:
    """Return the ``cirrus`` command with everything that is registered now."""
    return CommandGroup(
        name="cirrus",
        help=(
            "Cirrus, a mail transfer agent for people who send a lot of mail, scripted in Python."
        ),
        epilog=(
            "Exit status: 0 fine, 1 the thing asked for failed, 2 wrong usage. "
            f"Set {TRACEBACK_VARIABLE}=1 to see where an error comes from."
        ),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_print_version,
                help="Print the version and exit.",
            )
        ],
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``cirrus`` and exit.

    A command's integer result is its exit status.

    Args:
        arguments: What follows the program's name; this process's own when not given.
    """
    try:
        result = cirrus_command().main(
            args=None if arguments is None else list(arguments),
            prog_name="cirrus",
            standalone_mode=False,
        )
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) left: nothing more can be said, and the interpreter must not try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    # Boundary, admin command: an error ends as a line, not as a trace.
    except Exception as error:
        if _wants_traceback() and not isinstance(error, click.ClickException | click.Abort):
            raise
        sys.exit(_report(error))
    sys.exit(result if isinstance(result, int) else FINE)


def _report(error: Exception) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return WRONG_USAGE
        case click.UsageError():
            if error.ctx is not None:
                click.echo(error.ctx.get_usage(), err=True)
                click.echo(f"Try '{error.ctx.command_path} --help' for help.", err=True)
            click.echo(f"cirrus: {_harmless(error.format_message())}", err=True)
            return WRONG_USAGE
        case click.ClickException():
            click.echo(f"cirrus: {_harmless(error.format_message())}", err=True)
        case click.Abort():
            click.echo("cirrus: interrupted", err=True)
        case EngineError() | OSError():
            click.echo(f"cirrus: {_harmless(_text(error))}", err=True)
        case _:
            click.echo(
                f"cirrus: a defect in the program: {_harmless(_one_line(error))} "
                f"(set {TRACEBACK_VARIABLE}=1 to see where)",
                err=True,
            )
    return FAILED


def expected_errors(
    *kinds: type[Exception],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator for a command that may end with errors of a package's own tree.

    Such an error is printed as its text alone. ``EngineError`` and ``OSError`` need no mention.

    Args:
        kinds: The error types.
    """

    def decorate(command: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(command)
        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return command(*args, **kwargs)
            except kinds as error:
                if _wants_traceback():
                    raise
                raise click.ClickException(_text(error)) from error

        return run

    return decorate


def _harmless(text: str) -> str:
    """Return lines in which a terminal finds nothing to obey: errors quote names and replies."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _wants_traceback() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Parsed(click.ParamType[Any]):
    """An option whose text one of the engine's own parsers reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value; one that is parsed already stays as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_seconds(text: str) -> float:
    # On a command line a bare number is a number of seconds, as in a script.
    try:
        number = float(text)
    except ValueError:
        return parse_duration(text)
    return parse_duration(number)


def _parse_per_s(text: str) -> float:
    return parse_throttle(f"{text}/s" if text.isdigit() else text).per_s


#: ``20m``, ``1h30m``, ``1.5``: seconds as a float.
DURATION = Parsed("duration", _parse_seconds)
#: ``127.0.0.1:25``, ``[::1]:25``: host and port.
LISTEN = Parsed("address:port", parse_listen)
#: ``100/s``, ``6000/min``, ``100``: a float per second.
RATE = Parsed("rate", _parse_per_s)
