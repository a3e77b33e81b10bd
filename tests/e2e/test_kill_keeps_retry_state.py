"""A killed node goes on where it was: due times, attempts, and who had the message already."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

INTERVAL_S = 4.0


def test_no_retry_comes_before_its_due_time_and_attempts_are_kept(make_node, sink):
    def judge(stage, address):
        return "451 4.3.2 later" if len(sink.tried[address]) <= 2 else None

    sink.judge = judge
    node = make_node(queue=f"retry_interval={INTERVAL_S}, max_retry_interval={INTERVAL_S}")
    names = [f"u{i}@y.test" for i in range(6)]

    node.start()
    for name in names:
        node.send(name, name)
    node.wait_records("TransientFailure", 6)
    node.kill()
    node.start()
    node.wait_records("TransientFailure", 12)
    node.kill()
    node.start()
    deliveries = node.wait_records("Delivery", 6)
    assert node.stop() == 0

    assert Counter(r["recipient"] for r in deliveries) == Counter(names)
    assert {r["num_attempts"] for r in deliveries} == {2}
    # The jitter takes up to a fortieth of the interval away; the clock of the sink is another one.
    least_s = INTERVAL_S * (1 - 1 / 40) - 0.1
    for name in names:
        first, second, third = sink.tried[name]
        assert min(second - first, third - second) >= least_s
        assert max(second - first, third - second) < INTERVAL_S + 3.0


def test_who_had_the_message_does_not_get_it_again(make_node, sink):
    def judge(_stage, address):
        is_new = address == "late@y.test" and len(sink.tried[address]) == 1
        return "451 4.3.2 later" if is_new else None

    sink.judge = judge
    node = make_node(
        listener="batch_handling='BatchByDomain'",
        queue="retry_interval='2s'",
        path="max_recipients_per_batch=10",
    )

    node.start()
    node.send("for two", "early@y.test", "late@y.test")
    node.wait_records("TransientFailure", 1)
    node.kill()
    node.start()
    wait_until("the other recipient", lambda: len(sink.taken) == 2)
    node.wait_records("Delivery", 2)
    assert node.stop() == 0

    assert [message.recipients for message in sink.taken] == [["early@y.test"], ["late@y.test"]]
