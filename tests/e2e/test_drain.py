"""A node is emptied into another one, whatever its mail is at, and whoever dies meanwhile."""

from __future__ import annotations

import smtplib
from collections import Counter

import pytest
from rocksdict import Options, Rdict

from engine.model.message import decode_envelope
from tests.fakes.node_pair import DRAIN, NodePair, due_of, launch, message_of, send_many
from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow, pytest.mark.timeout(240)]

#: Messages that are moved while somebody dies.
COUNT = 300


def names(count: int, what: str = "m") -> list[str]:
    return [f"{what}{number}" for number in range(count)]


def test_everything_leaves_wherever_it_is_and_no_mail_is_taken(make_node, sink, tmp_path):
    def judge(stage, address):
        is_early = address.startswith("late") and len(sink.tried[address]) == 1
        return "451 4.3.2 later" if is_early else None

    sink.judge = judge
    pair = NodePair(make_node, tmp_path, queue="retry_interval='1h'", path="connection_limit=2")
    first, second = pair.first, pair.second

    with first.running(), second.running():
        send_many(first, names(40, "late"), lambda name: f"{name}@y.test")
        first.wait_records("TransientFailure", 40)
        due = {
            record["id"]: due_of(message_of(first, record["id"]))
            for record in first.records("TransientFailure")
        }
        sink.gate.clear()
        send_many(first, names(40, "now"), lambda name: f"{name}@y.test")
        wait_until("deliveries under way", lambda: sink.open_now >= 2)
        before = first.json(DRAIN)
        status, begun, said = pair.drain("--to", pair.target, "--no-wait")
        assert (status, begun["draining"]) == (0, True), said
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            first.client()
        injection = {
            "envelope_sender": "a@x.test",
            "recipients": [{"email": "b@y.test"}],
            "content": "Subject: x\n\nx\n",
        }
        injected = first.http("/api/inject/v1", injection)[0]
        live, _, why = first.http("/api/check-liveness/v1")
        stuck = pair.wait_left(2)
        unfinished, _, _ = pair.drain("--status")
        sink.gate.set()
        status, report, said = pair.drain("--status", "--wait")
        out = first.wait_records("XferOut", 78)
        came = {record["id"] for record in second.wait_records("XferIn", 78)}
        # The two that were under way were delivered here, the rest of the new ones there.
        wait_until("the new ones", lambda: len(sink.taken) == 40)
        kept = [message_of(second, record_id) for record_id in came if _waits(second, record_id)]

    assert (before["draining"], before["in_flight"], before["left"]) == (False, 2, 80)
    assert refused.value.smtp_code == 421
    assert (injected, live, why) == (503, 503, b"draining")
    assert (stuck["in_flight"], unfinished) == (2, 1)
    assert (status, report["left"], report["is_empty"]) == (0, 0, True), said
    assert report["transferred"] == len(out) == 78
    assert sink.subjects() == dict.fromkeys(names(40, "now"), 1)
    assert len(kept) == 40
    assert {message["num_attempts"] for message in kept} == {1}
    for message in kept:
        prior = message["meta"]["xfer_prior_id"]
        assert due_of(message) == pytest.approx(due[prior], abs=0.01)


def _waits(node, record_id: str) -> bool:
    return node.http(f"/api/admin/inspect-message/v1?id={record_id}")[0] == 200


def test_what_is_deferred_while_the_node_is_drained_goes_on_to_the_other(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: "451 4.3.2 later" if stage == "dot" else None
    pair = NodePair(make_node, tmp_path, queue="retry_interval='1h'")
    first, second = pair.first, pair.second

    with first.running(), second.running():
        sink.gate.clear()
        first.send("under way", "b@y.test")
        wait_until("it", lambda: sink.tried)
        pair.drain("--to", pair.target, "--no-wait")
        pair.wait_left(1)
        sink.gate.set()
        status, report, said = pair.drain("--status", "--wait")
        (came,) = second.wait_records("XferIn", 1)
        message = message_of(second, came["id"])

    assert (status, report["transferred"]) == (0, 1), said
    assert message["num_attempts"] == 1
    assert [record["type"] for record in first.records()] == [
        *("Reception", "TransientFailure", "AdminRebind", "XferOut")
    ]


def test_a_drain_goes_on_after_a_restart_until_it_is_cancelled(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: "451 4.3.2 later" if len(sink.tried[address]) == 1 else None
    pair = NodePair(make_node, tmp_path, queue="retry_interval='5s'")
    first = pair.first

    first.start()
    send_many(first, names(5), lambda name: f"{name}@y.test")
    first.wait_records("TransientFailure", 5)
    # Nobody listens there.
    pair.drain("--to", pair.target, "--no-wait")
    waiting = wait_until("a failure", lambda: _with_error(first.json(DRAIN)))
    first.kill()
    launch(first)
    after = first.json(DRAIN)
    closed = first.http("/api/check-liveness/v1")[0]
    late, report, _ = pair.drain("--status", "--wait", "--timeout", "1s")
    cancelled, _, said = pair.drain("--cancel")
    again, _, _ = pair.drain("--cancel")
    wait_until("mail taken again", first.is_live)
    wait_until("all delivered here", lambda: len(sink.taken) == 5)
    assert first.stop() == 0

    assert "Connection refused" in waiting["last_error"]
    assert (after["draining"], after["target"]) == (True, pair.target + "/")
    assert (closed, late, report["left"]) == (503, 1, 5)
    assert (cancelled, again) == (0, 1), said
    assert sink.subjects() == dict.fromkeys(names(5), 1)
    assert {record["num_attempts"] for record in first.records("Delivery")} == {1}


def _with_error(report):
    return report if report["last_error"] else None


def test_a_kill_of_the_drained_node_loses_and_repeats_nothing(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: "451 4.3.2 later"
    pair = NodePair(make_node, tmp_path, queue="retry_interval='1h'")
    first, second = pair.first, pair.second

    second.start()
    first.start()
    send_many(first, names(COUNT), lambda name: f"{name}@y.test")
    wait_until("all tried", lambda: len(sink.tried) == COUNT)
    pair.drain("--to", pair.target, "--no-wait")
    for _ in range(3):
        wait_until("some", lambda: has_moved(first, 10))
        first.kill()
        launch(first)
    status, report, said = pair.drain("--status", "--wait")
    assert first.stop() == 0
    assert second.stop() == 0

    assert (status, report["left"]) == (0, 0), said
    assert recipients_in(first.spool) == {}
    assert recipients_in(second.spool) == dict.fromkeys((f"{n}@y.test" for n in names(COUNT)), 1)


def test_a_kill_of_the_receiving_node_loses_and_repeats_nothing(make_node, sink, tmp_path):
    sink.judge = lambda stage, address: "451 4.3.2 later"
    pair = NodePair(make_node, tmp_path, queue="retry_interval='1h'")
    first, second = pair.first, pair.second

    first.start()
    second.start()
    send_many(first, names(COUNT), lambda name: f"{name}@y.test")
    wait_until("all tried", lambda: len(sink.tried) == COUNT)
    pair.drain("--to", pair.target, "--no-wait")
    for _ in range(2):
        before = first.json(DRAIN)["transferred"]
        wait_until("some", lambda b=before: has_moved(first, b + 10))
        second.kill()
        second.start()
    status, report, said = pair.drain("--status", "--wait")
    assert first.stop() == 0
    assert second.stop() == 0

    assert (status, report["left"]) == (0, 0), said
    assert recipients_in(first.spool) == {}
    # It still holds what it had taken before it died, and knows it again.
    assert recipients_in(second.spool) == dict.fromkeys((f"{n}@y.test" for n in names(COUNT)), 1)


def has_moved(node, count: int) -> bool:
    report = node.json(DRAIN)
    return report["transferred"] >= count or not (report["left"] or report["is_recovering"])


def recipients_in(spool) -> Counter[str]:
    """Return how many messages a spool that no node has open holds for each recipient."""
    database = Rdict(str(spool / "db"), Options(raw_mode=True))
    try:
        return Counter(
            one
            for key, value in database.items()
            if key.startswith(b"m")
            for one in decode_envelope(value).recipients
        )
    finally:
        database.close()
