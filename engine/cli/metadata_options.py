"""Metadata to be set on messages: options by which a verb is told.

Place in flow: verbs that move mail to other queues take their options from here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def metadata_options(act: _F) -> _F:
    """Add the options that say which metadata is set."""
    act = click.option(
        "--set",
        "pairs",
        multiple=True,
        metavar="NAME=VALUE",
        help="Metadata to set, such as routing_domain=b.example; repeatable.",
    )(act)
    return click.option(
        "--data", metavar="JSON", help="The same as an object of JSON; --set lays itself over it."
    )(act)


def read_metadata(data: str | None, pairs: Sequence[str]) -> dict[str, str]:
    """Return the metadata that was said.

    Raises:
        click.BadParameter: It cannot be read, or a value is no text.
    """
    found = {} if data is None else _read_data(data)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        found[name] = value
    return found


def _read_data(data: str) -> dict[str, str]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"that is no JSON: {error}", param_hint="--data") from None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise click.BadParameter("an object whose values are text is wanted", param_hint="--data")
    return found
