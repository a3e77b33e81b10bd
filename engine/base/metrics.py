"""Counters, gauges and histograms of a daemon, and their exposition.

Place in flow: one ``Metrics`` per daemon, made by its composition root from a table of
declarations (``engine.base.metric_names`` for the engine) and handed to every stage; read by
``engine.base.http_service``.

Invariants:
    * A metric exists only if it is declared; its name, type and labels are the table's.
    * ``labels(...)`` returns the same child each time: hot paths keep it and call ``inc``.
    * Exposition never builds the whole text, and may be stopped between any two pieces: what is
      asked for its series says None where that is.
    * Only the event loop's thread creates children; any thread may call ``inc`` on its own child.
"""

from __future__ import annotations

import enum
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engine.base.exposition import write_json, write_text
from engine.base.sharded_dict import ShardedDict

#: Upper bounds of histogram buckets, seconds.
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Series between two places to pause.
_PAUSE_EVERY = 64
_SERIES_OF_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")

Labels = tuple[str, ...]


class MetricKind(enum.StrEnum):
    """The types of the exposition format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDeclaration:
    """Name, type, labels and meaning of a metric."""

    name: str
    kind: MetricKind
    labels: Labels = ()
    help: str = ""
    buckets: tuple[float, ...] = DEFAULT_BUCKETS


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, n: float = 1) -> None:
        """Add to the counter."""
        self.value += n


class Gauge:
    """A number that goes up and down, or a function that is asked for it."""

    __slots__ = ("_ask", "_value")

    def __init__(self) -> None:
        self._value: float = 0
        self._ask: Callable[[], float] | None = None

    def inc(self, n: float = 1) -> None:
        """Add to the gauge."""
        self._value += n

    def dec(self, n: float = 1) -> None:
        """Take from the gauge."""
        self._value -= n

    def set(self, value: float) -> None:
        """Replace the value."""
        self._value = value

    def set_function(self, ask: Callable[[], float]) -> None:
        """Ask a function for the value each time it is exposed."""
        self._ask = ask

    @property
    def value(self) -> float:
        """Return the present value; a condition counts as 0 or 1."""
        # The plus makes a number of a bool: "True" would make the whole text unreadable.
        return +(self._value if self._ask is None else self._ask())


class Histogram:
    """Observations counted by bucket."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count an observation."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """Return how many observations there were."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound with the number of observations up to it; the last is infinity."""
        total, out = 0, []
        for bound, count in zip((*self._bounds, math.inf), self.counts, strict=True):
            total += count
            out.append((bound, total))
        return out


Child = TypeVar("Child", Counter, Gauge, Histogram)
#: Yields label values and value of each series of a gauge that is asked, not kept.
Collect = Callable[[], Iterable[tuple[Labels, float]]]
#: Yields name, label values and value of the series of several metrics, one metric after the other;
#: None where a reader may pause.
Walk = Callable[[], Iterator[tuple[str, Labels, float] | None]]


class Family(Generic[Child]):
    """All series of one metric."""

    __slots__ = ("_children", "_collect", "_make", "declaration")

    def __init__(self, declaration: MetricDeclaration, make: Callable[[], Child]) -> None:
        self.declaration = declaration
        self._make: Callable[[], Child] = make
        self._children: ShardedDict[Labels, Child] = ShardedDict()
        self._collect: Collect | None = None

    def labels(self, *values: str) -> Child:
        """Return the series of these label values, made at its first use.

        Raises:
            ValueError: The number of values is not the number of labels.
        """
        child = self._children.get(values)
        if child is None:
            declared = self.declaration
            if len(values) != len(declared.labels):
                raise ValueError(f"{declared.name} has the labels {declared.labels}, not {values}")
            child = self._children[values] = self._make()
        return child

    def remove(self, *values: str) -> None:
        """Forget the series of these label values, if there is one."""
        self._children.pop(values)

    def prune(self, is_gone: Callable[[Labels], bool]) -> int:
        """Return how many series were forgotten because the predicate said so."""
        gone = [labels for labels, _ in self._children.items() if is_gone(labels)]
        for labels in gone:
            del self._children[labels]
        return len(gone)

    def set_collect(self, collect: Collect) -> None:
        """Ask a function for all series each time they are exposed (gauges)."""
        self._collect = collect

    def __len__(self) -> int:
        return len(self._children)

    def samples(self) -> Iterator[tuple[Labels, float | Histogram]]:
        """Yield label values and value of each series, as they are now."""
        for sample in self.paced_samples():
            if sample is not None:
                yield sample

    def paced_samples(self) -> Iterator[tuple[Labels, float | Histogram] | None]:
        """Yield the same; None where a reader may pause, while series come and go."""
        for number, (labels, child) in enumerate(self._children.items()):
            yield labels, child if isinstance(child, Histogram) else child.value
            if number % _PAUSE_EVERY == 0:
                yield None
        if self._collect is not None:
            # At once: what it walks may change while a reader pauses.
            yield from list(self._collect())


class Metrics:
    """The metrics of one daemon.

    Args:
        declarations: The table of what may be counted.
    """

    def __init__(self, declarations: Iterable[MetricDeclaration]) -> None:
        self._families: dict[str, Family[Any]] = {}
        self._groups: dict[str, tuple[tuple[str, ...], Walk]] = {}
        for declaration in declarations:
            self.declare(declaration)

    def declare(self, declaration: MetricDeclaration) -> None:
        """Add a metric to those that may be counted.

        Raises:
            ValueError: The name is taken.
        """
        if declaration.name in self._families:
            raise ValueError(f"the metric {declaration.name} is declared twice")
        makers: dict[MetricKind, Callable[[], Counter | Gauge | Histogram]] = {
            MetricKind.COUNTER: Counter,
            MetricKind.GAUGE: Gauge,
            MetricKind.HISTOGRAM: lambda: Histogram(declaration.buckets),
        }
        family: Family[Any] = Family(declaration, makers[declaration.kind])
        self._families[declaration.name] = family

    def counter(self, name: str) -> Family[Counter]:
        """Return a declared counter."""
        return self._family(name, MetricKind.COUNTER)

    def gauge(self, name: str) -> Family[Gauge]:
        """Return a declared gauge."""
        return self._family(name, MetricKind.GAUGE)

    def histogram(self, name: str) -> Family[Histogram]:
        """Return a declared histogram."""
        return self._family(name, MetricKind.HISTOGRAM)

    def set_walk(self, names: Iterable[str], walk: Walk) -> None:
        """Ask one function for the series of several metrics: what is counted in one walk agrees.

        Args:
            names: The metrics, in the order in which the walk yields them.
            walk: Is asked each time they are exposed.
        """
        group = tuple(names), walk
        for name in group[0]:
            self._groups[name] = group

    def _family(self, name: str, kind: MetricKind) -> Family[Any]:
        family = self._families.get(name)
        if family is None:
            raise KeyError(f"no metric {name} is declared")
        if family.declaration.kind is not kind:
            raise TypeError(f"{name} is a {family.declaration.kind}, not a {kind}")
        return family

    def iter_text(self, prefix: str = "", names: Collection[str] = ()) -> Iterator[str]:
        """Yield the text exposition in pieces; metrics without a series are left out.

        Args:
            prefix: Put before every name.
            names: The metrics that are wanted, without the prefix; all when there are none. What
                is not declared is left out.
        """
        return write_text(self._events(self._families_of(names)), prefix)

    def iter_json(self, prefix: str = "", names: Collection[str] = ()) -> Iterator[str]:
        """Yield the metrics as one JSON object, in pieces. See ``iter_text``."""
        return write_json(self._events(self._families_of(names)), prefix)

    def _families_of(self, names: Collection[str]) -> frozenset[str]:
        """Return the metrics of names; that of a series of a histogram is meant by its own."""
        return frozenset(
            name if name in self._families else _SERIES_OF_HISTOGRAM.sub("", name) for name in names
        )

    def _events(self, wanted: frozenset[str]) -> Iterator[Any]:
        """Yield each metric followed by its series; None where a reader may pause."""
        for name in list(self._families):
            group = self._groups.get(name)
            if group is None:
                if not wanted or name in wanted:
                    yield from self._own_events(name)
            elif group[0][0] == name and (not wanted or not wanted.isdisjoint(group[0])):
                yield from self._group_events(*group, wanted)

    def _group_events(
        self, names: tuple[str, ...], walk: Walk, wanted: frozenset[str]
    ) -> Iterator[Any]:
        current, left = "", dict.fromkeys(names)
        is_wanted = False
        for item in walk():
            if item is None:
                yield None
                continue
            name, labels, value = item
            if name != current:
                current, is_wanted = name, not wanted or name in wanted
                # A KeyError tells of a name that comes a second time.
                del left[name]
                if is_wanted:
                    yield from self._own_events(name)
            if is_wanted:
                yield labels, value
        for name in left:
            if not wanted or name in wanted:
                yield from self._own_events(name)

    def _own_events(self, name: str) -> Iterator[Any]:
        """Yield a metric followed by the series that were made for it by label."""
        family = self._families[name]
        yield family.declaration
        yield from family.paced_samples()
