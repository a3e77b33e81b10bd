"""When a shaping rule acts: at once, at a count within a period, or at a share of all attempts.

Place in flow: ``engine.model.shaping_rule`` reads triggers; the daemon that counts obeys them.

    trigger = "Immediate"
    trigger = { Threshold = "10/hour" }
    trigger = { Proportion = { of = "Deferred", over = "10%", within = "5m", at_least = 100 } }

Invariants:
    * A threshold counts over its own period, never over the duration of the rule.
    * A proportion has a least number of attempts: one failure of two is no trend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.model.disposition import Disposition
from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, closest, list_of, read_options, whole
from engine.model.option_error import OptionError
from engine.model.throttle_spec import parse_throttle

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%\Z")
_OUTCOMES = {"Deferred": Disposition.DEFERRED, "Failed": Disposition.FAILED}


@dataclass(frozen=True, slots=True)
class Immediate:
    """Each match acts."""

    def to_value(self) -> Any:
        """Return the trigger as operators write it."""
        return "Immediate"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The match that completes a count within a period acts, and so does each one after it.

    Attributes:
        count: How many matches it takes, this one included.
        period_s: The period that ends now, in which they are counted.
    """

    count: int
    period_s: float

    def to_value(self) -> Any:
        """Return the trigger as operators write it."""
        return {"Threshold": f"{self.count}/{self.period_s:g}s"}


@dataclass(frozen=True, slots=True)
class Proportion:
    """A match acts while matches are too large a share of all attempts.

    Attributes:
        of: Which outcomes count, if the rule's pattern matches the reply.
        over: The share of the attempts in the same scope that must be exceeded, from 0 up to 1.
        within_s: The period that ends now, in which attempts are counted.
        at_least: Below so many attempts in the period nothing happens.
    """

    of: frozenset[Disposition]
    over: float
    within_s: float
    at_least: int

    def to_value(self) -> Any:
        """Return the trigger as operators write it."""
        of = [name for name, outcome in _OUTCOMES.items() if outcome in self.of]
        table = {"of": of, "over": self.over, "within": self.within_s, "at_least": self.at_least}
        return {"Proportion": table}


Trigger = Immediate | Threshold | Proportion


def parse_share(value: Any) -> float:
    """Return a share above 0 and up to 1, written as ``"10%"`` or ``0.1``.

    Raises:
        ValueError: It is no share.
    """
    if isinstance(value, str):
        found = _PERCENT.match(value.strip())
        if found is None:
            raise ValueError(f"a share is text like '10%' or a number like 0.1, not {value!r:.80}")
        share = float(found[1]) / 100
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"a share is text like '10%' or a number like 0.1, not {value!r:.80}")
    else:
        share = float(value)
    if not 0 < share <= 1:
        raise ValueError(f"a share is above 0 and at most 1 (100%), not {value!r:.80}")
    return share


def parse_positive_duration(value: Any) -> float:
    """Return a duration above zero, in seconds.

    Raises:
        ValueError: It is none.
    """
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


def _outcome(value: Any) -> Disposition:
    if isinstance(value, str) and value in _OUTCOMES:
        return _OUTCOMES[value]
    raise ValueError(f"one of {', '.join(_OUTCOMES)} is expected, not {value!r:.80}")


def _outcomes(value: Any) -> frozenset[Disposition]:
    found = frozenset(list_of(_outcome)([value] if isinstance(value, str) else value))
    if not found:
        raise ValueError(f"at least one of {', '.join(_OUTCOMES)} is expected")
    return found


PROPORTION_OPTIONS: dict[str, Option] = {
    "of": Option(_outcomes),
    "over": Option(parse_share),
    "within": Option(parse_positive_duration, "within_s"),
    "at_least": Option(whole(1)),
}


def _threshold(value: Any) -> Threshold:
    spec = parse_throttle(value)
    return Threshold(spec.limit, spec.period_s)


def has_idle_parts(value: Any) -> bool:
    """Return whether a trigger says more than a threshold can mean, such as ``max_burst``."""
    rate = value.get("Threshold") if isinstance(value, Mapping) else None
    return isinstance(rate, str) and ("local:" in rate or "max_burst" in rate)


def _proportion(value: Any) -> Proportion:
    if not isinstance(value, Mapping):
        raise OptionError(f"a table {{of, over, within, at_least}} is expected, not {value!r:.80}")
    read = read_options("Proportion", value, PROPORTION_OPTIONS)
    read.setdefault("of", frozenset(_OUTCOMES.values()))
    for name, option in PROPORTION_OPTIONS.items():
        if (option.field or name) not in read:
            raise ValueError(f"Proportion: {name} is missing")
    return Proportion(**read)


_READERS: dict[str, Callable[[Any], Threshold | Proportion]] = {
    "Threshold": _threshold,
    "Proportion": _proportion,
}


def parse_trigger(value: Any) -> Trigger:
    """Return the trigger that an operator wrote.

    Raises:
        ValueError: It is none, or something in it does not fit.
    """
    if value == "Immediate":
        return Immediate()
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, inner),) = value.items()
        reader = _READERS.get(name)
        if reader is not None:
            try:
                return reader(inner)
            except TypeError as error:
                raise ValueError(str(error)) from error
        raise ValueError(f"unknown trigger {name!r:.80}{closest(name, (*_READERS, 'Immediate'))}")
    raise ValueError(
        "'Immediate', {Threshold = \"N/period\"} or {Proportion = {...}} is expected, "
        f"not {value!r:.80}"
    )
