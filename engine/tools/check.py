"""``cirrus check``: validate policy scripts and shaping files; start nothing.

Place in flow: a command of its own. Who can judge a file registers a function in the entry-point
group ``cirrus.checks`` (``policy``: from a path to findings, ``policy.NAME`` for scripts of the
program NAME beside the node; ``shaping``: from all sources at once, since they are laid over each
other), so that this program imports none of them. Whose a script is, its events tell: each program
registers its table of hooks in ``cirrus.hooks``.

Failure: exit status 1 when anything is an error, 2 when nothing was given to check.
"""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import click

CHECKS_GROUP = "cirrus.checks"
HOOKS_GROUP = "cirrus.hooks"
#: The program that a script is for when nothing in it says otherwise.
NODE = "engine"


class Finding(Protocol):
    """One thing to tell the operator; its text is ``file:line: severity: message``."""

    @property
    def severity(self) -> str:
        """Return ``error`` or ``warning``."""


#: From a file to what there is to say about it.
Checker = Callable[[Path], Iterable[Finding]]


def find_checker(kind: str) -> Callable[..., Any] | None:
    """Return the installed function that judges files of a kind, or None."""
    for entry in entry_points(group=CHECKS_GROUP, name=kind):
        checker: Callable[..., Any] = entry.load()
        return checker
    return None


def policy_kind(path: Path) -> str:
    """Return the kind of a script: ``policy``, or ``policy.NAME`` for one of another program.

    It belongs to the program whose events it handles, or whose module of ``mta`` it imports.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return "policy"  # the check says what is wrong with it
    said = set(_events_and_modules(tree))
    for entry in entry_points(group=HOOKS_GROUP):
        if entry.name == NODE:
            continue
        if said & {f"mta.{entry.name}", *(hook.name for hook in entry.load())}:
            return f"policy.{entry.name}"
    return "policy"


def _events_and_modules(tree: ast.Module) -> Iterator[str]:
    """Yield the events that are handled in a script, and the modules it imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="on") | ast.Attribute(attr="on"),
                args=[ast.Constant(value=str(event)), *_],
            ):
                yield event
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)


def report(kind: str, path: Path, checker: Checker | None) -> int:
    """Print the findings about one file; return how many are errors."""
    if checker is None:
        click.echo(f"{path}: error: {_cannot_check(kind)}")
        return 1
    if not path.is_file():
        what = "this is no file" if path.exists() else "there is no such file"
        click.echo(f"{path}: error: {what}")
        return 1
    return _print(checker(path))


def report_shaping(
    sources: Sequence[str],
    checker: Callable[..., Iterable[Finding]] | None,
    *,
    with_dns: bool,
    zones: Sequence[Path] = (),
) -> int:
    """Print the findings about shaping files as a whole; return how many are errors."""
    if checker is None:
        click.echo(f"{sources[0]}: error: {_cannot_check('shaping')}")
        return 1
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in zones]
    return _print(checker(sources, with_dns=with_dns, zones=texts))


def _print(findings: Iterable[Finding]) -> int:
    errors = 0
    for finding in findings:
        click.echo(str(finding))
        errors += finding.severity == "error"
    return errors


def _cannot_check(kind: str) -> str:
    return f"nothing installed can check a {kind} file; is cirrus-mta installed completely?"


@click.command()
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A policy script; what it imports is checked with it.",
)
@click.option(
    "--shaping",
    "shapings",
    multiple=True,
    metavar="FILE",
    help="A shaping file (TOML or JSON), or its URL; later ones are laid over earlier ones.",
)
@click.option(
    "--dns/--no-dns",
    "with_dns",
    default=True,
    help="Whether to look up the MX hosts of domains in shaping files.  [default: --dns]",
)
@click.option(
    "--zone",
    "zones",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="A zone file to look hosts up in; no name server is asked then.",
)
@click.argument("more", nargs=-1, metavar="[FILE]...")
def check(
    policies: tuple[Path, ...],
    shapings: tuple[str, ...],
    with_dns: bool,
    zones: tuple[Path, ...],
    more: tuple[str, ...],
) -> None:
    """Validate configuration; start nothing.

    Each finding is a line "file:line: error: ..." or "file:line: warning: ...". The policy script
    is loaded as a node would load it: compiled, executed, its init run without carrying anything
    out, and its get_* handlers asked about example.com.

    Shaping files are checked together, as they would be loaded: further files may follow the first
    one. The MX hosts of their domains are looked up, so that a domain that cannot be found or takes
    no mail, sections that are for one site, and domains that belong to a provider as well are seen;
    with --no-dns nothing is asked, and these warnings are missing. Zone files make the check the
    same everywhere: what they do not hold does not exist.

    Exit status: 0 when there is no error (there may be warnings), 1 when there is one, 2 when
    nothing was given to check.
    """
    if not policies and not shapings:
        raise click.UsageError("nothing to check: give --policy FILE or --shaping FILE")
    if zones and not with_dns:
        raise click.UsageError("--zone answers look-ups, which --no-dns leaves out: give one")
    if more and not shapings:
        raise click.UsageError(f"is {more[0]!r} a policy or a shaping file? Name the option first")
    # What a script says or warns of while it is tried comes as findings.
    logging.getLogger("cirrus").addHandler(logging.NullHandler())
    errors = 0
    for path in policies:
        kind = policy_kind(path)
        errors += report(kind, path, find_checker(kind))
    if shapings:
        sources = (*shapings, *more)
        errors += report_shaping(sources, find_checker("shaping"), with_dns=with_dns, zones=zones)
    if errors:
        click.echo(f"{errors} error{'s' if errors > 1 else ''}")
        raise SystemExit(1)
    click.echo("no errors")


if __name__ == "__main__":
    check()
