"""``mta.counter_series``: counts over the recent past, in buckets of time.

Place in flow: exposed by ``all_modules``.

Invariants:
    * A series outlives reloads: the same name and shape is the same series, another shape a new
      one. The least recently defined goes when there are too many.
    * Counts stay between 0 and ``COUNT_MAX``.
    * A policy that loads in a thread may count too: a lock guards each change.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from engine.model.duration import parse_duration
from engine.model.keyword_options import whole
from engine.script_modules.script_call import caller_budget
from policy.script_api import ScriptNamespace

MODULE = "mta.counter_series"
COUNT_MAX = (1 << 63) - 1
BUCKETS_MAX = 10_000
TOTAL_BUCKETS_MAX = 2_000_000
#: What a series costs beside its buckets, in buckets.
SERIES_COST = 50
NAME_MAX = 200

_Shape = tuple[str, int, int]


class CounterSeries:
    """A row of counts, each of one stretch of time; the present one is the last."""

    __slots__ = ("_bucket_s", "_buckets", "_initial", "_lock", "_mono", "_newest")

    def __init__(
        self, mono: Callable[[], float], num_buckets: int, bucket_s: int, initial: int
    ) -> None:
        self._mono = mono
        self._lock = threading.Lock()
        self._bucket_s = bucket_s
        self._initial = initial
        self._buckets = [initial] * num_buckets
        self._newest = self._number()

    def _number(self) -> int:
        return int(self._mono() // self._bucket_s)

    def _turn(self) -> int:
        """Empty what time has passed over; return the index of the present bucket."""
        number, count = self._number(), len(self._buckets)
        steps = number - self._newest
        if steps >= count:
            self._buckets[:] = [self._initial] * count
        else:
            for step in range(1, steps + 1):
                self._buckets[(self._newest + step) % count] = self._initial
        self._newest = max(number, self._newest)
        return self._newest % count

    def increment(self, n: int = 1) -> None:
        """Add to the present count."""
        self.delta(_count(n))

    def delta(self, n: int) -> None:
        """Add to the present count, or take from it; it stays from 0 on."""
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError("wants a whole number")
        with self._lock:
            index = self._turn()
            self._buckets[index] = min(max(self._buckets[index] + n, 0), COUNT_MAX)

    def observe(self, n: int) -> None:
        """Set the present count."""
        count = _count(n)
        with self._lock:
            self._buckets[self._turn()] = count

    def sum(self) -> int:
        """Return all counts together."""
        caller_budget().account_items(len(self._buckets))
        with self._lock:
            self._turn()
            return sum(self._buckets)

    def sum_over(self, duration: float | str) -> int:
        """Return the counts of the recent past; the time is rounded up to whole buckets."""
        wanted = math.ceil(parse_duration(duration) / self._bucket_s)
        count = len(self._buckets)
        wanted = min(wanted, count)
        caller_budget().account_items(wanted)
        with self._lock:
            newest = self._turn()
            return sum(self._buckets[(newest - back) % count] for back in range(wanted))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("wants a whole number")
    if not 0 <= value <= COUNT_MAX:
        raise ValueError("wants a number from 0 on")
    return value


class CounterSeriesRegistry:
    """The series of a node.

    Args:
        mono: Monotonic time in seconds.
    """

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._lock = threading.Lock()
        self._series: OrderedDict[_Shape, CounterSeries] = OrderedDict()
        self._buckets = 0

    def define(
        self, *, name: str, num_buckets: int, bucket_size: float | str, initial_value: int = 0
    ) -> CounterSeries:
        """Return the series of a name and shape, made where there is none."""
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
            raise ValueError(f"name: wants text of 1 to {NAME_MAX} characters")
        count = whole(1, BUCKETS_MAX)(num_buckets)
        # Whole seconds, rounded up.
        bucket_s = max(1, math.ceil(parse_duration(bucket_size)))
        shape = (name, count, bucket_s)
        initial = _count(initial_value)
        caller_budget().account_items(count)
        with self._lock:
            found = self._series.get(shape)
            if found is None:
                found = self._series[shape] = CounterSeries(self._mono, count, bucket_s, initial)
                self._buckets += count + SERIES_COST
                while self._buckets > TOTAL_BUCKETS_MAX:
                    (_, oldest, _), _ = self._series.popitem(last=False)
                    self._buckets -= oldest + SERIES_COST
            self._series.move_to_end(shape)
        return found


def expose_counter_series(namespace: ScriptNamespace, registry: CounterSeriesRegistry) -> None:
    """Make ``mta.counter_series`` importable by scripts."""
    namespace.expose("define", registry.define, module=MODULE)
