"""Mail moves from one node to another with all its state, and back before it has gone."""

from __future__ import annotations

import base64
import random

import pytest

from tests.fakes.node_pair import CANCEL, SUSPEND, XFER, NodePair, due_of, message_of, send_many
from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HANDLERS = """
@on("message_received")
def message_received(msg):
    msg.set_meta("tenant", "shop")
    msg.set_meta("campaign", "spring")
    msg.set_meta("x_note", {"a": [1, None, "\u00e4"]})
    if msg.recipient_list[0].user == "later":
        msg.set_scheduling({"first_attempt": "2040-01-02T03:04:05Z",
                            "expires": "2041-01-01T00:00:00Z", "dow": "Mon,Tue",
                            "tz": "Europe/Paris", "start": "09:00:00", "end": "17:00:00"})


@on("xfer_message_received")
def xfer_message_received(msg):
    msg.set_meta("x_came_by", msg.get_meta("xfer_prior_id"))
"""
KEPT = ("sender", "recipient", "num_attempts", "scheduling", "data")


def test_everything_moves_with_its_state(make_node, sink, tmp_path):
    def judge(stage, address):
        return "451 4.3.2 later" if not address.startswith("early") else None

    sink.judge = judge
    pair = NodePair(
        make_node,
        tmp_path,
        HANDLERS,
        queue="retry_interval='1h'",
        listener="batch_handling='BatchByDomain'",
    )
    first, second = pair.first, pair.second

    with first.running(), second.running():
        first.send("plain", "b@y.test", headers="X-Tag: one\r\n")
        first.send("two", "early@y.test", "one@y.test", "other@y.test")
        first.wait_records("TransientFailure", 2)
        first.send("waits", "later@y.test")
        ids = {record["id"] for record in first.wait_records("Reception", 3)}
        before = {i: message_of(first, i, body=True) for i in ids}
        answer = first.json(XFER, {"target": pair.target, "reason": "move", "everything": True})
        out = first.wait_records("XferOut", 3)
        came = second.wait_records("XferIn", 3)
        after = {}
        for record in came:
            message = message_of(second, record["id"], body=True)
            after[message["meta"]["xfer_prior_id"]] = message
        gone = [first.http(f"/api/admin/inspect-message/v1?id={i}")[0] for i in ids]

    assert answer == {"queue_name": pair.queue_name}
    assert gone == [404] * 3
    assert after.keys() == ids
    for prior_id, was in before.items():
        now = after[prior_id]
        assert {key: now.get(key) for key in KEPT} == {key: was.get(key) for key in KEPT}
        assert due_of(now) == pytest.approx(due_of(was), abs=0.01)
        own = {key: value for key, value in now["meta"].items() if key in was["meta"]}
        assert own == was["meta"]
        added = now["meta"].keys() - was["meta"].keys()
        assert added == {
            *(
                "xfer_from",
                "xfer_via",
                "xfer_auth",
                "xfer_prior_id",
                "xfer_prior_node",
                "x_came_by",
            ),
            "xfer_origin_id",
        }
        assert now["meta"]["x_came_by"] == prior_id
    attempts = sorted(message["num_attempts"] for message in after.values())
    assert attempts == [0, 1, 1]
    (shared,) = [one for one in after.values() if isinstance(one["recipient"], list)]
    assert shared["recipient"] == ["one@y.test", "other@y.test"]
    assert {record["queue"] for record in came} == {"spring:shop@y.test"}
    assert {record["created"] for record in came} == {record["created"] for record in out}
    new_ids = {record["id"] for record in came}
    assert {record["response"]["content"].split()[-1] for record in out} == new_ids
    moved = first.records("AdminRebind")
    assert len(moved) == 3
    assert all("move (by 127.0.0.1)" in record["response"]["content"] for record in moved)
    assert {record["queue"] for record in [*moved, *out]} == {pair.queue_name}


def test_a_large_message_arrives_octet_for_octet_and_within_no_limit_of_injection(
    make_node, sink, tmp_path
):
    rng = random.Random(3)
    lines = [b"." * (n % 3) + base64.b64encode(rng.randbytes(720)) for n in range(31_500)]
    content = b"Subject: large\r\n\r\n" + b"\r\n".join(lines) + b"\r\nno end \xff\xfe\r\n"
    assert len(content) > 30_000_000
    pair = NodePair(make_node, tmp_path, listener="max_message_size=64 << 20")
    first, second = pair.first, pair.second

    with first.running(), second.running():
        first.json(SUSPEND, {"reason": "hold", "duration": "1h"})
        with first.client(60.0) as client:
            client.ehlo()
            client.docmd("MAIL FROM:<a@x.test> BODY=8BITMIME")
            client.docmd("RCPT TO:<b@y.test>")
            client.docmd("DATA")
            client.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            assert client.getreply()[0] == 250
        first.wait_records("TransientFailure", 1)
        assert sink.taken == []
        first.json(XFER, {"target": pair.target, "reason": "move", "domain": "y.test"})
        wait_until("it", lambda: sink.taken)
        first.wait_records("XferOut", 1)
        second.wait_records("Delivery", 1)

    (taken,) = sink.taken
    trace, _, own = taken.content.partition(b"Subject: large")
    assert trace.count(b"Received: ") == 1
    assert b"Subject: large" + own == content


def test_a_target_that_is_down_gets_the_mail_when_it_is_up(make_node, sink, tmp_path):
    pair = NodePair(make_node, tmp_path)
    first, second = pair.first, pair.second

    with first.running():
        first.json(SUSPEND, {"reason": "hold", "duration": "1h"})
        send_many(first, ["m1", "m2", "m3"], lambda name: f"{name}@y.test")
        first.wait_records("TransientFailure", 3)
        first.json(XFER, {"target": pair.target, "reason": "move", "everything": True})
        failures = first.wait_records("TransientFailure", 4)
        (state,) = first.json(XFER)
        with second.running():
            second.wait_records("XferIn", 3)
            first.wait_records("XferOut", 3)
            wait_until("all", lambda: len(sink.taken) == 3)

    assert failures[-1]["delivery_protocol"] == "Xfer"
    assert "Connection refused" in failures[-1]["response"]["content"]
    assert (state["target"], state["scheduled"] + state["ready"] > 0) == (pair.target + "/", True)
    assert "Connection refused" in state["last_error"]
    assert sink.subjects() == {"m1": 1, "m2": 1, "m3": 1}


def test_a_cancellation_gives_back_what_has_not_gone(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: "451 4.3.2 later"
    pair = NodePair(make_node, tmp_path, HANDLERS, queue="retry_interval='1h'")
    first = pair.first

    with first.running():
        send_many(first, ["m1", "m2", "m3"], lambda name: f"{name}@y.test")
        failures = first.wait_records("TransientFailure", 3)
        ids = [record["id"] for record in failures]
        before = [message_of(first, one) for one in ids]
        # Nobody listens there.
        first.json(XFER, {"target": pair.target, "reason": "move", "tenant": "shop"})
        wait_until("an attempt", lambda: len(first.records("TransientFailure")) > 3)
        waiting = [message_of(first, one) for one in ids]
        first.json(CANCEL, {"queue_name": pair.queue_name, "reason": "no"})

        def all_back():
            return all("xfer_queue_info" not in message_of(first, i)["meta"] for i in ids)

        wait_until("all back", all_back)
        after = [message_of(first, one) for one in ids]
        unknown = first.http(CANCEL, {"queue_name": "y.test", "reason": "no"})[0]
        absent = {"queue_name": "http://h:1/.xfer.kumomta.internal", "reason": "no"}
        missing = first.http(CANCEL, absent)[0]

    assert {message["meta"]["queue"] for message in waiting} == {pair.queue_name}
    for was, now in zip(before, after, strict=True):
        assert due_of(now) == pytest.approx(due_of(was), abs=0.01)
        assert {**now, "due": 0} == {**was, "due": 0}
    moves = first.records("AdminRebind")
    assert [record["queue"] for record in moves].count("spring:shop@y.test") == 3
    assert (unknown, missing) == (400, 404)
