"""``mta.make_counter``: metrics that scripts count.

Place in flow: exposed by ``all_modules``; exposition is that of the node's other metrics.

Invariants:
    * A name is ``script_`` and what the script says; it outlives reloads with its counts.
    * A counter has at most ``SERIES_MAX`` series; further label values count as ``(other)``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from engine.base.metrics import Family, MetricDeclaration, MetricKind, Metrics
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace, known_to_scripts

COUNTERS_MAX = 200
SERIES_MAX = 1_000
LABELS_MAX = 8
LABEL_CHARACTERS_MAX = 200
OTHER = "(other)"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}\Z")


@known_to_scripts("Counter")
class ScriptCounter:
    """A counter of a script."""

    __slots__ = ("_family", "_seen")

    def __init__(self, family: Family[Any], seen: set[tuple[str, ...]]) -> None:
        self._family = family
        self._seen = seen

    def inc(self, n: float = 1, **labels: Any) -> None:
        """Add to the series of these labels; all labels are given, by name."""
        if isinstance(n, bool) or not isinstance(n, int | float) or not n >= 0 or n > 1e18:
            raise ValueError("a counter only grows: wants a number from 0 on")
        names = self._family.declaration.labels
        if set(labels) != set(names):
            wanted = ", ".join(names) or "none"
            raise TypeError(f"the labels of {self._family.declaration.name} are: {wanted}")
        values = tuple(str(labels[name])[:LABEL_CHARACTERS_MAX] for name in names)
        if values not in self._seen:
            if len(self._seen) >= SERIES_MAX:
                values = tuple(OTHER for _ in names)
            self._seen.add(values)
        self._family.labels(*values).inc(n)


class ScriptCounters:
    """The counters of the scripts of a node."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._families: dict[str, Family[Any]] = {}
        self._seen: dict[str, set[tuple[str, ...]]] = {}

    def make_counter(self, name: str, labels: Sequence[str] = (), help: str = "") -> ScriptCounter:
        """Return the counter of a name; it is exposed as ``script_`` and the name.

        Raises:
            ValueError: A name is none for a metric, or the counter has other labels.
        """
        names = self._check(name, labels)
        family = self._families.get(name)
        if family is None:
            if len(self._families) >= COUNTERS_MAX:
                raise LimitExceededError(f"scripts count in at most {COUNTERS_MAX} metrics")
            text = help[:200] if isinstance(help, str) and help else "counted by a policy script"
            full = f"script_{name}"
            self._metrics.declare(MetricDeclaration(full, MetricKind.COUNTER, names, text))
            family = self._families[name] = self._metrics.counter(full)
        elif family.declaration.labels != names:
            known = ", ".join(family.declaration.labels) or "none"
            raise ValueError(
                f"the counter {name!r} has the labels {known} until a restart; choose another name"
            )
        return ScriptCounter(family, self._seen.setdefault(name, set()))

    @staticmethod
    def _check(name: Any, labels: Any) -> tuple[str, ...]:
        if isinstance(labels, str) or not isinstance(labels, list | tuple):
            raise TypeError("labels: wants a list of names")
        for each in (name, *labels):
            if not isinstance(each, str) or not _NAME.match(each):
                raise ValueError(f"{str(each)[:100]!r} is no name: wants a-z, 0-9 and _")
        if len(set(labels)) < len(labels) or len(labels) > LABELS_MAX or "n" in labels:
            raise ValueError(f"labels: at most {LABELS_MAX} different ones, none of them n")
        return tuple(labels)


def expose_counters(namespace: ScriptNamespace, metrics: Metrics) -> None:
    """Make ``mta.make_counter`` importable by scripts."""
    namespace.expose("make_counter", ScriptCounters(metrics).make_counter)
