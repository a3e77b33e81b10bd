"""Counters, gauges and histograms of a daemon, and their exposition.

Place in flow: one ``Metrics`` per daemon, made by its composition root from a table of
declarations (``engine.base.metric_names`` for the engine) and handed to every stage; read by
``engine.base.http_service``.

Invariants:
    * A metric exists only if it is declared; its name, type and labels are the table's.
    * ``labels(...)`` returns the same child each time: hot paths keep it and call ``inc``.
    * Exposition never builds the whole text: it is made in pieces of about 4 KiB.
    * Only the event loop's thread creates children; any thread may call ``inc`` on its own child.

Standard: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import enum
import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

#: Upper bounds of histogram buckets, seconds.
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Characters of one piece of exposition.
CHUNK_CHARS = 4096

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


class Family(Generic[Child]):
    """All series of one metric."""

    __slots__ = ("_children", "_collect", "_make", "declaration")

    def __init__(self, declaration: MetricDeclaration, make: Callable[[], Child]) -> None:
        self.declaration = declaration
        self._make: Callable[[], Child] = make
        self._children: dict[Labels, Child] = {}
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
        self._children.pop(values, None)

    def prune(self, is_gone: Callable[[Labels], bool]) -> int:
        """Return how many series were forgotten because the predicate said so."""
        gone = [labels for labels in self._children if is_gone(labels)]
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
        for labels, child in list(self._children.items()):
            yield labels, child if isinstance(child, Histogram) else child.value
        if self._collect is not None:
            yield from list(self._collect())


class Metrics:
    """The metrics of one daemon.

    Args:
        declarations: The table of what may be counted.
    """

    def __init__(self, declarations: Iterable[MetricDeclaration]) -> None:
        self._families: dict[str, Family[Any]] = {}
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

    def _family(self, name: str, kind: MetricKind) -> Family[Any]:
        family = self._families.get(name)
        if family is None:
            raise KeyError(f"no metric {name} is declared")
        if family.declaration.kind is not kind:
            raise TypeError(f"{name} is a {family.declaration.kind}, not a {kind}")
        return family

    def iter_text(self, prefix: str = "") -> Iterator[str]:
        """Yield the text exposition in pieces; metrics without a series are left out.

        Args:
            prefix: Put before every name.
        """
        return _in_chunks(_text_lines(self._families.values(), prefix))

    def iter_json(self, prefix: str = "") -> Iterator[str]:
        """Yield the metrics as one JSON object, in pieces.

        Args:
            prefix: Put before every name.
        """
        return _in_chunks(_json_pieces(self._families.values(), prefix))


def _in_chunks(pieces: Iterable[str]) -> Iterator[str]:
    gathered: list[str] = []
    chars = 0
    for piece in pieces:
        gathered.append(piece)
        chars += len(piece)
        if chars >= CHUNK_CHARS:
            yield "".join(gathered)
            gathered.clear()
            chars = 0
    if gathered:
        yield "".join(gathered)


def _text_lines(families: Iterable[Family[Any]], prefix: str) -> Iterator[str]:
    for family in list(families):
        declared = family.declaration
        name = prefix + declared.name
        is_first = True
        for labels, value in family.samples():
            if is_first:
                is_first = False
                if declared.help:
                    yield f"# HELP {name} {_escape_help(declared.help)}\n"
                yield f"# TYPE {name} {declared.kind}\n"
            pairs = [f'{k}="{_escape(v)}"' for k, v in zip(declared.labels, labels, strict=True)]
            if isinstance(value, Histogram):
                yield from _histogram_lines(name, pairs, value)
            else:
                yield f"{name}{_braces(pairs)} {_number(value)}\n"


def _histogram_lines(name: str, pairs: list[str], histogram: Histogram) -> Iterator[str]:
    buckets = histogram.cumulative()
    for bound, total in buckets:
        le = f'le="{_number(bound)}"'
        yield f"{name}_bucket{_braces([*pairs, le])} {total}\n"
    yield f"{name}_sum{_braces(pairs)} {_number(histogram.sum)}\n"
    yield f"{name}_count{_braces(pairs)} {buckets[-1][1]}\n"


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, float):
        if math.isinf(value):
            return "+Inf" if value > 0 else "-Inf"
        if math.isnan(value):
            return "NaN"
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
    return str(value)


def _json_pieces(families: Iterable[Family[Any]], prefix: str) -> Iterator[str]:
    separator = "{"
    for family in list(families):
        declared = family.declaration
        head: dict[str, Any] = {"help": declared.help} if declared.help else {}
        head["type"] = declared.kind
        yield f'{separator}{json.dumps(prefix + declared.name)}:{json.dumps(head)[:-1]}, "value":'
        yield from _json_value(family)
        yield "}"
        separator = ",\n"
    yield "{}" if separator == "{" else "}\n"


def _json_value(family: Family[Any]) -> Iterator[str]:
    names = family.declaration.labels
    opening = {0: "", 1: "{" + f"{json.dumps(names[0])}:{{" if names else ""}.get(len(names), "[")
    closing = {0: "", 1: "}}"}.get(len(names), "]")
    separator = opening
    is_empty = True
    for labels, value in family.samples():
        is_empty = False
        number = json.dumps(_json_number(value))
        if len(names) == 0:
            yield number
        elif len(names) == 1:
            yield f"{separator}{json.dumps(labels[0])}:{number}"
        else:
            pairs = dict(zip(names, labels, strict=True))
            yield f'{separator}{json.dumps(pairs)[:-1]}, "@":{number}}}'
        separator = ",\n"
    yield "null" if is_empty else closing


def _json_number(value: float | Histogram) -> Any:
    if isinstance(value, Histogram):
        buckets = value.cumulative()
        count = buckets[-1][1]
        return {
            "count": count,
            "sum": value.sum,
            "avg": value.sum / count if count else 0.0,
            "bucket": [list(bucket) for bucket in buckets[:-1]],
        }
    # JSON has neither infinity nor NaN.
    return value if math.isfinite(value) else None
