"""Operators change what happens to mail by HTTP: suspend, resume, bounce, load the policy."""

from __future__ import annotations

import time

import pytest

from tests.fakes.node_process import submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SUSPEND, BOUNCE = "/api/admin/suspend/v1", "/api/admin/bounce/v1"
TENANT = """
@on("message_received")
def message_received(msg):
    msg.set_meta("tenant", msg.recipient.user)
"""


def test_suspended_mail_is_noted_once_held_and_leaves_when_resumed(make_node, sink):
    node = make_node(TENANT)

    with node.running():
        made = node.json(SUSPEND, {"reason": "too hot", "tenant": "held", "duration": "1h"})
        with node.client() as client:
            for index in range(3):
                submit(client, f"held {index}", "held@y.test")
            submit(client, "free", "free@y.test")
        wait_until("what may go", lambda: sink.taken)
        held = node.wait_records("TransientFailure", 3)
        listed = node.json(SUSPEND)
        assert [message.subject for message in sink.taken] == ["free"]
        # One goes at once, the rest is spread evenly over a minute.
        assert node.http(SUSPEND, {"id": made["id"]}, "DELETE")[0] == 200
        wait_until("the first", lambda: len(sink.taken) >= 2)
        (first,) = [r for r in node.wait_records("Delivery", 2) if r["recipient"] == "held@y.test"]

    assert [one["reason"] for one in listed] == ["too hot"]
    assert len(held) == 3
    for record in held:
        assert record["response"]["code"] == 451
        assert record["response"]["enhanced_code"] == {"class": 4, "subject": 4, "detail": 4}
        assert "too hot" in record["response"]["content"]
    assert first["num_attempts"] == 0
    assert node.summary()["TransientFailure"] == 3


def test_a_suspension_that_ends_by_itself_lets_mail_go(make_node, sink):
    node = make_node()

    with node.running():
        node.json(SUSPEND, {"reason": "short", "domain": "y.test", "duration": "2s"})
        started = time.monotonic()
        node.send("held")
        wait_until("it", lambda: sink.taken)
        waited_s = time.monotonic() - started

    assert 1.5 < waited_s < 6.0


def test_a_suspended_ready_queue_gives_its_mail_back_and_takes_it_again(make_node, sink):
    node = make_node()

    with node.running():
        node.send("before")
        (delivery,) = node.wait_records("Delivery", 1)
        name = delivery["ready_queue"]
        ready = "/api/admin/suspend-ready-q/v1"
        made = node.json(ready, {"name": name, "reason": "busy", "duration": "1h"})
        node.send("held")
        (record,) = node.wait_records("TransientFailure", 1)
        assert len(sink.taken) == 1
        assert node.http(ready, {"id": made["id"]}, "DELETE")[0] == 200
        wait_until("it", lambda: len(sink.taken) == 2)

    assert "busy" in record["response"]["content"]


def test_bounced_mail_ends_on_record_whether_it_waits_or_comes_later(make_node, sink):
    sink.judge = lambda stage, address: "451 4.3.2 later" if "free" not in address else None
    node = make_node(TENANT, queue="retry_interval='1h'")

    with node.running():
        for index in range(3):
            node.send(f"waits {index}", "bad@y.test")
        node.send("another tenant", "other@y.test")
        node.wait_records("TransientFailure", 4)
        made = node.json(BOUNCE, {"reason": "spam run", "tenant": "bad", "duration": "1h"})
        node.wait_records("AdminBounce", 3)
        node.send("comes later", "bad@y.test")
        bounced = node.wait_records("AdminBounce", 4)
        assert node.http(BOUNCE, {"id": made["id"]}, "DELETE")[0] == 200
        node.send("after", "free@y.test")
        wait_until("it", lambda: sink.taken)
        left = node.json("/api/admin/inspect-sched-q/v1?queue_name=other@y.test")

    assert {record["queue"] for record in bounced} == {"bad@y.test"}
    assert all("spam run" in record["response"]["content"] for record in bounced)
    assert left["num_scheduled"] == 1
    assert node.summary()["AdminBounce"] == 4


def test_mail_in_a_ready_queue_is_bounced_when_its_turn_comes(make_node, sink):
    node = make_node(path="connection_limit=1")
    sink.gate.clear()

    with node.running():
        for index in range(5):
            node.send(f"m{index}", f"u{index}@y.test")
        wait_until("a delivery under way", lambda: sink.tried)
        node.json(BOUNCE, {"reason": "stop it", "domain": "y.test"})
        sink.gate.set()
        node.wait_records("AdminBounce", 4)
        node.wait_records("Delivery", 1)

    assert sink.subjects() == {"m0": 1}


def test_bounced_mail_does_not_come_back_after_a_restart(make_node, sink):
    sink.judge = lambda stage, address: "451 4.3.2 later" if not restarted else None
    restarted: list[bool] = []
    node = make_node(queue="retry_interval='1s'")

    node.start()
    node.send("bounced", "b@y.test")
    node.wait_records("TransientFailure", 1)
    node.json(BOUNCE, {"reason": "r", "domain": "y.test"})
    node.wait_records("AdminBounce", 1)
    node.kill()
    restarted.append(True)
    node.start()
    node.send("another", "b@z.test")
    wait_until("it", lambda: sink.taken)
    assert node.json("/api/admin/ready-q-states/v1")
    assert node.stop() == 0
    assert sink.subjects() == {"another": 1}


def test_the_config_epoch_is_bumped_and_a_broken_policy_is_answered(make_node, sink):
    node = make_node()

    with node.running():
        status, _, _ = node.http("/api/admin/bump-config-epoch", method="POST")
        node.wait_log("policy loaded", 2)
        node.write("broken (\n")
        bad_status, headers, text = node.http("/api/admin/bump-config-epoch", method="POST")
        node.send("after")
        wait_until("it", lambda: sink.taken)

    assert status == 200
    assert bad_status == 500
    assert headers["Content-Type"].startswith("application/json")
    assert b"policy.py:" in text
    assert b"Traceback" not in text


def test_a_queue_configuration_changed_by_an_edit_counts_for_waiting_mail(make_node, sink):
    node = make_node(sink=1, queue="retry_interval='1s', max_retry_interval='1s'")

    with node.running():
        node.send("waits")
        node.wait_records("TransientFailure", 1)
        text = node.policy.read_text()
        node.policy.write_text(text.replace('"127.0.0.1:1"', f'"127.0.0.1:{sink.port}"'))
        node.wait_log("policy loaded", 2)
        wait_until("it", lambda: sink.taken)
