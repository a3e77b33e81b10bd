"""Counts over the recent past, in buckets of time; they outlive reloads, not a restart."""

from typing import final, type_check_only

@final
@type_check_only
class CounterSeries:
    """A row of counts, each of one stretch of time; the present one is the last.

    >>> bounces = mta.counter_series.define(name="bounces", num_buckets=60, bucket_size="1m")
    >>> bounces.increment(3)
    >>> bounces.sum(), bounces.sum_over("5m")
    (3, 3)
    """

    def increment(self, n: int = 1) -> None:
        """Add to the present count."""
    def delta(self, n: int) -> None:
        """Add to the present count, or take from it; it stays from 0 on."""
    def observe(self, n: int) -> None:
        """Set the present count."""
    def sum(self) -> int:
        """All counts together."""
    def sum_over(self, duration: int | float | str) -> int:
        """The counts of the recent past; the time is rounded up to whole buckets."""

def define(
    *, name: str, num_buckets: int, bucket_size: int | float | str, initial_value: int = 0
) -> CounterSeries:
    """The series of a name and shape; another shape is another series.

    >>> mta.counter_series.define(name="hits", num_buckets=5, bucket_size="1m").sum()
    0
    """
