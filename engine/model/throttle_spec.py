"""Rates and limits as operators write them: ``100/min``, ``local:20/30s,max_burst=5``, ``1,000``.

Place in flow: options of queues and egress paths hold these; ``engine.throttle`` enforces them.

Invariants:
    * ``parse_throttle(format_throttle(spec)) == spec``.
    * A limit is at least 1: nothing here can mean "never".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.model.option_error import OptionError

_THROTTLE = re.compile(
    r"(?P<local>local:)?(?P<limit>[0-9][0-9,_]*)/(?P<count>[0-9]*)(?P<unit>[A-Za-z]+)"
    r"(?:,max_burst=(?P<burst>[0-9][0-9,_]*))?\Z"
)
_LIMIT = re.compile(r"(?P<local>local:)?(?P<limit>[0-9][0-9,_]*)\Z")
_PERIOD_S: dict[str, int] = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hr", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86400),
}
_UNIT_OF_PERIOD = {86400: "d", 3600: "h", 60: "m", 1: "s"}
#: No mail system needs larger numbers, and the arithmetic stays exact below them.
_MAX_NUMBER = 10**12


@dataclass(frozen=True, slots=True)
class ThrottleSpec:
    """So many per period.

    Attributes:
        limit: How many a period allows.
        period_s: The period in seconds.
        max_burst: How many may go at once; None for the whole limit.
        force_local: Whether this process counts alone, even if limits are shared.
    """

    limit: int
    period_s: float
    max_burst: int | None = None
    force_local: bool = False

    @property
    def interval_s(self) -> float:
        """Return the time between two at the steady rate."""
        return self.period_s / self.limit

    @property
    def burst(self) -> int:
        """Return how many may go at once, at least one."""
        return self.limit if self.max_burst is None else max(1, self.max_burst)

    @property
    def per_s(self) -> float:
        """Return the steady rate per second."""
        return self.limit / self.period_s

    def __str__(self) -> str:
        return format_throttle(self)


def parse_throttle(text: str | ThrottleSpec) -> ThrottleSpec:
    """Return the rate that ``[local:]N/[k]unit[,max_burst=B]`` describes.

    Raises:
        ValueError: The text does not follow the grammar, or the limit is zero.
    """
    if isinstance(text, ThrottleSpec):
        return text
    if not isinstance(text, str):
        raise OptionError(f"a rate is text like '100/min', not {text!r}")
    return _parse_text(text)


@lru_cache(maxsize=4096)
def _parse_text(text: str) -> ThrottleSpec:
    found = _THROTTLE.match(text)
    if found is None:
        hint = "" if "/" in text else " (the slash is missing)"
        raise ValueError(f"not a rate: {text[:100]!r}{hint}; write for example '100/min'")
    unit_s = _PERIOD_S.get(found["unit"])
    if unit_s is None:
        raise ValueError(
            f"unknown unit {found['unit'][:20]!r} in rate {text[:100]!r}: s, m, h or d"
        )
    count = _number(found["count"]) if found["count"] else 1
    limit = _number(found["limit"])
    if limit < 1 or count < 1:
        raise ValueError(f"a rate is at least 1 per period, not {text[:100]!r}")
    burst = _number(found["burst"]) if found["burst"] else None
    return ThrottleSpec(limit, float(unit_s * count), burst, bool(found["local"]))


def _number(digits: str) -> int:
    cleaned = digits.replace(",", "").replace("_", "")
    if len(cleaned) > 13 or int(cleaned) > _MAX_NUMBER:
        raise ValueError(f"{digits[:40]!r} is more than {_MAX_NUMBER}")
    return int(cleaned)


def format_throttle(spec: ThrottleSpec) -> str:
    """Return the canonical text of a rate."""
    unit = _UNIT_OF_PERIOD.get(int(spec.period_s)) or f"{int(spec.period_s)}s"
    burst = "" if spec.max_burst is None else f",max_burst={spec.max_burst}"
    return f"{'local:' if spec.force_local else ''}{spec.limit}/{unit}{burst}"


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """So many at a time.

    Attributes:
        limit: How many may be held at once.
        force_local: Whether this process counts alone, even if limits are shared.
    """

    limit: int
    force_local: bool = False

    def __str__(self) -> str:
        return f"{'local:' if self.force_local else ''}{self.limit}"


def parse_limit(value: int | str | Mapping[str, Any] | LimitSpec) -> LimitSpec:
    """Return the limit that a number, ``[local:]N`` or ``{limit, force_local}`` describes.

    Raises:
        ValueError: The value is no limit, or is zero.
    """
    if isinstance(value, LimitSpec):
        return value
    if isinstance(value, Mapping):
        return _limit_of_mapping(value)
    if isinstance(value, str):
        found = _LIMIT.match(value)
        if found is None:
            raise ValueError(f"not a limit: {value[:100]!r}; write for example 20 or 'local:20'")
        return _checked(_number(found["limit"]), force_local=bool(found["local"]))
    if isinstance(value, bool) or not isinstance(value, int):
        raise OptionError(f"a limit is a whole number, not {value!r}")
    return _checked(value, force_local=False)


def _limit_of_mapping(value: Mapping[str, Any]) -> LimitSpec:
    unknown = set(value) - {"limit", "force_local"}
    force_local = value.get("force_local", False)
    if unknown or not isinstance(force_local, bool) or "limit" not in value:
        raise ValueError(f"a limit is {{limit, force_local}}, not {dict(value)!r}")
    inner = parse_limit(value["limit"])
    return LimitSpec(inner.limit, force_local or inner.force_local)


def _checked(limit: int, *, force_local: bool) -> LimitSpec:
    if not 1 <= limit <= _MAX_NUMBER:
        raise ValueError(f"a limit is at least 1, not {limit}")
    return LimitSpec(limit, force_local)
