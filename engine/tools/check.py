"""``cirrus check``: validate policy scripts and shaping files; start nothing.

Place in flow: a command of its own. Who can judge a file registers a function in the entry-point
group ``cirrus.checks`` (``policy``: from a path to findings), so that this program imports none of
them.

Failure: exit status 1 when anything is an error, 2 when nothing was given to check.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import click

CHECKS_GROUP = "cirrus.checks"


class Finding(Protocol):
    """One thing to tell the operator; its text is ``file:line: severity: message``."""

    @property
    def severity(self) -> str:
        """Return ``error`` or ``warning``."""


#: From a file to what there is to say about it.
Checker = Callable[[Path], Iterable[Finding]]


def find_checker(kind: str) -> Checker | None:
    """Return the installed function that judges files of a kind, or None."""
    for entry in entry_points(group=CHECKS_GROUP, name=kind):
        checker: Checker = entry.load()
        return checker
    return None


def report(kind: str, path: Path, checker: Checker | None) -> int:
    """Print the findings about one file; return how many are errors."""
    if checker is None:
        click.echo(f"{path}: error: {_cannot_check(kind)}")
        return 1
    if not path.is_file():
        what = "this is no file" if path.exists() else "there is no such file"
        click.echo(f"{path}: error: {what}")
        return 1
    errors = 0
    for finding in checker(path):
        click.echo(str(finding))
        errors += finding.severity == "error"
    return errors


def _cannot_check(kind: str) -> str:
    if kind == "shaping":
        return "shaping files cannot be checked yet: this version does not read them"
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
    type=click.Path(path_type=Path),
    help="A shaping file (TOML or JSON).",
)
def check(policies: tuple[Path, ...], shapings: tuple[Path, ...]) -> None:
    """Validate configuration; start nothing, open nothing.

    Each finding is a line "file:line: error: ..." or "file:line: warning: ...". The policy script
    is loaded as a node would load it: compiled, executed, its init run without carrying anything
    out, and its get_* handlers asked about example.com.

    Exit status: 0 when there is no error (there may be warnings), 1 when there is one, 2 when
    nothing was given to check.
    """
    if not policies and not shapings:
        raise click.UsageError("nothing to check: give --policy FILE or --shaping FILE")
    # What a script says or warns of while it is tried comes as findings.
    logging.getLogger("cirrus").addHandler(logging.NullHandler())
    wanted = [("policy", path) for path in policies] + [("shaping", path) for path in shapings]
    errors = sum(report(kind, path, find_checker(kind)) for kind, path in wanted)
    if errors:
        click.echo(f"{errors} error{'s' if errors > 1 else ''}")
        raise SystemExit(1)
    click.echo("no errors")


if __name__ == "__main__":
    check()
