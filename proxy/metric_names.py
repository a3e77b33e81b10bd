"""The metrics of the proxy, declared once: names, types and labels as dashboards know them.

Place in flow: handed to ``engine.base.metrics.Metrics`` by ``proxy.app``.
"""

from __future__ import annotations

from engine.base.metrics import MetricDeclaration, MetricKind


def _counter(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.COUNTER, labels, help_text)


def _gauge(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.GAUGE, labels, help_text)


PROXY_METRICS = (
    _gauge("proxy_active_connections", "clients connected now", "listener"),
    _counter("proxy_connections_accepted_total", "clients accepted", "listener"),
    _counter("proxy_connections_completed_total", "sessions that ended in good order", "listener"),
    _counter("proxy_connections_failed_total", "sessions that broke off", "listener"),
    _counter("proxy_connections_denied_total", "clients turned away at once", "listener", "reason"),
    _counter("proxy_requests_refused_total", "requests answered by an error", "listener", "reason"),
    _counter("proxy_accept_errors_total", "failures to accept a client", "listener"),
    _counter("proxy_tls_handshake_failures_total", "TLS handshakes that failed", "listener"),
    _counter(
        "proxy_outbound_connections_total", "connections asked for", "listener", "destination"
    ),
    _counter("proxy_bytes_client_to_dest_total", "octets sent for clients", "listener"),
    _counter("proxy_bytes_dest_to_client_total", "octets received for clients", "listener"),
    _gauge("proxy_policy_failing", "1 while script or users have errors; the last good stay"),
)
