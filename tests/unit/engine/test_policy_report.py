"""What the policy does shows in the diagnostic log and in the metrics."""

from __future__ import annotations

import itertools
import logging

import pytest

from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.policy_report import PolicyReport
from policy.errors import ScriptFrame

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


def test_failures_at_one_line_are_told_once_a_second_and_counted(metrics, caplog):
    now = [100.0]
    report = PolicyReport(metrics, lambda: None, lambda: now[0])
    failure = {"hook": "smtp_ehlo", **PLACE}

    for _ in range(1000):
        report("handler_failed", failure)
    report("handler_failed", {**failure, "line": 8})
    now[0] += 1.5
    report("handler_failed", failure)

    assert [record.getMessage() for record in caplog.records] == [
        "handler of smtp_ehlo failed: policy.py:7: no such name",
        "handler of smtp_ehlo failed: policy.py:8: no such name",
        "handler of smtp_ehlo failed: policy.py:7: no such name (999 more at this line)",
    ]
    assert metrics.counter("policy_handler_errors_total").labels("smtp_ehlo").value == 1002


def test_a_new_policy_is_told_of_at_once(metrics, caplog):
    report = PolicyReport(metrics, lambda: None, lambda: 100.0)

    report("handler_failed", {"hook": "smtp_ehlo", **PLACE})
    report("policy_loaded", {"serial": 2, "content_hash": "0" * 16})
    report("handler_failed", {"hook": "smtp_ehlo", **PLACE})

    assert caplog.text.count("handler of smtp_ehlo failed") == 2


def test_a_breaker_shows_while_it_is_open(metrics):
    report = PolicyReport(metrics, lambda: None)
    gauge = metrics.gauge("policy_breaker_open").labels("init")

    report("breaker_open", {"hook": "init", "pause_s": 1})
    assert gauge.value == 1
    report("breaker_closed", {"hook": "init"})
    assert gauge.value == 0


def test_a_new_policy_starts_with_no_breaker_open(metrics):
    report = PolicyReport(metrics, lambda: None)
    report("breaker_open", {"hook": "smtp_ehlo", "pause_s": 1})

    report("policy_loaded", {"serial": 2, "content_hash": "0" * 16})

    assert metrics.gauge("policy_breaker_open").labels("smtp_ehlo").value == 0


def test_an_overrun_is_one_error_and_one_overrun(metrics, caplog):
    report = PolicyReport(metrics, lambda: None)

    for event in ("handler_failed", "handler_overrun"):
        report(event, {"hook": "smtp_ehlo", **PLACE})

    assert metrics.counter("policy_handler_errors_total").labels("smtp_ehlo").value == 1
    assert metrics.counter("policy_handler_overruns_total").labels("smtp_ehlo").value == 1
    assert len(caplog.records) == 1


def test_the_lines_of_the_script_follow_and_are_not_repeated_for_the_same_failure(metrics, caplog):
    minutes = itertools.count(0.0, 60.0)
    report = PolicyReport(metrics, lambda: None, lambda: next(minutes))
    trace = (
        ScriptFrame("policy.py", 9, "smtp_ehlo", "check(domain)"),
        ScriptFrame("policy.py", 7, "check", "return TABLE[domain]"),
    )

    for _ in range(2):
        report("handler_failed", {"hook": "smtp_ehlo", **PLACE, "trace": trace})

    failed = "handler of smtp_ehlo failed: policy.py:7: no such name"
    assert caplog.messages == [
        failed,
        "  at policy.py:9 in smtp_ehlo: check(domain)",
        "  at policy.py:7 in check: return TABLE[domain]",
        failed,
    ]


def test_the_lines_that_made_a_policy_unfit_follow_the_reason(metrics, caplog):
    trace = (ScriptFrame("policy.py", 7, "<module>", "from os import path"),)

    PolicyReport(metrics, lambda: None)("policy_rejected", {**PLACE, "trace": trace})

    assert caplog.messages[-1] == "  at policy.py:7: from os import path"
