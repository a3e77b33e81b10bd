"""Each thing that can happen to a message shows in a record of its type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def tomorrow():
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_each_event_has_its_record(make_node, sink):
    def judge(stage, address):
        name = address.partition("@")[0]
        replies = {"temp": "451 4.3.2 later", "perm": "550 5.1.1 no", "old": "452 4.2.2 full"}
        return replies.get(name)

    sink.judge = judge
    node = make_node(
        """
        @on("message_received")
        def message_received(msg):
            if msg.recipient.user == "unwanted":
                mta.reject(550, "5.7.1 not from here")
            if msg.recipient.user == "delayed":
                msg.set_due("TOMORROW")
            if msg.recipient.user == "dropped":
                msg.set_meta("queue", "null")
            msg.set_meta("tenant", msg.recipient.user)
        """.replace("TOMORROW", tomorrow()),
        queue="dict(retry_interval='1s', max_age='2s') if tenant == 'old' else "
        "dict(retry_interval='1h')",
    )

    with node.running():
        for name in ("good", "temp", "perm", "old", "delayed", "dropped"):
            node.send(name, f"{name}@y.test")
        refused = reply_to(lambda: node.send("x", "unwanted@y.test"))
        node.wait_records("Expiration", 1)
        node.wait_records("Delayed", 1)
        node.json("/api/admin/bounce/v1", {"reason": "r", "tenant": "temp"})
        node.wait_records("AdminBounce", 1)
        node.wait_records("Rejection", 1)

    assert refused.startswith("550 5.7.1")
    by_recipient = {}
    for record in node.records():
        by_recipient.setdefault(record["recipient"].partition("@")[0], []).append(record["type"])
    old = by_recipient.pop("old")
    assert by_recipient == {
        "good": ["Reception", "Delivery"],
        "temp": ["Reception", "TransientFailure", "AdminBounce"],
        "perm": ["Reception", "Bounce"],
        "delayed": ["Reception", "Delayed"],
        "dropped": ["Reception"],
        "unwanted": ["Rejection"],
    }
    assert (old[0], old[-1]) == ("Reception", "Expiration")
    assert set(old[1:-1]) == {"TransientFailure"}
    (expired,) = node.records("Expiration")
    assert expired["response"]["enhanced_code"] == {"class": 5, "subject": 4, "detail": 7}
    rejection = node.records("Rejection")[0]
    assert rejection["response"]["command"] == "."
    assert rejection["peer_address"] == {"name": "c.test", "addr": "127.0.0.1"}


def test_a_message_for_nobody_to_reach_goes_its_way_and_is_recorded(make_node, sink):
    """A host that is not there, a pool without sources, a throttle: deferred, never lost."""
    handlers = """
    @on("throttle_insert_ready_queue")
    def throttle_insert_ready_queue(msg):
        if msg.recipient.domain == "slow.test":
            mta.make_throttle("slow", "1/h").delay_message_if_throttled(msg)

    @on("get_egress_pool")
    def get_egress_pool(name):
        return mta.make_egress_pool(name=name, entries=[]) if name == "dry" else None
    """
    node = make_node(
        handlers,
        queue="{'down.test': dict(protocol={'smtp': {'mx_list': ['127.0.0.1:1']}}),"
        " 'dry.test': dict(egress_pool='dry')}.get(domain, {})",
    )

    with node.running():
        node.send("nobody listens", "b@down.test")
        node.send("no source", "b@dry.test")
        node.send("first", "b@slow.test")
        node.send("second", "b@slow.test")
        wait_until("the first", lambda: sink.subjects()["first"])
        node.wait_records("TransientFailure", 2)
        (delayed,) = node.wait_records("Delayed", 1)

    texts = {r["queue"]: r["response"] for r in node.records("TransientFailure")}
    assert (texts["down.test"]["code"], texts["down.test"]["enhanced_code"]["subject"]) == (451, 4)
    assert texts["dry.test"]["code"] == 451
    assert delayed["queue"] == "slow.test"
    assert sink.subjects() == {"first": 1}
