"""What the policy does shows in the diagnostic log and in the metrics."""

from __future__ import annotations

import logging

import pytest

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.policy_report import PolicyReport

PLACE = {"file": "policy.py", "line": 7, "message": "no such name"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(ENGINE_METRICS)


def test_a_new_epoch_is_counted_logged_and_passed_on(metrics, caplog):
    caplog.set_level(logging.INFO)
    loaded = []
    report = PolicyReport(metrics, lambda: loaded.append(True))

    report("policy_loaded", {"serial": 3, "content_hash": "0123456789abcdef"})

    assert loaded == [True]
    assert metrics.counter("policy_reload_total").labels("loaded").value == 1
    assert "epoch 3, 0123456789ab" in caplog.text


def test_a_rejected_policy_is_named_with_file_and_line(metrics, caplog):
    PolicyReport(metrics, lambda: None)("policy_rejected", PLACE)

    assert metrics.counter("policy_reload_total").labels("rejected").value == 1
    assert "policy rejected, the running one stays: policy.py:7: no such name" in caplog.text


def test_a_failing_handler_is_counted_by_its_event(metrics, caplog):
    PolicyReport(metrics, lambda: None)("handler_failed", {"hook": "smtp_ehlo", **PLACE})

    assert metrics.counter("policy_handler_errors_total").labels("smtp_ehlo").value == 1
    assert "handler of smtp_ehlo failed: policy.py:7: no such name" in caplog.text


def test_a_breaker_shows_while_it_is_open(metrics):
    report = PolicyReport(metrics, lambda: None)
    gauge = metrics.gauge("policy_breaker_open").labels("init")

    report("breaker_open", {"hook": "init", "pause_s": 1})
    assert gauge.value == 1
    report("breaker_closed", {"hook": "init"})
    assert gauge.value == 0
