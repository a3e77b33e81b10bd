"""Log records as they happen, for those who watch.

Place in flow: ``engine.records.record_tap`` publishes, ``engine.admin.record_stream`` and the
console subscribe.

Invariants:
    * Those of ``engine.base.event_hub``.
    * A record is made a line once, however many watch, and only if one of them may want it.
"""

from __future__ import annotations

from engine.base.event_hub import EventHub, Subscription
from engine.model.log_record import LogRecord, encode_record
from engine.model.record_filter import RecordMatcher

#: What a record takes besides its line, about: the same again as values, and the values' own.
_RECORD_OCTETS = 1024


class SeenRecord:
    """A log record that somebody may want to see."""

    __slots__ = ("_line", "record")

    def __init__(self, record: LogRecord) -> None:
        self.record = record
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        """Return it as a line of JSON, with its end."""
        if self._line is None:
            self._line = encode_record(self.record)
        return self._line

    @property
    def octets(self) -> int:
        """Return the memory that it takes, about."""
        return _RECORD_OCTETS + 2 * len(self.line)


class RecordHub(EventHub[SeenRecord]):
    """Who watches the log records of a node."""

    __slots__ = ()

    def subscribe(self, matcher: RecordMatcher) -> Subscription[SeenRecord]:
        """Return a new subscription.

        Raises:
            TooManyReadersError: There is no place.
        """
        return self.watch(lambda seen: matcher.fits(seen.record) and matcher.fits_line(seen.line))
