"""One line that an operator typed, or gave to ``ssh``: the verb is found and carried out.

Place in flow: ``engine.console.channel`` and ``engine.console.shell`` call it.

Invariants:
    * Nothing is run but a verb of the catalogue: there is no shell behind the console.
    * Exit statuses: 0 fine, 1 the thing asked for failed, 2 wrong usage, as of the command line.
    * An error of one line ends that line, and is told in one.
"""

from __future__ import annotations

import difflib
import inspect
import logging
import shlex
from collections.abc import Mapping, Sequence

import click

from engine.base.command_line import FAILED, FINE, WRONG_USAGE
from engine.cli.table import printable
from engine.cli.verb import HelpAskedError, Session, Verb
from engine.console.local_node import LocalNode
from engine.console.terminal import ConsoleTerminal, EnoughError, OutputLostError

log = logging.getLogger("cirrus.console")

#: Characters of a line.
LINE_MAX = 64 << 10
HELP_COLUMNS = 100


class LeaveError(Exception):
    """The operator wants to go."""


def split_line(line: str) -> list[str]:
    """Return the words of a line, quoted as in a shell.

    Raises:
        click.UsageError: A quote is open, or the line is too long.
    """
    if len(line) > LINE_MAX:
        raise click.UsageError("the line is too long")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise click.UsageError(f"{error}".lower()) from None
    # Whoever copies a line of the command line to the console means the same.
    return words[1:] if words[:1] == ["cirrus"] else words


def find_verb(
    verbs: Mapping[str, Verb], words: Sequence[str], aliases: Mapping[tuple[str, ...], str]
) -> tuple[Verb, list[str]]:
    """Return the verb that words name, and its arguments.

    Args:
        verbs: The verbs by name.
        words: What was typed; not empty.
        aliases: First words that mean a verb, such as ``("shaping", "explain")``.

    Raises:
        click.UsageError: There is no such verb.
    """
    for length in (2, 1):
        name = aliases.get(tuple(words[:length]))
        if name is not None and name in verbs:
            return verbs[name], list(words[length:])
    found = verbs.get(words[0])
    if found is not None:
        return found, list(words[1:])
    close = difflib.get_close_matches(words[0][:100], verbs, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; type help for a list"
    raise click.UsageError(f"there is no '{printable(words[0][:100])}' here{hint}")


async def run_line(
    node: LocalNode,
    terminal: ConsoleTerminal,
    verbs: Mapping[str, Verb],
    aliases: Mapping[tuple[str, ...], str],
    line: str,
) -> int:
    """Return the exit status of a line, after it was carried out.

    Args:
        node: The node, as the operator reaches it.
        terminal: The operator's terminal.
        verbs: The verbs by name.
        aliases: First words that mean a verb.
        line: What was typed.

    Raises:
        LeaveError: The operator wants to go.
        OutputLostError: The operator is gone.
    """
    session = Session(node, terminal)
    try:
        words = split_line(line)
        if not words:
            return FINE
        verb, arguments = find_verb(verbs, words, aliases)
        if node.operator.role < verb.role:
            text = f"this is for the role {verb.role.label}"
            node.note_denied(str(verb.name), text)
            raise click.ClickException(f"{verb.name}: {text}; you are {node.operator.role.label}")
        terminal.begin_answer(pages=not verb.is_live)
        return await _carry_out(verb, arguments, session)
    except EnoughError:
        return FINE
    except HelpAskedError as asked:
        terminal.begin_answer(pages=True)
        await session.write(f"{asked}\n")
        return FINE
    except click.UsageError as error:
        usage = f"{error.ctx.get_usage()}\n" if error.ctx is not None else ""
        await terminal.note(f"{usage}cirrus: {printable(error.format_message())}\n")
        return WRONG_USAGE
    except click.ClickException as error:
        await terminal.note(f"cirrus: {printable(error.format_message())}\n")
        return FAILED


async def _carry_out(verb: Verb, arguments: list[str], session: Session) -> int:
    columns = session.terminal.columns
    context = verb.make_context(
        str(verb.name),
        arguments,
        obj=session,
        terminal_width=min(columns or HELP_COLUMNS, HELP_COLUMNS),
        max_content_width=HELP_COLUMNS,
        help_option_names=["-h", "--help"],
        color=False,
    )
    try:
        with context:
            status = verb.invoke(context)
            if inspect.isawaitable(status):
                status = await status
    except (click.ClickException, HelpAskedError, EnoughError, LeaveError, OutputLostError):
        raise
    # Boundary, admin command: a defect in a verb ends the verb, not the session.
    except Exception as error:
        log.exception("the verb %s failed", verb.name)
        raise click.ClickException(f"{verb.name}: internal error, see the node's log") from error
    return status if isinstance(status, int) else FINE
