"""The health of egress sources: one whose address or proxy fails is taken out for a while.

Place in flow: dispatchers report trouble; ``engine.control.suspensions`` holds what follows from
it, and the queues consult that.

Invariants:
    * Only trouble that the source asked to be judged counts, by the rule that it gave.
    * A source that is out already is not counted against: its mail is on the way elsewhere.
    * A count is over when its period is.

Failure: memory only; a restart tries every source again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from engine.control.suspensions import SuspensionRegistry
from engine.model.egress import EgressSource, SuspendRule

log = logging.getLogger("cirrus.sources")

AUTHOR = "source health"
#: Sources that are counted at most; no node has so many.
SOURCES_MAX = 10_000


class SourceHealth:
    """What is counted against the sources of this node.

    Attributes:
        suspensions: How often a source was taken out, by its name and by why.
        failures: Connections that failed for a source, by its name and the kind of trouble,
            whether it is judged by that or not.
        proxy_failures: How often any proxy could not be used.
    """

    def __init__(self, suspensions: SuspensionRegistry, mono: Callable[[], float]) -> None:
        """Take sources out by suspensions.

        Args:
            suspensions: Of the node.
            mono: Monotonic time in seconds.
        """
        self.suspensions: dict[tuple[str, str], int] = {}
        self.failures: dict[tuple[str, str], int] = {}
        self.proxy_failures = 0
        self._why: dict[str, str] = {}
        self._suspensions = suspensions
        self._mono = mono
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def note_unplumbed(self, source: EgressSource, text: str) -> None:
        """Note that the address of a source is not on this machine, or not on its proxy."""
        self._count(source, "Unplumbed")
        self._judge(source, "unplumbed", source.suspend_when_unplumbed, text)

    def note_proxy(self, source: EgressSource, text: str) -> None:
        """Note that the proxy of a source cannot be used."""
        self.proxy_failures += 1
        self._count(source, "ProxyUnhealthy")
        self._judge(source, "proxy_unhealthy", source.suspend_when_proxy_unhealthy, text)

    def out(self) -> list[tuple[str, str]]:
        """Return the sources that are out now, each with why."""
        return [
            (one.name, self._why.get(one.name, "") if one.author == AUTHOR else "operator")
            for one in self._suspensions.list_sources()
        ]

    def _count(self, source: EgressSource, kind: str) -> None:
        if len(self.failures) > SOURCES_MAX:
            self.failures.clear()
        key = source.name, kind
        self.failures[key] = self.failures.get(key, 0) + 1

    def _judge(self, source: EgressSource, kind: str, rule: SuspendRule | None, text: str) -> None:
        if rule is None or self._suspensions.find_source(source.name) is not None:
            return
        if rule.threshold is not None and not self._is_reached(source.name, kind, rule):
            return
        self._seen.pop((source.name, kind), None)
        key = source.name, kind
        self.suspensions[key] = self.suspensions.get(key, 0) + 1
        self._why[source.name] = kind
        log.warning("%s is taken out for %g s: %s", source.name, rule.duration_s, text)
        self._suspensions.add_source(source.name, text, AUTHOR, rule.duration_s)

    def _is_reached(self, name: str, kind: str, rule: SuspendRule) -> bool:
        assert rule.threshold is not None
        now = self._mono()
        if len(self._seen) > SOURCES_MAX:
            self._seen.clear()
        seen = self._seen.setdefault((name, kind), deque())
        seen.append(now)
        while seen[0] <= now - rule.threshold.period_s:
            seen.popleft()
        return len(seen) >= rule.threshold.limit
