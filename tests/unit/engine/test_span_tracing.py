"""What ``init`` says of traces, carried out on a node."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from engine import span_tracing
from engine.base.clock import Clock
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.message import Message, new_spool_id
from engine.model.reply import make_reply
from engine.records.recorder import Recorder
from engine.script_declarations import TracingDeclaration
from engine.span_tracing import SpanTracing
from tests.fakes.otlp_collector import otlp_collector

pytestmark = pytest.mark.real_time


class Node:
    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(ENGINE_METRICS)
        self.node_id, self.hostname, self.version = "node-1", "mta.test", "1.2"
        self.recorder = Recorder(self.clock, self.node_id, self.hostname)
        self.tracing = SpanTracing(self)

    def receive(self) -> Message:
        message = Message(
            new_spool_id(), "f@x.test", ["r@y.test"], data=b"", size=1, created_at=time.time()
        )
        message.queue_name = "y.test"
        where = Circumstances(began_mono=self.clock.mono())
        self.recorder.record(
            RecordKind.RECEPTION, message, reply=make_reply(250, "2.0.0 ok"), where=where
        )
        return message

    def metric(self, name: str) -> dict[str, float]:
        lines = "".join(self.metrics.iter_text()).splitlines()
        found = [line.rpartition(" ") for line in lines if line.startswith(name)]
        return {series.removeprefix(name): float(value) for series, _, value in found}


async def test_traces_go_to_the_collector_that_the_policy_names_until_it_names_none():
    node = Node()
    with otlp_collector() as one, otlp_collector() as other:
        node.receive()
        declared = TracingDeclaration(one.url + "/v1/traces", 1.0, service_name="eu-1")
        await node.tracing.reconcile(declared)
        first = node.receive()
        await node.tracing.reconcile(declared)
        assert one.spans == [], "a reload that changes nothing touches nothing"

        await node.tracing.reconcile(replace(declared, endpoint=other.url + "/v1/traces"))
        second = node.receive()
        await node.tracing.reconcile(None)
        node.receive()

    assert [span.trace_id for span in one.spans] == [first.id]
    assert [span.trace_id for span in other.spans] == [second.id]
    assert one.resources[0] == {
        "service.name": "eu-1",
        "service.instance.id": "node-1",
        "service.version": "1.2",
        "host.name": "mta.test",
    }
    assert node.recorder.spans is None
    assert node.metric("trace_spans_sent_total") == {"": 2.0}


async def test_what_a_collector_does_not_take_is_counted(monkeypatch):
    node = Node()
    with otlp_collector() as collector:
        collector.status = 400
        await node.tracing.reconcile(TracingDeclaration(collector.url + "/v1/traces", 1.0))
        node.receive()
        await node.tracing.close()

    assert node.metric("trace_spans_dropped_total") == {
        '{reason="failed"}': 1.0,
        '{reason="full"}': 0.0,
    }


async def test_a_collector_that_hangs_holds_up_the_stop_no_longer_than_it_may(monkeypatch):
    monkeypatch.setattr(span_tracing, "FLUSH_S", 0.2)
    node = Node()
    with otlp_collector() as collector:
        collector.hangs = True
        await node.tracing.reconcile(TracingDeclaration(collector.url + "/v1/traces", 1.0))
        node.receive()
        began = time.monotonic()
        await node.tracing.close()
        assert time.monotonic() - began < 3
