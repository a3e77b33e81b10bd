"""SIGTERM: sessions under way finish, new ones are told to wait, what is queued is kept."""

from __future__ import annotations

import time

import pytest

from tests.fakes.node_process import submit, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_a_transaction_under_way_is_finished_and_answered(make_node, sink):
    node = make_node(drain=5.0)
    node.start()

    client = node.client()
    client.ehlo()
    client.docmd("MAIL FROM:<a@x.test>")
    node.signal(15)
    node.wait_log("stopping")
    assert client.docmd("RCPT TO:<b@y.test>")[0] == 250
    code, _ = client.data("Subject: under way\r\n\r\nhello\r\n")
    code_after, text_after = client.getreply()
    assert node.process.wait(10) == 0, node.log_text()

    assert code == 250
    assert (code_after, b"shutting down" in text_after) == (421, True)
    node.start()
    wait_until("the message", lambda: sink.subjects()["under way"] == 1)
    assert node.stop() == 0


def test_an_idle_session_is_told_and_closed_at_once(make_node, sink):
    node = make_node(drain=20.0)
    node.start()

    client = node.client()
    client.ehlo()
    started = time.monotonic()
    node.signal(15)
    code, text = client.getreply()
    status = node.process.wait(10)

    assert (code, b"shutting down" in text) == (421, True)
    assert status == 0
    assert time.monotonic() - started < 5.0


def test_a_session_that_never_ends_does_not_hold_the_stop_beyond_its_deadline(make_node, sink):
    node = make_node(drain=1.0)
    node.start()

    client = node.client()
    client.ehlo()
    for command in ("MAIL FROM:<a@x.test>", "RCPT TO:<b@y.test>", "DATA"):
        client.docmd(command)
    client.send(b"Subject: half\r\n")
    started = time.monotonic()
    assert node.stop() == 0
    took_s = time.monotonic() - started

    assert 0.9 <= took_s < 5.0
    assert "Traceback" not in node.log_text()
    node.start()
    assert node.records("Reception") == []
    assert node.stop() == 0


def test_a_delivery_under_way_ends_and_is_not_repeated(make_node, sink):
    node = make_node(drain=5.0)
    node.start()
    sink.gate.clear()
    node.send("in hand")
    wait_until("the delivery", lambda: sink.tried)

    node.signal(15)
    node.wait_log("stopping")
    sink.gate.set()
    assert node.process.wait(10) == 0, node.log_text()

    assert sink.subjects() == {"in hand": 1}
    assert [record["type"] for record in node.records()] == ["Reception", "Delivery"]
    node.start()
    node.send("next")
    wait_until("the next", lambda: sink.subjects()["next"])
    assert node.stop() == 0
    assert sink.subjects() == {"in hand": 1, "next": 1}


def test_what_is_queued_is_there_after_the_restart(make_node, sink):
    sink.judge = lambda stage, address: "451 4.3.2 later" if len(sink.tried[address]) == 1 else None
    node = make_node(queue="retry_interval='3s'")
    node.start()
    with node.client() as client:
        for index in range(30):
            submit(client, f"m{index}", f"u{index}@d{index % 4}.test")
    node.wait_records("TransientFailure", 30)
    assert node.stop() == 0
    assert sink.taken == []

    node.start()
    wait_until("all of it", lambda: len(sink.taken) == 30)
    node.wait_records("Delivery", 30)
    assert node.stop() == 0
    assert sink.subjects() == {f"m{index}": 1 for index in range(30)}
    assert {record["num_attempts"] for record in node.records("Delivery")} == {1}


def test_a_host_that_hangs_does_not_hold_the_stop_and_its_message_is_kept(make_node, sink):
    node = make_node(drain=1.0)
    node.start()
    sink.gate.clear()
    spool_id = node.send("held up").partition("ids=")[2]
    wait_until("the delivery", lambda: sink.tried)
    started = time.monotonic()
    assert node.stop() == 0
    took_s = time.monotonic() - started

    node.start()
    kept = node.json(f"/api/admin/inspect-message/v1?id={spool_id}")
    node.kill()

    assert took_s < 6.0
    assert kept["message"]["recipient"] == "b@y.test"
    assert kept["message"]["num_attempts"] == 0
