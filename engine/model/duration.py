"""A duration as operators write it: a number of seconds, or text such as ``1h30m``.

Place in flow: called wherever an option of a script or a data file holds a duration, and where an
answer of the administration shows one.

Invariants:
    * The result is a finite number of seconds that is not negative.
    * Text without a unit is refused: nobody can see whether ``"5"`` means seconds or minutes.
    * What ``format_duration`` writes ``parse_duration`` reads.
"""

from __future__ import annotations

import math
import re

from engine.model.option_error import OptionError

_UNIT_SECONDS: dict[str, float] = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}
_SHOWN = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", re.IGNORECASE)
#: Longer text is no duration; the bound keeps a mistake from costing time.
_MAX_TEXT = 100


def parse_duration(value: int | float | str) -> float:
    """Return a duration in seconds.

    Args:
        value: Seconds as a number, or text made of numbers with units: ``20m``, ``5 minutes``,
            ``1h30m``, ``500ms``, ``7d``.

    Raises:
        ValueError: The value is negative, has no unit, or is no duration at all.
    """
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"a duration is a number of seconds or text like '5m', not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"a duration is finite, not {value!r}")
    if seconds < 0:
        raise ValueError(f"a duration cannot be negative: {value!r}")
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration in whole seconds as people write it, such as ``59m 30s``."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in _SHOWN:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts) or "0s"


def _parse_text(text: str) -> float:
    total_s = 0.0
    position = 0
    if len(text) > _MAX_TEXT:
        raise ValueError("a duration has at most 100 characters")
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(_complaint(text))
        unit_s = _UNIT_SECONDS.get(part[2].lower())
        if unit_s is None:
            raise ValueError(
                f"unknown unit {part[2]!r} in duration {text!r}: use ms, s, m, h, d, w"
            )
        total_s += float(part[1]) * unit_s
        position = part.end()
    if position == 0:
        raise ValueError("a duration cannot be empty text")
    return total_s


def _complaint(text: str) -> str:
    if text.strip().startswith("-"):
        return f"a duration cannot be negative: {text!r}"
    try:
        float(text)
    except ValueError:
        return f"not a duration: {text!r} (write for example '20m', '1h30m' or '7d')"
    return f"duration {text!r} needs a unit, for example '{text.strip()}s'"
