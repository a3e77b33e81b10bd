"""The verbs of the console: those of the command line, and a few that only a session has.

Place in flow: ``engine.console.channel`` and ``engine.console.shell`` offer them.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from engine.cli import catalogue
from engine.cli.verb import HelpAskedError, Session, Verb, verb
from engine.console.line import LeaveError
from engine.console.local_node import LocalNode
from engine.console.tail import tail
from engine.model.role import Role

#: First words that mean a verb, for whoever looks for them under their subject.
ALIASES: Mapping[tuple[str, ...], str] = {
    ("quit",): "exit",
    ("logout",): "exit",
    ("?",): "help",
    ("trace", "in"): "trace-smtp-server",
    ("trace", "server"): "trace-smtp-server",
    ("trace", "out"): "trace-smtp-client",
    ("trace", "client"): "trace-smtp-client",
    ("policy", "reload"): "reload",
    ("shaping", "explain"): "shaping-explain",
    ("tsa", "decisions"): "decisions",
    ("tsa", "status"): "automation",
    ("tsa",): "decisions",
}
#: Verbs that make no sense in a session.
_OUTSIDE_ONLY = frozenset({"completion"})


@verb("help", "Show the verbs, or the manual of one.", has_json=False)
@click.argument("words", nargs=-1, metavar="[VERB]")
async def show_help(session: Session, *, words: tuple[str, ...]) -> None:
    """Show the verbs, or the manual of one."""
    role = _role_of(session)
    verbs = console_verbs(role)
    if words:
        name = ALIASES.get(words[:2]) or ALIASES.get(words[:1]) or words[0]
        known = verbs.get(name)
        if known is None:
            raise click.UsageError(f"there is no {words[0]!r} here")
        context = click.Context(
            known, info_name=name, obj=session, terminal_width=session.terminal.columns or 100
        )
        raise HelpAskedError(known.get_help(context))
    rows = [(name, made.get_short_help_str(200)) for name, made in sorted(verbs.items())]
    await session.write_table(("VERB", "DOES"), rows)
    spoken = sorted(" ".join(words) for words, name in ALIASES.items() if name in verbs)
    await session.write(f"\nAlso: {', '.join(spoken)}. VERB --help shows the manual of a verb.\n")


@verb("exit", "End the session.", has_json=False)
async def leave(_session: Session) -> None:
    """End the session."""
    raise LeaveError


@verb("whoami", "Show who you are here, and what you may do.")
async def whoami(session: Session) -> None:
    """Show who you are here."""
    assert isinstance(session.node, LocalNode)
    operator, caller = session.node.operator, session.node.caller
    told = {"name": operator.name, "role": operator.role.label, "origin": caller.origin}
    if session.as_json:
        await session.write_json(told)
        return
    await session.write_fields(list(told.items()))


def _role_of(session: Session) -> Role:
    node = session.node
    return node.operator.role if isinstance(node, LocalNode) else Role.VIEWER


_OWN = (show_help, leave, whoami, tail)


def console_verbs(role: Role = Role.ADMIN) -> dict[str, Verb]:
    """Return the verbs that somebody of a role may use, by name."""
    known = {**catalogue.all_verbs(), **{str(one.name): one for one in _OWN}}
    return {
        name: made
        for name, made in known.items()
        if made.role <= role and name not in _OUTSIDE_ONLY
    }


def console_group(verbs: Mapping[str, Verb]) -> click.Group:
    """Return verbs and their other names as a group, to complete words with."""
    group = click.Group("cirrus", commands=dict(verbs), add_help_option=False)
    for words, name in ALIASES.items():
        if name not in verbs:
            continue
        if len(words) == 1:
            group.commands.setdefault(words[0], verbs[name])
            continue
        inner = group.commands.get(words[0])
        if not isinstance(inner, click.Group):
            inner = click.Group(words[0], add_help_option=False)
            group.commands[words[0]] = inner
        inner.add_command(verbs[name], words[1])
    return group
