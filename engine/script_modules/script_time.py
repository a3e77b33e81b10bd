"""``mta.time``: instants, durations, waiting, and timers that end in a metric.

Place in flow: exposed by ``all_modules``.

Invariants:
    * Instants are aware datetimes in UTC, read from the node's clock.
    * A node holds at most ``LABELS_MAX`` labels of timers; further ones count as ``(other)``.

Standard: RFC 5322 (dates of mail), RFC 3339.
"""

from __future__ import annotations

import asyncio
import datetime
import math
import re
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from engine.base.clock import Clock
from engine.base.metrics import Metrics
from engine.model.duration import parse_duration as parse_seconds
from policy.script_api import ScriptNamespace

MODULE = "mta.time"
SLEEP_S_MAX = 300.0
LABELS_MAX = 100
OTHER = "(other)"
_TEXT_MAX = 100
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d{1,20})?(?:[Zz]|([+-]\d\d:\d\d))\Z", re.ASCII
)


def from_unix_timestamp(seconds: float) -> datetime.datetime:
    """Return the instant that many seconds after 1970 began.

    Raises:
        ValueError: No year from 1 to 9999.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError("wants a number of seconds")
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("this timestamp lies outside the years 1 to 9999") from None


def parse_rfc2822(text: str) -> datetime.datetime:
    """Return the instant of a date as mail has it.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(text, str) or len(text) > _TEXT_MAX:
        raise ValueError("not a date of a mail")
    try:
        found = parsedate_to_datetime(text)
        if found.tzinfo is None:  # "-0000": the instant is known, the zone is not
            found = found.replace(tzinfo=datetime.UTC)
        return found.astimezone(datetime.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ValueError(f"not a date of a mail: {text!r}") from None


def parse_rfc3339(text: str) -> datetime.datetime:
    """Return the instant of a text such as ``2030-01-31T09:00:00Z``.

    Raises:
        ValueError: It is none, or lacks a zone.
    """
    found = _RFC3339.match(text) if isinstance(text, str) and len(text) <= _TEXT_MAX else None
    if found is None:
        raise ValueError(
            f"not a time with a zone, such as 2030-01-31T09:00:00Z: {str(text)[:100]!r}"
        )
    day, minute, second, fraction, zone = found.groups()
    # A leap second: datetime has none, and the next second is nearest.
    leap = datetime.timedelta(seconds=1 if second == "60" else 0)
    second = "59" if second == "60" else second
    iso = f"{day}T{minute}:{second}{(fraction or '')[:7]}{zone or '+00:00'}"
    try:
        return (datetime.datetime.fromisoformat(iso) + leap).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"no such time: {text!r}") from None


def with_ymd_hms(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime.datetime:
    """Return an instant by its parts, in UTC."""
    return datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)


def parse_duration(value: float | str) -> datetime.timedelta:
    """Return a duration such as "1h30m", or a number of seconds, as a timedelta."""
    seconds = parse_seconds(value)
    try:
        return datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"this duration is too long: {value!r}") from None


def _aware(value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        raise TypeError("wants a datetime")
    if value.tzinfo is None:
        raise ValueError("wants a datetime with a zone, as those of mta.time have")
    return value.astimezone(datetime.UTC)


def format_rfc2822(instant: datetime.datetime) -> str:
    """Return an instant as the date of a mail."""
    return format_datetime(_aware(instant))


def format_rfc3339(instant: datetime.datetime) -> str:
    """Return an instant as RFC 3339 text in UTC."""
    return _aware(instant).isoformat().replace("+00:00", "Z")


class Timer:
    """Time since it was made; ends in the metric ``user_lua_latency``."""

    __slots__ = ("_clock", "_histogram", "_is_done", "_started_mono")

    def __init__(self, clock: Clock, histogram: Any) -> None:
        self._clock = clock
        self._histogram = histogram
        self._started_mono = clock.mono()
        self._is_done = False

    def done(self) -> float:
        """Count the time since the start, once, and return it in seconds."""
        elapsed_s = self._clock.mono() - self._started_mono
        if not self._is_done:
            self._is_done = True
            self._histogram.observe(elapsed_s)
        return elapsed_s

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.done()


class ScriptTime:
    """What needs the clock of the node."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._latency = metrics.histogram("user_lua_latency")
        self._labels: set[str] = set()

    def now(self) -> datetime.datetime:
        """Return the present."""
        return datetime.datetime.fromtimestamp(self._clock.wall(), datetime.UTC)

    def elapsed(self, since: datetime.datetime) -> datetime.timedelta:
        """Return how long ago an instant was."""
        return self.now() - _aware(since)

    def start_timer(self, label: str) -> Timer:
        """Return a running timer; its label is that of the metric."""
        if not isinstance(label, str) or not 0 < len(label) <= _TEXT_MAX:
            raise ValueError("label: wants text of 1 to 100 characters")
        if label not in self._labels:
            if len(self._labels) >= LABELS_MAX:
                label = OTHER
            self._labels.add(label)
        return Timer(self._clock, self._latency.labels(label))


async def sleep(seconds: float | str) -> None:
    """Wait; the time of the handler goes on.

    Raises:
        ValueError: The time is negative, or longer than any handler has.
    """
    wanted_s = parse_seconds(seconds)
    if not math.isfinite(wanted_s) or wanted_s > SLEEP_S_MAX:
        raise ValueError(f"waiting {wanted_s:g} s is longer than the {SLEEP_S_MAX:g} allowed")
    await asyncio.sleep(wanted_s)


def expose_time(namespace: ScriptNamespace, clock: Clock, metrics: Metrics) -> None:
    """Make ``mta.time`` importable by scripts."""
    bound = ScriptTime(clock, metrics)
    for function in (
        bound.now,
        bound.elapsed,
        bound.start_timer,
        from_unix_timestamp,
        parse_rfc2822,
        parse_rfc3339,
        format_rfc2822,
        format_rfc3339,
        with_ymd_hms,
        parse_duration,
    ):
        namespace.expose(function.__name__, function, module=MODULE)
    namespace.expose("sleep", sleep, module=MODULE, waits=True)
