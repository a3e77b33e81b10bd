"""What an egress path allows at most, and by which of its knobs: the ceilings of a ready queue.

Place in flow: shown with ready queues and resolved paths; a plain function of the path.

Invariants:
    * Of each kind the tightest comes first: that is the one to change.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.model.egress import EgressPath
from engine.model.throttle_spec import LimitSpec, ThrottleSpec


class Ceiling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One limit or rate.

    Attributes:
        knob: The option of the path that sets it.
        name: Its name, where the option is a table.
        value: As an operator writes it.
        per_second: A rate, in messages or connections per second.
    """

    knob: str
    value: str
    name: str | None = None
    per_second: float | None = None


class Constraints(msgspec.Struct, frozen=True, kw_only=True):
    """The ceilings of a path, of each kind the tightest first.

    Attributes:
        connections: How many at a time.
        connection_rates: How many may be opened.
        message_rates: How many messages may go.
        source_selection_rates: How much mail the source is chosen for.
        messages: Of messages: those waiting in the ready queue, those of one connection.
    """

    connections: list[Ceiling]
    connection_rates: list[Ceiling]
    message_rates: list[Ceiling]
    source_selection_rates: list[Ceiling]
    messages: list[Ceiling]


def constraints_of(path: EgressPath) -> Constraints:
    """Return the ceilings of a path."""
    limits: list[tuple[str, str | None, LimitSpec]] = [
        ("connection_limit", None, path.connection_limit)
    ]
    limits += [
        ("additional_connection_limits", name, spec)
        for name, spec in path.additional_connection_limits.items()
    ]
    rates = path.additional_message_rate_throttles
    selection = path.additional_source_selection_rates
    return Constraints(
        connections=_limits(limits),
        connection_rates=_rates("max_connection_rate", path.max_connection_rate, "", {}),
        message_rates=_rates(
            "max_message_rate", path.max_message_rate, "additional_message_rate_throttles", rates
        ),
        source_selection_rates=_rates(
            "source_selection_rate",
            path.source_selection_rate,
            "additional_source_selection_rates",
            selection,
        ),
        messages=[
            Ceiling(knob="max_ready", value=str(path.max_ready)),
            Ceiling(
                knob="max_deliveries_per_connection", value=str(path.max_deliveries_per_connection)
            ),
        ],
    )


def _limits(found: list[tuple[str, str | None, LimitSpec]]) -> list[Ceiling]:
    return [
        Ceiling(knob=knob, name=name, value=str(spec))
        for knob, name, spec in sorted(found, key=lambda item: item[2].limit)
    ]


def _rates(
    knob: str, spec: ThrottleSpec | None, table: str, more: Mapping[str, ThrottleSpec]
) -> list[Ceiling]:
    found: list[tuple[str, str | None, ThrottleSpec]] = []
    if spec is not None:
        found.append((knob, None, spec))
    found += [(table, name, one) for name, one in more.items()]
    return [
        Ceiling(knob=one, name=name, value=str(rate), per_second=rate.per_s)
        for one, name, rate in sorted(found, key=lambda item: item[2].per_s)
    ]
