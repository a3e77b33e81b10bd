"""An egress path option in a shaping file: is it known, does its value fit, is it in force.

Place in flow: asked by ``engine.model.shaping_section`` and ``engine.model.shaping_rule`` for each
option that a file sets, or that an action would set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.model.egress import EgressPath, make_egress_path
from engine.model.throttle_spec import parse_limit, parse_throttle

#: Options that are tables of named limits: layers merge them name by name.
MERGED_OPTIONS = (
    "additional_connection_limits",
    "additional_message_rate_throttles",
    "additional_source_selection_rates",
)
#: Options that are rates.
RATE_OPTIONS = frozenset({"max_connection_rate", "max_message_rate", "source_selection_rate"})


class OptionVerdict(NamedTuple):
    """What there is to say about an option.

    Attributes:
        complaint: Why it cannot be used; empty if it can.
        notes: What is known and has no effect.
    """

    complaint: str
    notes: tuple[str, ...] = ()


def check_path_option(name: str, value: Any) -> OptionVerdict:
    """Return what there is to say about one option and its value."""
    try:
        make_egress_path(**{name: value})
    except (TypeError, ValueError) as error:
        return OptionVerdict(_without_owner(str(error), name))
    notes = EgressPath.unsupported({name: value})
    return OptionVerdict("", tuple(_without_name(note, name) for note in notes))


def amount_of(name: str, value: Any) -> float:
    """Return a limit as a number, or a rate as a number per second, so that two can be compared.

    Raises:
        ValueError: The value is neither.
    """
    if name in RATE_OPTIONS:
        return parse_throttle(value).per_s
    if name == "connection_limit":
        return float(parse_limit(value).limit)
    return float(value)


def _without_owner(text: str, name: str) -> str:
    """Return a complaint without the function that a script would have called."""
    return _without_name(text.removeprefix("make_egress_path: "), name)


def _without_name(text: str, name: str) -> str:
    return text.removeprefix(name).removeprefix(": ").strip()
