"""Delivered, deferred and refused recipients side by side: each ends where it should, on record."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_every_recipient_ends_as_the_host_said_and_the_summary_is_complete(make_node, sink):
    tries: Counter[str] = Counter()

    def judge(stage, address):
        name = address.partition("@")[0]
        if stage == "rcpt" and name.startswith("perm"):
            return "550 5.1.1 nobody here"
        if stage == "dot" and name.startswith("late"):
            return "554 5.7.1 not this content"
        if stage == "rcpt" and name.startswith("temp"):
            tries[address] += 1
            return "451 4.3.2 later" if tries[address] <= 2 else None
        return None

    sink.judge = judge
    names = [f"{kind}{i}@y.test" for kind in ("good", "temp", "perm", "late") for i in range(5)]
    node = make_node(queue="retry_interval='300ms', max_retry_interval='300ms'")

    with node.running():
        for name in names:
            node.send(name, name)
        wait_until("all ends", lambda: sum(sink.recipients().values()) == 10)
        node.wait_records("Bounce", 10)
        node.wait_records("Delivery", 10)

    assert node.summary() == {"Reception": 20, "Delivery": 10, "TransientFailure": 10, "Bounce": 10}
    assert sink.recipients() == Counter(name for name in names if name[:4] in ("good", "temp"))
    attempts = {r["recipient"]: r["num_attempts"] for r in node.records("Delivery")}
    assert {a for r, a in attempts.items() if r.startswith("temp")} == {2}
    assert {a for r, a in attempts.items() if r.startswith("good")} == {0}
    replies = {r["recipient"][:4]: r["response"] for r in node.records("Bounce")}
    assert (replies["perm"]["code"], replies["late"]["code"]) == (550, 554)
    assert replies["late"]["command"] == "."


def test_one_message_to_many_ends_for_each_by_itself(make_node, sink):
    tries: Counter[str] = Counter()

    def judge(stage, address):
        tries[address] += stage == "rcpt"
        if stage == "rcpt" and address.startswith("perm"):
            return "550 5.1.1 nobody here"
        if stage == "rcpt" and address.startswith("temp") and tries[address] == 1:
            return "450 4.2.1 later"
        return None

    sink.judge = judge
    names = ["good@y.test", "temp@y.test", "perm@y.test"]
    node = make_node(
        listener="batch_handling='BatchByDomain'",
        queue="retry_interval='300ms'",
        path="max_recipients_per_batch=10",
    )

    with node.running():
        node.send("many", *names)
        node.wait_records("Delivery", 2)

    assert [message.recipients for message in sink.taken] == [["good@y.test"], ["temp@y.test"]]
    assert node.summary() == {"Reception": 1, "Delivery": 2, "TransientFailure": 1, "Bounce": 1}
    assert tries == {"good@y.test": 1, "temp@y.test": 2, "perm@y.test": 1}
