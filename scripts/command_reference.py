"""The page of the commands of operators, made from the verbs themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from engine.base.command_sections import SECTIONS
from engine.cli.catalogue import all_verbs
from engine.cli.verb import Verb
from engine.model.role import Role

HEAD = """\
What is typed at a node; [command-line.md](../command-line.md) says what to type when. The same
verbs are typed in the [console](../ssh-console.md), where *role* is what somebody must be there;
over HTTP the access lists of the listener decide. Of each, `cirrus VERB --help` says the same as
this page.

All verbs take `--endpoint URL` (or `CIRRUS_ENDPOINT`), the node's HTTP listener, by default
`http://127.0.0.1:8000`; user and password may stand in it. All but a few take `--json`: the answer
for programs, one value a line. Exit status: 0 fine, 1 the thing asked for failed, 2 wrong usage.\
"""
_COMMON = frozenset({"endpoint", "as_json"})
_ROLES = {
    Role.VIEWER: "viewer",
    Role.OPERATOR: "operator",
    Role.ADMIN: "admin",
}


def make_commands_page(note: str) -> str:
    """Return the page.

    Args:
        note: Says that it was made.
    """
    verbs = all_verbs()
    lines = ["# Commands of operators", "", note, "", HEAD, ""]
    lines += ["| command | role | does |", "|---|---|---|"]
    ordered = [name for section in SECTIONS.values() for name in section if name in verbs]
    for name in ordered:
        made = verbs[name]
        lines.append(f"| [`{name}`](#{name}) | {_ROLES[made.role]} | {made.short_help} |")
    for name in ordered:
        lines += ["", f"## {name}", "", *_describe(verbs[name])]
    return "\n".join([*lines, ""])


def _describe(made: Verb) -> Iterator[str]:
    context = click.Context(made, info_name=f"cirrus {made.name}")
    usage = " ".join(made.collect_usage_pieces(context))
    yield f"    cirrus {made.name} {usage}"
    yield ""
    yield from _manual(made.help or "")
    rows = [
        _option(one)
        for one in made.params
        if isinstance(one, click.Option) and one.name not in _COMMON
    ]
    if rows:
        yield "| option | |"
        yield "|---|---|"
        yield from rows
    else:
        yield "No options of its own."


def _manual(text: str) -> Iterator[str]:
    """Yield a manual: paragraphs as they are, blocks that are not to be wrapped as code."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.split("\n")
        while lines and lines[0] == "\b":
            del lines[0]
            end = lines.index("\b") if "\b" in lines else len(lines)
            block, lines = lines[:end], lines[end:]
            yield block[0]
            yield ""
            yield from (f"    {line.removeprefix('  ')}" for line in block[1:])
            yield ""
        if lines:
            yield from (line.replace("<", r"\<").replace("*", r"\*") for line in lines)
            yield ""


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    metavar = ""
    if not option.is_flag:
        shown = option.metavar or option.type.name.upper()
        if isinstance(option.type, click.IntRange | click.FloatRange):
            shown = option.metavar or "N"
        elif isinstance(option.type, click.Choice):
            shown = "|".join(map(str, option.type.choices))
        metavar = f" `{shown}`".replace("|", r"\|")
    text = (option.help or "").rstrip(".")
    if option.required:
        text += "; required"
    if option.show_default and option.default not in (None, ()):
        text += f"; `{option.default}` by default"
    return f"| {names}{metavar} | {text}. |"
