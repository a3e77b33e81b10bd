"""Counts of matching records in sliding windows: when a threshold or a proportion is reached.

Place in flow: ``tsa.rule_engine`` asks for each match, ``tsa.settled_window`` for each second;
pure, no clock of its own.

Invariants:
    * A window is the trigger's own period, ending at the time of the record: late and disordered
      records are counted where they belong.
    * Matches that come in another order complete the same periods, as long as none is later than
      ``KEPT_PERIODS`` of what was not enough: two daemons come to the same end.
    * A threshold of N keeps N instants per scope while it is reached, ``KEPT_PERIODS`` times as
      many otherwise, whatever the rate.
    * A proportion keeps a fixed number of buckets per scope.

Standard: sliding log for thresholds; bucketed counters for proportions, exact to a sixtieth of the
window, or to a second where that is more.
"""

from __future__ import annotations

from bisect import bisect_right

#: How many times the count of a threshold is kept, for what comes late.
KEPT_PERIODS = 4
#: Buckets of a proportion's window.
BUCKETS = 60


class ThresholdWindow:
    """The newest matches of one rule in one scope.

    Attributes:
        full_at: The newest end of a period with enough matches; None before the first.
    """

    __slots__ = ("_count", "_instants", "_period_s", "full_at")

    def __init__(self, count: int, period_s: float) -> None:
        self._count = count
        self._period_s = period_s
        self._instants: list[float] = []
        self.full_at: float | None = None

    def add(self, at: float) -> bool:
        """Count a match; return whether so many lie within a period that it belongs to.

        Args:
            at: The time of the record, seconds since the Unix epoch.
        """
        instants, count = self._instants, self._count
        if not instants or at >= instants[-1]:
            place = len(instants)
            instants.append(at)
        else:
            place = bisect_right(instants, at)
            instants.insert(place, at)
        if self._is_full(len(instants) - 1):
            # No match that comes later in time needs more than these.
            del instants[:-count]
            self.full_at = instants[-1]
            return True
        found = self._find_full(place)
        if len(instants) > KEPT_PERIODS * count:
            del instants[0]
        return found

    def _find_full(self, place: int) -> bool:
        """Return whether a match completed a period that ends before the newest match."""
        for end in range(min(place + self._count, len(self._instants) - 1) - 1, place - 1, -1):
            if self._is_full(end):
                self.full_at = max(self._instants[end], self.full_at or 0.0)
                return True
        return False

    def _is_full(self, end: int) -> bool:
        """Return whether the period that ends with a match holds enough of them."""
        start = end - self._count + 1
        return start >= 0 and self._instants[end] - self._instants[start] < self._period_s

    def is_stale(self, now: float) -> bool:
        """Return whether no match in it can count any more."""
        return not self._instants or self._instants[-1] < now - self._period_s

    @property
    def instants(self) -> tuple[float, ...]:
        """Return the matches kept, oldest first."""
        return tuple(self._instants)


class ProportionWindow:
    """Attempts and matches of one rule in one scope, by buckets of time."""

    __slots__ = (
        "_attempts",
        "_buckets",
        "_count",
        "_matches",
        "_newest",
        "_width_s",
        "_within_s",
    )

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._width_s = max(1.0, within_s / BUCKETS)
        #: How many buckets a period has.
        self._count = max(1, round(within_s / self._width_s))
        self._buckets: dict[int, list[int]] = {}
        # What the period that ends with the newest bucket holds: most records fall into that one.
        self._newest = 0
        self._attempts = self._matches = 0

    def add(self, at: float, attempts: int, matches: int) -> tuple[int, int]:
        """Count a second's attempts; return those, and the matches, of the period it ends.

        Args:
            at: When the second began, seconds since the Unix epoch.
            attempts: How many there were in it.
            matches: How many of them match.
        """
        number = int(at / self._width_s)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = [0, 0]
            if len(self._buckets) > 2 * self._count:
                self._forget(max(self._buckets))
        bucket[0] += attempts
        bucket[1] += matches
        if number > self._newest:
            self._newest = number
            self._attempts, self._matches = self._sum(number)
        elif number > self._newest - self._count:
            self._attempts += attempts
            self._matches += matches
        if number == self._newest:
            return self._attempts, self._matches
        return self._sum(number)

    def _sum(self, newest: int) -> tuple[int, int]:
        """Return attempts and matches of the period that ends with a bucket."""
        attempts = matches = 0
        for number, (all_of_it, matching) in self._buckets.items():
            if newest - self._count < number <= newest:
                attempts += all_of_it
                matches += matching
        return attempts, matches

    def _forget(self, newest: int) -> None:
        for number in [number for number in self._buckets if number <= newest - self._count]:
            del self._buckets[number]

    def state(self) -> dict[int, list[int]]:
        """Return a copy of the buckets, for the store."""
        return {number: list(bucket) for number, bucket in self._buckets.items()}

    def set_state(self, buckets: dict[int, list[int]]) -> None:
        """Take back buckets that ``state`` returned."""
        self._buckets = buckets
        self._newest = max(buckets, default=0)
        self._attempts, self._matches = self._sum(self._newest)

    def is_stale(self, now: float) -> bool:
        """Return whether nothing in it can count any more."""
        return not self._buckets or (max(self._buckets) + 1) * self._width_s < now - self._within_s
