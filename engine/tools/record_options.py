"""Options of a command line that say which log records are wanted.

Place in flow: ``cirrus tail`` has them; they become a filter of ``engine.model.record_filter``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from engine.model.record_filter import RecordFilter, RecordMatcher, compile_filter

_F = TypeVar("_F", bound=Callable[..., Any])

_MANY = (
    ("type", "KIND", "Records of this kind, such as Bounce."),
    ("id", "ID", "Of the message with this spool id."),
    ("sender", "ADDRESS", "From this envelope sender."),
    ("recipient", "ADDRESS", "For this recipient."),
    ("domain", "DOMAIN", "Of queues of this domain or routing domain."),
    ("tenant", "NAME", "Of this tenant."),
    ("campaign", "NAME", "Of this campaign."),
    ("queue", "NAME", "Of this scheduled queue."),
    ("site", "NAME", "Of this site or ready queue."),
    ("source", "NAME", "By this egress source."),
    ("code", "CODE", "With this reply: 550, 4xx or 5.1.1."),
)
_ONE = (
    ("since", "WHEN", "Not before: a duration ago such as 2h, or RFC 3339 with a zone."),
    ("until", "WHEN", "Before."),
    ("grep", "REGEX", "Records in whose JSON this is found (RE2)."),
)


def filter_options(command: _F) -> _F:
    """Add the options to a command; their values come as arguments of the same names."""
    for name, metavar, text in reversed(_ONE):
        command = click.option(f"--{name}", metavar=metavar, help=text)(command)
    for name, metavar, text in reversed(_MANY):
        option = click.option(
            f"--{name}", multiple=True, metavar=metavar, help=f"{text}  [repeatable]"
        )
        command = option(command)
    return command


def make_filter(values: dict[str, Any]) -> RecordFilter:
    """Return the filter that options say."""
    many: dict[str, Any] = {name: list(values[name]) for name, _, _ in _MANY}
    return RecordFilter(**many, **{name: values[name] for name, _, _ in _ONE})


def make_matcher(wanted: RecordFilter, now_at: float) -> RecordMatcher:
    """Return a compiled filter.

    Raises:
        click.UsageError: An option has a value that it cannot have.
    """
    try:
        return compile_filter(wanted, now_at)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
