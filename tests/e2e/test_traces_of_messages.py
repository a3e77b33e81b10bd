"""A message's trace at a collector: over attempts, a kill, another node; and with no collector."""

from __future__ import annotations

import pytest

from tests.fakes.node_pair import XFER, NodePair
from tests.fakes.node_process import wait_until
from tests.fakes.otlp_collector import otlp_collector

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HANDLERS = """
@on("message_received")
def message_received(msg):
    msg.set_meta("tenant", "shop")
    msg.set_meta("campaign", "spring")
"""


def tracing(collector, **options):
    named = {"endpoint": collector.url, "sample": 1.0, "timeout": "1s", **options}
    return f"mta.configure_tracing(**{named!r})"


def of(collector, trace_id, count):
    """Return a trace once it has so many spans."""
    return wait_until(
        f"{count} spans",
        lambda: found if len(found := collector.of(trace_id)) >= count else None,
    )


def test_a_trace_goes_on_after_a_kill_and_ends_with_the_delivery(make_node, sink):
    tries = []

    def judge(stage, address):
        if stage == "rcpt":
            tries.append(address)
            return "451 4.3.2 not now r@y.test" if len(tries) == 1 else None
        return None

    sink.judge = judge
    with otlp_collector() as collector:
        node = make_node(HANDLERS, init=tracing(collector), queue="retry_interval='2s'")
        node.start()
        node.send("one", "r@y.test")
        (received,) = node.wait_records("Reception", 1)
        of(collector, received["id"], 3)
        node.kill()
        with node.running():
            node.wait_records("Delivery", 1)
            spans = of(collector, received["id"], 5)

    names = [span.name for span in spans]
    assert sorted(names) == ["deliver", "deliver", "receive", "wait", "wait"]
    root = next(span for span in spans if span.name == "receive")
    assert root.parent_id == ""
    assert {span.parent_id for span in spans if span is not root} == {root.span_id}
    failed, done = (span for span in spans if span.name == "deliver")
    assert failed.is_error
    assert failed.attributes["cirrus.reply.code"] == 451
    assert failed.attributes["cirrus.disposition"] == "deferred"
    assert done.attributes["cirrus.disposition"] == "delivered"
    assert done.attributes["cirrus.attempts"] == 1
    for span in spans:
        assert span.start_at <= span.end_at
        assert span.attributes["cirrus.tenant"] == "shop"
        assert span.attributes["cirrus.campaign"] == "spring"
        assert span.attributes["messaging.destination.name"] == "spring:shop@y.test"
    assert "r@y.test" not in str(spans)
    last_wait = [span for span in spans if span.name == "wait"][-1]
    assert last_wait.start_at == pytest.approx(failed.end_at, abs=0.2)
    assert last_wait.end_at == pytest.approx(done.start_at, abs=0.001)


def test_a_message_that_moves_to_another_node_keeps_its_trace(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: None
    with otlp_collector() as collector:
        pair = NodePair(make_node, tmp_path, HANDLERS, init=tracing(collector))
        with pair.first.running(), pair.second.running():
            pair.first.json("/api/admin/suspend/v1", {"reason": "hold"})
            pair.first.send("one", "r@y.test")
            (received,) = pair.first.wait_records("Reception", 1)
            pair.first.json(XFER, {"target": pair.target, "reason": "move", "everything": True})
            (delivered,) = pair.second.wait_records("Delivery", 1)
            assert delivered["id"] != received["id"]

            def is_whole():
                found = collector.of(received["id"])
                done = {span.attributes.get("cirrus.disposition") for span in found}
                return found if {"transferred_out", "transferred_in", "delivered"} <= done else None

            spans = wait_until("the whole trace", is_whole)

    (root,) = (span for span in spans if span.parent_id == "")
    assert {span.parent_id for span in spans if span is not root} == {root.span_id}


def test_mail_flows_and_the_node_stops_in_time_with_a_collector_that_hangs(make_node, sink):
    sink.judge = lambda stage, address: None
    with otlp_collector() as collector:
        collector.hangs = True
        node = make_node(HANDLERS, init=tracing(collector, timeout="30s"))
        with node.running():
            for number in range(20):
                node.send(f"m{number}", "r@y.test")
            node.wait_records("Delivery", 20)
            assert node.stop() == 0
        assert collector.requested.is_set()
    assert "spans were not sent" in node.run_log.read_text()


def test_an_edit_turns_traces_off(make_node, sink):
    with otlp_collector() as collector:
        node = make_node(HANDLERS, init=tracing(collector))
        with node.running():
            node.send("one", "r@y.test")
            (received,) = node.wait_records("Reception", 1)
            of(collector, received["id"], 3)
            node.policy.write_text(node.policy.read_text().replace(tracing(collector), ""))
            node.wait_log("policy loaded", 2)
            node.send("two", "r@y.test")
            node.wait_records("Delivery", 2)
            assert node.stop() == 0

    assert {span.trace_id for span in collector.spans} == {received["id"]}
