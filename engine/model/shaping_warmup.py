"""Warm-up of a source as data: caps that rise day by day, and days that are repeated.

Place in flow: ``engine.model.shaping_warmup_section`` reads it from files,
``engine.model.shaping_merge`` lays files over each other, ``engine.model.shaping`` caps the paths
of the source with it.

    [warmup."ip-1"]
    start = "2026-12-01"
    schedule = [
      { day = 1, total_message_rate = "500/day", max_message_rate = "60/hour" },
      { day = 2, total_message_rate = "1,000/day", max_message_rate = "120/hour" },
      { day = 15 },
    ]

    [warmup."ip-1".provider.big]      # instead of the above, for the sites of one provider
    schedule = [{ day = 1, total_message_rate = "100/day" }, { day = 30 }]

Invariants:
    * A pure function of the date: who knows the files and the date knows the caps.
    * A day is from midnight to midnight in UTC. The first is that of ``start``; before it, its caps
      hold already. The last step holds on; one without caps ends the warm-up.
    * A held day is repeated: the day after it has the same number. Days are held by operators
      (``held_days``) or by rules (action ``PauseWarmup``), and hold whatever comes in whatever
      order: they are a set.
    * Caps only ever lower what is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from engine.model.shaping_action import ADJUSTABLE
from engine.model.shaping_finding import KeyPath, Place, format_key

#: A rate that everything shares which the schedule is for, whatever the site.
TOTAL_RATE = "total_message_rate"
CAPS = (*ADJUSTABLE, TOTAL_RATE)
#: The last second that has a date.
_LAST_AT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

#: Whom a schedule is for: a source, and a provider or None for the source as a whole.
WarmupScope = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class WarmupStep:
    """What holds from one day on.

    Attributes:
        day: The number of the day; the first is 1.
        caps: The most that options may have, as written; none at the end of the warm-up.
    """

    day: int
    caps: Mapping[str, Any]
    place: Place


@dataclass(frozen=True, slots=True)
class WarmupSection:
    """What one file says of one schedule.

    Attributes:
        start: The first day; None if it is not said.
        steps: The schedule; empty if it is not said.
        held: Days that are repeated.
    """

    scope: WarmupScope
    place: Place
    path: KeyPath
    start: date | None = None
    steps: tuple[WarmupStep, ...] = ()
    held: frozenset[date] = frozenset()


class WarmupDay(NamedTuple):
    """Where a schedule stands on a date.

    Attributes:
        scope: Whose schedule it is.
        section: Where it is written, as operators name it.
        number: The day of the schedule, held days not counted.
        held: How many days were held before this date.
        step: What holds.
    """

    scope: WarmupScope
    section: str
    number: int
    held: int
    step: WarmupStep


class Warmups:
    """The schedules of all sources, as all files together say.

    Attributes:
        sections: By scope, already one over the other; may lack a start or a schedule.
    """

    def __init__(self, sections: Mapping[WarmupScope, WarmupSection] | None = None) -> None:
        self.sections: Mapping[WarmupScope, WarmupSection] = sections or {}

    def __bool__(self) -> bool:
        return bool(self.sections)

    def is_warming(self, source: str, provider: str | None = None) -> bool:
        """Return whether a held day could matter: a schedule of the source is for such mail."""
        if provider is not None:
            return any(self._has_steps((source, one)) for one in (provider, None))
        return any(scope[0] == source and self._has_steps(scope) for scope in self.sections)

    def _has_steps(self, scope: WarmupScope) -> bool:
        section = self.sections.get(scope)
        return section is not None and bool(section.steps)

    def start_of(self, section: WarmupSection) -> date | None:
        """Return the first day of a schedule; one for a provider may take it from its source."""
        if section.start is not None or section.scope[1] is None:
            return section.start
        whole_source = self.sections.get((section.scope[0], None))
        return whole_source.start if whole_source is not None else None

    def days(self, source: str, providers: Sequence[str], on: date) -> list[WarmupDay]:
        """Return where the schedules for mail from a source to a site stand.

        Those for its providers take the place of the one for the source as a whole.

        Args:
            source: The egress source.
            providers: The providers that the domain belongs to.
            on: The date, in UTC.
        """
        if not self.sections:
            return []
        scopes: list[WarmupScope] = [(source, one) for one in providers]
        own = [scope for scope in scopes if self._has_steps(scope)]
        held = self._held((source, None), *scopes)
        found = (self._day(scope, held, on) for scope in own or [(source, None)])
        return [one for one in found if one is not None]

    def _held(self, *scopes: WarmupScope) -> frozenset[date]:
        sections = (self.sections.get(scope) for scope in scopes)
        return frozenset().union(*(one.held for one in sections if one is not None))

    def _day(self, scope: WarmupScope, held: frozenset[date], on: date) -> WarmupDay | None:
        section = self.sections.get(scope)
        if section is None or not section.steps:
            return None
        start = self.start_of(section)
        if start is None:
            return None
        held_before = sum(start <= one < on for one in held)
        number = max(1, 1 + (on - start).days - held_before)
        step = max((one for one in section.steps if one.day <= number), key=lambda one: one.day)
        return WarmupDay(scope, format_key(section.path), number, held_before, step)

    def to_value(self) -> list[Any]:
        """Return all it says as plain values, for the hash."""
        return [
            [
                [source, provider],
                str(one.start),
                [[step.day, dict(step.caps)] for step in one.steps],
                sorted(str(day) for day in one.held),
            ]
            for (source, provider), one in sorted(
                self.sections.items(), key=lambda item: (item[0][0], item[0][1] or "")
            )
        ]


def cap_key(scope: WarmupScope, option: str) -> tuple[str, ...]:
    """Return the path option that a cap bounds; a total becomes a limit that paths share."""
    if option != TOTAL_RATE:
        return (option,)
    source, provider = scope
    name = f"provider-{provider}-{source}" if provider is not None else source
    return ("additional_message_rate_throttles", f"shaping-warmup-{name}-rate")


def day_of(instant_at: float) -> date:
    """Return the date in UTC of an instant, seconds since the Unix epoch; the nearest there is."""
    return datetime.fromtimestamp(min(max(0.0, instant_at), _LAST_AT), UTC).date()


def lay_section(known: WarmupSection | None, given: WarmupSection) -> WarmupSection:
    """Return what a later file makes of an earlier one: held days add up, the rest overrides."""
    if known is None:
        return given
    return WarmupSection(
        given.scope,
        given.place if given.steps else known.place,
        given.path,
        given.start or known.start,
        given.steps or known.steps,
        known.held | given.held,
    )
