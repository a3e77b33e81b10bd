"""A running node shows its policy: what runs, what was refused, what goes on with the old one."""

from __future__ import annotations

import signal

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def test_a_transaction_that_began_before_a_reload_is_seen_with_its_policy(make_node, sink):
    node = make_node()

    def policy():
        return node.json("/api/admin/policy/v1")

    with node.running(), node.client() as client:
        first = policy()
        node.send("one")
        wait_until("it", lambda: sink.taken)
        spent = {one["event"]: one for one in policy()["handlers"]}
        client.ehlo()
        assert client.docmd("MAIL FROM:<a@example.com>")[0] == 250
        good = node.policy.read_text()
        node.policy.write_text(good + "\nno_such_name\n")
        node.signal(signal.SIGHUP)
        wait_until("the refusal", lambda: policy()["rejected"])
        refused = policy()
        node.policy.write_text(good + "\n# changed\n")
        node.signal(signal.SIGHUP)
        wait_until("the reload", lambda: policy()["running"]["hash"] != first["running"]["hash"])
        wait_until("the old one alone", lambda: len(policy()["retired"]) == 1)
        shown = policy()
        client.docmd("RSET")
        wait_until("its end", lambda: not any(one["transactions"] for one in policy()["retired"]))

    assert first["running"]["number"] == 1
    assert (first["retired"], first["rejected"]) == ([], None)
    assert first["running"]["load_s"] > 0
    assert str(node.policy) in {one["name"] for one in first["running"]["files"]}
    assert spent["get_queue_config"]["calls"] > 0
    assert spent["get_queue_config"]["cpu_us"] > 0
    assert refused["rejected"]["file"] == str(node.policy)
    assert refused["rejected"]["is_pending"]
    assert refused["running"]["hash"] == first["running"]["hash"]
    assert not shown["rejected"]["is_pending"]
    (retired,) = shown["retired"]
    assert (retired["number"], retired["transactions"]) == (1, 1)
    assert retired["hash"] == first["running"]["hash"]
