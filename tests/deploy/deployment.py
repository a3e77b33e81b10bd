"""The files of deploy/, and what is asked of them in several tests."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from engine.base.command_line import cirrus_command
from engine.tools.check import find_checker, policy_kind

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BASE_SHAPING = "/usr/share/cirrus/shaping/base.toml"
#: Seconds that a node may need to close its logs and its spool, once it has drained.
CLOSING_S = 30.0


class _NoTwice(yaml.SafeLoader):
    """Refuses a key that stands twice, of which the parsers of others take either."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"a key stands twice: {node.start_mark}"
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> list[Any]:
    """Return the documents of a YAML file."""
    return list(yaml.load_all(path.read_text(), _NoTwice))  # noqa: S506 - a safe loader


@functools.cache
def cirrus() -> click.Group:
    return cirrus_command()


def parse_command(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a command line of ``cirrus``, without running it.

    Raises:
        click.UsageError: The command line is none.
    """
    command: click.Command = cirrus()
    context = click.Context(command, info_name="cirrus")
    rest = list(arguments)
    parameters: dict[str, Any] = {}
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, list(rest), parent=context)
        parameters = dict(context.params)
        command, rest = found, [*context._protected_args, *context.args]
    assert not rest, f"what is {rest}?"
    assert command is not cirrus(), f"no command: {arguments}"
    return parameters


def place_scripts(source: Path, folder: Path, **others: Path) -> Path:
    """Copy a folder of scripts as a host would have it, with the shaping files of this tree.

    Args:
        source: What is /etc/cirrus there.
        folder: Where to put it.
        others: Files to put beside, by name with ``__`` for a slash and ``_`` for a dot.
    """
    target = folder / "etc"
    shutil.copytree(source, target)
    for name, path in others.items():
        there = target / name.replace("__", "/").replace("_toml", ".toml")
        there.parent.mkdir(exist_ok=True)
        shutil.copy(path, there)
    for script in target.glob("*.py"):
        here = str(ROOT / "samples" / "shaping" / "base.toml")
        script.write_text(script.read_text().replace(BASE_SHAPING, here))
    return target


def findings_of(script: Path) -> list[str]:
    """Return what ``cirrus check --policy`` says of a script."""
    checker = find_checker(policy_kind(script))
    assert checker is not None
    return [str(finding) for finding in checker(script)]


def flags(items: Iterable[str], name: str) -> list[str]:
    """Return the values that a flag is given in a command line."""
    listed = list(items)
    return [listed[at + 1] for at, item in enumerate(listed[:-1]) if item == name]
