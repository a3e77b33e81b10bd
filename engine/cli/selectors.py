"""Which mail is meant: options by which a verb is told, and what may be said together.

Place in flow: verbs that suspend, bounce, rebind and transfer take their options from here.

Invariants:
    * All mail is never meant by leaving something out: ``--everything`` says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from engine.cli.names import complete_part, complete_queue

_F = TypeVar("_F", bound=Callable[..., Any])
_FIELDS = {
    "domain": "Mail for this domain.",
    "routing_domain": "Mail that is routed by this domain.",
    "campaign": "Mail of this campaign.",
    "tenant": "Mail of this tenant.",
}


def selector_options(*fields: str, has_everything: bool = True) -> Callable[[_F], _F]:
    """Return a decorator that adds options for mail by its queues.

    Args:
        fields: Parts of a queue name that may be given, in their order.
        has_everything: Whether all mail may be meant.
    """

    def decorate(act: _F) -> _F:
        if has_everything:
            act = click.option("--everything", is_flag=True, help="All mail of the node.")(act)
        act = click.option(
            "--queue",
            "queues",
            multiple=True,
            metavar="NAME",
            help="A scheduled queue; repeatable.",
            shell_complete=complete_queue,
        )(act)
        for field in reversed(fields):
            act = click.option(
                f"--{field.replace('_', '-')}",
                field,
                help=_FIELDS[field],
                shell_complete=complete_part(field),
            )(act)
        return act

    return decorate


def read_selectors(
    queues: Sequence[str], fields: dict[str, str | None], *, everything: bool
) -> dict[str, Any]:
    """Return what was said as the arguments of an operation.

    Raises:
        click.UsageError: Nothing was said, or more than one kind of thing.
    """
    criteria: dict[str, Any] = {name: text for name, text in fields.items() if text}
    kinds = sum((bool(criteria), bool(queues), everything))
    if not kinds:
        raise click.UsageError("say which mail: --domain, --tenant, ..., --queue or --everything")
    if kinds > 1:
        raise click.UsageError("--queue and --everything exclude each other and all others")
    if queues:
        criteria["queue_names"] = list(queues)
    return criteria


def show_criteria(criteria: dict[str, Any]) -> str:
    """Return criteria in words, such as ``domain=a.example tenant=acme``."""
    shown = [f"{name}={criteria[name]}" for name in _FIELDS if criteria.get(name)]
    shown += [f"queue={name}" for name in criteria.get("queue_names") or ()]
    return " ".join(shown) or "everything"
