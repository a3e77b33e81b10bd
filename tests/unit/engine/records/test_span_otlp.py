"""Spans as they go over the wire, and what is said of a request that failed."""

from __future__ import annotations

import logging
import time

import pytest

from engine.records.span_maker import Span
from engine.records.span_otlp import OtlpSender
from tests.fakes.otlp_collector import otlp_collector

pytestmark = pytest.mark.real_time

TRACE, ROOT, CHILD = b"\x01" * 16, b"\x02" * 8, b"\x03" * 8
SPANS = [
    Span("receive", "server", TRACE, ROOT, None, 1.5, 2.25, {"cirrus.tenant": "shop"}),
    Span("deliver", "client", TRACE, CHILD, ROOT, 3.0, 4.0, {"n": 7, "l": ["a"]}, is_error=True),
]


def make_sender(collector, **options):
    values = {"headers": {"x-key": "secret"}, "timeout_s": 0.5, "resource": {"service.name": "n"}}
    values.update(options)
    return OtlpSender(collector.url + "/v1/traces", version="1", **values)


def test_spans_arrive_as_they_are():
    with otlp_collector() as collector:
        assert make_sender(collector).send(SPANS) is None

    root, child = collector.spans
    assert (root.name, root.trace_id, root.span_id) == ("receive", TRACE.hex(), ROOT.hex())
    assert (root.parent_id, root.start_at, root.end_at) == ("", 1.5, 2.25)
    assert (root.is_error, root.attributes) == (False, {"cirrus.tenant": "shop"})
    assert (child.parent_id, child.is_error) == (ROOT.hex(), True)
    assert child.attributes == {"n": 7, "l": ["a"]}
    # Server and client, in the numbers of the protocol.
    assert (root.kind, child.kind) == (2, 3)
    assert collector.resources[0]["service.name"] == "n"
    assert collector.paths == ["/v1/traces"]
    assert collector.headers[0]["x-key"] == "secret"


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_refusal_is_returned_and_logged_nowhere_else(status, caplog):
    caplog.set_level(logging.DEBUG)
    with otlp_collector() as collector:
        collector.status = status
        reason = make_sender(collector).send(SPANS)

    assert reason
    assert "secret" not in reason
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


def test_a_collector_that_does_not_answer_is_left_when_the_time_is_over():
    with otlp_collector() as collector:
        collector.hangs = True
        began = time.monotonic()
        assert make_sender(collector).send(SPANS)
        assert time.monotonic() - began < 5


def test_nobody_there_is_a_reason_too():
    with otlp_collector() as collector:
        pass
    assert make_sender(collector).send(SPANS)


def test_a_sender_that_was_closed_sends_no_more():
    with otlp_collector() as collector:
        sender = make_sender(collector)
        sender.close()
        assert sender.send(SPANS)
        assert collector.spans == []
