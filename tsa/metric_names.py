"""The metrics of the daemon, declared once.

Place in flow: handed to ``engine.base.metrics.Metrics`` by ``tsa.app``.
"""

from __future__ import annotations

from engine.base.metrics import MetricDeclaration, MetricKind


def _counter(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.COUNTER, labels, help_text)


def _gauge(name: str, help_text: str, *labels: str) -> MetricDeclaration:
    return MetricDeclaration(name, MetricKind.GAUGE, labels, help_text)


TSA_METRICS = (
    _gauge("tsa_records_received", "log records taken since the start"),
    _gauge("tsa_records_refused", "lines refused since the start, for they are no log records"),
    _gauge("tsa_records_waiting", "log records that wait for the rules"),
    _gauge("tsa_decisions", "decisions in force", "kind"),
    _gauge("tsa_subscribers", "connections that want decisions"),
    _gauge("tsa_store_failing", "1 while decisions cannot be made durable"),
    _gauge("tsa_rules", "rules in force"),
    _gauge("tsa_rules_failing", "1 while script or shaping files have errors; the last good stay"),
    _counter("tsa_rule_reloads", "loads of shaping files that changed something", "outcome"),
)
