"""Counts of matching records in sliding windows: when a threshold or a proportion is reached.

Place in flow: ``tsa.rule_engine`` asks for each match; pure, no clock of its own.

Invariants:
    * A window is the trigger's own period, ending at the time of the record: late and disordered
      records are counted where they belong.
    * A threshold of N keeps N instants per scope at most, whatever the rate.
    * A proportion keeps a fixed number of buckets per scope.

Standard: sliding log for thresholds; bucketed counters for proportions, exact to a sixtieth of the
window.
"""

from __future__ import annotations

from bisect import insort

#: Buckets of a proportion's window.
BUCKETS = 60


class ThresholdWindow:
    """The newest matches of one rule in one scope."""

    __slots__ = ("_count", "_instants", "_period_s")

    def __init__(self, count: int, period_s: float) -> None:
        self._count = count
        self._period_s = period_s
        self._instants: list[float] = []

    def add(self, at: float) -> bool:
        """Count a match; return whether so many lie within the period that ends with it.

        Args:
            at: The time of the record, seconds since the Unix epoch.
        """
        instants = self._instants
        if instants and at < instants[-1]:
            insort(instants, at)
        else:
            instants.append(at)
        if len(instants) > self._count:
            del instants[0]
        # The window that ends with the newest match holds at least as many as any before it that
        # this match could complete.
        return len(instants) == self._count and instants[-1] - instants[0] < self._period_s

    def is_stale(self, now: float) -> bool:
        """Return whether no match in it can count any more."""
        return not self._instants or self._instants[-1] < now - self._period_s

    @property
    def instants(self) -> tuple[float, ...]:
        """Return the matches kept, oldest first."""
        return tuple(self._instants)


class ProportionWindow:
    """Attempts and matches of one rule in one scope, by buckets of time."""

    __slots__ = ("_buckets", "_width_s", "_within_s")

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._width_s = within_s / BUCKETS
        self._buckets: dict[int, list[int]] = {}

    def add(self, at: float, *, is_match: bool) -> tuple[int, int]:
        """Count an attempt; return attempts and matches within the period that ends with it."""
        number = int(at / self._width_s)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = [0, 0]
            if len(self._buckets) > 2 * BUCKETS:
                self._forget(max(self._buckets))
        bucket[0] += 1
        bucket[1] += is_match
        attempts = matches = 0
        for other, (all_of_it, matching) in self._buckets.items():
            if number - BUCKETS < other <= number:
                attempts += all_of_it
                matches += matching
        return attempts, matches

    def _forget(self, newest: int) -> None:
        for number in [number for number in self._buckets if number <= newest - BUCKETS]:
            del self._buckets[number]

    def state(self) -> dict[int, list[int]]:
        """Return the buckets, for the store."""
        return self._buckets

    def set_state(self, buckets: dict[int, list[int]]) -> None:
        """Take back buckets that ``state`` returned."""
        self._buckets = buckets

    def is_stale(self, now: float) -> bool:
        """Return whether nothing in it can count any more."""
        return not self._buckets or (max(self._buckets) + 1) * self._width_s < now - self._within_s
