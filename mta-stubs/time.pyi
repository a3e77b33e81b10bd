"""Instants (aware datetimes in UTC), durations, waiting, timers."""

from datetime import datetime, timedelta
from types import TracebackType
from typing import final, type_check_only

@final
@type_check_only
class Timer:
    """Time since it was made; a ``with`` block ends it too.

    >>> with mta.time.start_timer("look-up"):
    ...     answer = await mta.dns.lookup_txt("example.org")
    """

    def done(self) -> float:
        """Count the time since the start in the metric, once, and return it in seconds."""
    def __enter__(self) -> Timer: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

def now() -> datetime:
    """The present.

    >>> mta.time.now().tzname()
    'UTC'
    """

def elapsed(since: datetime) -> timedelta:
    """How long ago an instant was.

    >>> mta.time.elapsed(mta.time.with_ymd_hms(2000, 1, 1)).days > 7000
    True
    """

def from_unix_timestamp(seconds: int | float) -> datetime:
    """The instant that many seconds after 1970 began. ValueError: beyond the years 1 to 9999.

    >>> mta.time.from_unix_timestamp(86400).isoformat()
    '1970-01-02T00:00:00+00:00'
    """

def with_ymd_hms(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime:
    """An instant by its parts, in UTC. ValueError: there is no such day or time.

    >>> mta.time.with_ymd_hms(2030, 1, 31, 9).isoformat()
    '2030-01-31T09:00:00+00:00'
    """

def parse_rfc2822(text: str) -> datetime:
    """The instant of a date as mail has it. ValueError: it is none.

    >>> mta.time.parse_rfc2822("Fri, 21 Nov 1997 09:55:06 -0600").isoformat()
    '1997-11-21T15:55:06+00:00'
    """

def parse_rfc3339(text: str) -> datetime:
    """The instant of RFC 3339 text; the zone must be there. ValueError: it is none.

    >>> mta.time.parse_rfc3339("2030-01-31T09:00:00+01:00").hour
    8
    """

def format_rfc2822(instant: datetime) -> str:
    """An instant as the date of a mail.

    >>> mta.time.format_rfc2822(mta.time.with_ymd_hms(2030, 1, 31, 9))
    'Thu, 31 Jan 2030 09:00:00 +0000'
    """

def format_rfc3339(instant: datetime) -> str:
    """An instant as RFC 3339 text in UTC.

    >>> mta.time.format_rfc3339(mta.time.with_ymd_hms(2030, 1, 31, 9))
    '2030-01-31T09:00:00Z'
    """

def parse_duration(value: int | float | str) -> timedelta:
    """A duration as a timedelta; ``mta.parse_duration`` gives seconds. ValueError: it is none.

    >>> mta.time.parse_duration("1h30m").total_seconds()
    5400.0
    """

async def sleep(seconds: int | float | str) -> None:
    """Wait, at most 300 s; the time that the handler has goes on. ValueError: it is longer.

    >>> await mta.time.sleep("10ms")
    """

def start_timer(label: str) -> Timer:
    """A running timer; its end counts in the metric ``user_lua_latency`` under the label.

    A node holds 100 labels; further ones count as ``(other)``.

    >>> mta.time.start_timer("lookup").done() >= 0
    True
    """
