"""What a listener counts: by name where there are few, together where there are many."""

from __future__ import annotations

import pytest

from engine.base.metrics import Metrics
from proxy import listener_counts
from proxy.listener_counts import ListenerCounts
from proxy.metric_names import PROXY_METRICS


@pytest.fixture
def metrics():
    return Metrics(PROXY_METRICS)


def test_only_so_many_destinations_have_a_series_of_their_own(metrics, monkeypatch):
    monkeypatch.setattr(listener_counts, "DESTINATIONS_MAX", 2)
    counts = ListenerCounts(metrics, "a")
    for number in (1, 2, 3, 4, 1):
        counts.connecting(f"192.0.2.{number}")

    family = metrics.counter("proxy_outbound_connections_total")
    assert dict(family.samples()) == {
        ("a", "192.0.2.1"): 2,
        ("a", "192.0.2.2"): 1,
        ("a", "others"): 2,
    }


def test_a_listener_that_is_declared_again_goes_on_counting(metrics):
    ListenerCounts(metrics, "a").accepted.inc()
    again = ListenerCounts(metrics, "a")
    again.accepted.inc()

    assert again.snapshot()["accepted"] == 2


def test_what_is_shown_at_a_glance_is_what_was_counted(metrics):
    counts = ListenerCounts(metrics, "a")
    counts.watch(lambda: 7)
    counts.completed.inc()
    counts.failed.inc(2)
    counts.sent.inc(10)
    counts.received.inc(20)
    counts.denied("network").inc()
    counts.refused("AccessDenied").inc()

    assert counts.snapshot() == {
        "accepted": 0,
        "completed": 1,
        "failed": 2,
        "bytes_client_to_dest": 10,
        "bytes_dest_to_client": 20,
    }
    assert dict(metrics.gauge("proxy_active_connections").samples()) == {("a",): 7}
