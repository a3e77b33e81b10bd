"""What a listener counts, as metrics.

Place in flow: each ``proxy.listener`` has one; ``proxy.http_api`` shows it.

Invariants:
    * At most ``DESTINATIONS_MAX`` destinations have a series of their own; the others share one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.base.metrics import Counter, Metrics

#: Addresses that one listener counts connections to. The world has more of them than a scraper
#: would like to see.
DESTINATIONS_MAX = 1000
OTHERS = "others"


class ListenerCounts:
    """The counters of one listener.

    Attributes:
        label: Its name in metrics.

    Args:
        metrics: Where they are kept; a listener that is declared again goes on with them.
        label: Where it listens, as it was declared.
    """

    def __init__(self, metrics: Metrics, label: str) -> None:
        self.label = label
        self.accepted = metrics.counter("proxy_connections_accepted_total").labels(label)
        self.completed = metrics.counter("proxy_connections_completed_total").labels(label)
        self.failed = metrics.counter("proxy_connections_failed_total").labels(label)
        self.accept_errors = metrics.counter("proxy_accept_errors_total").labels(label)
        self.tls_failures = metrics.counter("proxy_tls_handshake_failures_total").labels(label)
        self.sent = metrics.counter("proxy_bytes_client_to_dest_total").labels(label)
        self.received = metrics.counter("proxy_bytes_dest_to_client_total").labels(label)
        self._active = metrics.gauge("proxy_active_connections").labels(label)
        self._denied = metrics.counter("proxy_connections_denied_total")
        self._refused = metrics.counter("proxy_requests_refused_total")
        self._outbound = metrics.counter("proxy_outbound_connections_total")
        self._destinations: dict[str, Counter] = {}

    def watch(self, count: Callable[[], int]) -> None:
        """Have a function asked for the clients that are connected."""
        self._active.set_function(count)

    def denied(self, reason: str) -> Counter:
        """Return the counter of clients turned away for a reason."""
        return self._denied.labels(self.label, reason)

    def refused(self, reason: str) -> Counter:
        """Return the counter of sessions that ended for a reason."""
        return self._refused.labels(self.label, reason)

    def connecting(self, host: str) -> None:
        """Count an attempt to connect to an address."""
        counter = self._destinations.get(host)
        if counter is None:
            name = host if len(self._destinations) < DESTINATIONS_MAX else OTHERS
            counter = self._outbound.labels(self.label, name)
            if name is not OTHERS:
                self._destinations[host] = counter
        counter.inc()

    def snapshot(self) -> dict[str, Any]:
        """Return what operators want to see at a glance."""
        return {
            "accepted": int(self.accepted.value),
            "completed": int(self.completed.value),
            "failed": int(self.failed.value),
            "bytes_client_to_dest": int(self.sent.value),
            "bytes_dest_to_client": int(self.received.value),
        }
