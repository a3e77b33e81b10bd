"""When a message may be tried: from an instant on, in a weekly window, until an instant.

Place in flow: set by handlers or an injection; ``engine.schedule`` passes each due time through
``adjust_due`` and asks ``expires_at`` before it tries again.

Invariants:
    * Adjusting never makes a message due earlier.
    * ``parse_schedule(schedule.to_dict()) == schedule``.

Standard: RFC 3339 for instants, IANA names for time zones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.model.option_error import OptionError

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY_NUMBERS = {name[:n].lower(): i for i, name in enumerate(_DAYS) for n in (3, len(name))}
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?\Z", re.ASCII)
_WINDOW_KEYS = ("dow", "tz", "start", "end")
#: A week and a day: more turns could only mean that the window never opens.
_MAX_TURNS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the day on some days of the week.

    Attributes:
        days: Weekdays, Monday is 0.
        tz: IANA name of the zone that days and times are meant in.
        start: First moment of the span.
        end: First moment after the span.
    """

    days: tuple[int, ...]
    tz: str
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Schedule:
    """The operator's or sender's constraints on when a message is tried.

    Attributes:
        first_attempt_at: Not before; seconds since the Unix epoch.
        expires_at: Given up at; takes the place of the queue's maximum age.
        window: The weekly window, if any.
    """

    first_attempt_at: float | None = None
    expires_at: float | None = None
    window: Window | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule in the form that ``parse_schedule`` reads."""
        found: dict[str, Any] = {}
        if self.first_attempt_at is not None:
            found["first_attempt"] = _format_instant(self.first_attempt_at)
        if self.expires_at is not None:
            found["expires"] = _format_instant(self.expires_at)
        if self.window is not None:
            found["dow"] = ",".join(_DAYS[day][:3] for day in self.window.days)
            found["tz"] = self.window.tz
            found["start"] = self.window.start.isoformat()
            found["end"] = self.window.end.isoformat()
        return found


def parse_schedule(value: Mapping[str, Any]) -> Schedule:
    """Return the schedule that a table describes.

    Args:
        value: Any of ``first_attempt`` and ``expires`` (RFC 3339), and all or none of ``dow``
            (``"Mon,Tue"``), ``tz`` (IANA), ``start`` and ``end`` (``"HH:MM:SS"``).

    Raises:
        ValueError: A field is unknown, malformed, or the window is incomplete.
    """
    if not isinstance(value, Mapping):
        raise OptionError(f"a schedule is a table, not {value!r}")
    unknown = set(value) - {"first_attempt", "expires", *_WINDOW_KEYS}
    if unknown:
        raise ValueError(f"unknown field of a schedule: {', '.join(sorted(map(str, unknown)))}")
    given = {key: found for key, found in value.items() if found is not None}
    return Schedule(
        _parse_instant("first_attempt", given.get("first_attempt")),
        _parse_instant("expires", given.get("expires")),
        _parse_window(given),
    )


def _parse_instant(key: str, value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _INSTANT.match(value):
        raise ValueError(f"{key}: an instant like 2030-01-31T08:00:00Z is expected, not {value!r}")
    try:
        # Digits past microseconds are cut: the schedule has no use for them.
        text = re.sub(r"(\.\d{6})\d+", r"\1", value.upper())
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{key}: {value!r} is no instant ({error})") from error


def _format_instant(instant_at: float) -> str:
    return datetime.fromtimestamp(instant_at, UTC).isoformat().replace("+00:00", "Z")


def _parse_window(given: Mapping[str, Any]) -> Window | None:
    present = [key for key in _WINDOW_KEYS if key in given]
    if not present:
        return None
    missing = [key for key in _WINDOW_KEYS if key not in given]
    if missing:
        raise ValueError(f"a window needs dow, tz, start and end; missing: {', '.join(missing)}")
    start, end = _parse_time("start", given["start"]), _parse_time("end", given["end"])
    if start > end:
        raise ValueError(f"start {start} is after end {end}")
    _zone(given["tz"])
    return Window(_parse_days(given["dow"]), given["tz"], start, end)


def _parse_days(value: object) -> tuple[int, ...]:
    names = value.split(",") if isinstance(value, str) else []
    days = {_DAY_NUMBERS.get(name.strip().lower()) for name in names}
    if not days or None in days:
        raise ValueError(f"dow: days like 'Mon,Tue' are expected, not {value!r}")
    return tuple(sorted(day for day in days if day is not None))


def _parse_time(key: str, value: object) -> time:
    if not isinstance(value, str) or not _TIME.match(value):
        raise ValueError(f"{key}: a time like 09:00:00 is expected, not {value!r}")
    return time.fromisoformat(value)


def _zone(name: object) -> ZoneInfo:
    if not isinstance(name, str) or not name:
        raise ValueError(f"tz: an IANA name like Europe/Paris is expected, not {name!r}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"tz: {name!r} is no IANA time zone") from error


def adjust_due(schedule: Schedule, due_at: float) -> float:
    """Return the first instant, not before the given one, at which the schedule allows an attempt.

    Args:
        schedule: The message's schedule.
        due_at: When it would be due, in seconds since the Unix epoch.
    """
    if schedule.first_attempt_at is not None:
        due_at = max(due_at, schedule.first_attempt_at)
    if schedule.window is None:
        return due_at
    try:
        return max(due_at, _into_window(schedule.window, due_at))
    except (OverflowError, ValueError, OSError):
        # Past the calendar: the maximum age comes first, so the window no longer matters.
        return due_at


def _into_window(window: Window, due_at: float) -> float:
    zone = _zone(window.tz)
    local = datetime.fromtimestamp(due_at, zone)
    moved = False
    for _ in range(_MAX_TURNS + 1):
        if local.weekday() in window.days:
            now = local.time()
            if now < window.start:
                return datetime.combine(local.date(), window.start, zone).timestamp()
            if now < window.end or now == window.start:
                return local.timestamp() if moved else due_at
        local = datetime.combine(local.date() + timedelta(days=1), window.start, zone)
        moved = True
    return local.timestamp()
